//! Reads a TOML file key by key, and collects all errors and warnings with their locations.
//!
//! Each key is read by name and type. A value that does not fit is reported with its line, and a key
//! that was never read is unknown.
//!
//! A derived `Deserialize`, with `serde_spanned` as well, stops at the first error. `toml-span`
//! collects type errors, but its parser stops at the first syntax error, and its messages repeat
//! keys, which may be secrets in the wrong place.

mod collections;
mod scalars;
mod table;
mod value;

pub(super) use table::TableReader;
pub(super) use value::suggest;

use super::error::{Place, Problem, SyntaxExcerpt};
use super::excerpt::excerpt;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use toml::de::DeTable;

/// A configuration file, with the errors and warnings collected so far.
pub(super) struct Document {
    pub(super) file: PathBuf,
    text: String,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

/// The location of a value, for messages about it.
#[derive(Clone, Debug)]
pub(super) struct KeyLocation {
    pub(super) key: String,
    offset: usize,
}

/// A value with its location.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) location: KeyLocation,
}

impl Document {
    pub(super) fn new(file: &Path, text: String) -> Self {
        Self {
            file: file.to_owned(),
            text,
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Parses the file. Reports all syntax errors and returns `None` if there are any: the rest of
    /// such a line could be part of a secret that the parser takes for a key.
    fn parse(&self) -> Option<DeTable<'_>> {
        let (root, errors) = DeTable::parse_recoverable(&self.text);
        let mut faults: Vec<_> = errors.iter().map(|error| self.fault(error)).collect();
        // Further errors in a line are mostly consequences of the first.
        faults.sort_by_key(Problem::line);
        faults.dedup_by_key(|fault| fault.line());
        let is_whole = faults.is_empty();
        self.problems.borrow_mut().extend(faults);
        is_whole.then(|| root.into_inner())
    }

    /// Describes a syntax error without the text of the library, which may repeat a secret.
    fn fault(&self, error: &toml::de::Error) -> Problem {
        let offset = error.span().map_or(0, |span| span.start);
        let location = KeyLocation {
            key: String::new(),
            offset,
        };
        let message = format!("not TOML: {}", syntax_advice(error.message()));
        self.problem_in(&location, message, Some(excerpt(&self.text, offset)))
    }

    pub(super) fn complain(&self, location: &KeyLocation, message: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(self.problem(location, message));
    }

    /// Returns the number of errors so far.
    pub(super) fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    pub(super) fn warn(&self, location: &KeyLocation, message: impl Into<String>) {
        self.warnings
            .borrow_mut()
            .push(self.problem(location, message));
    }

    /// Returns the errors and the warnings, in the order of their lines.
    pub(super) fn into_findings(self) -> (Vec<Problem>, Vec<Problem>) {
        (sorted(self.problems), sorted(self.warnings))
    }

    pub(super) fn problem(&self, location: &KeyLocation, message: impl Into<String>) -> Problem {
        self.problem_in(location, message, None)
    }

    fn problem_in(
        &self,
        location: &KeyLocation,
        message: impl Into<String>,
        syntax: Option<SyntaxExcerpt>,
    ) -> Problem {
        let before = self.text.get(..location.offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        Problem {
            file: self.file.clone(),
            place: Some(Place { line, syntax }),
            key: location.key.clone(),
            message: message.into(),
        }
    }
}

fn sorted(findings: RefCell<Vec<Problem>>) -> Vec<Problem> {
    let mut findings = findings.into_inner();
    findings.sort_by_key(Problem::line);
    findings
}

/// Says what to write in place of what the library describes so.
fn syntax_advice(message: &str) -> &'static str {
    if message.contains("duplicate") {
        "the key, or the table, is there already"
    } else if message.contains("cannot extend") {
        "the key has a value already, so it cannot be a table as well"
    } else {
        "write key = value, a line for each; what is neither a number nor true or false stands in \"quotes\""
    }
}
