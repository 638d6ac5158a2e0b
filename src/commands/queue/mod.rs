//! `queue`: looks at the notifications in the queue, and changes what becomes of them, beside a
//! running proxy or without one.

mod describe;

use super::{ConfigFile, examples, output};
use crate::config::{Config, ConfigError};
use crate::delivery::{Filter, OpenError, OperatorStore};
use crate::telemetry;
use std::io::{self, Write};
use std::path::PathBuf;
use thiserror::Error;

/// Looks at what is in the queue, and changes it.
#[derive(clap::Args)]
pub(crate) struct QueueArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// File of the queue, instead of the one in the configuration.
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(clap::Subcommand)]
enum QueueCommand {
    /// List the notifications, the oldest first.
    #[command(after_help = examples::QUEUE_LIST)]
    List {
        #[command(flatten)]
        filter: FilterOptions,
    },
    /// Show one notification, as the application gets it.
    #[command(after_help = examples::QUEUE_SHOW)]
    Show {
        /// Id of the notification.
        id: i64,
        /// Print its body only, byte for byte.
        #[arg(long, conflicts_with = "json")]
        body: bool,
    },
    /// Send notifications again that are parked, or those that wait at once.
    #[command(after_help = examples::QUEUE_RETRY)]
    Retry {
        /// Ids of the notifications.
        #[arg(required_unless_present = "all")]
        ids: Vec<i64>,
        /// All that are parked.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Set notifications aside: they are not sent, and hold up no other.
    #[command(after_help = examples::QUEUE_PARK)]
    Park {
        /// Ids of the notifications.
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Delete notifications for ever.
    #[command(after_help = examples::QUEUE_DROP)]
    Drop {
        /// Ids of the notifications.
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Print every notification with its body, one JSON object on each line.
    #[command(after_help = examples::QUEUE_EXPORT)]
    Export {
        #[command(flatten)]
        filter: FilterOptions,
    },
}

#[derive(clap::Args)]
struct FilterOptions {
    /// Only what is parked.
    #[arg(long)]
    parked: bool,
    /// Only what is for the route with this path.
    #[arg(long, value_name = "PATH")]
    route: Option<String>,
}

impl FilterOptions {
    fn filter(&self) -> Filter {
        Filter {
            is_parked: self.parked,
            route: self.route.clone(),
        }
    }
}

/// An error of `queue`.
#[derive(Debug, Error)]
pub(super) enum QueueError {
    #[error("{0}")]
    Config(ConfigError),
    #[error("the configuration has no [queue]; name the file with --file")]
    NoQueue,
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("cannot use the queue: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("{0}")]
    Output(#[from] output::OutputError),
    #[error("cannot write to standard output: {0}")]
    Io(#[from] io::Error),
    #[error("no notification has the id {0}: see `queue list`")]
    Missing(i64),
}

/// Runs the command. Returns `false` if it concerned fewer notifications than were named.
pub(super) fn run(arguments: &QueueArguments) -> Result<bool, QueueError> {
    let mut store = OperatorStore::open(&path(arguments)?)?;
    let out = &mut io::stdout().lock();
    match &arguments.command {
        QueueCommand::List { filter } => list(&store, &filter.filter(), arguments.json, out)?,
        QueueCommand::Show { id, body } => show(&store, *id, *body, arguments.json, out)?,
        QueueCommand::Export { filter } => export(&store, &filter.filter(), out)?,
        QueueCommand::Retry { ids, all } => {
            let named = (!all).then_some(&**ids);
            let count = store.retry(named)?;
            return conclude("retried", count, named, arguments.json, out);
        }
        QueueCommand::Park { ids } => {
            let count = store.park(ids)?;
            return conclude("parked", count, Some(ids), arguments.json, out);
        }
        QueueCommand::Drop { ids } => {
            let count = store.drop(ids)?;
            return conclude("dropped", count, Some(ids), arguments.json, out);
        }
    }
    Ok(true)
}

fn path(arguments: &QueueArguments) -> Result<PathBuf, QueueError> {
    match &arguments.file {
        Some(file) => Ok(file.clone()),
        None => {
            let path =
                Config::load_queue_path(&arguments.config.path).map_err(QueueError::Config)?;
            path.ok_or(QueueError::NoQueue)
        }
    }
}

fn list(
    store: &OperatorStore,
    filter: &Filter,
    is_json: bool,
    out: &mut impl Write,
) -> Result<(), QueueError> {
    let mut listed = Vec::new();
    store.each(filter, |one| {
        listed.push(one);
        Ok::<_, QueueError>(())
    })?;
    let text = match is_json {
        true => describe::json_list(&listed),
        false => describe::table(&listed),
    };
    Ok(output::line(out, text)?)
}

fn show(
    store: &OperatorStore,
    id: i64,
    is_body_only: bool,
    is_json: bool,
    out: &mut impl Write,
) -> Result<(), QueueError> {
    let (listed, head, body) = store.find(id)?.ok_or(QueueError::Missing(id))?;
    if is_body_only {
        return Ok(output::bytes(out, &body)?);
    }
    let text = match is_json {
        true => describe::json(&listed, Some((&head, &body))).to_string(),
        false => describe::whole(&listed, &head, &body),
    };
    Ok(output::line(out, text)?)
}

fn export(store: &OperatorStore, filter: &Filter, out: &mut impl Write) -> Result<(), QueueError> {
    let mut ids = Vec::new();
    store.each(filter, |one| {
        ids.push(one.id);
        Ok::<_, QueueError>(())
    })?;
    for id in ids {
        // One that has been delivered meanwhile is left out.
        if let Some((listed, head, body)) = store.find(id)? {
            let line = describe::json(&listed, Some((&head, &body)));
            output::line(out, line)?;
        }
    }
    Ok(())
}

/// Says how many notifications a command was about. Returns `false` if some were not there.
fn conclude(
    done: &str,
    count: usize,
    named: Option<&[i64]>,
    is_json: bool,
    out: &mut impl Write,
) -> Result<bool, QueueError> {
    let text = match is_json {
        true => serde_json::json!({ done: count }).to_string(),
        false => format!("{done}: {count}"),
    };
    output::line(out, text)?;
    let missing = named.map_or(0, |ids| ids.len().saturating_sub(count));
    if missing > 0 {
        telemetry::say(format_args!(
            "{missing} of them were not there: see `queue list`"
        ));
    }
    Ok(missing == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: QueueArguments,
    }

    #[test]
    fn ids_are_named_or_all_are_meant() {
        for (line, is_right) in [
            ("x list", true),
            ("x list --parked --route /a --json", true),
            ("x show 1 --body", true),
            ("x show 1 --body --json", false),
            ("x retry", false),
            ("x retry 1 2", true),
            ("x retry --all", true),
            ("x retry 1 --all", false),
            ("x park", false),
            ("x drop", false),
            ("x drop 1", true),
        ] {
            let parsed = Line::try_parse_from(line.split(' '));
            assert_eq!(parsed.is_ok(), is_right, "{line}");
        }
    }

    #[test]
    fn fewer_than_were_named_is_a_failure() {
        for (count, named, is_whole) in [
            (2, Some(&[1, 2][..]), true),
            (1, Some(&[1, 2]), false),
            (0, None, true),
        ] {
            let mut out = Vec::new();
            let concluded = conclude("dropped", count, named, false, &mut out).unwrap();
            assert_eq!(concluded, is_whole);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                format!("dropped: {count}\n")
            );
        }
    }

    #[test]
    fn an_empty_queue_is_said_to_be_empty() {
        let text = describe::table(&[]);
        assert_eq!(text, "Nothing waits, and nothing is parked.");
    }
}
