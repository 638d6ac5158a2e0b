//! The events that the status page shows.

use super::status::{format, milliseconds, rfc3339};
use crate::rejection::operator_advice;
use crate::sanitize::sanitize;
use crate::telemetry::context::Outcome::{
    Challenged, ClientGone, Forwarded, Queued, Refused, TestAnswered,
};
use crate::telemetry::history::{Event, EventResult, Snapshot};
use crate::telemetry::lost::LostNotification;
use crate::webhook::notification::{Kind, Notification, Shape, Space};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use time::OffsetDateTime;

/// The words for the known kinds of notifications.
const LABELS: [(Kind, &str); 3] = [
    (Kind::Alert, "Alert"),
    (Kind::Reachability, "Reachability"),
    (Kind::Test, "Test notification"),
];

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
    pub(super) kind: Option<String>,
    pub(super) shape: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) title: Option<String>,
    pub(super) message: Option<String>,
    pub(super) url: Option<String>,
    pub(super) node: Option<String>,
    pub(super) space: Option<String>,
    pub(super) space_id: Option<String>,
}

/// Returns the recent events, the newest first, with those of `lost` that are no longer among them.
pub(super) fn all(recent: &Snapshot, lost: &[LostNotification]) -> Vec<StatusEvent> {
    let recent = newest_first(recent);
    let known = request_ids(&recent);
    let earlier = lost
        .iter()
        .filter(|lost| lost.was_stored() || !known.contains(lost.request_id.as_str()))
        .map(StatusEvent::of_lost)
        .rev();
    let mut events: Vec<_> = recent.iter().copied().map(StatusEvent::of).collect();
    events.extend(earlier);
    // Stable: events of the same second stay in their order.
    events.sort_by(|one, other| other.at.cmp(&one.at));
    events
}

fn newest_first(recent: &Snapshot) -> Vec<&Event> {
    let mut events: Vec<&Event> = recent
        .passed
        .iter()
        .chain(&recent.refused)
        .map(Arc::as_ref)
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    events
}

fn request_ids<'e>(events: &[&'e Event]) -> HashSet<&'e str> {
    let ids = events.iter().map(|event| event.request_id.as_deref());
    ids.flatten().collect()
}

impl StatusEvent {
    pub(super) fn of(event: &Event) -> Self {
        let notification = event.notification.as_deref();
        let text = |part: fn(&Notification) -> Option<&str>| {
            let part = notification.and_then(part);
            part.map(|part| sanitize(part).into_owned())
        };
        let space = |part: fn(&Space) -> Option<&str>| {
            let space = notification.and_then(|notification| notification.space.as_ref());
            space.and_then(part).map(|part| sanitize(part).into_owned())
        };
        Self {
            at: rfc3339(event.at),
            times: event.times,
            ok: event.ending.is_good(),
            label: label(event),
            result: result(event.ending),
            code: event.ending.code(),
            reason: event.reason.clone().or_else(|| reason(event.ending)),
            advice: operator_advice(event.ending.code()),
            status: event.status,
            duration_ms: event.duration.map(milliseconds),
            route: event.route.as_deref().map(str::to_owned),
            remote_addr: event.remote_addr.map(|address| address.to_string()),
            request_id: event.request_id.clone(),
            subject: event.subject.clone(),
            kind: notification.map(|notification| notification.kind.as_str().to_owned()),
            shape: notification
                .and_then(|notification| notification.shape)
                .map(Shape::as_str)
                .map(str::to_owned),
            severity: text(|it| it.severity.as_deref()),
            title: text(|it| it.title.as_deref()),
            message: text(|it| it.message.as_deref()),
            url: notification.and_then(|notification| notification.url.clone()),
            node: text(|it| it.node.as_deref()),
            space: space(Space::label),
            space_id: space(|it| it.id.as_deref()),
        }
    }

    /// Describes a notification that an earlier process did not deliver, or that was stored.
    fn of_lost(lost: &LostNotification) -> Self {
        let code = lost.known_code();
        Self {
            at: OffsetDateTime::from_unix_timestamp(lost.at).map_or_else(|_| String::new(), format),
            times: 1,
            ok: false,
            label: label_of(&lost.kind),
            result: result(EventResult::NotDelivered(code)),
            code,
            reason: Some(lost.reason.clone()),
            advice: operator_advice(code),
            status: lost.status,
            duration_ms: None,
            route: Some(lost.route.clone()),
            remote_addr: lost.remote_addr.clone(),
            request_id: Some(lost.request_id.clone()),
            subject: None,
            kind: Some(lost.kind.clone()),
            shape: lost.shape.clone(),
            severity: lost.severity.clone(),
            title: lost.title.clone(),
            message: lost.message.clone(),
            url: lost.url.clone(),
            node: lost.node.clone(),
            space: lost.space.clone(),
            space_id: lost.space_id.clone(),
        }
    }
}

fn label(event: &Event) -> &'static str {
    match &event.notification {
        Some(notification) => label_of(notification.kind.as_str()),
        None => label_without_notification(event.ending),
    }
}

fn label_without_notification(ending: EventResult) -> &'static str {
    match ending {
        EventResult::Request(Challenged) => "Challenge",
        EventResult::Request(_) | EventResult::NotDelivered(_) => "Request",
        EventResult::Handshake(_) => "Handshake",
        EventResult::Connection(_) => "Connection",
    }
}

/// Returns the words for a kind of notification.
fn label_of(kind: &str) -> &'static str {
    let mut labels = LABELS.iter();
    let known = labels.find(|(known, _)| known.as_str() == kind);
    known.map_or("Unrecognised", |(_, label)| label)
}

fn result(ending: EventResult) -> &'static str {
    match ending {
        EventResult::Request(Forwarded) => "delivered",
        EventResult::Request(Queued) => "stored",
        EventResult::Request(Challenged | TestAnswered) => "answered",
        EventResult::Request(ClientGone) => "sender left",
        EventResult::NotDelivered(_) => "not delivered",
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
        _ => None,
    }
}
