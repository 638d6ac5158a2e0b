//! An answer of the admin listener, and the headers that keep browsers from doing more with it than
//! showing it.

use super::status_page;
use bytes::Bytes;
use http::{StatusCode, header};
use pingora::http::ResponseHeader;
use serde::Serialize;

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
        Self {
            status,
            media_type: "text/plain; charset=utf-8",
            policy: NOTHING,
            body: text.into(),
        }
    }

    /// Metrics in Prometheus' text format.
    pub(super) fn metrics(text: String) -> Self {
        let media_type = "text/plain; version=0.0.4; charset=utf-8";
        Self {
            status: StatusCode::OK,
            media_type,
            policy: NOTHING,
            body: text.into(),
        }
    }

    /// A value as JSON.
    pub(super) fn json(value: &impl Serialize) -> Self {
        // It fails for maps whose keys are no strings, and there are none.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self {
            status: StatusCode::OK,
            media_type: "application/json",
            policy: NOTHING,
            body: body.into(),
        }
    }

    /// The status page.
    pub(super) fn page(html: String) -> Self {
        let media_type = "text/html; charset=utf-8";
        Self {
            status: StatusCode::OK,
            media_type,
            policy: &status_page::POLICY,
            body: html.into(),
        }
    }

    /// Only GET and HEAD are answered.
    pub(super) fn method_not_allowed() -> Self {
        Self::text(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only GET and HEAD are answered here.\n",
        )
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
