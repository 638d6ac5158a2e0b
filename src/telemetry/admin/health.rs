//! Judges the health of the server and describes its problems.

use super::queue_health::queue_findings;
use super::{losses, orders};
use crate::config::renewal_margin;
use crate::telemetry::history::{DriftSummary, RefusedCertificate, Snapshot};
use crate::telemetry::metrics::CertificateKind;
use crate::telemetry::{Certificate, Monitor, undelivered};
use crate::tls::acme::AcmeStatus;
use serde::Serialize;
use std::collections::BTreeMap;
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
    let (certificates, acme) = (monitor.certificates(), monitor.acme_status());
    for certificate in &certificates {
        findings.judge_certificate(certificate, unix(now), acme.is_some());
    }
    if let Some(acme) = acme {
        let has_certificate = certificates
            .iter()
            .any(|certificate| certificate.which == CertificateKind::Server);
        findings.judge_acme(&acme, has_certificate, unix(now));
    }
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

    fn judge_upstreams(&mut self, monitor: &Monitor) {
        let delivery = monitor.delivery();
        for (upstream, servers) in monitor.upstreams() {
            // Its notifications are taken nevertheless: another server of the balancer has no more.
            let stores = delivery.is_some_and(|delivery| delivery.stores_all_of(&upstream));
            self.judge_upstream(&upstream, &servers, stores);
        }
    }

    fn judge_certificate(&mut self, certificate: &Certificate, now: i64, is_acme: bool) {
        let left = time_left(certificate.not_after - now);
        match level(certificate, now) {
            Level::Ok => {}
            Level::Warning => self.judge_expiring(certificate.which, &certificate.name, &left),
            Level::Error => self.judge_expired(certificate.which, &certificate.name, is_acme),
        }
    }

    /// Judges certificates by ACME. One that is missing comes by connections: a load balancer that
    /// made none, because this process is not ready, would keep it that way.
    fn judge_acme(&mut self, acme: &AcmeStatus, has_certificate: bool, now: i64) {
        if !has_certificate {
            let text = format!("There is no certificate for {} yet.", acme.names);
            self.push(Level::Error, true, text);
        }
        for text in orders::describe(acme, now) {
            self.warn(text);
        }
    }

    fn judge_expired(&mut self, which: CertificateKind, name: &str, is_acme: bool) {
        match which {
            CertificateKind::ClientLastSeen => {}
            CertificateKind::Server => {
                let text = format!("The server's certificate has expired: {name}.");
                self.push(Level::Error, is_acme, text);
            }
            CertificateKind::Chain => self.warn(format!(
                "A certificate of the server's chain, beside its own, has expired: {name}."
            )),
            CertificateKind::Crl => {
                self.error(format!("A revocation list is out of date: {name}."))
            }
            CertificateKind::Ca => self.warn(format!("A trusted authority has expired: {name}.")),
        }
    }

    fn judge_expiring(&mut self, which: CertificateKind, name: &str, left: &str) {
        let text = match which {
            CertificateKind::ClientLastSeen => return,
            CertificateKind::Server => format!("The server's certificate expires soon ({left})."),
            CertificateKind::Chain => {
                format!("A certificate of the server's chain expires soon ({left}): {name}.")
            }
            CertificateKind::Crl => format!("A revocation list is due soon ({left}): {name}."),
            CertificateKind::Ca => format!("A trusted authority expires soon ({left}): {name}."),
        };
        self.warn(text);
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

    fn judge_memory(&mut self, overloaded: Option<SystemTime>, now: SystemTime) {
        let past = overloaded.map(|last| now.duration_since(last).unwrap_or_default().as_secs());
        if let Some(seconds) = past.filter(|seconds| *seconds < REMEMBERED) {
            let minutes = seconds / 60;
            self.warn(format!("Requests were refused for want of memory, {minutes} min ago: see limits.max_buffered."));
        }
    }

    fn judge_delivery(&mut self, monitor: &Monitor) {
        let open = monitor.undelivered();
        if let Some(text) = losses::describe(&open, open.len() == undelivered::KEPT) {
            self.warn(text);
        }
    }

    fn judge_refused_certificate(&mut self, recent: &Snapshot, now: i64) {
        let refused = recent.refused_certificate.as_ref();
        if let Some(refused) = refused.filter(|refused| now - unix(refused.at) < DAY) {
            let reason = refused.reason.as_deref().unwrap_or_default();
            self.warn(format!(
                "{reason} It happened {}, and nothing has been let in since. If it is Netdata Cloud, \
                 no notification arrives: \"doctor\" with the URL says why.",
                occurrences(refused)
            ));
        }
    }

    fn judge_authorities(&mut self, monitor: &Monitor) {
        for warning in &monitor.configuration().foreign_authorities {
            self.warn(format!("tls.client.ca {warning}."));
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

    /// Older values are in the log and in the metrics.
    fn judge_drift(&mut self, route: &str, kind: &str, drift: &DriftSummary, now: i64) {
        if now - unix(drift.at) < DAY {
            let (times, places) = (times(drift.times), places(&drift.pointers));
            self.warn(format!(
                "Not as it is known, though let through: {kind} on {route}, {times}the last at {places}. Netdata may have \
                 changed something: see the manual."
            ));
        }
    }
}

/// Describes how often clients refused the certificate, and the last time.
fn occurrences(refused: &RefusedCertificate) -> String {
    let peer = refused.peer.map(|peer| format!(" from {peer}"));
    format!(
        "{}the last time{} at {}",
        times(refused.times),
        peer.unwrap_or_default(),
        losses::clock(unix(refused.at))
    )
}

/// Returns a number of repetitions in words, unless there are none.
fn times(times: u64) -> String {
    match times {
        1 => String::new(),
        times => format!("{times} times, "),
    }
}

fn places(pointers: &[String]) -> String {
    let quoted = pointers.iter().map(|pointer| format!("\"{pointer}\""));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Returns the urgency of replacing a certificate or a revocation list.
pub(super) fn level(certificate: &Certificate, now: i64) -> Level {
    match certificate.not_after - now {
        ..0 => Level::Error,
        left if left < renewed_before(certificate) => Level::Warning,
        _ => Level::Ok,
    }
}

/// Returns how long before its end a certificate or a revocation list should have been renewed.
fn renewed_before(certificate: &Certificate) -> i64 {
    match certificate.not_before {
        Some(not_before) => renewal_margin(not_before, certificate.not_after),
        // A list may be valid for a week or a day, and its issuer renews it in time.
        None => DAY / 4,
    }
}

/// Describes a number of seconds for people.
pub(super) fn time_left(seconds: i64) -> String {
    let (number, unit) = match seconds {
        ..0 => return "expired".into(),
        0..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / DAY, "day"),
    };
    format!("{number} {unit}{} left", if number == 1 { "" } else { "s" })
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
            findings.judge_memory(
                past.map(|past| now - std::time::Duration::from_secs(past)),
                now,
            );
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
        findings.judge_memory(Some(now + std::time::Duration::from_secs(60)), now);
        assert_eq!(findings.0.len(), 1);
    }

    #[test]
    fn a_certificate_that_comes_over_connections_keeps_them_coming() {
        let judged = |has_certificate| {
            let mut findings = Findings(Vec::new());
            findings.judge_acme(&AcmeStatus::default(), has_certificate, 0);
            findings.0
        };
        assert!(judged(true).is_empty());
        let missing = &judged(false)[0];
        assert!(missing.level == Level::Error && missing.keeps_traffic);
        let expired = Certificate {
            which: CertificateKind::Server,
            name: "CN=x".into(),
            not_before: Some(0),
            not_after: 10,
        };
        for is_acme in [true, false] {
            let mut findings = Findings(Vec::new());
            findings.judge_certificate(&expired, 20, is_acme);
            assert_eq!(findings.0[0].keeps_traffic, is_acme);
        }
    }

    #[test]
    fn certificates_are_judged_by_the_time_that_is_left() {
        let check = |which, left, expected: (Level, &str)| {
            let certificate = Certificate {
                which,
                name: "CN=x".into(),
                not_before: (which != CertificateKind::Crl).then_some(0),
                not_after: 1_000_000_000 + left,
            };
            let mut findings = Findings(Vec::new());
            findings.judge_certificate(&certificate, 1_000_000_000, false);
            let found = findings.0.first().map_or((Level::Ok, ""), |finding| {
                (finding.level, finding.text.as_str())
            });
            assert_eq!(found, expected, "{which:?} {left}");
        };
        check(CertificateKind::Server, 15 * DAY, (Level::Ok, ""));
        check(
            CertificateKind::Server,
            13 * DAY,
            (
                Level::Warning,
                "The server's certificate expires soon (13 days left).",
            ),
        );
        check(
            CertificateKind::Server,
            0,
            (
                Level::Warning,
                "The server's certificate expires soon (0 minutes left).",
            ),
        );
        check(
            CertificateKind::Server,
            -1,
            (Level::Error, "The server's certificate has expired: CN=x."),
        );
        check(
            CertificateKind::Chain,
            DAY,
            (
                Level::Warning,
                "A certificate of the server's chain expires soon (24 hours left): CN=x.",
            ),
        );
        check(
            CertificateKind::Chain,
            -1,
            (
                Level::Warning,
                "A certificate of the server's chain, beside its own, has expired: CN=x.",
            ),
        );
        check(
            CertificateKind::Ca,
            DAY,
            (
                Level::Warning,
                "A trusted authority expires soon (24 hours left): CN=x.",
            ),
        );
        check(
            CertificateKind::Ca,
            -1,
            (Level::Warning, "A trusted authority has expired: CN=x."),
        );
        check(CertificateKind::Crl, DAY, (Level::Ok, ""));
        check(
            CertificateKind::Crl,
            3600,
            (
                Level::Warning,
                "A revocation list is due soon (1 hour left): CN=x.",
            ),
        );
        check(
            CertificateKind::Crl,
            -DAY,
            (Level::Error, "A revocation list is out of date: CN=x."),
        );
        check(CertificateKind::ClientLastSeen, -1, (Level::Ok, ""));
    }
}
