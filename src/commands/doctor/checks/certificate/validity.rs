//! Check: the certificates of the server are valid now, and for some time to come.

use super::chain::SentChain;
use crate::commands::doctor::finding::{Check, CheckFinding};
use crate::config::renewal_margin;
use x509_parser::certificate::X509Certificate;

const CHECK: Check = Check("certificate validity");

const DAY: i64 = 24 * 60 * 60;

const RENEW: &str = "renew it, and check why it was not renewed automatically";

pub(super) fn check(chain: &SentChain<'_>) -> CheckFinding {
    let (needed, spare) = chain.sort();
    not_yet_valid(&needed, chain.now)
        .or_else(|| expiring(&needed, chain.now))
        .or_else(|| expired_spare(&spare, chain.now))
        .unwrap_or_else(|| valid(&needed, chain.now))
}

fn not_after(certificate: &X509Certificate<'_>) -> i64 {
    certificate.validity().not_after.timestamp()
}

/// Returns the certificate that expires first.
fn first<'c, 'd>(needed: &[&'c X509Certificate<'d>]) -> Option<&'c X509Certificate<'d>> {
    needed.iter().min_by_key(|it| not_after(it)).copied()
}

fn not_yet_valid(needed: &[&X509Certificate<'_>], now: i64) -> Option<CheckFinding> {
    let mut needed = needed.iter();
    let early = needed.find(|it| it.validity().not_before.timestamp() > now)?;
    let (subject, not_before) = (early.subject(), early.validity().not_before);
    Some(CHECK.fail(
        format!("\"{subject}\" is not valid before {not_before}"),
        "check the clock of this machine; if it is right, get a new certificate",
    ))
}

fn expiring(needed: &[&X509Certificate<'_>], now: i64) -> Option<CheckFinding> {
    let first = first(needed)?;
    let (subject, end) = (first.subject(), first.validity().not_after);
    let left = not_after(first) - now;
    if left < 0 {
        return Some(CHECK.fail(format!("\"{subject}\" expired on {end}"), RENEW));
    }
    let days = left / DAY;
    let text = || format!("\"{subject}\" expires in {days} days, on {end}");
    let margin = renewal_margin(first.validity().not_before.timestamp(), not_after(first));
    (left < margin).then(|| CHECK.warn(text(), RENEW))
}

fn expired_spare(spare: &[&X509Certificate<'_>], now: i64) -> Option<CheckFinding> {
    let old = spare.iter().find(|it| not_after(it) < now)?;
    let (subject, not_after) = (old.subject(), old.validity().not_after);
    Some(CHECK.warn(
        format!("\"{subject}\", which is sent but not needed, expired on {not_after}"),
        "remove it from the chain: some clients reject it",
    ))
}

fn valid(needed: &[&X509Certificate<'_>], now: i64) -> CheckFinding {
    let Some(first) = first(needed) else {
        return CHECK.skip("every certificate is self-signed");
    };
    let (days, end) = ((not_after(first) - now) / DAY, first.validity().not_after);
    CHECK.pass(format!("{days} days left, until {end}"))
}
