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

impl CheckFinding {
    pub(super) fn pass(check: &'static str, text: impl AsRef<str>) -> Self {
        Self {
            check,
            level: FindingLevel::Pass,
            text: sanitize_to(text.as_ref(), MAX_TEXT),
            remedy: None,
        }
    }

    pub(super) fn skip(check: &'static str, text: impl AsRef<str>) -> Self {
        Self {
            level: FindingLevel::Skip,
            ..Self::pass(check, text)
        }
    }

    pub(super) fn warn(
        check: &'static str,
        text: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) -> Self {
        Self {
            level: FindingLevel::Warn,
            remedy: Some(sanitize_to(remedy.as_ref(), MAX_TEXT)),
            ..Self::pass(check, text)
        }
    }

    pub(super) fn fail(
        check: &'static str,
        text: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) -> Self {
        Self {
            level: FindingLevel::Fail,
            remedy: Some(sanitize_to(remedy.as_ref(), MAX_TEXT)),
            ..Self::pass(check, text)
        }
    }
}
