//! What became of all requests, in memory that does not grow with them.

use super::outcome::{OutcomeReason, RequestOutcome, RequestStatus};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// Reasons that are told apart. Whoever answers could think of ever more.
const MAX_REASONS: usize = 32;

/// The longest latency in microseconds: no request may take longer than ten minutes.
const MAX_LATENCY: u64 = 660_000_000;

/// Counts requests.
pub(super) struct Statistics {
    /// Of those that were answered, in microseconds.
    latencies: Histogram<u64>,
    fates: [u64; RequestStatus::ALL.len()],
    reasons: BTreeMap<OutcomeReason, (u64, RequestOutcome)>,
    tests: Option<AcceptedTests>,
}

/// Test notifications that were accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AcceptedTests {
    pub(super) count: u64,
    /// Of the last of them.
    pub(super) token: String,
}

/// Latencies in milliseconds.
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
            fates: [0; RequestStatus::ALL.len()],
            reasons: BTreeMap::new(),
            tests: None,
        }
    }

    /// Counts a request that ended after `latency`.
    pub(super) fn count(&mut self, ending: RequestOutcome, latency: Duration) {
        let reason = &ending.reason;
        self.fates[reason.fate as usize] += 1;
        if reason.status.is_some() {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(MAX_LATENCY);
            self.latencies.saturating_record(micros.max(1));
        }
        let key = match self.reasons.contains_key(reason) || self.reasons.len() < MAX_REASONS {
            true => reason.clone(),
            false => OutcomeReason {
                fate: reason.fate,
                status: None,
                code: None,
                text: "for other reasons".into(),
            },
        };
        self.reasons.entry(key).or_insert_with(|| (0, ending)).0 += 1;
    }

    /// Notes that a Test notification with this token was accepted.
    pub(super) fn note_test(&mut self, token: String) {
        let count = self.tests.as_ref().map_or(0, |tests| tests.count) + 1;
        self.tests = Some(AcceptedTests { count, token });
    }

    pub(super) fn tests(&self) -> Option<&AcceptedTests> {
        self.tests.as_ref()
    }

    pub(super) fn requests(&self) -> u64 {
        self.fates.iter().sum()
    }

    pub(super) fn of(&self, fate: RequestStatus) -> u64 {
        self.fates[fate as usize]
    }

    /// Why requests ended as they did: for each reason, how many did, and the first of them.
    pub(super) fn reasons(&self) -> impl Iterator<Item = (&OutcomeReason, u64, &RequestOutcome)> {
        self.reasons
            .iter()
            .map(|(reason, (count, first))| (reason, *count, first))
    }

    /// Unless nothing was answered.
    pub(super) fn latency(&self) -> Option<Latency> {
        let milliseconds = |micros: u64| micros as f64 / 1000.0;
        let quantile = |quantile| {
            milliseconds(
                self.latencies
                    .value_at_quantile(quantile)
                    .min(self.latencies.max()),
            )
        };
        (!self.latencies.is_empty()).then(|| Latency {
            mean: self.latencies.mean() / 1000.0,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: milliseconds(self.latencies.max()),
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
            .map(|(reason, count, _)| (reason.status, count))
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
    fn whoever_thinks_of_ever_more_reasons_fills_nothing() {
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
