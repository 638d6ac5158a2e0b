//! The result of one server in one round, and the median of several.

use crate::load::Outcome;
use crate::scenario::Line;
use serde::Serialize;

/// The result of one server in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) line: String,
    pub(crate) server: String,
    pub(crate) round: usize,
    /// Requests a second that were sent; absent, when each sender sent as fast as it was answered.
    pub(crate) rate: Option<f64>,
    /// Of the server's whole process tree, in microseconds.
    pub(crate) cpu_per_request: f64,
    pub(crate) requests_per_second: f64,
    /// Of the server's whole process tree, in bytes, after the work.
    pub(crate) memory: u64,
    /// Memory of an idle connection, in bytes.
    pub(crate) memory_per_connection: Option<f64>,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

impl Sample {
    /// One of which no more is known.
    pub(crate) fn of_outcome(
        line: &Line,
        server: &str,
        round: usize,
        rate: Option<f64>,
        outcome: Outcome,
    ) -> Self {
        Self {
            line: line.to_string(),
            server: server.to_owned(),
            round,
            rate,
            cpu_per_request: 0.0,
            requests_per_second: outcome.answered as f64 / outcome.seconds,
            memory: 0,
            memory_per_connection: None,
            outcome,
        }
    }
}

/// The middle one; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}
