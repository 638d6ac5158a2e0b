//! Verified notifications that did not reach their application: what is known of each, and its line
//! in the log.

use super::context::{Context, Outcome};
use super::repeated::Repeated;
use crate::sanitize::sanitize;
use crate::webhook::notification::Notification;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::error;

/// The codes of requests with which a notification is lost.
pub(in crate::telemetry) const CODES: [&str; 8] = [
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_unavailable",
    "queue_full",
    "queue_failed",
    REJECTED,
    ABORTED,
    "internal_error",
];

/// The code of a stored notification that was set aside.
pub(in crate::telemetry) const PARKED: &str = "queue_parked";

/// The code of a stored notification that was deleted to make room.
pub(in crate::telemetry) const DROPPED: &str = "queue_dropped";

/// The application responded with a status other than 2xx.
const REJECTED: &str = "upstream_rejected";

/// The process ended before the application responded.
const ABORTED: &str = "request_aborted";

/// A verified notification that did not reach its application, as far as operators need to know it.
///
/// Its strings are sanitized. It is kept in a file, so that other versions must be able to read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LostNotification {
    /// Its route and its idempotency key: equal for the same notification.
    pub(in crate::telemetry) key: String,
    /// The time of the last attempt, in seconds since 1970.
    pub(in crate::telemetry) at: i64,
    pub(in crate::telemetry) code: String,
    /// The reason in a sentence.
    pub(in crate::telemetry) reason: String,
    /// The status of the response to Netdata Cloud.
    pub(in crate::telemetry) status: Option<u16>,
    pub(in crate::telemetry) route: String,
    pub(in crate::telemetry) request_id: String,
    pub(in crate::telemetry) remote_addr: Option<String>,
    pub(in crate::telemetry) kind: String,
    pub(in crate::telemetry) shape: Option<String>,
    pub(in crate::telemetry) severity: Option<String>,
    pub(in crate::telemetry) title: Option<String>,
    pub(in crate::telemetry) message: Option<String>,
    pub(in crate::telemetry) url: Option<String>,
    pub(in crate::telemetry) node: Option<String>,
    pub(in crate::telemetry) space: Option<String>,
    pub(in crate::telemetry) space_id: Option<String>,
    /// Its id in the queue, while it is parked there.
    #[serde(default)]
    pub(in crate::telemetry) parked_id: Option<i64>,
}

impl LostNotification {
    /// Returns the code as one of the known ones.
    pub(in crate::telemetry) fn known_code(&self) -> &'static str {
        let mut codes = CODES.into_iter().chain([PARKED, DROPPED]);
        let known = codes.find(|code| *code == self.code);
        known.unwrap_or("internal_error")
    }

    /// Returns `true` if it was stored, so that its request had another end.
    pub(in crate::telemetry) fn was_stored(&self) -> bool {
        [PARKED, DROPPED].contains(&self.known_code())
    }
}

/// Returns the notification of a request that has ended, if it was verified and did not reach its
/// application, and logs it. `status` is that of the response.
pub(crate) fn report(context: &Context, status: Option<u16>) -> Option<LostNotification> {
    let notification = context.notification.as_deref()?;
    let lost = describe(context, notification, status)?;
    if Repeated::NotDelivered.may_be_written() {
        log(&lost, context, notification);
    }
    Some(lost)
}

fn log(lost: &LostNotification, context: &Context, notification: &Notification) {
    error!(
        event = "notification_not_delivered",
        request_id = lost.request_id,
        route = lost.route,
        code = lost.code,
        status = lost.status,
        kind = lost.kind,
        severity = lost.severity,
        title = lost.title,
        node = lost.node,
        space = lost.space,
        transition_id = notification.transition_id,
        upstream = context.upstream.as_deref(),
        server = context.server.as_deref(),
        detail = lost.reason,
        "notification not delivered"
    );
}

/// Returns the key of a notification: the same for each attempt to deliver it.
pub(super) fn key(context: &Context, notification: &Notification) -> String {
    let route = context.route.as_deref().unwrap_or_default();
    key_of(route, &notification.idempotency_key)
}

