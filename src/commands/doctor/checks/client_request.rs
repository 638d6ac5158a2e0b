//! Check: the server requests a client certificate of the right authorities.
//!
//! Clients in Go, such as Netdata Cloud's, do not present their certificate if a server names other
//! authorities.

use crate::commands::doctor::client::Exchange;
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::target::Expectation;
use crate::config::NETDATA_ROOT_CA;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::objects::oid_registry;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

const CHECK: Check = Check("client certificate");

/// Maximum number of names that are shown.
const MAX_SHOWN: usize = 3;

pub(crate) fn check(expected: &Expectation, exchange: &Exchange) -> CheckFinding {
    let shown = &exchange.shown;
    match (&shown.asked_for, expected.asks_for_certificate) {
        (None, _) if shown.chain.is_empty() => CHECK.skip("there was no TLS handshake"),
        (None, false) => CHECK.pass("the server does not request one, as intended"),
        (None, true) => CHECK.fail(NOT_REQUESTED, REQUEST),
        (Some(_), false) => CHECK.warn(
            "the server requests one, which was not intended",
            "check which configuration the server runs with",
        ),
        (Some(named), true) => judge(named, &wanted(expected)),
    }
}

const NOT_REQUESTED: &str =
    "the server does not request one: any client can claim to be Netdata Cloud";

const REQUEST: &str = "nginx: ssl_verify_client on; Apache: SSLVerifyClient require in the VirtualHost, not in a Location, where it \
                       comes too late for TLS 1.3; here: tls.client.verify = \"require\"; if Basic or Bearer credentials are \
                       sufficient, --no-client-certificate";

/// Returns the names of the expected authorities.
fn wanted(expected: &Expectation) -> Vec<Vec<u8>> {
    let authorities = expected.authorities.iter();
    authorities.filter_map(|der| subject(der)).collect()
}

fn subject(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(certificate.subject().as_raw().to_vec())
}

/// Returns the name of Netdata's authority.
fn netdata() -> Vec<u8> {
    let certificate = CertificateDer::from_pem_slice(NETDATA_ROOT_CA.as_bytes());
    let name = certificate.ok().and_then(|der| subject(&der));
    name.unwrap_or_default()
}

fn judge(named: &[Vec<u8>], wanted: &[Vec<u8>]) -> CheckFinding {
    let missing: Vec<_> = wanted.iter().filter(|name| !named.contains(name)).collect();
    let further: Vec<_> = named.iter().filter(|name| !wanted.contains(name)).collect();
    if named.is_empty() {
        return CHECK.warn(ANY_AUTHORITY, NAME_AUTHORITIES);
    }
    if !missing.is_empty() {
        let is_partly_right = missing.len() < wanted.len() && !missing.contains(&&netdata());
        return missing_authorities(named, &missing, is_partly_right);
    }
    if !further.is_empty() {
        return further_authorities(wanted, &further);
    }
    CHECK.pass(format!("the server requests one of {}", list(wanted)))
}

const ANY_AUTHORITY: &str =
    "the server requests one of any authority, so the trusted ones are unknown";

const NAME_AUTHORITIES: &str = "configure the server to name the authorities that it trusts (nginx: ssl_client_certificate, not \
                                ssl_trusted_certificate)";

fn further_authorities(wanted: &[Vec<u8>], further: &[&Vec<u8>]) -> CheckFinding {
    let (wanted, further) = (list(wanted), list(further));
    CHECK.warn(
        format!(
            "the server requests one of {wanted}, as expected, but also accepts one of {further}"
        ),
        "trust only Netdata's authority: certificates of other authorities prove nothing here",
    )
}

fn missing_authorities(
    named: &[Vec<u8>],
    missing: &[&Vec<u8>],
    is_partly_right: bool,
) -> CheckFinding {
    let (named, missing) = (list(named), list(missing));
    let text = format!("the server requests one of {named}, but none of {missing}");
    match is_partly_right {
        true => CHECK.warn(format!("{text}, which is expected, too"), RELOAD),
        false => CHECK.fail(
            format!("{text}: Netdata Cloud will not present its certificate"),
            TRUST,
        ),
    }
}

const RELOAD: &str = "if the configuration was changed, reload; otherwise trust this authority, too, or remove it from what is expected";

const TRUST: &str = "trust this authority: builtin:netdata in tls.client.ca here (and reload), or its certificate of Netdata's \
                     documentation in ssl_client_certificate (nginx) or SSLCACertificateFile (Apache)";

fn list<N: AsRef<[u8]>>(names: &[N]) -> String {
    let shown = names.iter().take(MAX_SHOWN);
    let mut shown: Vec<_> = shown.map(|name| quoted(name.as_ref())).collect();
    match names.len() {
        0 => shown.push("no authority".into()),
        length if length > MAX_SHOWN => shown.push(format!("{} more", length - MAX_SHOWN)),
        _ => {}
    }
    shown.join(", ")
}

fn quoted(name: &[u8]) -> String {
    match readable(name) {
        Some(name) => format!("\"{name}\""),
        None => "a name that cannot be parsed".into(),
    }
}

fn readable(name: &[u8]) -> Option<String> {
    let (_, name) = X509Name::from_der(name).ok()?;
    name.to_string_with_registry(oid_registry()).ok()
}
