//! A response of the admin listener, with headers that restrict what browsers do with it.

use super::status_page;
use bytes::Bytes;
use http::{StatusCode, header};
use pingora::http::ResponseHeader;
use serde::Serialize;

/// The content security policy of everything but the status page: nothing is allowed.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// Header fields that every response has: no browser keeps, frames or embeds it.
const RESTRICTIONS: [(&str, &str); 5] = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

/// A response of the admin listener.
pub(super) struct AdminResponse {
    status: StatusCode,
    media_type: &'static str,
    policy: &'static str,
    pub(super) body: Bytes,
}

impl AdminResponse {
    /// Creates a plain text response.
    pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        Self {
            status,
            media_type: "text/plain; charset=utf-8",
            policy: NOTHING,
            body: text.into(),
        }
    }

    /// Creates a response with metrics in Prometheus' text format.
    pub(super) fn metrics(text: String) -> Self {
        Self::ok("text/plain; version=0.0.4; charset=utf-8", text.into())
    }

    /// Creates a JSON response.
    pub(super) fn json(value: &impl Serialize) -> Self {
        // Encoding fails only for maps whose keys are not strings, and there are none.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self::ok("application/json", body.into())
    }

    fn ok(media_type: &'static str, body: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            media_type,
            policy: NOTHING,
            body,
        }
    }

    /// Creates a response with the status page.
    pub(super) fn page(html: String) -> Self {
        Self {
            policy: &status_page::POLICY,
            ..Self::ok("text/html; charset=utf-8", html.into())
        }
    }

    /// Creates the response to methods other than GET and HEAD.
    pub(super) fn method_not_allowed() -> Self {
        Self::text(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only GET and HEAD are answered here.\n",
        )
    }

    /// Returns the head of the response.
    pub(super) fn head(&self) -> pingora::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(self.status, Some(10))?;
        head.insert_header(header::CONTENT_TYPE, self.media_type)?;
        head.insert_header(header::CONTENT_LENGTH, self.body.len())?;
        head.insert_header(header::CONTENT_SECURITY_POLICY, self.policy)?;
        for (name, value) in RESTRICTIONS {
            head.insert_header(name, value)?;
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            head.insert_header(header::ALLOW, "GET, HEAD")?;
        }
        Ok(head)
    }
}
