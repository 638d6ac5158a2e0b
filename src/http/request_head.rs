//! The head of a request as it was sent: nothing decoded, merged or put in another order.

use super::{list, url};
use bytes::{BufMut as _, Bytes, BytesMut};
use std::ops::Range;

/// The version of HTTP that a request came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// Version 1.0 of HTTP (RFC 1945).
    Http10,
    /// Version 1.1 of HTTP (RFC 9112).
    Http11,
    /// Version 2 of HTTP (RFC 9113).
    Http2,
}

impl From<http::Version> for HttpVersion {
    /// Versions after HTTP/2 have the same semantics.
    fn from(version: http::Version) -> Self {
        match version {
            http::Version::HTTP_10 => Self::Http10,
            http::Version::HTTP_2 | http::Version::HTTP_3 => Self::Http2,
            _ => Self::Http11,
        }
    }
}

impl HttpVersion {
    /// Returns the name of the version in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// The head of a request: its request line and its fields.
///
/// It refers to spans of the bytes that came over the wire, so that reading one costs no copy and
/// passing it on is a matter of copying lines.
#[derive(Clone, Debug)]
pub struct RequestHead {
    bytes: Bytes,
    spans: HeadSpans,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug)]
struct FieldSpans {
    name: Span,
    value: Span,
}

impl Span {
    /// Creates a span that ends within the first 4 GiB of a head, as every span of a bounded head
    /// does.
    pub(crate) fn new(range: Range<usize>) -> Self {
        let position = |index| u32::try_from(index).unwrap_or(u32::MAX);
        Self {
            start: position(range.start),
            end: position(range.end),
        }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// The positions of the parts of a head.
#[derive(Clone, Debug)]
pub(crate) struct HeadSpans {
    pub(crate) version: HttpVersion,
    pub(crate) method: Span,
    pub(crate) target: Span,
    fields: Vec<FieldSpans>,
}

impl HeadSpans {
    pub(crate) fn new(version: HttpVersion, method: Span, target: Span) -> Self {
        Self {
            version,
            method,
            target,
            fields: Vec::with_capacity(16),
        }
    }

    pub(crate) fn push(&mut self, name: Span, value: Span) {
        self.fields.push(FieldSpans { name, value });
    }

    /// Returns the head that `bytes` hold.
    pub(crate) fn of(self, bytes: Bytes) -> RequestHead {
        RequestHead { bytes, spans: self }
    }
}

impl RequestHead {
    /// Creates a head whose parts did not come in the form of HTTP/1.1.
    pub fn from_parts<'p>(
        version: HttpVersion,
        method: &str,
        target: &[u8],
        fields: impl Iterator<Item = (&'p [u8], &'p [u8])>,
    ) -> Self {
        let mut bytes = BytesMut::with_capacity(1024);
        let method = append(&mut bytes, method.as_bytes());
        let target = append(&mut bytes, target);
        let mut spans = HeadSpans::new(version, method, target);
        for (name, value) in fields {
            let name = append(&mut bytes, name);
            spans.push(name, append(&mut bytes, value));
        }
        spans.of(bytes.freeze())
    }

    /// Returns the version of HTTP that it came in.
    pub fn version(&self) -> HttpVersion {
        self.spans.version
    }

    /// Returns the method, a token (RFC 9110 section 9.1).
    pub fn method(&self) -> &[u8] {
        self.spans.method.of(&self.bytes)
    }

    /// Returns the target as it came: a path with its query, an absolute URL, or `*`.
    pub fn target(&self) -> &[u8] {
        self.spans.target.of(&self.bytes)
    }

    /// Returns the target from its path on: an absolute one without its scheme and authority (RFC 9112
    /// section 3.2.2).
    fn path_and_query(&self) -> &[u8] {
        let target = self.target();
        let Some((_, rest)) = url::absolute(target) else {
            return target;
        };
        let end_of_authority = rest.iter().position(|b| b"/?".contains(b));
        &rest[end_of_authority.unwrap_or(rest.len())..]
    }

    /// Returns the path, as it came. An empty one, which only an absolute target has, is `/` (RFC 9110
    /// section 4.2.3).
    pub fn path(&self) -> &[u8] {
        match self.path_and_query().split(|b| *b == b'?').next() {
            None | Some(b"") => b"/",
            Some(path) => path,
        }
    }

    /// Returns the query: the part after the first question mark, if there is one.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.path_and_query();
        let mark = target.iter().position(|b| *b == b'?')?;
        Some(&target[mark + 1..])
    }

    /// Returns the fields, in the order and the spelling they came in.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let fields = self.spans.fields.iter();
        fields.map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes)))
    }

    /// Returns the values of the fields of this name, in whatever case.
    pub fn all<'h, 'n>(
        &'h self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = &'h [u8]> + use<'h, 'n> {
        let is_named = move |field: &&FieldSpans| {
            let own = field.name.of(&self.bytes);
            own.eq_ignore_ascii_case(name.as_bytes())
        };
        let fields = self.spans.fields.iter().filter(is_named);
        fields.map(|field| field.value.of(&self.bytes))
    }

    /// Returns the value of the first field of this name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Returns `true` if `token` is among the comma-separated values of the fields of this name, in
    /// whatever case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        list::has_token(self.all(name), token)
    }

    /// Returns the value of `Host`: the host that the request is for.
    pub fn host(&self) -> &[u8] {
        self.first("host").unwrap_or_default()
    }

    /// Returns the declared length of the body, in bytes.
    pub fn content_length(&self) -> Option<u64> {
        let length = std::str::from_utf8(self.first("content-length")?);
        length.ok()?.parse().ok()
    }

    /// Returns the bytes that it refers to.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn append(bytes: &mut BytesMut, part: &[u8]) -> Span {
    let start = bytes.len();
    bytes.put_slice(part);
    Span::new(start..bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str) -> RequestHead {
        let fields = [
            ("Host", "x"),
            ("Connection", "keep-alive, Close"),
            ("host", "y"),
        ];
        let fields = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead::from_parts(HttpVersion::Http11, "POST", target.as_bytes(), fields)
    }

    #[test]
    fn a_target_has_a_path_and_a_query() {
        for (target, path, query) in [
            ("/a/b", "/a/b", None),
            ("/a?", "/a", Some("")),
            ("/a?x=/?y", "/a", Some("x=/?y")),
            ("http://h/a?x", "/a", Some("x")),
            ("https://h", "/", None),
            ("https://h?x", "/", Some("x")),
            ("http://h?", "/", Some("")),
            ("http://h?/a", "/", Some("/a")),
            ("*", "*", None),
        ] {
            let head = head(target);
            assert_eq!(head.path(), path.as_bytes(), "{target}");
            assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
        }
    }

    #[test]
    fn fields_are_found_in_any_case() {
        let head = head("/");
        assert_eq!(head.method(), b"POST");
        assert_eq!(head.host(), b"x");
        assert_eq!(head.all("HOST").collect::<Vec<_>>(), [b"x", b"y"]);
        assert_eq!(head.fields().count(), 3);
        assert!(head.has_token("connection", "close"));
        assert!(!head.has_token("connection", "clos"));
        assert_eq!(head.content_length(), None);
    }
}
