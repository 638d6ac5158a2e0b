//! `tls.client.crl`: which of the lists count, and whose certificates they leave in the dark.

use crate::config::document::{Located, TableReader};
use crate::config::files;
use crate::config::{CrlCoverage, RevocationList};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;

/// Returns a sentence for each of `authorities` that the lists say nothing about, though `coverage`
/// wants it.
pub(super) fn uncovered(
    authorities: &[CertificateDer<'_>],
    lists: &[Located<RevocationList>],
    coverage: CrlCoverage,
) -> Vec<String> {
    if lists.is_empty() {
        return Vec::new();
    }
    let mut sentences: Vec<String> = authorities
        .iter()
        .filter_map(|authority| why_uncovered(authority, lists, coverage))
        .collect();
    sentences.dedup();
    sentences
}

fn why_uncovered(
    authority: &CertificateDer<'_>,
    lists: &[Located<RevocationList>],
    coverage: CrlCoverage,
) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(authority).ok()?;
    let name = name_of(authority, &parsed);
    // Each is asked, so that whose each is is known from now on.
    let is_signed = |list: &&Located<RevocationList>| list.value.is_signed_by(authority);
    let signed = lists.iter().filter(is_signed).count();
    let is_named = |list: &&Located<_>| is_in_name_of(&list.value, &parsed);
    match (signed, lists.iter().find(is_named)) {
        (1.., _) if !may_sign_lists(&parsed) => Some(explain_key_usage(&name)),
        (0, Some(list)) => Some(explain_claim(&name, &list.value)),
        (0, None) if coverage == CrlCoverage::All => Some(explain_absence(&name)),
        _ => None,
    }
}

fn explain_key_usage(name: &str) -> String {
    format!(
        "{name} has signed a revocation list, but its key usage does not allow that (cRLSign), so the list cannot be \
         trusted: have its certificate reissued, or remove the list"
    )
}

fn explain_absence(name: &str) -> String {
    format!(
        "there are revocation lists and none of {name}, so none of its certificates would be accepted: name its list, \
         too, or set crl_coverage = \"listed\", by which certificates of an authority without a list are not checked for \
         revocation"
    )
}

fn is_in_name_of(list: &RevocationList, authority: &X509Certificate<'_>) -> bool {
    list.is_in_name_of(authority.subject())
}

fn explain_claim(name: &str, list: &RevocationList) -> String {
    format!(
        "{} claims to be issued by {name} but is not signed with its key, so none of its certificates would be \
         accepted: use the list that is",
        list.file().display()
    )
}

fn name_of(authority: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> String {
    let subject = parsed.subject();
    match files::builtin_authorities().contains(authority) {
        true => {
            format!("\"{subject}\" (builtin:netdata, which Netdata Cloud's own certificate is of)")
        }
        false => format!("\"{subject}\""),
    }
}

/// Returns `true` if the key may sign revocation lists. Without a key usage, it may be used for
/// everything.
fn may_sign_lists(authority: &X509Certificate<'_>) -> bool {
    authority
        .key_usage()
        .is_ok_and(|usage| usage.is_none_or(|usage| usage.value.crl_sign()))
}

/// Returns the lists that no newer one replaces. That one of them has run out is noted: it says
/// nothing about what was revoked since.
pub(super) fn current(
    table: &TableReader<'_>,
    lists: Vec<Located<RevocationList>>,
) -> Vec<RevocationList> {
    let is_current = |list: &&Located<RevocationList>| {
        let mut others = lists.iter();
        !others.any(|it| list.value.is_superseded_by(&it.value))
    };
    for list in lists.iter().filter(is_current) {
        complain_of_age(table, list);
        if !list.value.has_known_signer() {
            warn_of_unknown_signer(table, list);
        }
    }
    lists
        .iter()
        .filter(is_current)
        .map(|list| list.value.clone())
        .collect()
}

fn complain_of_age(table: &TableReader<'_>, list: &Located<RevocationList>) {
    let now = ASN1Time::now().timestamp();
    let Some(due) = list.value.next_update().filter(|due| *due < now) else {
        return;
    };
    let file = list.value.file().display();
    let due = ASN1Time::from_timestamp(due).map_or_else(|_| due.to_string(), |due| due.to_string());
    let message =
        format!("{file} is out of date: its next update was due on {due}; fetch the current list");
    table.document.complain(&list.location, message);
}

fn warn_of_unknown_signer(table: &TableReader<'_>, list: &Located<RevocationList>) {
    let (file, issuer) = (list.value.file().display(), list.value.issuer());
    let message = format!(
        "{file} has a list of \"{issuer}\", which none of the authorities here has signed: it counts for certificates \
         of an intermediate authority alone"
    );
    table.document.warn(&list.location, message);
}
