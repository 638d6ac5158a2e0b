//! Requests of the checks.

use crate::commands::client::{ClientRequest, WebhookTarget};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, USER_AGENT};

/// Name of the doctor in the logs of servers.
const NAME: &str = concat!("netdata-webhook-proxy-doctor/", env!("CARGO_PKG_VERSION"));

/// Returns a notification without a body: it does no harm if it gets through.
pub(super) fn post(target: &WebhookTarget) -> ClientRequest {
    named(ClientRequest::post(target, Bytes::new())).last()
}

/// Returns a challenge with `crc_token`.
pub(super) fn get(target: &WebhookTarget, crc_token: &str) -> ClientRequest {
    named(ClientRequest::challenge(target, crc_token))
}

fn named(mut request: ClientRequest) -> ClientRequest {
    let headers = &mut request.headers;
    headers.insert(USER_AGENT, HeaderValue::from_static(NAME));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    request
}
