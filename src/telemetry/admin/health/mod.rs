//! Judges the health of the server and describes its problems.

mod certificates;
mod drift;
mod losses;
mod orders;
mod queue;
mod upstreams;

pub(super) use certificates::{level, time_left};
pub(super) use queue::LONG;

use crate::telemetry::Monitor;
use crate::telemetry::history::Snapshot;
use queue::queue_findings;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// The number of seconds for which a refusal because of the memory limit is reported.
const REMEMBERED: u64 = 60 * 60;

const DAY: i64 = 24 * 60 * 60;

/// The severity of a finding, and of the state of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// There is no problem.
    Ok,
    /// An operator should look at it.
    Warning,
    /// No traffic should be sent here.
    Error,
}

/// A problem of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct StatusFinding {
    pub(super) level: Level,
    /// The description of the problem in a sentence.
    pub(super) text: String,
    /// The process must be reachable all the same, so that it can be put right.
    #[serde(skip)]
    pub(super) keeps_traffic: bool,
}

/// Returns all problems, the most severe first.
pub(super) fn findings(
    monitor: &Monitor,
    recent: &Snapshot,
    is_draining: bool,
    now: SystemTime,
) -> Vec<StatusFinding> {
    let mut findings = Findings(Vec::new());
    findings.judge_phase(monitor, is_draining);
    findings.judge_certificates(monitor, unix(now));
    findings.judge_upstreams(monitor);
    if let Some(delivery) = monitor.delivery() {
        findings.0.extend(queue_findings(delivery, now));
    }
    findings.judge_delivery(monitor);
    findings.judge_refused_certificate(recent, unix(now));
    findings.judge_authorities(monitor);
    findings.judge_pending(monitor);
    for ((route, kind), drift) in &recent.drift {
        findings.judge_drift(route, kind, drift, unix(now));
    }
    findings.judge_memory(monitor.overloaded(), now);
    findings.judge_reload(monitor);
    findings.most_severe_first()
}

struct Findings(Vec<StatusFinding>);

impl Findings {
    fn push(&mut self, level: Level, keeps_traffic: bool, text: impl Into<String>) {
        self.0.push(StatusFinding {
            level,
            text: text.into(),
            keeps_traffic,
        });
    }

    fn error(&mut self, text: impl Into<String>) {
        self.push(Level::Error, false, text);
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.push(Level::Warning, true, text);
    }

    fn most_severe_first(mut self) -> Vec<StatusFinding> {
        self.0
            .sort_by_key(|finding| std::cmp::Reverse(finding.level));
        self.0
    }

    /// Judges whether the process serves requests, or does not yet or no longer.
    fn judge_phase(&mut self, monitor: &Monitor, is_draining: bool) {
        if !monitor.is_ready() {
            self.error("The self-test has not passed yet.");
        }
        if is_draining {
            self.error("The process is about to end.");
        }
    }

    fn judge_reload(&mut self, monitor: &Monitor) {
        if monitor.has_failed_to_reload() {
            self.warn("The last reload failed, and the old configuration goes on. The log says what is wrong.");
        }
    }

    fn judge_memory(&mut self, overloaded: Option<SystemTime>, now: SystemTime) {
        let past = overloaded.map(|last| now.duration_since(last).unwrap_or_default().as_secs());
        if let Some(seconds) = past.filter(|seconds| *seconds < REMEMBERED) {
            let minutes = seconds / 60;
            self.warn(format!("Requests were refused for want of memory, {minutes} min ago: see limits.max_buffered."));
        }
    }

    fn judge_pending(&mut self, monitor: &Monitor) {
        let pending = monitor.pending();
        if !pending.is_empty() {
            let keys = pending.join(", ");
            self.warn(format!(
                "The configuration has changes that take effect after a restart or an upgrade: {keys}."
            ));
        }
    }
}

/// Returns a number of repetitions in words, unless there are none.
fn times(times: u64) -> String {
    match times {
        1 => String::new(),
        times => format!("{times} times, "),
    }
}

/// Returns the seconds since 1970.
pub(super) fn unix(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_worst_comes_first() {
        let monitor = Monitor::off();
        monitor.reload(false);
        let findings = findings(&monitor, &Snapshot::default(), true, SystemTime::now());
        let levels: Vec<_> = findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Error, Level::Error, Level::Warning]);
        monitor.ready();
        monitor.reload(true);
        assert_eq!(
            super::findings(&monitor, &Snapshot::default(), false, SystemTime::now()),
            []
        );
    }

    #[test]
    fn want_of_memory_is_told_for_an_hour() {
        let now = SystemTime::now();
        for (past, expected) in [
            (None, None),
            (Some(0), Some("0 min ago")),
            (Some(REMEMBERED - 1), Some("59 min ago")),
            (Some(REMEMBERED), None),
        ] {
            let mut findings = Findings(Vec::new());
            findings.judge_memory(past.map(|past| now - Duration::from_secs(past)), now);
            let text = findings
                .0
                .first()
                .map(|finding| (finding.level, finding.text.as_str()));
            assert_eq!(
                text.map(|(level, _)| level),
                expected.map(|_| Level::Warning),
                "{past:?}"
            );
            assert!(
                text.is_none_or(|(_, text)| text.contains(expected.unwrap_or_default())),
                "{past:?}: {text:?}"
            );
        }
        // Clocks are put back.
        let mut findings = Findings(Vec::new());
        findings.judge_memory(Some(now + Duration::from_secs(60)), now);
        assert_eq!(findings.0.len(), 1);
    }
}
