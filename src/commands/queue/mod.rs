//! `queue`: looks at the notifications in the queue, and changes what becomes of them, beside a
//! running proxy or without one.

mod arguments;
mod change;
mod describe;
mod export;
mod list;
mod masked_head;
mod show;

pub(crate) use arguments::QueueArguments;

use crate::config::{Config, ConfigError, QueuePlace};
use crate::delivery::{OpenError, Operator, OperatorError, open_queue};
use arguments::QueueCommand;
use change::Change;
use std::io::{self, BufWriter, Write};
use thiserror::Error;

/// An error of `queue`.
#[derive(Debug, Error)]
pub(super) enum QueueError {
    /// The path of the file is not in the configuration, or cannot be read from it.
    #[error("{0}")]
    Config(ConfigError),
    #[error("the configuration has no [queue]: name the file with --file")]
    NoQueue,
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("cannot use the queue: {0}")]
    Operator(#[from] OperatorError),
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
    #[error("no notification has the id {0}: it may have been delivered, see `queue list`")]
    Missing(i64),
}

/// Runs the command. Returns `false` if it concerned fewer notifications than were named.
pub(super) fn run(arguments: &QueueArguments) -> Result<bool, QueueError> {
    let mut store = open_queue(&place(arguments)?)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let done = execute(arguments, &mut *store, &mut out);
    match done.and_then(|is_whole| Ok(out.flush().map(|()| is_whole)?)) {
        // A reader such as `head` has read what it needs.
        Err(QueueError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        result => result,
    }
}

fn place(arguments: &QueueArguments) -> Result<QueuePlace, QueueError> {
    if let Some(file) = &arguments.file {
        return Ok(QueuePlace::File(file.clone()));
    }
    let place = Config::load_queue_place(&arguments.config.path).map_err(QueueError::Config)?;
    place.ok_or(QueueError::NoQueue)
}

fn execute(
    arguments: &QueueArguments,
    store: &mut dyn Operator,
    out: &mut impl Write,
) -> Result<bool, QueueError> {
    let is_json = arguments.json;
    let change = match &arguments.command {
        QueueCommand::List { filter } => return list::run(store, &filter.filter(), is_json, out),
        QueueCommand::Show { id, body } => return show::run(store, *id, *body, is_json, out),
        QueueCommand::Export { filter } => return export::run(store, &filter.filter(), out),
        QueueCommand::Retry { all, route, .. } if *all => {
            return change::retry_parked(store, route.as_deref(), is_json, out);
        }
        QueueCommand::Retry { ids, .. } => (Change::Retry, ids),
        QueueCommand::Park { ids } => (Change::Park, ids),
        QueueCommand::Drop { ids } => (Change::Drop, ids),
    };
    change::run(store, change.0, change.1, is_json, out)
}
