//! Errors of a configuration, with their locations.

use std::fmt;
use std::path::PathBuf;

/// An error or a warning about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the configuration file.
    pub file: PathBuf,
    /// The place in the file; `None` if the file itself cannot be read.
    pub place: Option<Place>,
    /// The key, with its tables: `tls.client.ca`. Empty where the file itself cannot be read or
    /// parsed.
    pub key: String,
    /// The problem, and its remedy.
    pub message: String,
}

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line number, from 1.
    pub line: usize,
    /// The column, from 1, and the line with a mark below it, if the line is not TOML.
    pub syntax: Option<SyntaxExcerpt>,
}

/// The place of a syntax error, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxExcerpt {
    /// The column number, from 1.
    pub column: usize,
    /// The line without what may be a secret, and a mark below it.
    pub text: String,
}

impl Problem {
    /// Returns the number of its line; 0 if it has none.
    pub(super) fn line(&self) -> usize {
        self.place.as_ref().map_or(0, |place| place.line)
    }

    /// Returns the excerpt, in lines of its own, if there is one.
    pub fn excerpt(&self) -> Option<&str> {
        let syntax = self.place.as_ref()?.syntax.as_ref()?;
        Some(&syntax.text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = &self.place {
            write!(f, ":{}", place.line)?;
            if let Some(syntax) = &place.syntax {
                write!(f, ":{}", syntax.column)?;
            }
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All errors of a configuration, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
