//! Findings of checks, in text that is safe to show.

use crate::sanitize::{MAX_TEXT, sanitize_to};
use nu_ansi_term::{Color, Style};
use serde::Serialize;

/// Level of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FindingLevel {
    /// The check found no problem.
    Pass,
    /// It works, but is unwise or uncertain.
    Warn,
    /// Webhooks are lost, or forgeries are accepted.
    Fail,
    /// The check was not possible, or does not apply.
    Skip,
}

impl FindingLevel {
    /// Returns the level as a word of four letters.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

impl FindingLevel {
    /// Returns the colour of the word on a terminal.
    pub(super) fn style(self) -> Style {
        match self {
            Self::Pass => Color::Green.normal(),
            Self::Warn => Color::Yellow.normal(),
            Self::Fail => Color::Red.bold(),
            Self::Skip => Style::new().dimmed(),
        }
    }
}

/// Result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CheckFinding {
    /// Name of the check; stable, for scripts.
    pub check: &'static str,
    /// Level of the finding.
    pub level: FindingLevel,
    /// Description of the finding.
    pub text: String,
    /// Remedy, if there is one.
    pub remedy: Option<String>,
}

/// A check, by its name, which makes its findings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check(pub(super) &'static str);

impl Check {
    pub(super) fn pass(self, text: impl AsRef<str>) -> CheckFinding {
        self.finding(FindingLevel::Pass, text.as_ref())
    }

    pub(super) fn skip(self, text: impl AsRef<str>) -> CheckFinding {
        self.finding(FindingLevel::Skip, text.as_ref())
    }

    pub(super) fn warn(self, text: impl AsRef<str>, remedy: impl AsRef<str>) -> CheckFinding {
        self.finding(FindingLevel::Warn, text.as_ref())
            .with_remedy(remedy.as_ref())
    }

    pub(super) fn fail(self, text: impl AsRef<str>, remedy: impl AsRef<str>) -> CheckFinding {
        self.finding(FindingLevel::Fail, text.as_ref())
            .with_remedy(remedy.as_ref())
    }

    fn finding(self, level: FindingLevel, text: &str) -> CheckFinding {
        CheckFinding {
            check: self.0,
            level,
            text: sanitize_to(text, MAX_TEXT),
            remedy: None,
        }
    }
}

impl CheckFinding {
    fn with_remedy(self, remedy: &str) -> Self {
        Self {
            remedy: Some(sanitize_to(remedy, MAX_TEXT)),
            ..self
        }
    }
}
