//! The format of log lines: short, text or JSON, with a priority for systemd's journal.

use super::direct::DirectFormat;
use super::logging::is_ours;
use super::short::ShortFormat;
use super::span_fields::{self, SpanFields};
use crate::config::{Log, LogFormat, LogLevel};
use crate::sanitize::is_harmless;
use std::fmt;
use std::fs::{File, Metadata};
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
    output: Output,
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
        let switches = &*self.switches;
        let is_json = log.format == LogFormat::Json;
        switches.is_json.store(is_json, Ordering::Relaxed);
        switches
            .is_short
            .store(self.is_short(log), Ordering::Relaxed);
        switches.has_requests.store(log.access, Ordering::Relaxed);
    }

    /// Returns the current format if lines in it can be written directly: those for people at a
    /// terminal are not.
    pub(super) fn direct(&self) -> Option<DirectFormat> {
        let (switches, output) = (&*self.switches, self.output);
        let is_json = switches.is_json();
        let is_direct = !switches.is_short() && (is_json || !output.is_coloured);
        is_direct.then_some(DirectFormat {
            is_json,
            is_journal: output.is_journal,
        })
    }

    fn is_short(&self, log: &Log) -> bool {
        // The story of a request has more than fits into a short line.
        log.format == LogFormat::Auto
            && self.output.is_terminal
            && !self.is_verbose
            && !matches!(log.level, LogLevel::Debug | LogLevel::Trace)
    }
}

impl Switches {
    /// Returns `true` if lines are JSON.
    pub(super) fn is_json(&self) -> bool {
        self.is_json.load(Ordering::Relaxed)
    }

    fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// Returns `true` if the line of the request says what `event` does.
    fn is_left_out(&self, event: &Event<'_>) -> bool {
        self.is_short()
            && self.has_requests.load(Ordering::Relaxed)
            && ShortFormat::is_told_by_request(event)
    }
}

impl LogFormatter {
    /// Creates a formatter for `output`, and the handle that changes its format.
    pub(super) fn new(log: &Log, output: Output, is_verbose: bool) -> (Self, FormatHandle) {
        let handle = FormatHandle {
            switches: Arc::default(),
            output,
            is_verbose,
        };
        handle.apply(log);
        let lines = Self {
            switches: handle.switches.clone(),
            output,
            json: json_format(),
            text: Format::default().with_ansi(output.is_coloured),
            untimed: Format::default().with_ansi(false).without_time(),
            short: ShortFormat::new(output),
        };
        (lines, handle)
    }
}

/// Returns the format of a record as one flat object.
fn json_format() -> Format<Json, SystemTime> {
    Format::default()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
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

    /// Writes a record with all of its fields.
    fn format_whole<S, N>(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
        is_foreign: bool,
    ) -> fmt::Result
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
        N: for<'w> FormatFields<'w> + 'static,
    {
        if self.switches.is_json() {
            return self.format_json(context, writer, event, is_foreign);
        }
        if self.output.is_journal {
            let untimed = self.untimed.clone().with_target(is_foreign);
            return untimed.format_event(context, writer, event);
        }
        let text = self.text.clone().with_target(is_foreign);
        text.format_event(context, writer, event)
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
        if self.switches.is_left_out(event) {
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
        if self.switches.is_short() {
            self.short.write(&mut line, metadata, event)?;
        } else {
            // The target is shown for records of other crates only.
            let is_foreign = !is_ours(metadata.target());
            self.format_whole(context, Writer::new(&mut line), event, is_foreign)?;
        }
        writer.write_char('\n')
    }
}

/// Returns the priority as sd-daemon(3) defines it.
pub(super) fn priority(level: &Level) -> u8 {
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
        let mut chars = text.chars();
        chars.try_for_each(|c| self.writer.write_char(shown(c, self.is_coloured)))
    }
}

/// Returns the character, or its replacement if it could break the line or change the terminal.
pub(super) fn shown(c: char, is_coloured: bool) -> char {
    let is_colour = is_coloured && c == '\x1b';
    if is_harmless(c) || is_colour {
        c
    } else {
        char::REPLACEMENT_CHARACTER
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
    let names_stderr = |journal: String| {
        let stderr = stderr_metadata();
        stderr.is_ok_and(|file| journal == format!("{}:{}", file.dev(), file.ino()))
    };
    std::env::var("JOURNAL_STREAM").is_ok_and(names_stderr)
}

fn stderr_metadata() -> io::Result<Metadata> {
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    File::from(stderr).metadata()
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
