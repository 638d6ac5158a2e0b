//! A client certificate is asked for, of the right authorities.
//!
//! Clients in Go, as Netdata Cloud's is, keep their certificate to themselves if a server names
//! other authorities.

use crate::commands::doctor::client::Exchange;
use crate::commands::doctor::finding::Finding;
use crate::commands::doctor::target::Expectation;
use crate::config::NETDATA_ROOT_CA;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::objects::oid_registry;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

const CHECK: &str = "client certificate";

/// Names that are shown.
const MAX_SHOWN: usize = 3;

pub(in crate::commands::doctor) fn check(
    expected: &Expectation,
    conversation: &Exchange,
) -> Finding {
    let shown = &conversation.shown;
    let wanted: Vec<Vec<u8>> = expected
        .authorities
        .iter()
        .filter_map(|der| subject(der))
        .collect();
    match (&shown.asked_for, expected.asks_for_certificate) {
        (None, _) if shown.chain.is_empty() => Finding::skip(CHECK, "there was no TLS handshake"),
        (None, false) => Finding::pass(CHECK, "none is asked for, as intended"),
        (None, true) => Finding::fail(
            CHECK,
            "none is asked for: anybody can claim to be Netdata Cloud",
            "nginx: ssl_verify_client on; Apache: SSLVerifyClient require in the VirtualHost, not in a Location, where it \
             comes too late for TLS 1.3; here: tls.client.verify = \"require\"; if Basic or Bearer credentials are all you want, --no-client-certificate",
        ),
        (Some(_), false) => Finding::warn(
            CHECK,
            "one is asked for, which was not intended",
            "see whether the server runs with the configuration that you mean",
        ),
        (Some(named), true) => judge(named, &wanted),
    }
}

fn subject(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(certificate.subject().as_raw().to_vec())
}

/// The name of Netdata's own authority.
fn netdata() -> Vec<u8> {
    let certificate = CertificateDer::from_pem_slice(NETDATA_ROOT_CA.as_bytes());
    certificate
        .ok()
        .and_then(|der| subject(&der))
        .unwrap_or_default()
}

fn judge(named: &[Vec<u8>], wanted: &[Vec<u8>]) -> Finding {
    let missing: Vec<_> = wanted.iter().filter(|name| !named.contains(name)).collect();
    let further: Vec<_> = named.iter().filter(|name| !wanted.contains(name)).collect();
    if named.is_empty() {
        return Finding::warn(
            CHECK,
            "one is asked for, of any authority: it cannot be seen which are trusted",
            "let the server name the authorities that it trusts (nginx: ssl_client_certificate, not \
             ssl_trusted_certificate)",
        );
    }
    let (is_netdata_missing, is_partly_right) =
        (missing.contains(&&netdata()), missing.len() < wanted.len());
    if is_partly_right && !missing.is_empty() && !is_netdata_missing {
        return Finding::warn(
            CHECK,
            format!(
                "one of {} is asked for, and none of {}, which is expected, too",
                list(named),
                list(&missing)
            ),
            "if the configuration was changed, reload; otherwise trust this authority, too, or expect it no more",
        );
    }
    if !missing.is_empty() {
        return Finding::fail(
            CHECK,
            format!(
                "one of {} is asked for, and none of {}: Netdata Cloud will show none",
                list(named),
                list(&missing)
            ),
            "trust this authority: builtin:netdata in tls.client.ca here (and reload), or its certificate of Netdata's \
             documentation in ssl_client_certificate (nginx) or SSLCACertificateFile (Apache)",
        );
    }
    if !further.is_empty() {
        return Finding::warn(
            CHECK,
            format!(
                "one of {} is asked for, which is right, but one of {} is welcome, too",
                list(wanted),
                list(&further)
            ),
            "trust no authority but Netdata's, whose certificates are the only ones that prove anything here",
        );
    }
    Finding::pass(CHECK, format!("one of {} is asked for", list(wanted)))
}

fn list<N: AsRef<[u8]>>(names: &[N]) -> String {
    let read = |der| {
        X509Name::from_der(der)
            .ok()?
            .1
            .to_string_with_registry(oid_registry())
            .ok()
    };
    let shown = names
        .iter()
        .take(MAX_SHOWN)
        .map(|name| match read(name.as_ref()) {
            Some(name) => format!("\"{name}\""),
            None => "a name that cannot be read".into(),
        });
    let mut shown: Vec<_> = shown.collect();
    match names.len() {
        0 => shown.push("nobody".into()),
        length if length > MAX_SHOWN => shown.push(format!("{} more", length - MAX_SHOWN)),
        _ => {}
    }
    shown.join(", ")
}
