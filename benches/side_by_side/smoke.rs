//! The benchmark as a test: everything once, as briefly as possible.
//!
//! Every line runs on this program, and the simplest one on every server that is installed.

use crate::options::{Cli, Server};
use crate::report::Report;
use crate::sample::Sample;
use crate::scenario::Effort;
use crate::{measure, present};
use clap::Parser as _;
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

/// Whether `cargo test` has started this: `cargo bench` adds an argument, and the processes of a
/// run are given what they are.
pub(crate) fn is_asked_for() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parts = ["origin", "load", "plugin", "gateway"];
    let is_part = arguments
        .first()
        .is_some_and(|it| parts.contains(&it.as_str()));
    !is_part && !arguments.iter().any(|argument| argument == "--bench")
}

pub(crate) fn main() -> ExitCode {
    let trials = vec![
        Trial::test("every_line_runs_on_this_program", || {
            let samples = run(&["--servers", "this"])?;
            // Only looked at: measured are other runs.
            Report::new(&[], &samples).pages("Measured on")?;
            prefers(&samples, "new connection + POST", "X25519MLKEM768")?;
            prefers(&samples, "new connection + POST, X25519", "X25519")
        }),
        Trial::test("every_server_takes_an_alert", || {
            run(&["--modes", "h1", "--quick"]).map(drop)
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Fails if the key exchange on a line is not that which the client offers first.
fn prefers(samples: &[Sample], line: &str, group: &str) -> Result<(), Failed> {
    let sample = samples.iter().find(|sample| sample.line == line);
    let used = sample.and_then(|sample| sample.outcome.key_exchange.as_deref());
    match used == Some(group) {
        true => Ok(()),
        false => Err(format!("{line}: {used:?}, not {group}").into()),
    }
}

/// Fails if anything was not answered as it must be.
fn run(arguments: &[&str]) -> Result<Vec<Sample>, Failed> {
    let name = ["side_by_side", "--rounds", "1"];
    let options = Cli::try_parse_from(name.iter().chain(arguments))?.options;
    let (peers, _) = present(&options, &Server::ALL)?;
    let (samples, mut failures) = measure(&options, &peers, Effort::least())?;
    failures.extend(samples.iter().filter_map(|sample| {
        let failure = sample.outcome.first_failure.as_ref()?;
        Some(format!("{}, {}: {failure}", sample.line, sample.server))
    }));
    match failures.is_empty() && !samples.is_empty() {
        true => Ok(samples),
        false => Err(failures.join("\n").into()),
    }
}
