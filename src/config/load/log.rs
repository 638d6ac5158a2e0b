//! `[log]`: what is written to the log, and how.

use crate::config::document::TableReader;
use crate::config::{Log, LogFormat, LogLevel};

/// The values that `format` may have.
const FORMATS: [(&str, LogFormat); 3] = [
    ("auto", LogFormat::Auto),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
];

/// The values that `level` may have.
const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Reads the section.
pub(super) fn log(table: &mut TableReader<'_>) -> Log {
    let default = Log::default();
    Log {
        format: table.choice("format", &FORMATS).unwrap_or(default.format),
        level: table.choice("level", &LEVELS).unwrap_or(default.level),
        access: table.boolean("access").unwrap_or(default.access),
    }
}
