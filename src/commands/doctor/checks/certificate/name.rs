//! Check: the server's certificate is for the host of the URL.

use crate::commands::client::WebhookTarget;
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::commands::doctor::target::dns_names;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

const CHECK: Check = Check("certificate name");

/// Maximum number of names that are shown.
const MAX_SHOWN: usize = 10;

pub(super) fn check(target: &WebhookTarget, leaf: &CertificateDer<'_>) -> CheckFinding {
    let host = &target.host;
    if is_for(leaf, target) {
        return CHECK.pass(format!("it is for {host}"));
    }
    CHECK.fail(
        format!("it is for {}, not for {host}", names(leaf)),
        "get a certificate for this name, or use one of its names in the URL",
    )
}

fn is_for(leaf: &CertificateDer<'_>, target: &WebhookTarget) -> bool {
    let name = target.server_name();
    EndEntityCert::try_from(leaf)
        .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&name).is_ok())
}

fn names(leaf: &CertificateDer<'_>) -> String {
    let mut names = dns_names(leaf);
    names.truncate(MAX_SHOWN);
    match names.is_empty() {
        true => "no host".into(),
        false => names.join(", "),
    }
}
