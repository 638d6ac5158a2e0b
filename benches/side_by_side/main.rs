//! Measures this program beside nginx, HAProxy, Apache and Caddy: one machine, one upstream, one load, in turn.
//!
//! ```text
//! cargo bench --bench side_by_side                  everything, about eight minutes
//! cargo bench --bench side_by_side -- --help        what can be chosen
//! ```
//!
//! The application, the load generator and each gateway are processes of their own, so that only the gateway's own
//! cost is counted. Gateways that are not installed are left out, with a word about what to install.

// It is a program for a terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod alerts;
mod certificates;
mod compare;
mod gateway;
mod growth;
mod load;
mod machine;
mod origin;
mod peers;
mod plot;
mod report;
mod scenario;
mod usage;

use clap::{Args, Parser, Subcommand};
use compare::Comparison;
use gateway::Lab;
use growth::Growth;
use peers::{Apache, Caddy, Haproxy, Nginx, Ours, Peer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scenario::{Line, Mode, Variant};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Why something cannot be measured, for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures this program beside nginx, HAProxy, Apache and Caddy.
#[derive(Parser)]
#[command(name = "cargo bench --bench side_by_side --")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
    /// What cargo adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
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
    /// A process that becomes a gateway.
    #[command(hide = true)]
    Gateway {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Args)]
struct Options {
    /// Only these.
    #[arg(long, global = true, value_enum, value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Only these, of nginx, haproxy, apache, caddy and this.
    #[arg(long, global = true, value_delimiter = ',')]
    servers: Vec<String>,
    /// Another build of this program, instead of the one just built: PATH or NAME=PATH. May be repeated.
    #[arg(long, global = true)]
    binary: Vec<String>,
    /// Only these: base, or some of ecdsa, tls12, 16k, log with + between. May be repeated.
    #[arg(long, global = true, value_delimiter = ',')]
    variant: Vec<Variant>,
    /// How often each server has its turn on each line.
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
    /// How long each turn is.
    #[arg(long, global = true, default_value_t = 1.0)]
    seconds: f64,
    /// One round of the main lines.
    #[arg(long, global = true)]
    quick: bool,
    /// Where to write every sample.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Origin) => origin::main(),
        Some(Command::Load) => load::main(),
        Some(Command::Gateway { command }) => peers::become_gateway(&command),
        Some(Command::Growth { svg }) => grow(&cli.options, svg.as_deref()),
        // That is how `cargo test --all-targets` runs it.
        None if !cli.bench && std::env::args_os().len() == 1 => {
            eprintln!("Run it with cargo bench.");
            Ok(())
        }
        None => compare(&cli.options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<(), Failure> {
    raise_file_limit()?;
    let mut peers: Vec<Box<dyn Peer>> = vec![Box::new(Nginx), Box::new(Haproxy), Box::new(Apache), Box::new(Caddy)];
    peers.extend(ours(options));
    let (peers, versions) = present(options, peers)?;
    let rounds = if options.quick { 1 } else { options.rounds };
    let lab = Lab::new()?;
    let mut comparison = Comparison::new(&lab, rounds, Duration::from_secs_f64(options.seconds));
    for line in lines(options) {
        let chosen = peers.iter().enumerate().map(|(index, peer)| (index, peer.as_ref()));
        let chosen: Vec<_> = chosen.filter(|(_, peer)| takes_part(*peer, line)).collect();
        if !chosen.is_empty() {
            comparison.measure(line, &chosen)?;
        }
    }
    println!("{}; {rounds} rounds of {} s, medians. {versions}.\n", machine::describe(), options.seconds);
    println!("{}", report::markdown(&comparison.samples));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&comparison.samples)?)?;
    }
    Ok(())
}

