//! The kinds and the shapes of notifications.

use std::fmt;

/// The subject of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An alert changed its state.
    Alert,
    /// A node became reachable or unreachable.
    Reachability,
    /// The operator pressed *Test* and must paste the token back.
    Test,
    /// None of the known kinds.
    Unknown,
}

impl Kind {
    /// Returns the word for it in headers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Reachability => "reachability",
            Self::Test => "test",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The shape of a notification: there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The shape that Netdata's documentation describes.
    Flat,
    /// The shape that the service sends.
    Nested,
}

impl Shape {
    /// Returns the word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Nested => "nested",
        }
    }
}
