//! The state of a request while it is served: for its response, its log line and its upstream.

use crate::auth::{ClientIdentity, Presented};
use crate::rejection::Rejection;
use crate::webhook::notification::Notification;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Span;

/// The outcome of a request, with the code of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response of the upstream was passed back.
    Forwarded,
    /// The notification was stored, and is delivered later.
    Queued,
    /// The proxy answered a challenge.
    Challenged,
    /// The proxy answered a Test notification.
    TestAnswered,
    /// The request was refused with this code.
    Refused(&'static str),
    /// The client left before it had the response.
    ClientGone,
}

impl Outcome {
    /// Returns the name of the outcome in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Queued => "queued",
            Self::Challenged => "challenge",
            Self::TestAnswered => "test",
            Self::Refused(_) => "refused",
            Self::ClientGone => "sender_gone",
        }
    }

    /// Returns `true` if the request was neither refused nor abandoned.
    pub fn is_good(self) -> bool {
        matches!(
            self,
            Self::Forwarded | Self::Queued | Self::Challenged | Self::TestAnswered
        )
    }

    /// Returns the code of the refusal, or `ok`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused(code) => code,
            Self::ClientGone => "sender_gone",
            _ => "ok",
        }
    }
}

/// Header fields that assert a client certificate or an identity and were dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DroppedHeaders {
    /// The number of dropped fields.
    pub count: u64,
    /// Some of the canonical names of these fields.
    pub names: Vec<&'static str>,
}

impl DroppedHeaders {
    /// The number of names that are kept.
    const NAMES: usize = 5;

    pub(crate) fn note(&mut self, name: &'static str) {
        self.count += 1;
        if self.names.len() < Self::NAMES && !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

/// The state of a request.
#[derive(Debug)]
pub struct Context {
    /// The time when the head had arrived.
    pub started: Instant,
    /// The id that the client sent, if it is valid, or a new one.
    pub request_id: String,
    /// The address of the client.
    pub remote_addr: Option<IpAddr>,
    /// The configured path of the route.
    pub route: Option<Arc<str>>,
    /// The certificate of the connection, if it is trusted, even if it was not required.
    pub identity: Option<Arc<ClientIdentity>>,
    /// The notification, once it is verified.
    pub notification: Option<Arc<Notification>>,
    /// Dropped header fields that assert an identity.
    pub dropped_headers: DroppedHeaders,
    /// The number of bytes read of the body.
    pub body_bytes: u64,
    /// The name of the upstream group, or the URL.
    pub upstream: Option<Arc<str>>,
    /// The server that responded.
    pub server: Option<Arc<str>>,
    /// The time from sending the request to the end of the response.
    pub upstream_duration: Option<Duration>,
    /// The outcome, once the request has ended.
    pub outcome: Option<Outcome>,
    /// The rejection of a refused request.
    pub rejection: Option<Rejection>,
    /// The reason in a sentence why the upstream did not respond, for the operator alone.
    pub(crate) failure: Option<String>,
    /// The span that its records at level debug belong to.
    pub(crate) span: Span,
}

impl Context {
    /// Creates the state of a new request.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            request_id: String::new(),
            remote_addr: None,
            route: None,
            identity: None,
            notification: None,
            dropped_headers: DroppedHeaders::default(),
            body_bytes: 0,
            upstream: None,
            server: None,
            upstream_duration: None,
            outcome: None,
            rejection: None,
            failure: None,
            span: Span::none(),
        }
    }

    /// Records the route, for the access line and for the records of the request.
    pub(crate) fn note_route(&mut self, route: &Arc<str>) {
        self.span.record("route", &**route);
        self.route = Some(route.clone());
    }

    /// The reason in a sentence why the request was refused, as the operator sees it.
    pub(crate) fn reason(&self) -> Option<Cow<'_, str>> {
        if !matches!(self.outcome, Some(Outcome::Refused(_))) {
            return None;
        }
        let detail = || self.rejection.as_ref().map(Rejection::detail);
        let failure = self.failure.as_deref().map(Cow::Borrowed);
        failure.or_else(detail)
    }

    /// Records the client certificate of the connection.
    pub(crate) fn note_presented(&mut self, presented: &Presented) {
        if let Presented::Trusted(identity) = presented {
            self.identity = Some(identity.clone());
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns a new request id: 128 random bits.
pub(crate) fn new_request_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// Returns the id of the client if it is valid: short, and safe in a header and a log.
pub(crate) fn valid_request_id(id: &[u8]) -> Option<&str> {
    let is_valid = (1..=128).contains(&id.len()) && id.iter().all(may_be_in_id);
    std::str::from_utf8(id).ok().filter(|_| is_valid)
}

fn may_be_in_id(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_kept_if_they_are_harmless() {
        for (id, valid) in [
            ("4bf92f35-77b3.4da6_a:1", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("a\r\nX: y", false),
            ("é", false),
        ] {
            assert_eq!(valid_request_id(id.as_bytes()).is_some(), valid, "{id:?}");
        }
        for byte in 0..=255_u8 {
            let valid = byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
            assert_eq!(valid_request_id(&[byte]).is_some(), valid, "{byte:#x}");
        }
        assert!(valid_request_id(&[b'a'; 128]).is_some());
        assert!(valid_request_id(&[b'a'; 129]).is_none());
        assert!(valid_request_id(new_request_id().as_bytes()).is_some());
        assert_ne!(new_request_id(), new_request_id());
    }
}
