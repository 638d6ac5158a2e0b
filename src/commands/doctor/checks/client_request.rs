//! Check: the server requests a client certificate of the right authorities.
//!
//! Clients in Go, such as Netdata Cloud's, do not present their certificate if a server names other
//! authorities.

use crate::commands::doctor::client::Exchange;
use crate::commands::doctor::finding::CheckFinding;
use crate::commands::doctor::target::Expectation;
use crate::config::NETDATA_ROOT_CA;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::objects::oid_registry;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

const CHECK: &str = "client certificate";

/// Maximum number of names that are shown.
const MAX_SHOWN: usize = 3;

pub(in crate::commands::doctor) fn check(
    expected: &Expectation,
    exchange: &Exchange,
) -> CheckFinding {
    let shown = &exchange.shown;
    let wanted: Vec<Vec<u8>> = expected
        .authorities
        .iter()
        .filter_map(|der| subject(der))
        .collect();
    match (&shown.asked_for, expected.asks_for_certificate) {
        (None, _) if shown.chain.is_empty() => {
            CheckFinding::skip(CHECK, "there was no TLS handshake")
        }
        (None, false) => CheckFinding::pass(CHECK, "the server does not request one, as intended"),
        (None, true) => CheckFinding::fail(CHECK, NOT_REQUESTED, REQUEST),
        (Some(_), false) => CheckFinding::warn(
            CHECK,
            "the server requests one, which was not intended",
            "check which configuration the server runs with",
        ),
        (Some(named), true) => judge(named, &wanted),
    }
}

const NOT_REQUESTED: &str =
    "the server does not request one: any client can claim to be Netdata Cloud";

const REQUEST: &str = "nginx: ssl_verify_client on; Apache: SSLVerifyClient require in the VirtualHost, not in a Location, where it \
                       comes too late for TLS 1.3; here: tls.client.verify = \"require\"; if Basic or Bearer credentials are \
                       sufficient, --no-client-certificate";

fn subject(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(certificate.subject().as_raw().to_vec())
}

/// Returns the name of Netdata's authority.
fn netdata() -> Vec<u8> {
    let certificate = CertificateDer::from_pem_slice(NETDATA_ROOT_CA.as_bytes());
    certificate
        .ok()
        .and_then(|der| subject(&der))
        .unwrap_or_default()
}

fn judge(named: &[Vec<u8>], wanted: &[Vec<u8>]) -> CheckFinding {
    let missing: Vec<_> = wanted.iter().filter(|name| !named.contains(name)).collect();
    let further: Vec<_> = named.iter().filter(|name| !wanted.contains(name)).collect();
    if named.is_empty() {
        return CheckFinding::warn(
            CHECK,
            "the server requests one of any authority, so the trusted ones are unknown",
            "configure the server to name the authorities that it trusts (nginx: ssl_client_certificate, not \
             ssl_trusted_certificate)",
        );
    }
    if !missing.is_empty() {
        let is_partly_right = missing.len() < wanted.len() && !missing.contains(&&netdata());
        return missing_authorities(named, &missing, is_partly_right);
    }
    if !further.is_empty() {
        let (wanted, further) = (list(wanted), list(&further));
        return CheckFinding::warn(
            CHECK,
            format!(
                "the server requests one of {wanted}, as expected, but also accepts one of {further}"
            ),
            "trust only Netdata's authority: certificates of other authorities prove nothing here",
        );
    }
    CheckFinding::pass(
        CHECK,
        format!("the server requests one of {}", list(wanted)),
    )
}

fn missing_authorities(
    named: &[Vec<u8>],
    missing: &[&Vec<u8>],
    is_partly_right: bool,
) -> CheckFinding {
    let text = format!(
        "the server requests one of {}, but none of {}",
        list(named),
        list(missing)
    );
    if is_partly_right {
        return CheckFinding::warn(
            CHECK,
            format!("{text}, which is expected, too"),
            "if the configuration was changed, reload; otherwise trust this authority, too, or remove it from what is expected",
        );
    }
    CheckFinding::fail(
        CHECK,
        format!("{text}: Netdata Cloud will not present its certificate"),
        "trust this authority: builtin:netdata in tls.client.ca here (and reload), or its certificate of Netdata's \
         documentation in ssl_client_certificate (nginx) or SSLCACertificateFile (Apache)",
    )
}

fn list<N: AsRef<[u8]>>(names: &[N]) -> String {
    let shown = names.iter().take(MAX_SHOWN);
    let mut shown: Vec<_> = shown
        .map(|name| match readable(name.as_ref()) {
            Some(name) => format!("\"{name}\""),
            None => "a name that cannot be parsed".into(),
        })
        .collect();
    match names.len() {
        0 => shown.push("no authority".into()),
        length if length > MAX_SHOWN => shown.push(format!("{} more", length - MAX_SHOWN)),
        _ => {}
    }
    shown.join(", ")
}

fn readable(name: &[u8]) -> Option<String> {
    let (_, name) = X509Name::from_der(name).ok()?;
    name.to_string_with_registry(oid_registry()).ok()
}
