//! The names of headers that a configuration sets.

use crate::config::document::{Located, TableReader};
use crate::http::header_class::is_reserved;
use http::HeaderName;

/// Parses the name of a header that is set to `value`, and complains of one that cannot be.
pub(super) fn header_name(
    table: &TableReader<'_>,
    name: &str,
    value: &Located<String>,
) -> Option<HeaderName> {
    let complain = |message: &str| table.document.complain(&value.location, message);
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        complain("is not the name of a header");
        return None;
    };
    if is_reserved(header.as_str()) {
        complain("is set by this program and cannot be changed");
    }
    Some(header)
}
