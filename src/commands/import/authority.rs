//! Recognises Netdata's own certificate authority.

use super::directive::Directive;
use super::report::Ledger;
use super::sources::SourceFiles;
use crate::config::{NETDATA_ROOT_CA, certificates_in};
use std::path::Path;

/// The name of that authority in a configuration.
pub(super) const BUILTIN: &str = "builtin:netdata";

/// Returns the value of `tls.client.ca` for a directive that names `path`.
pub(super) fn carry(directive: &Directive, path: String, ledger: &Ledger) -> String {
    if is_builtin(Path::new(&path)) {
        ledger.not_needed(directive, "it holds the Netdata Root CA, which is built in");
        return BUILTIN.to_owned();
    }
    ledger.carried(directive, "tls.client.ca");
    path
}

/// Returns `true` if a file has this one certificate and no other, not even an unreadable one.
fn is_builtin(path: &Path) -> bool {
    let text = SourceFiles::default().read(path).unwrap_or_default();
    let netdata = certificates_in(NETDATA_ROOT_CA.as_bytes());
    certificates_in(text.as_bytes())
        .is_some_and(|found| !found.is_empty() && Some(found) == netdata)
}
