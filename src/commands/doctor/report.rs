//! The report of the doctor, as text and as JSON.

use super::finding::{CheckFinding, FindingLevel};
use crate::commands::terminal::Terminal;
use nu_ansi_term::Style;
use serde::Serialize;

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

impl DoctorReport {
    /// Returns the report as it looks on `terminal`.
    pub(crate) fn render(&self, terminal: Terminal) -> String {
        let targets = self.targets.iter().map(|target| target.render(terminal));
        let counts = [
            (FindingLevel::Pass, "passed"),
            (FindingLevel::Warn, "warned"),
            (FindingLevel::Fail, "failed"),
            (FindingLevel::Skip, "skipped"),
        ];
        let counts = counts.map(|(level, word)| {
            let count = self.count(level);
            let text = format!("{count} {word}");
            match count {
                0 => text,
                _ => terminal.paint(level.style(), &text),
            }
        });
        targets.collect::<String>() + &counts.join(", ")
    }
}

impl TargetReport {
    fn render(&self, terminal: Terminal) -> String {
        let names = self.checks.iter().map(|finding| finding.check.len());
        let width = names.max().unwrap_or_default();
        let indent = width + 10;
        let mut text = terminal.paint(Style::new().bold(), &self.url) + "\n";
        for finding in &self.checks {
            let level = terminal.paint(finding.level.style(), finding.level.word());
            let (check, found) = (finding.check, terminal.wrap(&finding.text, indent));
            text += &format!("  {level}  {check:width$}  {found}\n");
            if let Some(remedy) = &finding.remedy {
                let remedy = terminal.wrap(remedy, indent + 2);
                text += &format!("{:indent$}→ {remedy}\n", "");
            }
        }
        text
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
        assert_eq!(report.render(Terminal::default()), expected);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["targets"][0]["checks"][1]["level"], "fail");
        assert_eq!(
            json["targets"][0]["checks"][0]["remedy"],
            serde_json::Value::Null
        );
    }
}
