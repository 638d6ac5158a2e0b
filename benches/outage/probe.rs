//! Requests of another route, whose application is up, at a steady rate: how long each takes.

use crate::sender::post;
use crate::target::Target;
use crate::{Failure, alerts};
use hdrhistogram::Histogram;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The time between two requests, each of which is sent when it is due or as soon as the one before
/// it is answered.
const PACE: Duration = Duration::from_millis(5);

/// A probe at work.
pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Latencies, Failure>>,
}

/// How long requests took from when they were due, in microseconds.
pub(crate) struct Latencies(Histogram<u64>);

impl Probe {
    pub(crate) fn start(target: &Target) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(probe(target.clone(), stop.clone()));
        Self { stop, task }
    }

    pub(crate) async fn end(self) -> Result<Latencies, Failure> {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await?
    }
}

async fn probe(target: Target, stop: Arc<AtomicBool>) -> Result<Latencies, Failure> {
    let request = post("/other", alerts::FLAT);
    let mut latencies = Histogram::new(3)?;
    let mut connection = target.http1().connect().await?;
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !stop.load(Ordering::SeqCst) {
        let due: Instant = pace.tick().await;
        let answer = connection.exchange(&request).await?;
        if answer.status != 200 {
            return Err(format!("the other route answers {}", answer.status).into());
        }
        latencies.record(u64::try_from(due.elapsed().as_micros())?.max(1))?;
        if !answer.may_stay {
            connection = target.http1().connect().await?;
        }
    }
    Ok(Latencies(latencies))
}

impl Latencies {
    /// The 99th percentile.
    pub(crate) fn p99(&self) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(0.99))
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        write!(
            f,
            "{} answered; p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms",
            self.0.len(),
            at(0.5),
            at(0.99),
            self.0.max() as f64 / 1000.0
        )
    }
}
