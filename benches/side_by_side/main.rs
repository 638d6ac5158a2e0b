//! Measures this program beside nginx, HAProxy, Apache and Caddy: one machine, one application, one
//! load, in turn.
//!
//! ```text
//! cargo bench --bench side_by_side                  everything, about seven minutes
//! cargo bench --bench side_by_side -- growth        as connections, routes, credentials and upstreams grow
//! cargo bench --bench side_by_side -- --help        what can be chosen
//! ```
//!
//! The application, the load generator and each gateway are processes of their own, so that only
//! the gateway's own cost is counted. On each line every gateway has its turn in every round: first
//! as fast as it can, from which its CPU per request is taken, and then all at the same rate, from
//! which the latencies are. Gateways that are not installed are left out, with a word about what to
//! install.

// It is a program for a terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod alerts;
mod certificates;
#[path = "../client/mod.rs"]
mod client;
mod compare;
mod gateway;
mod growth;
mod load;
mod machine;
mod options;
mod origin;
mod peers;
mod plot;
mod report;
mod sample;
mod scenario;
mod usage;

use clap::Parser as _;
use compare::Comparison;
use gateway::Lab;
use growth::Growth;
use options::{Cli, Command, Options, Server};
use peers::{Apache, Caddy, Haproxy, Nginx, Ours, Peer, Plugin};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scenario::{Effort, Line, Mode};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// Why something cannot be measured, for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Origin) => origin::main(),
        Some(Command::Load) => load::main(),
        Some(Command::Plugin(options)) => peers::become_plugin(&options),
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
    let (peers, versions) = present(
        options,
        &[
            Server::Nginx,
            Server::Haproxy,
            Server::Apache,
            Server::Caddy,
            Server::Plugin,
        ],
    )?;
    let lab = Lab::new()?;
    let mut comparison = Comparison::new(&lab, options.rounds(), Effort::full(options.seconds));
    for line in options.lines() {
        let chosen = peers
            .iter()
            .enumerate()
            .map(|(index, peer)| (index, peer.as_ref()));
        let able = chosen.filter(|(_, peer)| takes_part(*peer, &line));
        comparison.measure(&line, able.collect());
    }
    print(options, &versions, &report::markdown(&comparison.samples));
    comparison
        .failures
        .iter()
        .for_each(|failure| println!("{failure}"));
    write_json(options, &comparison.samples)?;
    match comparison.failures.is_empty() {
        true => Ok(()),
        false => Err("Not everything could be measured.".into()),
    }
}

/// Beside nginx only.
fn grow(options: &Options, svg: Option<&Path>) -> Result<(), Failure> {
    raise_file_limit()?;
    let (peers, versions) = present(options, &[Server::Nginx])?;
    let lab = Lab::new()?;
    let points = Growth {
        lab: &lab,
        rounds: options.rounds(),
        length: options.seconds,
    }
    .measure(&peers)?;
    print(options, &versions, &growth::markdown(&points));
    if let Some(path) = svg {
        std::fs::write(path, plot::svg(&points))?;
    }
    write_json(options, &points)
}

fn print(options: &Options, versions: &str, table: &str) {
    let (rounds, seconds) = (options.rounds(), options.seconds.as_secs_f64());
    println!(
        "{}; {versions}; medians of {rounds} rounds of {seconds} s.\n\n{table}",
        machine::describe()
    );
}

fn write_json(options: &Options, samples: &impl Serialize) -> Result<(), Failure> {
    match &options.json {
        Some(path) => Ok(std::fs::write(
            path,
            serde_json::to_string_pretty(samples)?,
        )?),
        None => Ok(()),
    }
}

/// Each connection is an open file. What is started inherits the limit.
fn raise_file_limit() -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?)
}

/// Those of `others`, and of this program's builds, that were asked for and are there; and their
/// versions.
fn present(options: &Options, others: &[Server]) -> Result<(Vec<Box<dyn Peer>>, String), Failure> {
    let wanted = others
        .iter()
        .chain([&Server::This])
        .filter(|server| options.wants(**server));
    let mut peers: Vec<Box<dyn Peer>> = wanted.flat_map(|server| named(*server, options)).collect();
    let mut versions = Vec::new();
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
    match peers.is_empty() {
        true => Err("There is nothing to measure.".into()),
        false => Ok((peers, versions.join(", "))),
    }
}

fn named(server: Server, options: &Options) -> Vec<Box<dyn Peer>> {
    match server {
        Server::Nginx => vec![Box::new(Nginx)],
        Server::Haproxy => vec![Box::new(Haproxy)],
        Server::Apache => vec![Box::new(Apache)],
        Server::Caddy => vec![Box::new(Caddy)],
        Server::Plugin => vec![Box::new(Plugin)],
        Server::This if options.binary.is_empty() => vec![Box::new(Ours::built())],
        Server::This => options
            .binary
            .iter()
            .map(|build| Box::new(Ours::other(build)) as Box<dyn Peer>)
            .collect(),
    }
}

fn takes_part(peer: &dyn Peer, line: &Line) -> bool {
    // Slow ones are measured on the main lines only, and the plugin, which has fewer settings.
    let is_slow = ["Apache", "Caddy", "plugin"].contains(&peer.name());
    (line.mode != Mode::Challenge || peer.answers_challenges())
        && (line.variant.is_base() || !is_slow)
}
