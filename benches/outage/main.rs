//! An hour's outage of an application: 360,000 notifications are taken while it is down, survive a
//! restart, and are delivered in order once it is up again.
//!
//! ```text
//! cargo bench --bench outage
//! cargo bench --bench outage -- --notifications 50000 --alerts 50000 --restart term
//! cargo bench --bench outage -- --postgres --replicas 2 --delivery queue --notifications 50000
//! ```
//!
//! It fails unless every notification that was acknowledged reaches the application once, those
//! about the same alert in their order; more than 5,000 a second, or 1,000 from a database; with less
//! than 64 MiB of memory more than before; and with the requests of another route answered as quickly
//! as under the same load without a queue.

// It is a program for a terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "../side_by_side/alerts.rs"]
mod alerts;
mod application;
#[path = "../side_by_side/certificates.rs"]
mod certificates;
#[path = "../client/mod.rs"]
mod client;
mod database;
mod options;
#[path = "../../tests/it/support/postgres.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod postgres;
mod probe;
#[path = "../program/mod.rs"]
mod program;
mod proxy;
mod sender;
mod target;
#[path = "../side_by_side/usage.rs"]
mod usage;
mod verdict;

use application::Application;
use certificates::Certificates;
use clap::Parser as _;
use database::Database;
use options::Options;
use probe::Probe;
use proxy::Proxy;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use target::Target;
use tokio::time::sleep;
use verdict::{Verdict, mib};

/// Why it cannot go on, for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The time for which other requests are measured while there is no outage.
const CALM: Duration = Duration::from_secs(10);

/// The time without a delivery after which the rest is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench && std::env::args_os().len() == 1 {
        // That is how `cargo test --all-targets` runs it.
        eprintln!("Run it with cargo bench.");
        return ExitCode::SUCCESS;
    }
    let run = || -> Result<bool, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(outage(&options))
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn outage(options: &Options) -> Result<bool, Failure> {
    let directory = tempfile::tempdir_in(&options.directory)?;
    let certificates = Certificates::generate(directory.path())?;
    let (application, other) = (Application::reserve(1)?, Application::reserve(2)?);
    other.start().await?;
    let database = options.postgres.then(Database::start).transpose()?;
    let applications = [&application, &other];
    let mut proxy = Proxy::start(options, directory.path(), database.as_ref(), applications)?;
    let mut target = Target::new(proxy.addresses(), &certificates)?;
    let mut verdict = Verdict::new();

    let probe = Probe::start(&target);
    sleep(CALM).await;
    let calm = probe.end().await?;
    println!("another route, before: {calm}");
    let before = proxy.resident();
    let place = database.as_ref().map(Database::place);

    let probe = Probe::start(&target);
    let taken = sender::send(options, &target).await?;
    verdict.takes(options, &taken);
    if let (Some(database), Some(place)) = (&database, &place) {
        database.report(place, options.count())?;
    }
    println!("another route, meanwhile: {}", probe.end().await?);
    println!("memory: {} of its own", mib(proxy.memory()));

    let took = proxy.restart(options.restart).await?;
    println!(
        "restarted within {:.1} s, {} of its own",
        took.as_secs_f64(),
        mib(proxy.memory())
    );
    target.addresses = proxy.addresses();
    let probe = Probe::start(&target);
    let cpu = proxy.cpu();
    application.start().await?;
    drain(&application, options.count()).await;
    let cpus = proxy.cpu();
    let cpu: Duration = cpus
        .iter()
        .zip(&cpu)
        .map(|(now, then)| now.since(then))
        .sum();
    let meanwhile = probe.end().await?;
    println!("another route, while it is delivered: {meanwhile}");
    let each = cpu.as_secs_f64() * 1e6 / f64::from(options.count());
    println!("processor time: {each:.0} µs for each that is delivered");
    verdict.delivers(options, &application.record());
    verdict.lets_pass(&calm, &meanwhile);
    verdict.takes_memory(options, before, proxy.peak());
    verdict.holds(proxy.panics() == 0, "nothing panicked");
    Ok(verdict.is_good)
}

/// Waits until the application has received `count` notifications, or no more come.
async fn drain(application: &Application, count: u32) {
    let (mut known, mut since) = (0, Instant::now());
    while known < count && since.elapsed() < PATIENCE {
        sleep(Duration::from_millis(20)).await;
        let received = application.record().received;
        if received > known {
            (known, since) = (received, Instant::now());
        }
    }
}
