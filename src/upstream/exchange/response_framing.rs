//! The framing of a response: how the end of its body is marked (RFC 9112 section 6.3).

use super::error::ResponseError;
use super::response_body::ResponseBody;
use crate::http::list;
use http::StatusCode;
use httparse::Header;

/// The fields of a response that frame its body and its connection.
#[derive(Default)]
pub(super) struct ResponseFraming {
    length: Option<u64>,
    pub(super) is_chunked: bool,
    pub(super) has_connection: bool,
}

impl ResponseFraming {
    /// Reads the framing from `fields`.
    ///
    /// # Errors
    /// Returns an error if the length of the body is ambiguous, or its coding unknown.
    pub(super) fn of(fields: &[Header<'_>]) -> Result<Self, ResponseError> {
        let mut framing = Self::default();
        for field in fields {
            framing.add(field)?;
        }
        Ok(framing)
    }

    fn add(&mut self, field: &Header<'_>) -> Result<(), ResponseError> {
        let is = |name| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            return list::elements(field.value).try_for_each(|length| self.add_length(length));
        }
        if is("transfer-encoding") {
            return self.add_coding(field.value);
        }
        self.has_connection |= is("connection");
        Ok(())
    }

    fn add_length(&mut self, text: &[u8]) -> Result<(), ResponseError> {
        let length = parse_length(text);
        let length = length.ok_or(malformed("the Content-Length is not a number"))?;
        match self.length.replace(length) {
            Some(other) if other != length => {
                Err(malformed("it has different Content-Length values"))
            }
            _ => Ok(()),
        }
    }

    fn add_coding(&mut self, coding: &[u8]) -> Result<(), ResponseError> {
        if self.is_chunked || !coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(malformed("the transfer coding is unknown"));
        }
        self.is_chunked = true;
        Ok(())
    }

    /// Returns the body of a response with `status`.
    pub(super) fn body(&self, status: StatusCode) -> ResponseBody {
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return ResponseBody::none();
        }
        match self.length {
            _ if self.is_chunked => ResponseBody::chunked(),
            Some(length) => ResponseBody::of_length(length),
            None => ResponseBody::until_close(),
        }
    }

    /// Returns the `Content-Length` for the client. There is none in chunked responses (RFC 9112
    /// section 6.3) and in those that cannot have a body (RFC 9110 section 8.6).
    pub(super) fn length_for(&self, status: StatusCode) -> Option<u64> {
        self.length
            .filter(|_| !self.is_chunked && status != StatusCode::NO_CONTENT)
    }

    /// Returns `true` if the server may have sent a longer or shorter body than is read.
    pub(super) fn is_doubtful(&self, status: StatusCode) -> bool {
        let has_body = self.is_chunked || self.length.is_some_and(|length| length > 0);
        (self.is_chunked && self.length.is_some()) || (status == StatusCode::NO_CONTENT && has_body)
    }
}

fn malformed(problem: &'static str) -> ResponseError {
    ResponseError::Malformed(problem)
}

/// Parses digits, without a sign.
fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
