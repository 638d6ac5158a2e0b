//! Positions in the configuration that is read, and what can be wrong there.

use crate::sanitize::sanitize_to;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Characters of a path that are shown.
const MAX_PATH: usize = 400;

/// A file, as it was named, and a line of it, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
}

impl SourceLocation {
    /// Returns the first line of a file.
    pub(super) fn start_of(file: &Path) -> Self {
        Self {
            file: file.into(),
            line: 1,
        }
    }
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = sanitize_to(&self.file.display().to_string(), MAX_PATH);
        write!(f, "{file}:{}", self.line)
    }
}

/// The reason why there is no result, with its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ImportError {
    pub(super) place: SourceLocation,
    pub(super) message: String,
}

impl ImportError {
    pub(super) fn new(place: &SourceLocation, message: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            message: message.into(),
        }
    }
}
