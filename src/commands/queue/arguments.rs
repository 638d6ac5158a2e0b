//! The arguments of `queue`.

use crate::commands::{ConfigFile, examples};
use crate::delivery::Filter;
use std::path::PathBuf;

/// Looks at what is in the queue, and changes it.
#[derive(clap::Args)]
#[command(after_help = examples::QUEUE)]
pub(crate) struct QueueArguments {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// File of the queue, instead of the one in the configuration.
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: QueueCommand,
}

#[derive(clap::Subcommand)]
pub(super) enum QueueCommand {
    /// List the notifications, the oldest first: what waits and why, and what is parked.
    #[command(after_help = examples::QUEUE_LIST)]
    List {
        #[command(flatten)]
        filter: FilterOptions,
    },
    /// Show one notification with everything that is known about it.
    #[command(after_help = examples::QUEUE_SHOW)]
    Show {
        /// Id of the notification.
        id: i64,
        /// Print its body only, byte for byte.
        #[arg(long, conflicts_with = "json")]
        body: bool,
    },
    /// Send notifications again that are parked, and those that wait at once.
    #[command(after_help = examples::QUEUE_RETRY)]
    Retry {
        /// Ids of the notifications.
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<i64>,
        /// All that are parked.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Of those, only what is for the route with this path.
        #[arg(long, value_name = "PATH", requires = "all")]
        route: Option<String>,
    },
    /// Set notifications aside that wait: they are not sent, and hold up no other.
    #[command(after_help = examples::QUEUE_PARK)]
    Park {
        /// Ids of the notifications.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<i64>,
    },
    /// Delete notifications for ever.
    #[command(after_help = examples::QUEUE_DROP)]
    Drop {
        /// Ids of the notifications.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<i64>,
    },
    /// Print every notification with its body, one JSON object a line, for `send file --exported`.
    #[command(after_help = examples::QUEUE_EXPORT)]
    Export {
        #[command(flatten)]
        filter: FilterOptions,
    },
}

#[derive(clap::Args)]
pub(super) struct FilterOptions {
    /// Only what is parked.
    #[arg(long)]
    parked: bool,
    /// Only what is for the route with this path.
    #[arg(long, value_name = "PATH")]
    route: Option<String>,
}

impl FilterOptions {
    pub(super) fn filter(&self) -> Filter {
        Filter {
            is_parked: self.parked,
            route: self.route.clone(),
        }
    }
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
            ("x retry --all --route /a", true),
            ("x retry --route /a", false),
            ("x retry 1 --all", false),
            ("x park", false),
            ("x drop", false),
            ("x drop 1", true),
        ] {
            let parsed = Line::try_parse_from(line.split(' '));
            assert_eq!(parsed.is_ok(), is_right, "{line}");
        }
    }
}
