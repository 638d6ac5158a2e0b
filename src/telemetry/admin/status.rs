//! The values that the status page shows, and that are its JSON.

use super::event::{self, StatusEvent};
use super::health::{self, Level, StatusFinding, findings, time_left, unix};
use super::queue_status::QueueStatus;
use crate::telemetry::configured::Configured;
use crate::telemetry::history::{EventCounts, STEP, Snapshot, TestToken, UpstreamAnswer};
use crate::telemetry::metrics::CertificateKind;
use crate::telemetry::{Certificate, Monitor};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The contents of the status page.
#[derive(Serialize)]
pub(super) struct Status {
    pub(super) version: &'static str,
    pub(super) now: String,
    pub(super) started: String,
    pub(super) status: Level,
    /// The status in words, for people.
    pub(super) headline: &'static str,
    pub(super) findings: Vec<StatusFinding>,
    /// The keys whose changes take effect after a restart.
    pub(super) restart_required: Vec<&'static str>,
    pub(super) connections: i64,
    pub(super) totals: Tally,
    pub(super) last_notification: Option<StatusEvent>,
    pub(super) history: History,
    pub(super) certificates: Vec<Validity>,
    #[serde(flatten)]
    pub(super) configured: Configured,
    pub(super) upstreams: Vec<UpstreamStatus>,
    /// The notifications that wait, if any route stores them.
    pub(super) queue: Option<QueueStatus>,
    pub(super) test_tokens: Vec<RouteToken>,
    /// Recent events, the newest first.
    pub(super) events: Vec<StatusEvent>,
}

/// The numbers of passed and refused events, and of notifications that were not delivered.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) refused: u64,
    pub(super) not_delivered: u64,
}

/// The history of the last day in steps, the newest last.
#[derive(Serialize)]
pub(super) struct History {
    pub(super) step_seconds: u64,
    pub(super) passed: Vec<u64>,
    pub(super) refused: Vec<u64>,
    pub(super) not_delivered: Vec<u64>,
}

/// A certificate or a revocation list.
#[derive(Serialize)]
pub(super) struct Validity {
    pub(super) which: &'static str,
    /// The purpose for people.
    pub(super) label: &'static str,
    pub(super) name: String,
    pub(super) not_after: String,
    pub(super) days_left: i64,
    /// The remaining time in words, for people.
    pub(super) left: String,
    pub(super) status: Level,
}

/// An upstream: a group of servers, or the URL of one.
#[derive(Serialize)]
pub(super) struct UpstreamStatus {
    pub(super) name: String,
    /// The servers of a group, whose health is checked.
    pub(super) servers: Vec<ServerStatus>,
    pub(super) last_response: Option<LastResponse>,
}

/// The response that an upstream gave last, or the reason why it gave none.
#[derive(Serialize)]
pub(super) struct LastResponse {
    pub(super) at: String,
    /// The application took the request: the status is 2xx or 3xx.
    pub(super) ok: bool,
    pub(super) status: Option<u16>,
    pub(super) duration_ms: Option<f64>,
    /// The reason in a sentence why there was no response.
    pub(super) failure: Option<String>,
}

/// A server of an upstream.
#[derive(Serialize)]
pub(super) struct ServerStatus {
    pub(super) server: String,
    pub(super) healthy: bool,
}

/// The token of the last Test notification of a route.
#[derive(Serialize)]
pub(super) struct RouteToken {
    pub(super) route: String,
    pub(super) token: String,
    pub(super) at: String,
}

impl Status {
    pub(super) fn of(monitor: &Monitor, is_draining: bool, now: SystemTime) -> Self {
        let recent = monitor.recent();
        let findings = findings(monitor, &recent, is_draining, now);
        let status = findings.first().map_or(Level::Ok, |finding| finding.level);
        let history = recent.history(now);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: rfc3339(now),
            started: rfc3339(monitor.started()),
            status,
            headline: match status {
                Level::Ok => "All is well",
                Level::Warning => "Needs a look",
                Level::Error => "Not ready",
            },
            findings,
            restart_required: monitor.pending().to_vec(),
            connections: monitor.connections(),
            totals: recent.totals.into(),
            last_notification: recent.last_notification().map(StatusEvent::of),
            history: History {
                step_seconds: STEP.as_secs(),
                passed: history.iter().map(|counts| counts.passed).collect(),
                refused: history.iter().map(|counts| counts.refused).collect(),
                not_delivered: history.iter().map(|counts| counts.not_delivered).collect(),
            },
            certificates: monitor
                .certificates()
                .iter()
                .map(|certificate| Validity::of(certificate, unix(now)))
                .collect(),
            upstreams: upstreams(monitor, &recent),
            queue: monitor
                .delivery()
                .map(|delivery| QueueStatus::of(delivery, now)),
            configured: Configured::clone(&monitor.configuration()),
            test_tokens: tokens(&recent),
            events: event::all(&recent, &monitor.undelivered()),
        }
    }
}

fn tokens(recent: &Snapshot) -> Vec<RouteToken> {
    let token = |(route, token): (&String, &TestToken)| RouteToken {
        route: route.clone(),
        token: token.token.clone(),
        at: rfc3339(token.at),
    };
    recent.tokens.iter().map(token).collect()
}

/// Returns every upstream that a route names, and every group.
fn upstreams(monitor: &Monitor, recent: &Snapshot) -> Vec<UpstreamStatus> {
    let mut all = monitor.upstreams();
    for name in &monitor.configuration().upstreams {
        all.entry(name.clone()).or_default();
    }
    let upstream = |(name, servers): (String, BTreeMap<String, bool>)| UpstreamStatus {
        last_response: recent.answers.get(&name).map(LastResponse::of),
        servers: servers
            .into_iter()
            .map(|(server, healthy)| ServerStatus { server, healthy })
            .collect(),
        name,
    };
    all.into_iter().map(upstream).collect()
}

impl LastResponse {
    fn of(answer: &UpstreamAnswer) -> Self {
        Self {
            at: rfc3339(answer.at),
            ok: answer.status.is_some_and(|status| status < 400),
            status: answer.status,
            duration_ms: answer.duration.map(milliseconds),
            failure: answer.failure.clone(),
        }
    }
}

/// Returns a duration in milliseconds, in tenths.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

impl From<EventCounts> for Tally {
    fn from(counts: EventCounts) -> Self {
        Self {
            passed: counts.passed,
            refused: counts.refused,
            not_delivered: counts.not_delivered,
        }
    }
}

impl Validity {
    fn of(certificate: &Certificate, now: i64) -> Self {
        let left = certificate.not_after - now;
        Self {
            which: certificate.which.as_str(),
            label: match certificate.which {
                CertificateKind::Server => "Server",
                CertificateKind::Chain => "Server's chain",
                CertificateKind::Ca => "Trusted CA",
                CertificateKind::ClientLastSeen => "Client, last seen",
                CertificateKind::Crl => "Revocation list",
            },
            name: certificate.name.clone(),
            not_after: OffsetDateTime::from_unix_timestamp(certificate.not_after)
                .map_or_else(|_| String::new(), format),
            days_left: left.div_euclid(24 * 60 * 60),
            left: time_left(left),
            status: health::level(certificate, now),
        }
    }
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    format(OffsetDateTime::from(time))
}

pub(super) fn format(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0)
        .unwrap_or(time)
        .format(&Rfc3339)
        .unwrap_or_default()
}
