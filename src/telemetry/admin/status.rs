//! The values that the status page shows, and that are its JSON.

use super::health::{self, Level, StatusFinding, findings, time_left, unix};
use crate::rejection::operator_advice;
use crate::telemetry::context::Outcome::{
    Challenged, ClientGone, Forwarded, Refused, TestAnswered,
};
use crate::telemetry::history::{Event, EventCounts, EventResult, STEP, Snapshot, TestToken};
use crate::telemetry::metrics::CertificateKind;
use crate::telemetry::{Certificate, Monitor};
use crate::webhook::notification::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::SystemTime;
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
    pub(super) connections: i64,
    pub(super) totals: Tally,
    pub(super) last_notification: Option<StatusEvent>,
    pub(super) history: History,
    pub(super) certificates: Vec<Validity>,
    pub(super) upstreams: Vec<UpstreamStatus>,
    pub(super) test_tokens: Vec<RouteToken>,
    /// Recent events, the newest first.
    pub(super) events: Vec<StatusEvent>,
}

/// The numbers of passed and refused events.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) refused: u64,
}

/// The history of the last day in steps, the newest last.
#[derive(Serialize)]
pub(super) struct History {
    pub(super) step_seconds: u64,
    pub(super) passed: Vec<u64>,
    pub(super) refused: Vec<u64>,
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

/// An upstream with several servers, or with health checks.
#[derive(Serialize)]
pub(super) struct UpstreamStatus {
    pub(super) name: String,
    pub(super) servers: Vec<ServerStatus>,
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

/// An event, or several equal ones.
#[derive(Serialize)]
pub(super) struct StatusEvent {
    pub(super) at: String,
    /// The number of equal events.
    pub(super) times: u64,
    /// `true` if nothing was refused or failed.
    pub(super) ok: bool,
    /// The kind of event for people.
    pub(super) label: &'static str,
    /// The result for people.
    pub(super) result: &'static str,
    pub(super) code: &'static str,
    pub(super) reason: Option<String>,
    pub(super) advice: Option<&'static str>,
    pub(super) status: Option<u16>,
    pub(super) duration_ms: Option<f64>,
    pub(super) route: Option<String>,
    pub(super) remote_addr: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) kind: Option<&'static str>,
    pub(super) shape: Option<&'static str>,
    pub(super) severity: Option<String>,
    pub(super) title: Option<String>,
    pub(super) node: Option<String>,
    pub(super) space: Option<String>,
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
            connections: monitor.connections(),
            totals: recent.totals.into(),
            last_notification: recent.last_notification().map(StatusEvent::of),
            history: History {
                step_seconds: STEP.as_secs(),
                passed: history.iter().map(|counts| counts.passed).collect(),
                refused: history.iter().map(|counts| counts.refused).collect(),
            },
            certificates: monitor
                .certificates()
                .iter()
                .map(|certificate| Validity::of(certificate, unix(now)))
                .collect(),
            upstreams: monitor
                .upstreams()
                .into_iter()
                .map(UpstreamStatus::from)
                .collect(),
            test_tokens: tokens(&recent),
            events: events(&recent),
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

fn events(recent: &Snapshot) -> Vec<StatusEvent> {
    let mut events: Vec<&Event> = recent.passed.iter().chain(&recent.refused).collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events.into_iter().map(StatusEvent::of).collect()
}

impl From<EventCounts> for Tally {
    fn from(EventCounts { passed, refused }: EventCounts) -> Self {
        Self { passed, refused }
    }
}

impl From<(String, BTreeMap<String, bool>)> for UpstreamStatus {
    fn from((name, servers): (String, BTreeMap<String, bool>)) -> Self {
        Self {
            name,
            servers: servers
                .into_iter()
                .map(|(server, healthy)| ServerStatus { server, healthy })
                .collect(),
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

impl StatusEvent {
    fn of(event: &Event) -> Self {
        let notification = event.notification.as_ref();
        Self {
            at: rfc3339(event.at),
            times: event.times,
            ok: event.ending.is_good(),
            label: label(event),
            result: result(event),
            code: event.ending.code(),
            reason: event.reason.clone().or_else(|| reason(event.ending)),
            advice: operator_advice(event.ending.code()),
            status: event.status,
            duration_ms: event
                .duration
                .map(|duration| (duration.as_secs_f64() * 1e4).round() / 10.0),
            route: event.route.as_deref().map(str::to_owned),
            remote_addr: event.remote_addr.map(|address| address.to_string()),
            request_id: event.request_id.clone(),
            subject: event.subject.clone(),
            kind: notification.map(|notification| notification.kind.as_str()),
            shape: notification
                .and_then(|notification| notification.shape)
                .map(|shape| shape.as_str()),
            severity: notification.and_then(|notification| notification.severity.clone()),
            title: notification.and_then(|notification| notification.title.clone()),
            node: notification.and_then(|notification| notification.node.clone()),
            space: notification.and_then(|notification| notification.space.clone()),
        }
    }
}

fn label(event: &Event) -> &'static str {
    match (
        event
            .notification
            .as_ref()
            .map(|notification| notification.kind),
        event.ending,
    ) {
        (Some(Kind::Alert), _) => "Alert",
        (Some(Kind::Reachability), _) => "Reachability",
        (Some(Kind::Test), _) => "Test notification",
        (Some(Kind::Unknown), _) => "Unrecognised",
        (None, EventResult::Request(Challenged)) => "Challenge",
        (None, EventResult::Request(_)) => "Request",
        (None, EventResult::Handshake(_)) => "Handshake",
        (None, EventResult::Connection(_)) => "Connection",
    }
}

fn result(event: &Event) -> &'static str {
    match event.ending {
        EventResult::Request(Forwarded) => "delivered",
        EventResult::Request(Challenged | TestAnswered) => "answered",
        EventResult::Request(ClientGone) => "sender left",
        EventResult::Request(Refused(_)) if event.notification.is_some() => "not delivered",
        EventResult::Request(Refused(_))
        | EventResult::Handshake(_)
        | EventResult::Connection(_) => "refused",
    }
}

fn reason(ending: EventResult) -> Option<String> {
    match ending {
        EventResult::Request(ClientGone) => {
            Some("The sender left before it had its answer.".into())
        }
        EventResult::Request(Refused("upstream_unreachable")) => {
            Some("The application's answer broke off.".into())
        }
        EventResult::Request(Refused("upstream_timeout")) => {
            Some("The application's answer stopped coming.".into())
        }
        _ => None,
    }
}

fn rfc3339(time: SystemTime) -> String {
    format(OffsetDateTime::from(time))
}

fn format(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0)
        .unwrap_or(time)
        .format(&Rfc3339)
        .unwrap_or_default()
}
