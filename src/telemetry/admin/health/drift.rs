//! Judges notifications that differ from what is known of them.

use super::{DAY, Findings, times, unix};
use crate::telemetry::history::DriftSummary;

impl Findings {
    /// Older values are in the log and in the metrics.
    pub(super) fn judge_drift(&mut self, route: &str, kind: &str, drift: &DriftSummary, now: i64) {
        if now - unix(drift.at) < DAY {
            let (times, places) = (times(drift.times), places(&drift.pointers));
            self.warn(format!(
                "Not as it is known, though let through: {kind} on {route}, {times}the last at {places}. Netdata may have \
                 changed something: see the manual."
            ));
        }
    }
}

fn places(pointers: &[String]) -> String {
    let quoted = pointers.iter().map(|pointer| format!("\"{pointer}\""));
    quoted.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::admin::health::Level;
    use std::time::{Duration, SystemTime};

    #[test]
    fn drift_is_a_warning_for_a_day() {
        let now = SystemTime::now();
        let drift = |age: u64, times, pointers: &[&str]| {
            let pointers = pointers.iter().map(ToString::to_string).collect();
            DriftSummary {
                at: now - Duration::from_secs(age),
                times,
                pointers,
            }
        };
        let mut findings = Findings(Vec::new());
        findings.judge_drift(
            "/a",
            "alert",
            &drift(3600, 2, &["/x", "/alert/y"]),
            unix(now),
        );
        findings.judge_drift("/a", "test", &drift(90_000, 2, &["/z"]), unix(now));
        findings.judge_drift("/b", "unknown", &drift(0, 1, &[""]), unix(now));
        let texts: Vec<_> = findings
            .0
            .iter()
            .map(|finding| (finding.level, finding.text.as_str()))
            .collect();
        let [(Level::Warning, one), (Level::Warning, other)] = texts[..] else {
            panic!("{texts:?}")
        };
        assert!(
            one.contains(": alert on /a, 2 times, the last at \"/x\", \"/alert/y\". "),
            "{one}"
        );
        assert!(
            other.contains(": unknown on /b, the last at \"\". "),
            "{other}"
        );
    }
}