/// Returns the key of a notification of `route` with this Idempotency-Key.
pub(super) fn key_of(route: &str, idempotency: &str) -> String {
    format!("{route} {idempotency}")
}

/// Returns `true` if the application has taken the notification of a request, or will.
pub(super) fn is_delivered(context: &Context, status: Option<u16>) -> bool {
    let is_taken = matches!(context.outcome, Some(Outcome::Forwarded | Outcome::Queued));
    is_taken && status.is_some_and(is_success)
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn describe(
    context: &Context,
    notification: &Notification,
    status: Option<u16>,
) -> Option<LostNotification> {
    let (code, reason) = fate(context, status)?;
    let shown = |text: &Option<String>| text.as_deref().map(|text| sanitize(text).into_owned());
    let space = notification.space.as_ref();
    let label = space.and_then(|space| space.label());
    Some(LostNotification {
        key: key(context, notification),
        at: now(),
        code: code.to_owned(),
        reason: sanitize(&reason).into_owned(),
        status,
        route: context.route.as_deref().unwrap_or_default().to_owned(),
        request_id: context.request_id.clone(),
        remote_addr: context.remote_addr.map(|address| address.to_string()),
        kind: notification.kind.as_str().to_owned(),
        shape: notification.shape.map(|shape| shape.as_str().to_owned()),
        severity: shown(&notification.severity),
        title: shown(&notification.title),
        message: shown(&notification.message),
        url: notification.url.clone(),
        node: shown(&notification.node),
        space: label.map(|label| sanitize(label).into_owned()),
        space_id: space.and_then(|space| shown(&space.id)),
        parked_id: None,
    })
}

/// Returns the code and the reason if the application did not take what was sent to it.
fn fate(context: &Context, status: Option<u16>) -> Option<(&'static str, String)> {
    // Without an upstream, it was answered here.
    context.upstream.as_ref()?;
    match context.outcome {
        Some(Outcome::Refused(code)) => Some((code, context.reason().unwrap_or_default().into())),
        Some(_) => rejected(status?),
        None => Some((
            ABORTED,
            "The process ended before the application had responded.".to_owned(),
        )),
    }
}

/// Returns the code and the reason if the application responded that it did not take it.
fn rejected(status: u16) -> Option<(&'static str, String)> {
    (!is_success(status)).then(|| {
        let reason = format!("The application responded with status {status}.");
        (REJECTED, reason)
    })
}

pub(super) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Rejection;

    #[test]
    fn a_notification_is_lost_unless_its_application_takes_it() {
        let refused = Outcome::Refused("upstream_timeout");
        for (upstream, outcome, status, expected) in [
            (Some("app"), Some(Outcome::Forwarded), Some(200), None),
            (Some("app"), Some(Outcome::Forwarded), Some(299), None),
            (
                Some("app"),
                Some(Outcome::Forwarded),
                Some(300),
                Some(REJECTED),
            ),
            (
                Some("app"),
                Some(Outcome::Forwarded),
                Some(199),
                Some(REJECTED),
            ),
            (
                Some("app"),
                Some(Outcome::Forwarded),
                Some(503),
                Some(REJECTED),
            ),
            (
                Some("app"),
                Some(Outcome::ClientGone),
                Some(500),
                Some(REJECTED),
            ),
            (Some("app"), Some(Outcome::ClientGone), Some(200), None),
            (Some("app"), Some(Outcome::ClientGone), None, None),
            (
                Some("app"),
                Some(refused),
                Some(504),
                Some("upstream_timeout"),
            ),
            (Some("app"), None, None, Some(ABORTED)),
            (None, Some(Outcome::TestAnswered), Some(200), None),
            (
                None,
                Some(Outcome::Refused("space_not_allowed")),
                Some(403),
                None,
            ),
        ] {
            let context = Context {
                upstream: upstream.map(Into::into),
                outcome,
                rejection: Some(Rejection::UpstreamTimeout),
                ..Context::new()
            };
            let found = fate(&context, status);
            assert_eq!(
                found.as_ref().map(|(code, _)| *code),
                expected,
                "{outcome:?} {status:?}"
            );
            if let Some((code, reason)) = found {
                assert!(CODES.contains(&code) && reason.ends_with('.'), "{reason}");
            }
        }
    }
}
