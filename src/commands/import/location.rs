//! Where something stands in the configuration that is read, and what can be wrong there.

use crate::sanitize::plain;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Characters of a path that are shown.
const MAX_PATH: usize = 400;

/// A file and a line of it, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceLocation {
    /// As it was named.
    pub file: Arc<Path>,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            plain(&self.file.display().to_string(), MAX_PATH),
            self.line
        )
    }
}

/// Why there is nothing to show for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ImportError {
    /// Where it stands.
    pub place: SourceLocation,
    /// What is wrong, and what to do.
    pub message: String,
}

impl ImportError {
    pub(super) fn new(place: &SourceLocation, message: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            message: message.into(),
        }
    }
}
