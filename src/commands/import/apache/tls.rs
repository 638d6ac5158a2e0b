//! `SSL*`: the server's certificate, and the authorities of client certificates.

use super::host::VirtualHost;
use crate::commands::import::authority;
use crate::commands::import::builder::{Demand, Identity};
use crate::commands::import::directive::Directive;
use crate::commands::import::report::Ledger;

/// Reads the `SSL*` directives of a virtual host.
pub(super) fn identity(host: &VirtualHost<'_>, ledger: &Ledger) -> Identity {
    let file = |name: &str, key: &str| {
        let directive = host.one(name)?;
        ledger.carried(directive, key);
        Some(host.file(directive))
    };
    if let Some(directive) = host.one("SSLCertificateChainFile") {
        let remedy = "append it to the file in tls.certificate, which has the whole chain";
        ledger.not_carried(directive, remedy);
    }
    let certificate = file("SSLCertificateFile", "tls.certificate");
    // The key may be in the file of the certificate.
    let private_key = file("SSLCertificateKeyFile", "tls.private_key").or(certificate.clone());
    let authority = host.one("SSLCACertificateFile");
    let authority = authority.map(|it| authority::carry(it, host.file(it), ledger));
    let revocation_list = file("SSLCARevocationFile", "tls.client.crl");
    say_revocation_check(host, ledger);
    Identity {
        certificate,
        private_key,
        authorities: authority.into_iter().collect(),
        revocation_lists: revocation_list.into_iter().collect(),
        only_newest: only_newest(host, ledger),
        demand: demand(host, ledger),
    }
}

fn say_revocation_check(host: &VirtualHost<'_>, ledger: &Ledger) {
    let check = host.one("SSLCARevocationCheck");
    if let Some(directive) = check {
        ledger.not_needed(directive, "the whole chain is checked");
    }
    if let Some(directive) = host.one("SSLCARevocationFile")
        && check.is_none_or(|it| it.value().eq_ignore_ascii_case("none"))
    {
        let hole = "it was never read, because SSLCARevocationCheck is missing; now it is";
        ledger.closed(directive, hole);
    }
}

/// Returns whether TLS 1.3 is the only version.
fn only_newest(host: &VirtualHost<'_>, ledger: &Ledger) -> bool {
    let Some(directive) = host.one("SSLProtocol") else {
        return false;
    };
    let has = |version: &str| has_version(directive, version);
    let only_newest = has("tlsv1.3") && !has("tlsv1.2") && !has("tlsv1.1") && !has("tlsv1");
    let version = if only_newest { "1.3" } else { "1.2" };
    ledger.carried(directive, format!("tls.min_version = \"{version}\""));
    if has("tlsv1.1") || has("tlsv1") {
        ledger.closed(directive, "versions before TLS 1.2 are not supported");
    }
    only_newest
}

/// Returns whether `SSLProtocol` enables a version: the last argument about it counts.
fn has_version(directive: &Directive, version: &str) -> bool {
    let is_about = |it: &&String| {
        let name = it.trim_start_matches(['+', '-']);
        name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case(version)
    };
    let last = directive.arguments.iter().rfind(is_about);
    last.is_some_and(|it| !it.starts_with('-'))
}

fn demand(host: &VirtualHost<'_>, ledger: &Ledger) -> Demand {
    let Some(directive) = host.one("SSLVerifyClient") else {
        return Demand::Off;
    };
    let (demand, key) = match directive.value().to_ascii_lowercase().as_str() {
        "require" => (Demand::On, "tls.client.verify = \"require\""),
        "optional" | "optional_no_ca" => (Demand::Optional, "tls.client.verify = \"request\""),
        _ => (Demand::Off, "tls.client.verify"),
    };
    ledger.carried(directive, key);
    if directive.value().eq_ignore_ascii_case("optional_no_ca") {
        let hole = "certificates of any authority got through; now it must be one of tls.client.ca";
        ledger.closed(directive, hole);
    }
    demand
}
