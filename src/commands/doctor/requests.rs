//! What is asked.

use crate::commands::client::{Place, Request};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, USER_AGENT};

/// A notification without a body: who should not let it through does no harm with it.
pub(super) fn post(place: &Place) -> Request {
    named(Request::post(place, Bytes::new())).last()
}

/// A challenge.
pub(super) fn get(place: &Place, crc_token: &str) -> Request {
    named(Request::challenge(place, crc_token))
}

/// Says who asks, for logs.
fn named(mut request: Request) -> Request {
    const NAME: &str = concat!("netdata-webhook-proxy-doctor/", env!("CARGO_PKG_VERSION"));
    request
        .headers
        .insert(USER_AGENT, HeaderValue::from_static(NAME));
    request
        .headers
        .insert(ACCEPT, HeaderValue::from_static("*/*"));
    request
}
