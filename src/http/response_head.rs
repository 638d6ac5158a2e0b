//! The head of a response, from an application or from this program.
//!
//! Its fields are kept as the lines that they are in HTTP/1.1, so that passing one on is a matter
//! of copying bytes.

use bytes::{BufMut as _, BytesMut};
use http::StatusCode;

/// The status and the fields of a response, without those that end at this hop (RFC 9110 section
/// 7.6.1).
#[derive(Clone, Debug)]
pub(crate) struct ResponseHead {
    status: StatusCode,
    /// The reason phrase, if it is not the usual one.
    reason: Option<Box<str>>,
    /// `Name: value\r\n`, one after the other.
    lines: BytesMut,
    has_length: bool,
}

impl ResponseHead {
    /// Creates a head without fields.
    pub(crate) fn new(status: StatusCode) -> Self {
        Self {
            status,
            reason: None,
            lines: BytesMut::with_capacity(512),
            has_length: false,
        }
    }

    /// Sets the reason phrase, which must not contain control characters.
    pub(crate) fn with_reason(mut self, reason: &str) -> Self {
        self.reason = (reason != self.reason()).then(|| reason.into());
        self
    }

    /// Adds a field. What would end its line is left out of `value`: an obsolete folding becomes
    /// spaces (RFC 9112 section 5.2).
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.has_length |= name.eq_ignore_ascii_case(b"content-length");
        self.lines.put_slice(name);
        self.lines.put_slice(b": ");
        let start = self.lines.len();
        self.lines.put_slice(value);
        for byte in &mut self.lines[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.lines.put_slice(b"\r\n");
    }

    /// Returns the status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns `true` for the response of a server that has closed an idle connection (RFC 9110
    /// section 15.5.9): it has taken nothing of a request that was on its way.
    pub(crate) fn is_idle_timeout(&self) -> bool {
        self.status == StatusCode::REQUEST_TIMEOUT
    }

    /// Returns the reason phrase (RFC 9112 section 4), which may be empty.
    pub(crate) fn reason(&self) -> &str {
        self.reason
            .as_deref()
            .or(self.status.canonical_reason())
            .unwrap_or_default()
    }

    /// Returns `true` if there is a `Content-Length`.
    pub(crate) fn has_length(&self) -> bool {
        self.has_length
    }

    /// Returns the fields as the lines of an HTTP/1.1 message.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Returns the fields, in the order and the spelling they came in.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.lines[..];
        std::iter::from_fn(move || {
            let end = memchr::memchr(b'\n', rest)?;
            let line = &rest[..end - 1];
            rest = &rest[end + 1..];
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], &line[colon + 2..]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_lines() {
        let mut head = ResponseHead::new(StatusCode::OK);
        assert_eq!(head.reason(), "OK");
        head = head.with_reason("Fine");
        assert_eq!(head.reason(), "Fine");
        assert_eq!(head.clone().with_reason("").reason(), "");
        assert_eq!(head.fields().count(), 0);
        for (name, value) in [("X-A", "1: 2"), ("x-a", ""), ("X-Folded", "a\r\n b")] {
            head.push(name.as_bytes(), value.as_bytes());
        }
        assert!(!head.has_length());
        head.push(b"CONTENT-length", b"0");
        assert!(head.has_length());
        assert_eq!(
            head.lines(),
            b"X-A: 1: 2\r\nx-a: \r\nX-Folded: a   b\r\nCONTENT-length: 0\r\n"
        );
        let fields: Vec<_> = head
            .fields()
            .map(|(name, value)| [name, b"=", value].concat())
            .collect();
        assert_eq!(
            fields,
            [
                &b"X-A=1: 2"[..],
                b"x-a=",
                b"X-Folded=a   b",
                b"CONTENT-length=0"
            ]
        );
    }
}
