//! Writes what was measured into the documentation.

use crate::Failure;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use time::OffsetDateTime;

/// How what is generated begins, if not with a table.
pub(crate) const MEASURED: &str = "Measured on";

/// A page of the documentation.
pub(crate) struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    /// The page with all tables.
    pub(crate) fn manual() -> Result<Self, Failure> {
        Self::read("src/manual/benchmarks.md")
    }

    /// The page with the main lines.
    pub(crate) fn readme() -> Result<Self, Failure> {
        Self::read("README.md")
    }

    fn read(path: &str) -> Result<Self, Failure> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = std::fs::read_to_string(&path)?;
        Ok(Self { path, text })
    }

    /// In the section with this heading, replaces everything from the line that starts with `first`
    /// to the end of the last table.
    pub(crate) fn replace(
        mut self,
        heading: &str,
        first: &str,
        new: &str,
    ) -> Result<Self, Failure> {
        let range = generated(&self.text, heading, first)
            .ok_or_else(|| format!("no {first:?} with a table below {heading:?}"))?;
        self.text.replace_range(range, new.trim_end());
        Ok(self)
    }

    pub(crate) fn write(&self) -> Result<(), Failure> {
        Ok(std::fs::write(&self.path, &self.text)?)
    }
}

fn generated(text: &str, heading: &str, first: &str) -> Option<Range<usize>> {
    let section = text.find(&format!("\n{heading}\n"))? + 1;
    let length = text[section..].find("\n## ");
    let end = length.map_or(text.len(), |length| section + length);
    let start = section + text[section..end].find(&format!("\n{first}"))? + 1;
    let last_row = start + text[start..end].rfind("\n|")? + 1;
    Some(start..last_row + text[last_row..].find('\n')?)
}

/// The commit that was measured, and the date.
pub(crate) fn revision() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=10"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let commit = output.ok().filter(|output| output.status.success());
    let commit = commit.map_or("unknown".into(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    });
    format!("commit {commit}, {}", OffsetDateTime::now_utc().date())
}
