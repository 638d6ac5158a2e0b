//! The result of one server in one round, and the median of several.

use crate::load::Outcome;
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
