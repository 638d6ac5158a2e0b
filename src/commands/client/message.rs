//! A request and its answer.

use super::WebhookTarget;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    pub(crate) method: Method,
    /// The path, with its query.
    pub(crate) target: String,
    /// But for the host.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ClientRequest {
    /// A notification.
    pub(crate) fn post(place: &WebhookTarget, body: Bytes) -> Self {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CONTENT_LENGTH, HeaderValue::from(body.len())),
        ];
        Self {
            method: Method::POST,
            target: place.path.clone(),
            headers: headers.into_iter().collect(),
            body,
        }
    }

    /// A challenge.
    pub(crate) fn challenge(place: &WebhookTarget, crc_token: &str) -> Self {
        let separator = if place.path.contains('?') { '&' } else { '?' };
        let token = utf8_percent_encode(crc_token, NON_ALPHANUMERIC);
        Self {
            method: Method::GET,
            target: format!("{}{separator}crc_token={token}", place.path),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// After which the connection ends.
    pub(crate) fn last(mut self) -> Self {
        self.headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
        self
    }
}

/// What was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// As much of it as there is within bounds.
    pub(crate) body: Vec<u8>,
}

impl ClientResponse {
    pub(crate) fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    /// A member of the body, if that is a JSON object and the member a string.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        body.get(name)?.as_str().map(str::to_owned)
    }

    /// The code of a refusal of this program.
    pub(crate) fn code(&self) -> Option<String> {
        self.field("code")
    }

    /// The status, and the code if there is one.
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
