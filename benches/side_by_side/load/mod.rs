//! The load generator: a process of its own, told what to do by one line of JSON on its standard
//! input.
//!
//! It connects and warms up, says `ready`, waits for a line, does the work, and says how it went.
//! Each of its threads has a runtime of its own, so that nothing crosses between them.

mod arrivals;
mod exchange;
mod job;
mod sender;
mod shared;
mod tally;
mod timer;
mod tls;

pub(crate) use job::{Driver, Expected, Job, Message, Pattern};
pub(crate) use tally::{Outcome, Tally};
pub(crate) use tls::{Identity, TlsVersion};

use crate::Failure;
use sender::Senders;
use std::io;
use std::sync::{Arc, Barrier};
use std::thread;
use tokio::task::LocalSet;

const THREADS: usize = 2;

/// The process itself.
pub(crate) fn main() -> Result<(), Failure> {
    let job: Arc<Job> = Arc::new(serde_json::from_str(&read_line()?)?);
    thread::spawn({
        let limit = job.limit();
        move || {
            thread::sleep(limit);
            eprintln!("The load generator has not ended after {limit:?}.");
            std::process::exit(1);
        }
    });
    let step = Arc::new(Barrier::new(THREADS + 1));
    let spawn = |index| {
        let (job, step) = (job.clone(), step.clone());
        thread::spawn(move || work(&job, index, &step))
    };
    let threads: Vec<_> = (0..THREADS).map(spawn).collect();
    step.wait();
    println!("ready");
    read_line()?;
    step.wait();
    let mut sum = Tally::default();
    for thread in threads {
        match thread.join() {
            Ok(Ok(tally)) => sum.add(tally),
            Ok(Err(failure)) => sum.fail(failure),
            Err(_) => sum.fail("a thread has panicked"),
        }
    }
    println!("{}", serde_json::to_string(&sum.outcome())?);
    Ok(())
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// One thread's share. It takes both steps, whatever happens: the others wait for it.
fn work(job: &Job, index: usize, step: &Barrier) -> Result<Tally, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let local = LocalSet::new();
    let prepared = runtime.map_err(Failure::from).and_then(|runtime| {
        let senders = local.block_on(&runtime, Senders::prepare(job, index, THREADS))?;
        Ok((runtime, senders))
    });
    step.wait();
    step.wait();
    let (runtime, senders) = prepared?;
    Ok(local.block_on(&runtime, senders.work()))
}