/// Beside nginx only, and only where it has the same.
fn grow(options: &Options, svg: Option<&Path>) -> Result<(), Failure> {
    raise_file_limit()?;
    let peers: Vec<Box<dyn Peer>> = std::iter::once::<Box<dyn Peer>>(Box::new(Nginx)).chain(ours(options)).collect();
    let (peers, versions) = present(options, peers)?;
    let lab = Lab::new()?;
    let rounds = if options.quick { 1 } else { options.rounds };
    let growth = Growth { lab: &lab, rounds, length: Duration::from_secs_f64(options.seconds) };
    let points = growth.measure(&peers)?;
    println!("{}; {rounds} rounds of {} s, medians. {versions}.\n", machine::describe(), options.seconds);
    println!("{}", growth::markdown(&points));
    if let Some(path) = svg {
        std::fs::write(path, plot::svg(&points))?;
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&points)?)?;
    }
    Ok(())
}

/// Each connection is an open file. What is started inherits the limit.
fn raise_file_limit() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// This program, or the builds of it that were asked for.
fn ours(options: &Options) -> Vec<Box<dyn Peer>> {
    match options.binary.as_slice() {
        [] => vec![Box::new(Ours::built())],
        others => others.iter().map(|other| Box::new(Ours::other(other)) as Box<dyn Peer>).collect(),
    }
}

/// Those of `peers` that were asked for and are there, and their versions.
fn present(options: &Options, mut peers: Vec<Box<dyn Peer>>) -> Result<(Vec<Box<dyn Peer>>, String), Failure> {
    let mut versions = Vec::new();
    peers.retain(|peer| is_wanted(options, peer.as_ref()));
    peers.retain(|peer| match peer.version() {
        Ok(version) => {
            versions.push(format!("{} {version}", peer.name()));
            true
        }
        Err(missing) => {
            eprintln!("Without {}: {missing}", peer.name());
            false
        }
    });
    if peers.is_empty() {
        return Err("There is nothing to measure.".into());
    }
    Ok((peers, versions.join(", ")))
}

fn is_wanted(options: &Options, peer: &dyn Peer) -> bool {
    let name = if peer.is_ours() { "this" } else { peer.name() };
    options.servers.is_empty() || options.servers.iter().any(|server| server.eq_ignore_ascii_case(name))
}

fn takes_part(peer: &dyn Peer, line: Line) -> bool {
    let is_slow = ["Apache", "Caddy"].contains(&peer.name());
    (line.mode != Mode::Challenge || peer.answers_challenges()) && (line.variant == Variant::BASE || !is_slow)
}

/// What is measured when nothing is said: the main lines, and those variants that may change the picture.
fn lines(options: &Options) -> Vec<Line> {
    let main = [Mode::New, Mode::H1, Mode::H2, Mode::Challenge, Mode::Storm, Mode::Idle];
    let wanted = |mode: &Mode| options.modes.is_empty() || options.modes.contains(mode);
    let with = |variant: Variant| main.into_iter().filter(wanted).map(move |mode| Line { mode, variant });
    if !options.variant.is_empty() {
        return options.variant.iter().flat_map(|variant| with(*variant)).collect();
    }
    let mut lines: Vec<Line> = with(Variant::BASE).collect();
    if !options.quick {
        lines.extend(variants().into_iter().filter(|line| wanted(&line.mode)));
    }
    lines
}

fn variants() -> Vec<Line> {
    let base = Variant::BASE;
    let of = |mode, variant| Line { mode, variant };
    vec![
        of(Mode::New, Variant { ecdsa: true, ..base }),
        of(Mode::New, Variant { tls: load::TlsVersion::Tls12, ..base }),
        of(Mode::H1, Variant { tls: load::TlsVersion::Tls12, ..base }),
        of(Mode::H1, Variant { alert: 16 * 1024, ..base }),
        of(Mode::H2, Variant { alert: 16 * 1024, ..base }),
        of(Mode::New, Variant { access_log: true, ..base }),
        of(Mode::H1, Variant { access_log: true, ..base }),
        of(Mode::H2, Variant { access_log: true, ..base }),
    ]
}
