//! Measures this program beside nginx, HAProxy, Apache and Caddy: one machine, one application, one
//! load, in turn.
//!
//! ```text
//! cargo bench --bench side_by_side                  everything, about ten minutes
//! cargo bench --bench side_by_side -- growth        as connections, routes, credentials and upstreams grow
//! cargo bench --bench side_by_side -- --help        what can be chosen
//! cargo test --bench side_by_side                   everything once, as briefly as possible
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
mod disk;
mod gateway;
mod growth;
mod load;
mod machine;
mod options;
mod origin;
mod page;
mod peers;
mod plot;
#[path = "../../tests/it/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod postgres;
mod report;
mod sample;
mod scenario;
mod smoke;
mod usage;

use clap::Parser as _;
use compare::Comparison;
use gateway::Lab;
use growth::Growth;
use options::{Cli, Command, Options, Server};
use page::Page;
use peers::{
    Apache, Caddy, Delivery, Haproxy, Nginx, Ours, PLUGIN, Peer, Plugin, Program, Version,
};
use report::Report;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sample::Sample;
use scenario::{Effort, Line, Mode};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// Why something cannot be measured, for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;

type Peers = Vec<Box<dyn Peer>>;
/// A server in the tables, and its version.
type Named = (String, Version);

fn main() -> ExitCode {
    if smoke::is_asked_for() {
        return smoke::main();
    }
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Origin) => origin::main(),
        Some(Command::Load) => load::main(),
        Some(Command::Plugin(options)) => peers::become_plugin(&options),
        Some(Command::Gateway { command }) => peers::become_gateway(&command),
        Some(Command::Growth { svg }) => grow(&cli.options, svg.as_deref()),
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
    let (peers, versions) = present(options, &Server::ALL)?;
    let effort = Effort::full(options.seconds);
    let (samples, failures) = measure(options, &peers, effort)?;
    let measured = measured(options);
    let report = Report::new(&versions, &samples);
    println!("{measured}\n\n{report}");
    failures.iter().for_each(|failure| println!("{failure}"));
    write_json(options, &samples)?;
    if !failures.is_empty() {
        return Err("Not everything could be measured.".into());
    }
    match options.write {
        true => report.pages(&measured)?.iter().try_for_each(Page::write),
        false => Ok(()),
    }
}

/// Measures the lines that were asked for, and the ways of delivery.
fn measure(
    options: &Options,
    peers: &[Box<dyn Peer>],
    effort: Effort,
) -> Result<(Vec<Sample>, Vec<String>), Failure> {
    raise_file_limit()?;
    let lab = Lab::new()?;
    let mut comparison = Comparison::new(&lab, options.rounds(), effort);
    for line in options.lines() {
        let peers = peers.iter().map(AsRef::as_ref);
        comparison.measure(
            &line,
            peers.filter(|peer| takes_part(*peer, &line)).collect(),
        );
    }
    if options.compares_deliveries() {
        let ours = Ours::all(&options.binary);
        let ways = Delivery::all().into_iter();
        let ways: Vec<_> = ways.map(|way| ours[0].delivering(way)).collect();
        comparison.deliver(ways.iter().map(|way| way as &dyn Peer).collect())?;
    }
    Ok((comparison.samples, comparison.failures))
}

/// Beside NGINX only.
fn grow(options: &Options, svg: Option<&Path>) -> Result<(), Failure> {
    raise_file_limit()?;
    let (peers, versions) = present(options, &[Server::Nginx, Server::This])?;
    let lab = Lab::new()?;
    let points = Growth {
        lab: &lab,
        rounds: options.rounds(),
        length: options.seconds,
    }
    .measure(&peers)?;
    let versions: Vec<_> = versions
        .iter()
        .map(|(name, version)| format!("{name} {}", version.gateway))
        .collect();
    let table = format!(
        "{}\n{}\n\n{}",
        measured(options),
        versions.join(", "),
        growth::markdown(&points)
    );
    println!("{table}");
    if let Some(path) = svg {
        std::fs::write(path, plot::svg(&points))?;
    }
    if options.write {
        let manual = Page::manual()?;
        manual
            .replace("## Growth", page::MEASURED, &table)?
            .write()?;
    }
    write_json(options, &points)
}

/// Where, what, when, and how often.
fn measured(options: &Options) -> String {
    let (rounds, seconds) = (options.rounds(), options.seconds.as_secs_f64());
    format!(
        "{} {};\n{}; medians of {rounds} rounds of {seconds} s.",
        page::MEASURED,
        machine::describe(),
        page::revision()
    )
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

/// Those of the servers that were asked for and are there, and their versions.
fn present(options: &Options, servers: &[Server]) -> Result<(Peers, Vec<Named>), Failure> {
    let wanted = servers.iter().filter(|server| options.wants(**server));
    let mut peers: Peers = wanted.flat_map(|server| named(*server, options)).collect();
    let mut versions: Vec<Named> = Vec::new();
    peers.retain(|peer| match peer.version() {
        Ok(version) => {
            versions.push((peer.name().to_owned(), version));
            true
        }
        Err(missing) => {
            eprintln!("Without {}: {missing}", peer.name());
            false
        }
    });
    for (index, (name, _)) in versions.iter().enumerate() {
        if versions[..index].iter().any(|(other, _)| other == name) {
            return Err(format!("Two servers are called {name}: give NAME=PATH.").into());
        }
    }
    match peers.is_empty() {
        true => Err("There is nothing to measure.".into()),
        false => Ok((peers, versions)),
    }
}

fn named(server: Server, options: &Options) -> Peers {
    fn boxed<P: Peer + 'static>(peers: impl IntoIterator<Item = P>) -> Peers {
        let peers = peers.into_iter();
        peers.map(|peer| Box::new(peer) as Box<dyn Peer>).collect()
    }
    let all = Program::all;
    match server {
        Server::Nginx => boxed(all(&options.nginx, "NGINX", "nginx").into_iter().map(Nginx)),
        Server::Haproxy => boxed(
            all(&options.haproxy, "HAProxy", "haproxy")
                .into_iter()
                .map(Haproxy),
        ),
        Server::Apache => boxed(
            all(&options.apache, "Apache", "apache2")
                .into_iter()
                .map(Apache),
        ),
        Server::Caddy => boxed(all(&options.caddy, "Caddy", "caddy").into_iter().map(Caddy)),
        Server::This => boxed(Ours::all(&options.binary)),
        Server::Plugin => boxed([Plugin]),
    }
}

fn takes_part(peer: &dyn Peer, line: &Line) -> bool {
    let is_slow = ["Apache", "Caddy"]
        .iter()
        .any(|slow| peer.name().starts_with(slow));
    match line.mode {
        Mode::Challenge if !peer.answers_challenges() => false,
        // It is compared with this program only.
        _ if peer.name() == PLUGIN => {
            line.variant.is_base() && matches!(line.mode, Mode::New | Mode::H1 | Mode::H2)
        }
        // Slow ones are measured on the main lines only.
        mode => !is_slow || (line.variant.is_base() && mode != Mode::Incident),
    }
}
