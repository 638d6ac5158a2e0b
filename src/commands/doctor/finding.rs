//! What a check found, in words that are safe to show.

use crate::sanitize::{MAX_TEXT, plain};
use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FindingLevel {
    /// As it should be.
    Pass,
    /// It works, and is unwise or uncertain.
    Warn,
    /// Webhooks are lost, or forgeries get in.
    Fail,
    /// It could not be tried, or makes no sense here.
    Skip,
}

impl FindingLevel {
    /// In four letters.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// The end of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Which check; stays the same for scripts.
    pub check: &'static str,
    /// How it ended.
    pub level: FindingLevel,
    /// What was found, in a sentence.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn pass(check: &'static str, text: impl AsRef<str>) -> Self {
        Self {
            check,
            level: FindingLevel::Pass,
            text: plain(text.as_ref(), MAX_TEXT),
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
            remedy: Some(plain(remedy.as_ref(), MAX_TEXT)),
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
            remedy: Some(plain(remedy.as_ref(), MAX_TEXT)),
            ..Self::pass(check, text)
        }
    }
}
