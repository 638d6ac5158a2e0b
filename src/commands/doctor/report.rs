//! The report of the doctor, as text and as JSON.

use super::finding::{CheckFinding, FindingLevel};
use serde::Serialize;
use std::fmt::{self, Display};

/// Findings at all URLs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DoctorReport {
    /// Did no check fail?
    pub ok: bool,
    /// Findings at each URL.
    pub targets: Vec<TargetReport>,
}

/// Findings at one URL.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TargetReport {
    /// URL as entered in Netdata's UI.
    pub url: String,
    /// Findings in the order of the checks.
    pub checks: Vec<CheckFinding>,
}

impl DoctorReport {
    pub(super) fn new(targets: Vec<TargetReport>) -> Self {
        let mut checks = targets.iter().flat_map(|target| &target.checks);
        Self {
            ok: checks.all(|finding| finding.level != FindingLevel::Fail),
            targets,
        }
    }

    /// Returns the report as one JSON object.
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
        for target in &self.targets {
            target.fmt(f)?;
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

impl Display for TargetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.url)?;
        let names = self.checks.iter().map(|finding| finding.check.len());
        let width = names.max().unwrap_or_default();
        for finding in &self.checks {
            let (level, check) = (finding.level.word(), finding.check);
            writeln!(f, "  {level}  {check:width$}  {}", finding.text)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "        {:width$}  → {remedy}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_is_not_ok() {
        let report = |finding: CheckFinding| {
            DoctorReport::new(vec![TargetReport {
                url: "https://x/".into(),
                checks: vec![finding],
            }])
        };
        assert!(report(CheckFinding::pass("name", "a")).ok);
        assert!(report(CheckFinding::warn("name", "a", "b")).ok);
        assert!(report(CheckFinding::skip("name", "a")).ok);
        assert!(!report(CheckFinding::fail("name", "a", "b")).ok);
    }

    #[test]
    fn each_line_has_its_remedy_below() {
        let checks = vec![
            CheckFinding::pass("name", "a"),
            CheckFinding::fail("challenge", "b", "c"),
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
