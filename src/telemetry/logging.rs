//! The log of the process: its format, its filter, and the queue of lines that are not written yet.

use super::access_log::TARGET as ACCESS_TARGET;
use super::format::{FormatHandle, LogFormatter, Output, stderr_is_journal};
use super::queue::Queue;
use super::record_limit::RecordLimit;
use super::request_line::RequestLine;
use crate::config::{Log, LogLevel};
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;
use time::UtcOffset;
use tracing::{Level, Span};
use tracing_log::AsLog as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

/// The target of this program's own records.
const OWN: &str = "netdata_webhook_proxy";

/// The settings that a reload changes.
struct LogSettings {
    filter: reload::Handle<Targets, Registry>,
    format: FormatHandle,
    queue: Option<Queue>,
}

static SETTINGS: OnceLock<LogSettings> = OnceLock::new();

/// The time for which an exiting process waits for its last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Starts logging to standard error as `log` configures it, including panics and the records of
/// Pingora and rustls.
///
/// A thread writes the lines, so that others do not wait: call [`flush`] before the process exits.
///
/// Does nothing if the process logs already.
///
/// With `is_verbose`, lines on a terminal are not shortened.
pub(crate) fn init(log: &Log, is_verbose: bool) {
    let output = output();
    let (filter, handle) = reload::Layer::new(filter(log));
    let (lines, format) = LogFormatter::new(log, output, is_verbose);
    let queue = Queue::to_stderr().ok();
    let lines = fmt::layer()
        .with_ansi(output.is_coloured)
        .with_writer(writer(queue.as_ref()))
        .event_format(lines)
        .fmt_fields(format.span_fields());
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(RecordLimit)
        .with(lines);
    // Ignore the error: logging has been set up already, as in tests.
    if subscriber.try_init().is_ok() {
        // No subscriber was installed before, or this would have been an error.
        let _ = SETTINGS.set(LogSettings {
            filter: handle,
            format,
            queue,
        });
        // The usual way to report one waits for the reader, and shows what may be a secret.
        panic::set_hook(Box::new(log_panic));
    }
}

/// Describes standard error.
fn output() -> Output {
    let is_terminal = std::io::stderr().is_terminal();
    Output {
        is_terminal,
        is_coloured: is_coloured(is_terminal),
        is_journal: stderr_is_journal(),
        // It can be asked for as long as there is one thread.
        offset: UtcOffset::current_local_offset().ok(),
    }
}

fn writer(queue: Option<&Queue>) -> BoxMakeWriter {
    match queue {
        Some(queue) => BoxMakeWriter::new(queue.clone()),
        // Without a thread to be had, or a descriptor, there is little else to say.
        None => BoxMakeWriter::new(std::io::stderr),
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let (place, thread) = (panic.location().map(ToString::to_string), thread::current());
    tracing::error!(
        event = "panicked",
        place,
        thread = thread.name(),
        "panicked"
    );
    // With this one the process ends.
    if thread.name() == Some("main") {
        flush();
    }
}

/// Returns `true` if output may have colours: it goes to a terminal that has them, and `NO_COLOR`
/// (<https://no-color.org>) is not set.
pub(crate) fn is_coloured(is_terminal: bool) -> bool {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    is_terminal && !is_unwanted && !is_dumb
}

/// Waits until all lines are written, for a second at most.
pub(crate) fn flush() {
    if let Some(queue) = queue() {
        queue.flush(LAST_LINES);
    }
}

fn queue() -> Option<&'static Queue> {
    SETTINGS.get()?.queue.as_ref()
}

/// Says something on standard error that is no record, behind the records.
pub(crate) fn say(line: impl Display) {
    match queue() {
        Some(queue) => queue.push(format!("{line}\n").as_bytes()),
        // An error that cannot be written cannot be reported either.
        None => drop(writeln!(std::io::stderr(), "{line}")),
    }
}

/// Writes them as `log` says from here on.
pub(crate) fn change(log: &Log) {
    let Some(settings) = SETTINGS.get() else {
        return;
    };
    settings.format.apply(log);
    // An error would say that there is no log any more to be changed.
    let _ = settings.filter.reload(filter(log));
    // What others log through the `log` crate is filtered by it first.
    tracing_log::log::set_max_level(LevelFilter::current().as_log());
}

/// Writes the line of a request without tracing. Returns `false` if the line is for tracing: it has
/// to name spans, or is for people at a terminal, or the log is not that of this program.
pub(super) fn write_request(level: Level, request: &RequestLine<'_>) -> bool {
    let Some(LogSettings { format, queue, .. }) = SETTINGS.get() else {
        return false;
    };
    let (Some(format), Some(queue)) = (format.direct(), queue) else {
        return false;
    };
    Span::current().is_none() && format.write(level, request, |line| queue.push(line))
}

fn filter(log: &Log) -> Targets {
    let level = level(log.level);
    let access = match log.access {
        true => LevelFilter::INFO,
        false => LevelFilter::OFF,
    };
    // Pingora and rustls report the steps of their work at info, and repeat what has a line of
    // ours.
    let theirs = level_of_others(level, LevelFilter::WARN);
    // What is said about servers, `upstream` says, too; and a sender must not fill the log through
    // h2.
    let of_repeated = level_of_others(level, LevelFilter::ERROR);
    Targets::new()
        .with_default(theirs)
        .with_target("pingora_load_balancing", of_repeated)
        .with_target("h2", of_repeated)
        .with_target(OWN, level)
        .with_target(ACCESS_TARGET, access)
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Returns the level of records of other crates, which is `usual` at most unless all are wanted.
fn level_of_others(level: LevelFilter, usual: LevelFilter) -> LevelFilter {
    if level < LevelFilter::DEBUG {
        return level.min(usual);
    }
    // At trace they write out what they read: credentials and challenges.
    LevelFilter::DEBUG
}

pub(super) fn is_ours(target: &str) -> bool {
    target.starts_with(OWN) || target == ACCESS_TARGET
}
