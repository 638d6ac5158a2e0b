//! What is asked.

use crate::commands::client::{ClientRequest, WebhookTarget};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, USER_AGENT};

/// A notification without a body: who should not let it through does no harm with it.
pub(super) fn post(place: &WebhookTarget) -> ClientRequest {
    named(ClientRequest::post(place, Bytes::new())).last()
}

/// A challenge.
pub(super) fn get(place: &WebhookTarget, crc_token: &str) -> ClientRequest {
    named(ClientRequest::challenge(place, crc_token))
}

/// Says who asks, for logs.
fn named(mut request: ClientRequest) -> ClientRequest {
    const NAME: &str = concat!("netdata-webhook-proxy-doctor/", env!("CARGO_PKG_VERSION"));
    request
        .headers
        .insert(USER_AGENT, HeaderValue::from_static(NAME));
    request
        .headers
        .insert(ACCEPT, HeaderValue::from_static("*/*"));
    request
}
