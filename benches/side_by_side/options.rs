//! What can be chosen.

use crate::load::TlsVersion;
use crate::peers::PluginOptions;
use crate::scenario::{Line, Mode, Variant};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Measures this program beside nginx, HAProxy, Apache and Caddy.
#[derive(Parser)]
#[command(name = "cargo bench --bench side_by_side --")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
    /// What cargo adds.
    #[arg(long, hide = true, global = true)]
    pub(crate) bench: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measures what becomes of the cost as connections, routes, credentials and upstreams grow.
    Growth {
        /// Where to write the plot.
        #[arg(long)]
        svg: Option<PathBuf>,
    },
    /// The process that is the application.
    #[command(hide = true)]
    Origin,
    /// The process that is the load generator.
    #[command(hide = true)]
    Load,
    /// The process that is a Pingora proxy with the library in it.
    #[command(hide = true)]
    Plugin(PluginOptions),
    /// A process that becomes a gateway.
    #[command(hide = true)]
    Gateway {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Args)]
pub(crate) struct Options {
    /// Only these.
    #[arg(long, global = true, value_enum, value_delimiter = ',')]
    pub(crate) modes: Vec<Mode>,
    /// Only these.
    #[arg(long, global = true, value_enum, value_delimiter = ',')]
    pub(crate) servers: Vec<Server>,
    /// Another build of this program, instead of the one just built: PATH or NAME=PATH. May be
    /// repeated.
    #[arg(long, global = true)]
    pub(crate) binary: Vec<String>,
    /// Only these: base, or some of ecdsa, tls12, 16k, log with + between. May be repeated.
    #[arg(long, global = true, value_delimiter = ',')]
    pub(crate) variant: Vec<Variant>,
    /// How often each server has its turn on each line.
    #[arg(long, global = true, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// How long each turn is.
    #[arg(long, global = true, default_value = "1", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// One round of the main lines.
    #[arg(long, global = true)]
    quick: bool,
    /// Where to write every sample.
    #[arg(long, global = true)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    Nginx,
    Haproxy,
    Apache,
    Caddy,
    /// This program, in all the builds that are named.
    This,
    /// The library in a Pingora proxy.
    Plugin,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.into() }
    }

    pub(crate) fn wants(&self, server: Server) -> bool {
        self.servers.is_empty() || self.servers.contains(&server)
    }

    /// What is measured: if nothing is said, the main lines, and those variants that may change the
    /// picture.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let main = [
            Mode::New,
            Mode::H1,
            Mode::H2,
            Mode::Challenge,
            Mode::Storm,
            Mode::Idle,
        ];
        let wanted = |mode: &Mode| self.modes.is_empty() || self.modes.contains(mode);
        let with = |variant: Variant| {
            main.into_iter()
                .filter(wanted)
                .map(move |mode| Line { mode, variant })
        };
        if !self.variant.is_empty() {
            return self
                .variant
                .iter()
                .flat_map(|variant| with(*variant))
                .collect();
        }
        let mut lines: Vec<Line> = with(Variant::BASE).collect();
        if !self.quick {
            lines.extend(variants().into_iter().filter(|line| wanted(&line.mode)));
        }
        lines
    }
}

fn variants() -> Vec<Line> {
    let base = Variant::BASE;
    let of = |mode, variant| Line { mode, variant };
    vec![
        of(
            Mode::New,
            Variant {
                ecdsa: true,
                ..base
            },
        ),
        of(
            Mode::New,
            Variant {
                tls: TlsVersion::Tls12,
                ..base
            },
        ),
        of(
            Mode::H1,
            Variant {
                tls: TlsVersion::Tls12,
                ..base
            },
        ),
        of(
            Mode::H1,
            Variant {
                alert: 16 * 1024,
                ..base
            },
        ),
        of(
            Mode::H2,
            Variant {
                alert: 16 * 1024,
                ..base
            },
        ),
        of(
            Mode::New,
            Variant {
                access_log: true,
                ..base
            },
        ),
        of(
            Mode::H1,
            Variant {
                access_log: true,
                ..base
            },
        ),
        of(
            Mode::H2,
            Variant {
                access_log: true,
                ..base
            },
        ),
    ]
}
