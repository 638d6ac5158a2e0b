//! The report of the doctor, as text and as JSON.

use super::finding::{CheckFinding, FindingLevel};
use crate::commands::terminal::Terminal;
use nu_ansi_term::Style;
use serde::Serialize;

/// Levels in the summary, with their words.
const COUNTED: [(FindingLevel, &str); 4] = [
    (FindingLevel::Pass, "passed"),
    (FindingLevel::Warn, "warned"),
    (FindingLevel::Fail, "failed"),
    (FindingLevel::Skip, "skipped"),
];

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
        let findings = self.targets.iter().flat_map(|target| &target.checks);
        findings.filter(|finding| finding.level == level).count()
    }
}

impl DoctorReport {
    /// Returns the report as it looks on `terminal`.
    pub(crate) fn render(&self, terminal: Terminal) -> String {
        let targets = self.targets.iter().map(|target| target.render(terminal));
        let counts = COUNTED.map(|(level, word)| self.render_count(level, word, terminal));
        targets.collect::<String>() + &counts.join(", ")
    }

    fn render_count(&self, level: FindingLevel, word: &str, terminal: Terminal) -> String {
        let count = self.count(level);
        let text = format!("{count} {word}");
        match count {
            0 => text,
            _ => terminal.paint(level.style(), &text),
        }
    }
}

impl TargetReport {
    fn render(&self, terminal: Terminal) -> String {
        let names = self.checks.iter().map(|finding| finding.check.len());
        let width = names.max().unwrap_or_default();
        let mut text = terminal.paint(Style::new().bold(), &self.url) + "\n";
        for finding in &self.checks {
            text += &finding.render(terminal, width);
        }
        text
    }
}

impl CheckFinding {
    /// Returns the finding with its remedy below, in columns: that of the names has this width.
    fn render(&self, terminal: Terminal, width: usize) -> String {
        let indent = width + 10;
        let level = terminal.paint(self.level.style(), self.level.word());
        let (check, found) = (self.check, terminal.wrap(&self.text, indent));
        let mut text = format!("  {level}  {check:width$}  {found}\n");
        if let Some(remedy) = &self.remedy {
            let remedy = terminal.wrap(remedy, indent + 2);
            text += &format!("{:indent$}→ {remedy}\n", "");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Check;

    #[test]
    fn only_a_failure_is_not_ok() {
        let report = |finding: CheckFinding| {
            DoctorReport::new(vec![TargetReport {
                url: "https://x/".into(),
                checks: vec![finding],
            }])
        };
        assert!(report(Check("name").pass("a")).ok);
        assert!(report(Check("name").warn("a", "b")).ok);
        assert!(report(Check("name").skip("a")).ok);
        assert!(!report(Check("name").fail("a", "b")).ok);
    }

    #[test]
    fn each_line_has_its_remedy_below() {
        let checks = vec![Check("name").pass("a"), Check("challenge").fail("b", "c")];
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
