//! A request of the client, and the response to it.

use super::WebhookTarget;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;

/// A request of the client.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    pub(crate) method: Method,
    /// Path and query of the request.
    pub(crate) target: String,
    /// All headers but `Host`.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ClientRequest {
    /// Creates a POST with a notification.
    pub(crate) fn post(target: &WebhookTarget, body: Bytes) -> Self {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CONTENT_LENGTH, HeaderValue::from(body.len())),
        ];
        Self {
            method: Method::POST,
            target: target.path.clone(),
            headers: headers.into_iter().collect(),
            body,
        }
    }

    /// Creates a GET request without a body.
    pub(crate) fn get(target: &WebhookTarget) -> Self {
        Self {
            method: Method::GET,
            target: target.path.clone(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Creates a GET with a challenge.
    pub(crate) fn challenge(target: &WebhookTarget, crc_token: &str) -> Self {
        let separator = if target.path.contains('?') { '&' } else { '?' };
        let token = utf8_percent_encode(crc_token, NON_ALPHANUMERIC);
        let mut request = Self::get(target);
        request.target = format!("{}{separator}crc_token={token}", target.path);
        request
    }

    /// Asks the server to close the connection after this request.
    pub(crate) fn last(mut self) -> Self {
        let close = HeaderValue::from_static("close");
        self.headers.insert(CONNECTION, close);
        self
    }
}

/// A response to the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body, up to the limit of the client.
    pub(crate) body: Vec<u8>,
}

impl ClientResponse {
    pub(crate) fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    /// Returns a string member of a JSON object in the body.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.get(name)?.as_str().map(str::to_owned)
    }

    /// Returns the code of a refusal by this program.
    pub(crate) fn code(&self) -> Option<String> {
        self.field("code")
    }

    /// Returns the status, followed by the code if there is one.
    pub(crate) fn describe(&self) -> String {
        match self.code() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }

    pub(crate) fn keeps_connection(&self) -> bool {
        !self
            .header("connection")
            .is_some_and(|value| value.to_ascii_lowercase().contains("close"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_encoded_and_what_was_asked_before_stays() {
        let target = |url: &str| {
            ClientRequest::challenge(&WebhookTarget::parse(url).unwrap(), "a+b/ c=").target
        };
        assert_eq!(target("https://x/y"), "/y?crc_token=a%2Bb%2F%20c%3D");
        assert_eq!(
            target("https://x/y?z=1"),
            "/y?z=1&crc_token=a%2Bb%2F%20c%3D"
        );
    }
}
