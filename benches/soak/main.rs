//! Attacks the built program for minutes, in every way at once, while well-behaved clients go on
//! sending.
//!
//! ```text
//! cargo bench --bench soak                      one minute
//! cargo bench --bench soak -- --minutes 10
//! cargo bench --bench soak -- --attacks silent,rapid_reset
//! ```
//!
//! It fails unless every good request was answered and reached the application exactly as often as
//! it was answered, challenges stayed quick, memory and descriptors were back where they had been
//! within a minute of the last attack, and SIGTERM ended the program with what was in flight
//! answered. All of it stays on the loopback interface; attacks come from addresses of their own in
//! 127.0.0.0/8.

// It is a program for a terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod application;
mod attacks;
#[path = "../side_by_side/certificates.rs"]
mod certificates;
#[path = "../client/mod.rs"]
mod client;
mod frames;
mod good;
#[path = "../program/mod.rs"]
mod program;
mod proxy;
mod usage;

use application::Application;
use attacks::{Attack, Target, get};
use clap::Parser;
use good::{Good, Ledger, Report};
use proxy::Proxy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use usage::Usage;

/// Why it cannot go on, for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What challenges may take at most, but for one in a hundred.
const PROMPT: Duration = Duration::from_millis(100);

/// How long memory and descriptors may take to be back where they were.
const RECOVERY: Duration = Duration::from_secs(60);

/// Attacks the built program for minutes while well-behaved clients go on sending.
#[derive(Parser)]
#[command(name = "cargo bench --bench soak --")]
struct Options {
    /// How long the attacks last.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Only these attacks.
    #[arg(long, value_delimiter = ',')]
    attacks: Vec<String>,
    /// Another build of the program.
    #[arg(long)]
    binary: Option<std::path::PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench && std::env::args_os().len() == 1 {
        // That is how `cargo test --all-targets` runs it.
        eprintln!("Run it with cargo bench.");
        return ExitCode::SUCCESS;
    }
    let run = || -> Result<bool, Failure> {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        )?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(soak(&options))
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

async fn soak(options: &Options) -> Result<bool, Failure> {
    let chosen = chosen(&options.attacks)?;
    let directory = tempfile::tempdir()?;
    let certificates = certificates::Certificates::generate(directory.path())?;
    let application = Application::spawn().await?;
    let mut proxy = Proxy::start(
        options.binary.as_deref(),
        directory.path(),
        application.address,
    )?;
    let target = Arc::new(Target::new(proxy.program.address, &certificates)?);
    let ledger = Arc::new(Ledger::default());

    // What good requests alone take is where everything has to return to.
    let good = Good::start(&target, &ledger);
    sleep(Duration::from_secs(5)).await;
    let before = proxy.usage();
    println!("good requests alone: {before}");

    let length = Duration::from_secs_f64(60.0 * options.minutes);
    let samples = attack(&chosen, &target, &mut proxy, length).await?;
    let (first, second) = samples.split_at(samples.len() / 2);
    println!("under attack, first half:  {}", Usage::mean(first));
    println!("under attack, second half: {}", Usage::mean(second));

    let mut verdict = Verdict::default();
    verdict.recovers(&proxy, &before).await;
    good.end().await;
    verdict.served(&ledger.report(&application));
    verdict.holds(
        ends_well(proxy, &target).await?,
        "SIGTERM ended it with the request in flight answered",
    );
    Ok(verdict.is_good)
}

/// Attacks for so long. Returns what the program took meanwhile, each second.
async fn attack(
    chosen: &[&Attack],
    target: &Arc<Target>,
    proxy: &mut Proxy,
    length: Duration,
) -> Result<Vec<Usage>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let attackers = chosen
        .iter()
        .enumerate()
        .map(|(index, attack)| attack.launch(index, target, &stop));
    let attackers: Vec<_> = attackers.collect();
    let samples = besiege(proxy, length).await?;
    stop.store(true, Ordering::SeqCst);
    for (attack, attacker) in chosen.iter().zip(attackers) {
        println!("attack {:16} {}", attack.name, attacker.await?);
    }
    Ok(samples)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Attack>, Failure> {
    if let Some(unknown) = names
        .iter()
        .find(|name| attacks::ALL.iter().all(|attack| attack.name != *name))
    {
        let known: Vec<_> = attacks::ALL.iter().map(|attack| attack.name).collect();
        return Err(format!(
            "There is no attack {unknown}; there are {}.",
            known.join(", ")
        )
        .into());
    }
    Ok(attacks::ALL
        .iter()
        .filter(|attack| names.is_empty() || names.iter().any(|name| name == attack.name))
        .collect())
}

/// Lets the attacks work, reloads the configuration meanwhile, and stops reading the log from time
/// to time.
async fn besiege(proxy: &mut Proxy, length: Duration) -> Result<Vec<Usage>, Failure> {
    let (started, mut samples) = (Instant::now(), Vec::new());
    while started.elapsed() < length {
        sleep(Duration::from_secs(1)).await;
        let second = samples.len();
        proxy.read_log(second % 30 < 20);
        if second % 5 == 4 {
            proxy.program.signal(rustix::process::Signal::HUP)?;
        }
        if second % 7 == 6 {
            proxy.program.signal(rustix::process::Signal::USR1)?;
        }
        if let Some(status) = proxy.program.ended()? {
            return Err(format!("the program ended after {second} s: {status}").into());
        }
        samples.push(proxy.usage());
    }
    proxy.read_log(true);
    Ok(samples)
}

/// How long it took until nothing was left of the attacks.
async fn recover(proxy: &Proxy, before: &Usage) -> Option<Duration> {
    let started = Instant::now();
    while started.elapsed() < RECOVERY {
        if proxy.usage().is_about(before) {
            return Some(started.elapsed());
        }
        sleep(Duration::from_millis(500)).await;
    }
    None
}

async fn ends_well(mut proxy: Proxy, target: &Arc<Target>) -> Result<bool, Failure> {
    let slow = tokio::spawn({
        let target = target.clone();
        async move { get(&target.first(), "/app/slow").await }
    });
    sleep(Duration::from_millis(300)).await;
    proxy.program.signal(rustix::process::Signal::TERM)?;
    let is_answered = slow.await?.is_ok_and(|answer| answer.status == 200);
    let ended = proxy.program.wait(Duration::from_secs(20)).await?;
    let panics = proxy.panics();
    println!("at the end: in flight answered: {is_answered}; {ended}; {panics} panics");
    Ok(is_answered && ended.success() && panics == 0)
}

struct Verdict {
    is_good: bool,
}

impl Default for Verdict {
    fn default() -> Self {
        Self { is_good: true }
    }
}

impl Verdict {
    async fn recovers(&mut self, proxy: &Proxy, before: &Usage) {
        let recovered = recover(proxy, before).await;
        println!("afterwards: {}", proxy.usage());
        self.holds(
            recovered.is_some(),
            "memory and descriptors are back where they were",
        );
        if let Some(recovered) = recovered {
            println!("back after {:.0} s", recovered.as_secs_f64());
        }
    }

    fn served(&mut self, report: &Report) {
        println!("{report}");
        self.holds(report.lost.is_empty(), "no good request was lost");
        self.holds(
            report.unseen == 0,
            "the application saw everything that was answered",
        );
        self.holds(report.challenge_p99 < PROMPT, "challenges were prompt");
    }

    fn holds(&mut self, holds: bool, what: &str) {
        println!("{} {what}", if holds { "ok    " } else { "FAILED" });
        self.is_good &= holds;
    }
}
