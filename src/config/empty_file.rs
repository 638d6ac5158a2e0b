//! Files that have nothing in them, and what to do about them.

use super::load::service_credentials;
use std::path::Path;

/// Refuses a file without anything but blanks, into which `content` belongs.
///
/// # Errors
/// Says that the file is empty, and what to do.
pub(super) fn refuse(path: &Path, bytes: &[u8], content: &str) -> Result<(), String> {
    match bytes.trim_ascii().is_empty() {
        true => Err(explain(path, content)),
        false => Ok(()),
    }
}

/// Says that the file at `path` is empty, and what to do.
pub(super) fn explain(path: &Path, content: &str) -> String {
    // A unit has an empty credential in place of one whose file is missing (`SetCredential=`).
    let is_loaded = service_credentials().is_some_and(|directory| path.starts_with(directory));
    let remedy = match is_loaded {
        true => "the file that LoadCredential= names for it in the unit, and restart the service",
        false => "it",
    };
    format!("{} is empty: put {content} into {remedy}", path.display())
}
