//! Check: no other authority than Netdata's is trusted for client certificates.

use crate::commands::doctor::finding::{Check, CheckFinding};

const CHECK: Check = Check("authorities");

/// Returns a warning for each of the `foreign` authorities of the configuration.
pub(crate) fn check(foreign: &[String]) -> impl Iterator<Item = CheckFinding> {
    foreign.iter().map(|warning| {
        let (text, remedy) = warning.rsplit_once("; ").unwrap_or((warning, ""));
        CHECK.warn(format!("the server {text}"), remedy)
    })
}
