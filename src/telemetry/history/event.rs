//! An event for the operator: the end of a request, or a refused handshake or connection.

use crate::sanitize::{MAX_WIRE, sanitize};
use crate::telemetry::context::{Context, Outcome};
use crate::telemetry::lost::LostNotification;
use crate::telemetry::metrics::ConnectionRefusal;
use crate::tls::Refusal;
use crate::webhook::notification::{Notification, Space};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The result of a request, a handshake or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventResult {
    /// A request ended with this outcome.
    Request(Outcome),
    /// A verified notification did not reach its application, with this code.
    NotDelivered(&'static str),
    /// A TLS handshake was refused, with this code.
    Handshake(&'static str),
    /// A connection was refused before any data was exchanged, with this code.
    Connection(&'static str),
}

impl EventResult {
    /// Returns `true` if nothing was refused or failed.
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Self::Request(outcome) if outcome.is_good())
    }

    /// Returns the code that responses, logs and metrics show.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Request(outcome) => outcome.code(),
            Self::NotDelivered(code) | Self::Handshake(code) | Self::Connection(code) => code,
        }
    }
}

/// An event, or several equal ones.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The time of the last occurrence.
    pub at: SystemTime,
    /// The number of occurrences, which are consecutive unless refused.
    pub times: u64,
    /// The result of the event.
    pub ending: EventResult,
    /// The reason of a refusal in a sentence.
    pub reason: Option<String>,
    /// The status of the response.
    pub status: Option<u16>,
    /// The duration of the request.
    pub duration: Option<Duration>,
    /// The configured path of the route.
    pub route: Option<Arc<str>>,
    /// The address of the client.
    pub remote_addr: Option<IpAddr>,
    /// The id of the request in the log.
    pub request_id: Option<String>,
    /// The subject of the client certificate, if the handshake was refused.
    pub subject: Option<String>,
    /// The verified notification, whose strings are to be sanitized: any user of Netdata Cloud can
    /// choose them.
    pub notification: Option<Arc<Notification>>,
}

/// Returns a notification to be kept, which is usually that of the request: copying its strings, to
/// be dropped a hundred requests later, costs 2 % of a request. Those of its space alone have no
/// limit, and are cut as they are shown.
fn kept(notification: &Arc<Notification>) -> Arc<Notification> {
    match &notification.space {
        Some(space) if !is_short(space) => {
            let mut notification = Notification::clone(notification);
            notification.space = Some(cut(space));
            Arc::new(notification)
        }
        _ => notification.clone(),
    }
}

fn is_short(space: &Space) -> bool {
    let mut parts = [&space.id, &space.name, &space.slug].into_iter().flatten();
    parts.all(|part| part.len() <= MAX_WIRE)
}

fn cut(space: &Space) -> Space {
    let cut = |part: &Option<String>| part.as_deref().map(|part| sanitize(part).into_owned());
    Space {
        id: cut(&space.id),
        name: cut(&space.name),
        slug: cut(&space.slug),
    }
}

impl Event {
    /// Describes a request that has ended. `lost` is its notification, if that was not delivered.
    pub(crate) fn of_request(
        context: &Context,
        status: Option<u16>,
        duration: Option<Duration>,
        lost: Option<&LostNotification>,
    ) -> Self {
        let outcome = context
            .outcome
            .unwrap_or(Outcome::Refused("internal_error"));
        let reason = context.reason();
        let reason = reason.map(|reason| sanitize(&reason).into_owned());
        let ending = match lost {
            Some(lost) => EventResult::NotDelivered(lost.known_code()),
            None => EventResult::Request(outcome),
        };
        Self {
            status,
            duration,
            reason: lost.map(|lost| lost.reason.clone()).or(reason),
            route: context.route.clone(),
            request_id: Some(context.request_id.clone()),
            notification: context.notification.as_ref().map(kept),
            ..Self::now(ending, context.remote_addr)
        }
    }

    /// Describes a refused handshake.
    pub(crate) fn of_handshake(peer: IpAddr, refusal: &Refusal) -> Self {
        Self {
            reason: Some(sanitize(&refusal.reason).into_owned()),
            subject: refusal
                .identity
                .as_ref()
                .map(|identity| identity.subject.clone()),
            ..Self::now(EventResult::Handshake(refusal.code.as_str()), Some(peer))
        }
    }

    /// Describes a refused connection.
    pub(crate) fn of_connection(peer: IpAddr, why: ConnectionRefusal, reason: &str) -> Self {
        Self {
            reason: Some(sanitize(reason).into_owned()),
            ..Self::now(EventResult::Connection(why.as_str()), Some(peer))
        }
    }

    pub(super) fn now(ending: EventResult, remote_addr: Option<IpAddr>) -> Self {
        Self {
            at: SystemTime::now(),
            times: 1,
            ending,
            reason: None,
            status: None,
            duration: None,
            route: None,
            remote_addr,
            request_id: None,
            subject: None,
            notification: None,
        }
    }

    /// Returns `true` if this is a repetition of `other`, whatever its address.
    fn repeats(&self, other: &Self) -> bool {
        self.ending == other.ending
            && (&self.route, &self.reason, &self.subject)
                == (&other.route, &other.reason, &other.subject)
    }

    /// Returns the index of the event that this repeats. Notifications are never merged. Refusals
    /// are merged across addresses, so that a hundred for one reason do not hide another reason.
    pub(super) fn earlier(&self, events: &VecDeque<Arc<Self>>) -> Option<usize> {
        match (&self.notification, self.ending.is_good()) {
            (Some(_), _) => None,
            (None, true) => events
                .len()
                .checked_sub(1)
                .filter(|last| self.is_again(&events[*last])),
            (None, false) => events.iter().position(|event| self.repeats(event)),
        }
    }

    /// Returns `true` if this is a repetition of `last` by the same client.
    fn is_again(&self, last: &Self) -> bool {
        self.repeats(last) && self.remote_addr == last.remote_addr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::notification::SchemaPolicy;

    #[test]
    fn what_is_kept_of_a_notification_is_short() {
        let long = "x".repeat(100_000);
        for space in [
            format!(r#""{long}""#),
            format!(r#"{{"id":"{long}","name":"{long}","slug":"{long}"}}"#),
            r#""short""#.to_owned(),
        ] {
            let body = format!(
                r#"{{"alert":"{long}","host":"{long}","message":"{long}","severity":"{long}",
                "alert_url":"https://app.netdata.cloud/{long}#transition={long}","space":{space}}}"#
            );
            let verified = Notification::verify(body.as_bytes(), SchemaPolicy::Warn, &[]);
            let kept = kept(&Arc::new(verified.unwrap()));
            assert!(kept.space.is_some(), "{space:.50}");
            let size = format!("{kept:?}").len();
            assert!(size < 4000, "{size}: {space:.50}");
        }
    }
}
