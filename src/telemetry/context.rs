//! What is noted down about a request while it is served: for its answer, its log line and its
//! upstream.

use crate::auth::{ClientIdentity, Presented};
use crate::rejection::Rejection;
use crate::webhook::notification::Notification;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Span;

/// How a request ended, in one word, and the code of its refusal if it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream's answer went back.
    Forwarded,
    /// A challenge was answered here.
    Challenged,
    /// A Test notification was answered here.
    TestAnswered,
    /// Refused, with this code.
    Refused(&'static str),
    /// The sender left before it had its answer.
    ClientGone,
}

impl Outcome {
    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Challenged => "challenge",
            Self::TestAnswered => "test",
            Self::Refused(_) => "refused",
            Self::ClientGone => "sender_gone",
        }
    }

    /// Whether it ended as it should.
    pub fn is_good(self) -> bool {
        matches!(
            self,
            Self::Forwarded | Self::Challenged | Self::TestAnswered
        )
    }

    /// The refusal's code; `ok` for what was not refused.
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused(code) => code,
            Self::ClientGone => "sender_gone",
            _ => "ok",
        }
    }
}

/// Header fields that assert a client certificate or an identity, and were not passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DroppedHeaders {
    /// How many.
    pub count: u64,
    /// Some of the names under which they are known.
    pub names: Vec<&'static str>,
}

impl DroppedHeaders {
    /// As many names are kept.
    const NAMES: usize = 5;

    pub(crate) fn note(&mut self, name: &'static str) {
        self.count += 1;
        if self.names.len() < Self::NAMES && !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

/// What is known about a request so far.
#[derive(Debug)]
pub struct Context {
    /// When its head had arrived.
    pub started: Instant,
    /// The sender's, if it was valid, or a new one.
    pub request_id: String,
    /// The sender's address.
    pub remote_addr: Option<IpAddr>,
    /// The path of its route.
    pub route: Option<Arc<str>>,
    /// The certificate of its connection, if it is trusted. Whether it was demanded is another
    /// matter.
    pub identity: Option<Arc<ClientIdentity>>,
    /// What its body says, once that is verified.
    pub notification: Option<Arc<Notification>>,
    /// What it asserted of an identity, and did not get through with.
    pub dropped_headers: DroppedHeaders,
    /// Bytes of its body that were read.
    pub body_bytes: u64,
    /// Where it was to be forwarded: a group, or a URL.
    pub upstream: Option<Arc<str>>,
    /// Which server of a group answered.
    pub server: Option<Arc<str>>,
    /// From sending it to the end of the answer.
    pub upstream_duration: Option<Duration>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it was refused, if it was.
    pub rejection: Option<Rejection>,
    /// The span that its records at level debug belong to.
    pub(crate) span: Span,
}

impl Context {
    /// A request of which nothing is known.
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
            span: Span::none(),
        }
    }

    /// Records the route, for the access line and for the records of the request.
    pub(crate) fn note_route(&mut self, route: &Arc<str>) {
        self.span.record("route", &**route);
        self.route = Some(route.clone());
    }

    /// Notes whose connection it is.
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

/// A new request id: 128 random bits.
pub(crate) fn new_request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The sender's request id, if it is one: short, and harmless in a header and a log.
pub(crate) fn valid_request_id(id: &[u8]) -> Option<&str> {
    let is_harmless = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:".contains(b);
    let valid = (1..=128).contains(&id.len()) && id.iter().all(is_harmless);
    std::str::from_utf8(id).ok().filter(|_| valid)
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
