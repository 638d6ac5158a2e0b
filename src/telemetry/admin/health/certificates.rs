//! Judges certificates: that of the server, its renewal by ACME, and those that it trusts.

use super::{DAY, Findings, Level, losses, orders, times, unix};
use crate::config::renewal_margin;
use crate::telemetry::history::{RefusedCertificate, Snapshot};
use crate::telemetry::metrics::CertificateKind;
use crate::telemetry::{Certificate, Monitor};
use crate::tls::acme::AcmeStatus;

impl Findings {
    pub(super) fn judge_certificates(&mut self, monitor: &Monitor, now: i64) {
        let (certificates, acme) = (monitor.certificates(), monitor.acme_status());
        for certificate in &certificates {
            self.judge_certificate(certificate, now, acme.is_some());
        }
        if let Some(acme) = acme {
            let has_certificate = certificates
                .iter()
                .any(|certificate| certificate.which == CertificateKind::Server);
            self.judge_acme(&acme, has_certificate, now);
        }
    }

    fn judge_certificate(&mut self, certificate: &Certificate, now: i64, is_acme: bool) {
        let left = time_left(certificate.not_after - now);
        if let Some(wait) = wait(certificate, now) {
            return self.judge_early(certificate.which, &certificate.name, wait);
        }
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

    /// Judges one that is not valid yet: the fault may be that of the clock, so traffic goes on.
    fn judge_early(&mut self, which: CertificateKind, name: &str, wait: i64) {
        let what = match which {
            CertificateKind::ClientLastSeen | CertificateKind::Crl => return,
            CertificateKind::Server => "The server's certificate",
            CertificateKind::Chain => "A certificate of the server's chain",
            CertificateKind::Ca => "A trusted authority",
        };
        let wait = duration(wait);
        self.warn(format!(
            "{what} is not valid for another {wait}: {name}. Is the clock of this machine right?"
        ));
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

    pub(super) fn judge_refused_certificate(&mut self, recent: &Snapshot, now: i64) {
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

    pub(super) fn judge_authorities(&mut self, monitor: &Monitor) {
        for warning in &monitor.configuration().foreign_authorities {
            self.warn(format!("tls.client.ca {warning}."));
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

/// Returns the urgency of replacing a certificate or a revocation list.
pub(in crate::telemetry::admin) fn level(certificate: &Certificate, now: i64) -> Level {
    match certificate.not_after - now {
        ..0 => Level::Error,
        _ if wait(certificate, now).is_some() => Level::Warning,
        left if left < renewed_before(certificate) => Level::Warning,
        _ => Level::Ok,
    }
}

/// Returns the time until a certificate is valid, unless it is.
fn wait(certificate: &Certificate, now: i64) -> Option<i64> {
    let wait = certificate.not_before? - now;
    (wait > 0).then_some(wait)
}

/// Returns how long before its end a certificate or a revocation list should have been renewed.
fn renewed_before(certificate: &Certificate) -> i64 {
    match certificate.not_before {
        Some(not_before) => renewal_margin(not_before, certificate.not_after),
        // A list may be valid for a week or a day, and its issuer renews it in time.
        None => DAY / 4,
    }
}

/// Describes the time until a certificate expires.
pub(in crate::telemetry::admin) fn time_left(seconds: i64) -> String {
    match seconds {
        ..0 => "expired".into(),
        _ => format!("{} left", duration(seconds)),
    }
}

/// Describes a number of seconds for people.
fn duration(seconds: i64) -> String {
    let (number, unit) = match seconds {
        ..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / DAY, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_certificate_that_is_not_valid_yet_may_be_the_fault_of_the_clock() {
        let check = |which, early, expected: &str| {
            let certificate = Certificate {
                which,
                name: "CN=x".into(),
                not_before: Some(1_000_000_000 + early),
                not_after: 2_000_000_000,
            };
            let mut findings = Findings(Vec::new());
            findings.judge_certificate(&certificate, 1_000_000_000, false);
            let found = findings.0.first().map_or("", |finding| &finding.text);
            assert!(found.starts_with(expected), "{which:?} {early}: {found}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
            let is_early = early > 0;
            assert_eq!(
                level(&certificate, 1_000_000_000) == Level::Warning,
                is_early
            );
        };
        check(CertificateKind::Server, 0, "");
        let text = "The server's certificate is not valid for another 2 hours: CN=x. Is the clock";
        check(CertificateKind::Server, 7200, text);
        check(
            CertificateKind::Ca,
            60,
            "A trusted authority is not valid for another 1 minute",
        );
        check(
            CertificateKind::Chain,
            3 * DAY,
            "A certificate of the server's chain is not valid",
        );
        check(CertificateKind::ClientLastSeen, 60, "");
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
