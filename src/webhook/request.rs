//! The two kinds of requests that a webhook takes.

use super::challenge;
use crate::rejection::Rejection;
use http::Method;

/// A request on a webhook, by what it asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum WebhookRequest {
    /// A challenge, to be answered here.
    Challenge {
        /// The token as Netdata generated it: the percent-encoding of the query is undone.
        crc_token: String,
    },
    /// A notification, to be verified and delivered to the upstream.
    Notification,
}

impl WebhookRequest {
    /// Classifies a request by its method and its query. `challenge_enabled` says that the route
    /// has a secret to answer challenges with.
    pub fn classify(
        method: &Method,
        query: Option<&[u8]>,
        challenge_enabled: bool,
    ) -> Result<Self, Rejection> {
        match *method {
            Method::GET => Self::challenge(query.unwrap_or_default(), challenge_enabled),
            Method::POST => Ok(Self::Notification),
            _ => Err(Rejection::MethodNotAllowed),
        }
    }

    fn challenge(query: &[u8], challenge_enabled: bool) -> Result<Self, Rejection> {
        let crc_token = challenge::crc_token(query);
        if !challenge_enabled && crc_token != Err(Rejection::CrcTokenMissing) {
            return Err(Rejection::ChallengeDisabled);
        }
        crc_token.map(|crc_token| Self::Challenge { crc_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_takes_challenges_and_notifications() {
        let check = |method, query: Option<&str>, secret| {
            WebhookRequest::classify(&method, query.map(str::as_bytes), secret)
        };
        let challenge = Ok(WebhookRequest::Challenge {
            crc_token: "abc".into(),
        });
        assert_eq!(check(Method::GET, Some("crc_token=abc"), true), challenge);
        assert_eq!(
            check(Method::GET, Some("crc_token=abc"), false),
            Err(Rejection::ChallengeDisabled)
        );
        assert_eq!(
            check(Method::GET, None, true),
            Err(Rejection::CrcTokenMissing)
        );
        assert_eq!(
            check(Method::GET, None, false),
            Err(Rejection::CrcTokenMissing)
        );
        assert_eq!(
            check(Method::POST, None, true),
            Ok(WebhookRequest::Notification)
        );
        assert_eq!(
            check(Method::POST, Some("crc_token=abc"), true),
            Ok(WebhookRequest::Notification)
        );
        for method in [
            Method::HEAD,
            Method::PUT,
            Method::OPTIONS,
            Method::TRACE,
            Method::DELETE,
        ] {
            assert_eq!(
                check(method, Some("crc_token=abc"), true),
                Err(Rejection::MethodNotAllowed)
            );
        }
    }
}
