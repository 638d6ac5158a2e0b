//! Statistics of all requests, in memory that does not grow with their number.

use super::outcome::{OutcomeReason, RequestOutcome, RequestStatus};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Maximum number of distinct reasons: a server could invent any number of them.
const MAX_REASONS: usize = 32;

/// Maximum latency in microseconds: no request may take longer than ten minutes.
const MAX_LATENCY: u64 = 660_000_000;

/// Counters and latencies of requests.
pub(super) struct Statistics {
    /// Latencies of requests with a response, in microseconds.
    latencies: Histogram<u64>,
    counts: [u64; RequestStatus::ALL.len()],
    reasons: BTreeMap<OutcomeReason, (u64, RequestOutcome)>,
    tests: Option<AcceptedTests>,
}

/// Test notifications that were accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AcceptedTests {
    pub(super) count: u64,
    /// Token of the last one.
    pub(super) token: String,
}

/// Latencies of responses in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Latency {
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Statistics {
    pub(super) fn new() -> Self {
        let latencies =
            Histogram::new_with_bounds(1, MAX_LATENCY, 3).expect("the bounds are apart");
        Self {
            latencies,
            counts: [0; RequestStatus::ALL.len()],
            reasons: BTreeMap::new(),
            tests: None,
        }
    }

    /// Counts a request that ended after `latency`.
    pub(super) fn count(&mut self, outcome: RequestOutcome, latency: Duration) {
        let reason = &outcome.reason;
        self.counts[reason.status as usize] += 1;
        if reason.http_status.is_some() {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(MAX_LATENCY);
            self.latencies.saturating_record(micros.max(1));
        }
        let key = self.key(reason);
        self.reasons.entry(key).or_insert_with(|| (0, outcome)).0 += 1;
    }

    /// Returns the reason under which one like this is counted.
    fn key(&self, reason: &OutcomeReason) -> OutcomeReason {
        if self.reasons.contains_key(reason) || self.reasons.len() < MAX_REASONS {
            return reason.clone();
        }
        OutcomeReason {
            status: reason.status,
            http_status: None,
            code: None,
            text: "for other reasons".into(),
        }
    }

    /// Records the token of a Test notification that was accepted.
    pub(super) fn note_test(&mut self, token: String) {
        let count = self.tests.as_ref().map_or(0, |tests| tests.count) + 1;
        self.tests = Some(AcceptedTests { count, token });
    }

    pub(super) fn tests(&self) -> Option<&AcceptedTests> {
        self.tests.as_ref()
    }

    pub(super) fn requests(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn of(&self, status: RequestStatus) -> u64 {
        self.counts[status as usize]
    }

    /// Returns each reason, the number of its requests, and the first of their outcomes.
    pub(super) fn reasons(&self) -> impl Iterator<Item = (&OutcomeReason, u64, &RequestOutcome)> {
        self.reasons
            .iter()
            .map(|(reason, (count, first))| (reason, *count, first))
    }

    /// Returns the latencies, if there was a response.
    pub(super) fn latency(&self) -> Option<Latency> {
        let latencies = &self.latencies;
        let milliseconds = |micros: u64| micros as f64 / 1000.0;
        let quantile = |quantile| {
            let micros = latencies.value_at_quantile(quantile);
            milliseconds(micros.min(latencies.max()))
        };
        (!latencies.is_empty()).then(|| Latency {
            mean: latencies.mean() / 1000.0,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: milliseconds(latencies.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::client::ClientResponse;

    fn answered(status: u16, body: &str) -> RequestOutcome {
        RequestOutcome::answered(&ClientResponse {
            status,
            body: body.into(),
            ..ClientResponse::default()
        })
    }

    #[test]
    fn equal_reasons_are_one() {
        let mut statistics = Statistics::new();
        for second in 0..10 {
            let body =
                format!("{{\"code\":\"rate_limited\",\"detail\":\"Try again after {second} s.\"}}");
            statistics.count(answered(429, &body), Duration::from_millis(2));
        }
        statistics.count(answered(200, "ok"), Duration::from_millis(1));
        let found: Vec<_> = statistics
            .reasons()
            .map(|(reason, count, _)| (reason.http_status, count))
            .collect();
        assert_eq!(found, [(Some(200), 1), (Some(429), 10)]);
        assert_eq!(
            (
                statistics.requests(),
                statistics.of(RequestStatus::Accepted),
                statistics.of(RequestStatus::Refused)
            ),
            (11, 1, 10)
        );
    }

    #[test]
    fn any_number_of_reasons_takes_bounded_memory() {
        let mut statistics = Statistics::new();
        for number in 0..10_000 {
            statistics.count(
                answered(400, &format!("{{\"code\":\"{number}\"}}")),
                Duration::ZERO,
            );
        }
        assert_eq!(statistics.reasons().count(), MAX_REASONS + 1);
        assert_eq!(
            statistics.reasons().map(|(_, count, _)| count).sum::<u64>(),
            10_000
        );
    }

    #[test]
    fn latencies_are_those_of_what_was_answered() {
        let mut statistics = Statistics::new();
        assert_eq!(statistics.latency(), None);
        for milliseconds in 1..=100 {
            statistics.count(answered(200, ""), Duration::from_millis(milliseconds));
        }
        statistics.count(
            RequestOutcome::failed(&crate::commands::client::ClientFailure::Silent, true, false),
            Duration::from_secs(10),
        );
        let latency = statistics.latency().unwrap();
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.002;
        assert!(
            near(latency.p50, 50.0) && near(latency.p90, 90.0) && near(latency.p99, 99.0),
            "{latency:?}"
        );
        assert!(
            near(latency.max, 100.0) && near(latency.mean, 50.5),
            "{latency:?}"
        );
        statistics.count(answered(200, ""), Duration::MAX);
        assert!(near(statistics.latency().unwrap().max, 660_000.0));
    }
}
