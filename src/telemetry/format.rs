//! The format of log lines: short, text or JSON, with a priority for systemd's journal.

use super::logging::is_ours;
use super::short::ShortFormat;
use super::span_fields::{self, SpanFields};
use crate::config::{Log, LogFormat, LogLevel};
use crate::sanitize::is_harmless;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use time::UtcOffset;
use tracing::{Event, Level, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats log lines. The format can be changed at runtime.
pub(super) struct LogFormatter {
    switches: Arc<Switches>,
    output: Output,
    json: Format<Json, SystemTime>,
    text: Format<Full, SystemTime>,
    /// The format for the journal, which records the time itself.
    untimed: Format<Full, ()>,
    short: ShortFormat,
}

/// The destination of the log.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) is_terminal: bool,
    pub(super) is_coloured: bool,
    pub(super) is_journal: bool,
    /// The offset of local time, which lines for people have.
    pub(super) offset: Option<UtcOffset>,
}

/// The settings of a [`LogFormatter`] that a reload changes.
#[derive(Default)]
pub(super) struct Switches {
    is_json: AtomicBool,
    is_short: AtomicBool,
    /// Requests have lines of their own.
    has_requests: AtomicBool,
}

/// Changes the format of a [`LogFormatter`].
#[derive(Clone)]
pub(super) struct FormatHandle {
    switches: Arc<Switches>,
    is_terminal: bool,
    /// Lines are never short.
    is_verbose: bool,
}

impl FormatHandle {
    /// Returns the formatter of the fields of spans, which follows this switch.
    pub(super) fn span_fields(&self) -> SpanFields {
        SpanFields {
            switches: self.switches.clone(),
        }
    }

    /// Formats lines as `log` says.
    pub(super) fn apply(&self, log: &Log) {
        // The story of a request has more than fits into a short line.
        let is_short = log.format == LogFormat::Auto
            && self.is_terminal
            && !self.is_verbose
            && !matches!(log.level, LogLevel::Debug | LogLevel::Trace);
        let Switches {
            is_json,
            is_short: short,
            has_requests,
        } = &*self.switches;
        is_json.store(log.format == LogFormat::Json, Ordering::Relaxed);
        short.store(is_short, Ordering::Relaxed);
        has_requests.store(log.access, Ordering::Relaxed);
    }
}

impl Switches {
    /// Returns `true` if lines are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.is_json.load(Ordering::Relaxed)
    }
}

impl LogFormatter {
    /// Creates a formatter for `output`, and the handle that changes its format.
    pub(super) fn new(log: &Log, output: Output, is_verbose: bool) -> (Self, FormatHandle) {
        let handle = FormatHandle {
            switches: Arc::default(),
            is_terminal: output.is_terminal,
            is_verbose,
        };
        handle.apply(log);
        let lines = Self {
            switches: handle.switches.clone(),
            output,
            json: Format::default()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false),
            text: Format::default().with_ansi(output.is_coloured),
            untimed: Format::default().with_ansi(false).without_time(),
            short: ShortFormat::new(output),
        };
        (lines, handle)
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
        let is_short = self.switches.is_short.load(Ordering::Relaxed);
        let has_requests = self.switches.has_requests.load(Ordering::Relaxed);
        if is_short && has_requests && ShortFormat::is_told_by_request(event) {
            return Ok(());
        }
        if self.output.is_journal {
            write!(writer, "<{}>", priority(metadata.level()))?;
        }
        let mut line = OneLine {
            writer: &mut writer,
            is_broken: false,
            is_coloured: self.output.is_coloured,
        };
        if is_short {
            self.short.write(&mut line, metadata, event)?;
            return writer.write_char('\n');
        }
        let inner = Writer::new(&mut line);
        match (self.switches.is_json(), self.output.is_journal) {
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
    is_coloured: bool,
}

impl OneLine<'_, '_> {
    fn write_shown(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return self.writer.write_str(text);
        }
        let is_colour = |c| self.is_coloured && c == '\x1b';
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
                is_coloured: false,
            };
            parts.iter().for_each(|part| one.write_str(part).unwrap());
            assert_eq!(text, line);
        }
    }
}
