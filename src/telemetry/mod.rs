//! What the program says about itself.

pub mod access_log;
pub mod context;

use crate::config::{Log, LogFormat, LogLevel};
use std::io::IsTerminal as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// Writes log lines to standard error, as `log` says; records of Pingora and rustls come along.
///
/// Does nothing if the process logs already.
pub fn init(log: &Log) {
    let text = (log.format == LogFormat::Text).then(|| {
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(false)
    });
    let json = (log.format == LogFormat::Json)
        .then(|| fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).with_target(false));
    let lines = text.map(|layer| layer.boxed()).or(json.map(|layer| layer.boxed()));
    // An error says that somebody else has set up logging, as tests do.
    let _ = tracing_subscriber::registry().with(filter(log)).with(lines).try_init();
}

fn filter(log: &Log) -> Targets {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let access = if log.access { LevelFilter::INFO } else { LevelFilter::OFF };
    // Pingora and rustls report the steps of their work at info, and repeat what has a line of ours.
    let theirs = if level >= LevelFilter::DEBUG { level } else { level.min(LevelFilter::WARN) };
    Targets::new()
        .with_default(theirs)
        .with_target("netdata_webhook_proxy", level)
        .with_target(access_log::TARGET, access)
}
