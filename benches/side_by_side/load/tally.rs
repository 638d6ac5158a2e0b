//! What came of the requests.

use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::time::Duration;

/// As it is counted.
#[derive(Default)]
pub(crate) struct Tally {
    /// In nanoseconds, of every request that was answered as it must be.
    latencies: Vec<u64>,
    failed: u64,
    first_failure: Option<String>,
    /// Requests whose time came and that found every sender busy to the end.
    unsent: u64,
    /// Connections that the other side closed between requests.
    pub(super) reconnected: u64,
    /// Of the connections.
    pub(super) key_exchange: Option<String>,
    elapsed: Duration,
}

/// As it is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    pub(crate) unsent: u64,
    pub(crate) reconnected: u64,
    pub(crate) key_exchange: Option<String>,
    pub(crate) seconds: f64,
    /// In microseconds, as all of these.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Tally {
    pub(crate) fn answer(&mut self, latency: Duration) {
        self.latencies
            .push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn fail(&mut self, failure: impl Display) {
        self.failed += 1;
        self.first_failure
            .get_or_insert_with(|| failure.to_string());
    }

    /// The work is over: so long it took, and so much of it was never begun.
    pub(crate) fn end(&mut self, elapsed: Duration, unsent: usize) {
        self.elapsed = elapsed;
        self.unsent = unsent as u64;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.unsent += other.unsent;
        self.reconnected += other.reconnected;
        self.key_exchange = self.key_exchange.take().or(other.key_exchange);
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    pub(crate) fn outcome(mut self) -> Outcome {
        self.latencies.sort_unstable();
        Outcome {
            answered: self.latencies.len() as u64,
            failed: self.failed,
            first_failure: self.first_failure.clone(),
            unsent: self.unsent,
            reconnected: self.reconnected,
            key_exchange: self.key_exchange.clone(),
            seconds: self.elapsed.as_secs_f64(),
            p50: self.quantile(0.5),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: self.quantile(1.0),
        }
    }

    /// Nearest rank, of sorted latencies.
    fn quantile(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.latencies.len() as f64).ceil() as usize;
        self.latencies
            .get(rank.saturating_sub(1))
            .map_or(0.0, |nanoseconds| *nanoseconds as f64 / 1000.0)
    }
}
