//! The arguments.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Takes notifications while their application is down, and delivers them once it is up again.
#[derive(Parser)]
#[command(name = "cargo bench --bench outage --")]
pub(crate) struct Options {
    /// How many notifications come during the outage.
    #[arg(long, default_value_t = 360_000)]
    pub(crate) notifications: u32,
    /// How many different alerts they are about, each of which is in an order of its own.
    #[arg(long, default_value_t = 3_600)]
    pub(crate) alerts: u32,
    /// The size of each, in bytes.
    #[arg(long, default_value_t = 3_000)]
    pub(crate) size: usize,
    /// How many connections they come over.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: u32,
    /// The `delivery` of their route.
    #[arg(long, default_value = "fallback")]
    pub(crate) delivery: String,
    /// How the program ends before the application is up again.
    #[arg(long, default_value = "kill")]
    pub(crate) restart: Restart,
    /// Keeps the queue in a PostgreSQL server of its own instead of a file, on the disk of /tmp.
    #[arg(long)]
    pub(crate) postgres: bool,
    /// How many replicas take notifications, and share that queue.
    #[arg(long, default_value_t = 1, requires = "postgres", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) replicas: u8,
    /// The directory of the queue; its disk is measured as well.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub(crate) directory: PathBuf,
    /// Another build of the program.
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

impl Options {
    /// The number of notifications about each alert.
    pub(crate) fn rounds(&self) -> u32 {
        (self.notifications / self.alerts.max(1)).max(1)
    }

    /// The number of all notifications: as many about each alert.
    pub(crate) fn count(&self) -> u32 {
        self.rounds() * self.alerts
    }
}

/// How the program ends.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Restart {
    /// By SIGTERM.
    Term,
    /// By SIGKILL.
    Kill,
}
