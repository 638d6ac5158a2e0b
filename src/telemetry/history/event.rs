//! An event for the operator: the end of a request, or a refused handshake or connection.

use crate::sanitize::sanitize;
use crate::telemetry::context::{Context, Outcome};
use crate::telemetry::lost::LostNotification;
use crate::telemetry::metrics::ConnectionRefusal;
use crate::tls::Refusal;
use crate::webhook::notification::{Kind, Notification, Shape};
use std::borrow::Cow;
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
    /// An excerpt of a verified notification.
    pub notification: Option<Excerpt>,
}

/// An excerpt of a notification. Its strings are untrusted: any user of Netdata Cloud can choose
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// The kind of the notification.
    pub kind: Kind,
    /// The shape of its body.
    pub shape: Option<Shape>,
    /// The severity in lower case.
    pub severity: Option<String>,
    /// The alert's name, or the message.
    pub title: Option<String>,
    /// The message.
    pub message: Option<String>,
    /// The page about it in Netdata Cloud.
    pub url: Option<String>,
    /// The name of the node.
    pub node: Option<String>,
    /// The name of the space.
    pub space: Option<String>,
    /// The id of the space, which does not change.
    pub space_id: Option<String>,
    /// JSON pointers to unexpected values.
    pub drift: Vec<String>,
}

impl Excerpt {
    fn of(notification: &Notification) -> Self {
        let text = |text: &Option<String>| text.as_deref().map(sanitize).map(Cow::into_owned);
        Self {
            kind: notification.kind,
            shape: notification.shape,
            severity: text(&notification.severity),
            title: text(&notification.title),
            message: text(&notification.message),
            url: notification.url.clone(),
            node: text(&notification.node),
            space: notification
                .space
                .as_ref()
                .and_then(|space| space.label())
                .map(sanitize)
                .map(Cow::into_owned),
            space_id: notification
                .space
                .as_ref()
                .and_then(|space| text(&space.id)),
            drift: notification.drift.clone(),
        }
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
            notification: context.notification.as_deref().map(Excerpt::of),
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
