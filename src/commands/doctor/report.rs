//! What was found, for people and for scripts.

use super::finding::{Finding, FindingLevel};
use serde::Serialize;
use std::fmt::{self, Display};

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DoctorReport {
    /// Whether nothing failed.
    pub ok: bool,
    /// For each URL.
    pub targets: Vec<TargetReport>,
}

/// What was found at one URL.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TargetReport {
    /// As it would stand in Netdata's UI.
    pub url: String,
    /// In the order in which they were made.
    pub checks: Vec<Finding>,
}

impl DoctorReport {
    pub(super) fn new(targets: Vec<TargetReport>) -> Self {
        let mut checks = targets.iter().flat_map(|target| &target.checks);
        Self {
            ok: checks.all(|finding| finding.level != FindingLevel::Fail),
            targets,
        }
    }

    /// As one JSON object.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is plain data")
    }

    fn count(&self, level: FindingLevel) -> usize {
        self.targets
            .iter()
            .flat_map(|target| &target.checks)
            .filter(|finding| finding.level == level)
            .count()
    }
}

impl Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for TargetReport { url, checks } in &self.targets {
            writeln!(f, "{url}")?;
            let width = checks
                .iter()
                .map(|finding| finding.check.len())
                .max()
                .unwrap_or_default();
            for finding in checks {
                writeln!(
                    f,
                    "  {}  {:width$}  {}",
                    finding.level.word(),
                    finding.check,
                    finding.text
                )?;
                if let Some(remedy) = &finding.remedy {
                    writeln!(f, "        {:width$}  → {remedy}", "")?;
                }
            }
        }
        let counts = [
            (FindingLevel::Pass, "passed"),
            (FindingLevel::Warn, "warned"),
            (FindingLevel::Fail, "failed"),
            (FindingLevel::Skip, "skipped"),
        ];
        let counts = counts.map(|(level, word)| format!("{} {word}", self.count(level)));
        write!(f, "{}", counts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_is_not_ok() {
        let report = |finding: Finding| {
            DoctorReport::new(vec![TargetReport {
                url: "https://x/".into(),
                checks: vec![finding],
            }])
        };
        assert!(report(Finding::pass("name", "a")).ok);
        assert!(report(Finding::warn("name", "a", "b")).ok);
        assert!(report(Finding::skip("name", "a")).ok);
        assert!(!report(Finding::fail("name", "a", "b")).ok);
    }

    #[test]
    fn each_line_has_its_remedy_below() {
        let checks = vec![
            Finding::pass("name", "a"),
            Finding::fail("challenge", "b", "c"),
        ];
        let report = DoctorReport::new(vec![TargetReport {
            url: "https://x/".into(),
            checks,
        }]);
        let expected = "https://x/\n  pass  name       a\n  fail  challenge  b\n                   → c\n\
                        1 passed, 0 warned, 1 failed, 0 skipped";
        assert_eq!(report.to_string(), expected);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["targets"][0]["checks"][1]["level"], "fail");
        assert_eq!(
            json["targets"][0]["checks"][0]["remedy"],
            serde_json::Value::Null
        );
    }
}
