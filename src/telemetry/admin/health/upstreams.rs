//! Judges upstreams, and what was not delivered to them.

use super::{Findings, losses};
use crate::telemetry::{Monitor, undelivered};
use std::collections::BTreeMap;

impl Findings {
    pub(super) fn judge_upstreams(&mut self, monitor: &Monitor) {
        let delivery = monitor.delivery();
        for (upstream, servers) in monitor.upstreams() {
            // Its notifications are taken nevertheless: another server of the balancer has no more.
            let stores = delivery.is_some_and(|delivery| delivery.stores_all_of(&upstream));
            self.judge_upstream(&upstream, &servers, stores);
        }
    }

    fn judge_upstream(&mut self, upstream: &str, servers: &BTreeMap<String, bool>, stores: bool) {
        let healthy = servers.values().filter(|is_healthy| **is_healthy).count();
        if !servers.is_empty() && healthy == 0 {
            self.judge_outage(upstream, stores);
        } else if healthy < servers.len() {
            let left_out = servers.len() - healthy;
            self.warn(format!(
                "The upstream {upstream} does without {left_out} of its {} servers.",
                servers.len()
            ));
        }
    }

    /// Judges an upstream that has no healthy server.
    fn judge_outage(&mut self, upstream: &str, stores: bool) {
        let text = format!("The upstream {upstream} has no healthy server.");
        match stores {
            true => self.warn(format!("{text} Its notifications are stored.")),
            false => self.error(text),
        }
    }

    pub(super) fn judge_delivery(&mut self, monitor: &Monitor) {
        let open = monitor.undelivered();
        if let Some(text) = losses::describe(&open, open.len() == undelivered::KEPT) {
            self.warn(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::admin::health::{Level, findings};
    use crate::telemetry::history::Snapshot;
    use std::time::SystemTime;

    #[test]
    fn an_upstream_is_judged_by_its_servers() {
        let monitor = Monitor::off();
        monitor.ready();
        let check = |one, other, expected: &[(Level, &str)]| {
            monitor.servers([("app", "http://a", one), ("app", "http://b", other)]);
            let findings = findings(&monitor, &Snapshot::default(), false, SystemTime::now());
            let findings: Vec<_> = findings
                .iter()
                .map(|finding| (finding.level, finding.text.as_str()))
                .collect();
            assert_eq!(findings, expected, "{one} {other}");
        };
        check(true, true, &[]);
        check(
            false,
            true,
            &[(
                Level::Warning,
                "The upstream app does without 1 of its 2 servers.",
            )],
        );
        check(
            false,
            false,
            &[(Level::Error, "The upstream app has no healthy server.")],
        );
        check(true, true, &[]);
    }
}
