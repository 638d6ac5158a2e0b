//! Check: no other authority than Netdata's is trusted for client certificates.

use crate::commands::doctor::finding::CheckFinding;

const CHECK: &str = "authorities";

/// Returns a warning for each of the `foreign` authorities of the configuration.
pub(in crate::commands::doctor) fn check(foreign: &[String]) -> impl Iterator<Item = CheckFinding> {
    foreign.iter().map(|warning| {
        let (text, remedy) = warning.rsplit_once("; ").unwrap_or((warning, ""));
        CheckFinding::warn(CHECK, format!("the server {text}"), remedy)
    })
}
