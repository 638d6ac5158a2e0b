//! Metrics of requests: their outcomes and durations.

use super::{counters, histograms};
use crate::rejection::REFUSALS;
use crate::telemetry::context::Outcome;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};
use std::time::Duration;

/// The outcomes of requests that are not refused.
const OUTCOMES: [Outcome; 5] = [
    Outcome::Forwarded,
    Outcome::Queued,
    Outcome::Challenged,
    Outcome::TestAnswered,
    Outcome::ClientGone,
];

/// The metrics of all routes.
pub(super) struct RequestFamilies {
    requests: IntCounterVec,
    dropped_headers: IntCounterVec,
    duration: HistogramVec,
}

impl RequestFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            requests: counters(
                registry,
                "requests_total",
                "Requests, by how they ended; code says why one was refused.",
                &["route", "outcome", "code"],
            ),
            dropped_headers: counters(
                registry,
                "dropped_identity_headers_total",
                "Header fields that assert an identity, and were not passed on.",
                &["route"],
            ),
            duration: histograms(
                registry,
                "request_duration_seconds",
                "From the head of a request to the end of its answer.",
                &["route"],
            ),
        }
    }

    /// Removes the metrics of a route that no longer exists.
    pub(super) fn forget(&self, route: &str) {
        let refused = REFUSALS.map(|refusal| Outcome::Refused(refusal.code));
        // Ignore the error: the series did not exist.
        for outcome in OUTCOMES.into_iter().chain(refused) {
            let _ = self.requests.remove_label_values(&labels(route, outcome));
        }
        let _ = self.dropped_headers.remove_label_values(&[route]);
        let _ = self.duration.remove_label_values(&[route]);
    }

    fn counter(&self, route: &str, outcome: Outcome) -> IntCounter {
        self.requests.with_label_values(&labels(route, outcome))
    }
}

fn labels(route: &str, outcome: Outcome) -> [&str; 3] {
    [route, outcome.as_str(), outcome.code()]
}

/// The metrics of one route.
pub(super) struct RequestMetrics {
    route: String,
    /// Counters in the order of [`OUTCOMES`].
    passed: [IntCounter; OUTCOMES.len()],
    /// Counters in the order of [`REFUSALS`].
    refused: [IntCounter; REFUSALS.len()],
    dropped_headers: IntCounter,
    duration: Histogram,
}

impl RequestMetrics {
    pub(super) fn new(families: &RequestFamilies, route: &str) -> Self {
        let counter = |outcome| families.counter(route, outcome);
        Self {
            route: route.to_owned(),
            passed: OUTCOMES.map(counter),
            refused: REFUSALS.map(|refusal| counter(Outcome::Refused(refusal.code))),
            dropped_headers: families.dropped_headers.with_label_values(&[route]),
            duration: families.duration.with_label_values(&[route]),
        }
    }

    /// Counts dropped header fields.
    pub(super) fn dropped_headers(&self, count: u64) {
        self.dropped_headers.inc_by(count);
    }

    pub(super) fn count(
        &self,
        families: &RequestFamilies,
        outcome: Outcome,
        duration: Option<Duration>,
    ) {
        match self.counter(outcome) {
            Some(counter) => counter.inc(),
            // Known to the compiler, but not to the lists above.
            None => families.counter(&self.route, outcome).inc(),
        }
        if let Some(duration) = duration {
            self.duration.observe(duration.as_secs_f64());
        }
    }

    fn counter(&self, outcome: Outcome) -> Option<&IntCounter> {
        if let Outcome::Refused(code) = outcome {
            let index = REFUSALS.iter().position(|known| known.code == code)?;
            return self.refused.get(index);
        }
        let index = OUTCOMES.iter().position(|known| *known == outcome)?;
        self.passed.get(index)
    }
}
