//! What can be chosen.

use crate::peers::PluginOptions;
use crate::scenario::{Difference, Line, Mode, Variant};
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
    /// repeated, as the four below.
    #[arg(long, global = true)]
    pub(crate) binary: Vec<String>,
    /// Another NGINX than the installed one. Its njs is looked for beside it: that of
    /// X/sbin/nginx in X/lib/nginx/modules.
    #[arg(long, global = true)]
    pub(crate) nginx: Vec<String>,
    /// Another HAProxy than the installed one.
    #[arg(long, global = true)]
    pub(crate) haproxy: Vec<String>,
    /// Another Apache than the installed one. The modules of X/sbin/apache2 are those in
    /// X/lib/apache2/modules.
    #[arg(long, global = true)]
    pub(crate) apache: Vec<String>,
    /// Another Caddy than the installed one.
    #[arg(long, global = true)]
    pub(crate) caddy: Vec<String>,
    /// Only these: base, or some of ecdsa, tls12, x25519, flat, 16k, log, tokens with + between.
    #[arg(long, global = true, value_delimiter = ',')]
    pub(crate) variant: Vec<Variant>,
    /// How often each server has its turn on each line.
    #[arg(long, global = true, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// How long each turn is.
    #[arg(long, global = true, default_value = "0.8", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Compares the ways of delivery, also if other lines are chosen.
    #[arg(long, global = true)]
    deliveries: bool,
    /// One round of the main lines.
    #[arg(long, global = true)]
    quick: bool,
    /// Writes the tables into src/manual/benchmarks.md and the README.
    #[arg(long, global = true, conflicts_with_all = ["modes", "variant", "quick"])]
    pub(crate) write: bool,
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

impl Server {
    pub(crate) const ALL: [Self; 6] = [
        Self::Nginx,
        Self::Haproxy,
        Self::Apache,
        Self::Caddy,
        Self::Plugin,
        Self::This,
    ];
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { self.rounds.into() }
    }

    pub(crate) fn wants(&self, server: Server) -> bool {
        self.servers.is_empty() || self.servers.contains(&server)
    }

    /// Whether the ways of delivery are compared.
    pub(crate) fn compares_deliveries(&self) -> bool {
        let is_part = self.modes.is_empty() && self.variant.is_empty() && self.wants(Server::This);
        self.deliveries || (is_part && !self.quick)
    }

    /// What is measured: if nothing is said, the main lines, and those variants that may change the
    /// picture.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let of_each_mode = |variant: &Variant| {
            let variant = variant.clone();
            Mode::value_variants().iter().map(move |mode| Line {
                mode: *mode,
                variant: variant.clone(),
            })
        };
        let mut lines: Vec<Line> = match self.variant.is_empty() {
            true => of_each_mode(&Variant::default()).collect(),
            false => self.variant.iter().flat_map(of_each_mode).collect(),
        };
        if self.variant.is_empty() && !self.quick {
            lines.extend(VARIANTS.map(|(mode, difference)| Line {
                mode,
                variant: [difference].into(),
            }));
        }
        lines.retain(|line| self.modes.is_empty() || self.modes.contains(&line.mode));
        lines
    }
}

/// The variants of the main lines that are measured if nothing is said.
const VARIANTS: [(Mode, Difference); 9] = [
    (Mode::New, Difference::X25519),
    (Mode::New, Difference::Tls12),
    (Mode::H1, Difference::Flat),
    (Mode::H2, Difference::Flat),
    (Mode::H1, Difference::Large),
    (Mode::H2, Difference::Large),
    (Mode::H1, Difference::Log),
    (Mode::H2, Difference::Log),
    (Mode::H1, Difference::Tokens),
];
