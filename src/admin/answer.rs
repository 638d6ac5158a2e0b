//! An answer of the admin listener, and the headers that keep browsers from doing more with it than showing it.

use bytes::Bytes;
use http::{StatusCode, header};
use pingora::http::ResponseHeader;

/// What a browser may do with anything but the status page: nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// An answer.
pub(super) struct Answer {
    status: StatusCode,
    media_type: &'static str,
    policy: &'static str,
    pub(super) body: Bytes,
}

impl Answer {
    /// A line or more for people, and for probes that look at the status.
    pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self { status, media_type: "text/plain; charset=utf-8", policy: NOTHING, body: text.into() }
    }

    /// Metrics in Prometheus' text format.
    pub(super) fn metrics(text: String) -> Self {
        let media_type = "text/plain; version=0.0.4; charset=utf-8";
        Self { status: StatusCode::OK, media_type, policy: NOTHING, body: text.into() }
    }

    /// Only GET and HEAD are answered.
    pub(super) fn method_not_allowed() -> Self {
        Self::text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n")
    }

    /// The head. The connection ends with the answer.
    pub(super) fn head(&self) -> pingora::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(self.status, Some(10))?;
        head.insert_header(header::CONTENT_TYPE, self.media_type)?;
        head.insert_header(header::CONTENT_LENGTH, self.body.len())?;
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        head.insert_header(header::CONTENT_SECURITY_POLICY, self.policy)?;
        head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
        head.insert_header(header::X_FRAME_OPTIONS, "DENY")?;
        head.insert_header(header::REFERRER_POLICY, "no-referrer")?;
        head.insert_header("Cross-Origin-Resource-Policy", "same-origin")?;
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            head.insert_header(header::ALLOW, "GET, HEAD")?;
        }
        Ok(head)
    }
}
