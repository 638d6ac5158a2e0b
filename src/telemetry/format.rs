//! The format of log lines: text or JSON, with a priority for systemd's journal.

use super::logging::is_ours;
use super::span_fields::{self, SpanFields};
use crate::config::LogFormat;
use crate::sanitize::is_harmless;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats log lines. The format can be changed at runtime.
pub(super) struct LogFormatter {
    is_json: Arc<AtomicBool>,
    is_journal: bool,
    /// The output has colours.
    is_terminal: bool,
    json: Format<Json, SystemTime>,
    text: Format<Full, SystemTime>,
    /// The format for the journal, which records the time itself.
    untimed: Format<Full, ()>,
}

/// Changes the format of a [`LogFormatter`].
#[derive(Clone)]
pub(super) struct FormatHandle(Arc<AtomicBool>);

impl FormatHandle {
    /// Returns the formatter of the fields of spans, which follows this switch.
    pub(super) fn span_fields(&self) -> SpanFields {
        SpanFields {
            is_json: self.0.clone(),
        }
    }

    pub(super) fn to(&self, format: LogFormat) {
        self.0.store(format == LogFormat::Json, Ordering::Relaxed);
    }
}

impl LogFormatter {
    /// Creates a formatter and the handle that changes its format. `is_terminal` adds colours.
    pub(super) fn new(
        format: LogFormat,
        is_terminal: bool,
        is_journal: bool,
    ) -> (Self, FormatHandle) {
        let is_json = Arc::new(AtomicBool::new(format == LogFormat::Json));
        let lines = Self {
            is_json: is_json.clone(),
            is_journal,
            is_terminal,
            json: Format::default()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false),
            text: Format::default().with_ansi(is_terminal),
            untimed: Format::default().with_ansi(false).without_time(),
        };
        (lines, FormatHandle(is_json))
    }
}

impl LogFormatter {
    /// Writes a record as one object, with the spans that it is in.
    fn format_json<S, N>(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
        is_foreign: bool,
    ) -> fmt::Result
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
        N: for<'w> FormatFields<'w> + 'static,
    {
        let json = self.json.clone().with_target(is_foreign);
        let spans = span_fields::as_json(context);
        if spans.is_empty() {
            return json.format_event(context, writer, event);
        }
        let mut object = String::new();
        json.format_event(context, Writer::new(&mut object), event)?;
        let fields = object.trim_end();
        let fields = fields.strip_suffix('}').unwrap_or(fields);
        writeln!(writer, "{fields},\"spans\":[{spans}]}}")
    }
}

impl<S, N> FormatEvent<S, N> for LogFormatter
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let bridged = event.normalized_metadata();
        let metadata = bridged.as_ref().unwrap_or_else(|| event.metadata());
        // The target is shown for records of other crates only.
        let is_foreign = !is_ours(metadata.target());
        if self.is_journal {
            write!(writer, "<{}>", priority(metadata.level()))?;
        }
        let mut line = OneLine {
            writer: &mut writer,
            is_broken: false,
            is_terminal: self.is_terminal,
        };
        let inner = Writer::new(&mut line);
        match (self.is_json.load(Ordering::Relaxed), self.is_journal) {
            (true, _) => self.format_json(context, inner, event, is_foreign),
            (false, false) => self
                .text
                .clone()
                .with_target(is_foreign)
                .format_event(context, inner, event),
            (false, true) => self
                .untimed
                .clone()
                .with_target(is_foreign)
                .format_event(context, inner, event),
        }?;
        writer.write_char('\n')
    }
}

/// Returns the priority as sd-daemon(3) defines it.
fn priority(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Keeps a record on one line, whatever it contains: otherwise it could look like two. Does not
/// write the end of the line.
///
/// Values in records of this program are sanitized already; this is for records of other crates,
/// and a second line of defence.
struct OneLine<'l, 'w> {
    writer: &'l mut Writer<'w>,
    /// A line break was written that may be the last.
    is_broken: bool,
    is_terminal: bool,
}

impl OneLine<'_, '_> {
    fn write_shown(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return self.writer.write_str(text);
        }
        let is_colour = |c| self.is_terminal && c == '\x1b';
        text.chars().try_for_each(|c| {
            self.writer.write_char(if is_harmless(c) || is_colour(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            })
        })
    }
}

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(['\n', '\r']) {
            if self.is_broken {
                self.writer.write_str("\\n")?;
            }
            let line = part.trim_end_matches(['\n', '\r']);
            self.is_broken = line.len() != part.len();
            self.write_shown(line)?;
        }
        Ok(())
    }
}

/// Returns `true` if standard error is the journal (systemd.exec(5), `$JOURNAL_STREAM`).
pub(super) fn stderr_is_journal() -> bool {
    let stderr = || {
        io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .and_then(|stream| File::from(stream).metadata())
    };
    std::env::var("JOURNAL_STREAM").is_ok_and(|journal| {
        stderr().is_ok_and(|file| journal == format!("{}:{}", file.dev(), file.ino()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn a_record_stays_on_one_line() {
        for (parts, line) in [
            (&["a\n"][..], "a"),
            (&["a", "\n"], "a"),
            (&["a\nb\n"], "a\\nb"),
            (&["a\r\nINFO forged", "\n", "c\n"], "a\\n\\nINFO forged\\nc"),
            (&["", "a", ""], "a"),
            (
                &["ü\u{2028}\u{202e}\x1b[2J\t\u{85}"],
                "ü\u{fffd}\u{fffd}\u{fffd}[2J\u{fffd}\u{fffd}",
            ),
        ] {
            let mut text = String::new();
            let mut writer = Writer::new(&mut text);
            let mut one = OneLine {
                writer: &mut writer,
                is_broken: false,
                is_terminal: false,
            };
            parts.iter().for_each(|part| one.write_str(part).unwrap());
            assert_eq!(text, line);
        }
    }
}
