//! The fields of a header block, as a request or as trailers.

use super::request_builder::{RequestBuilder, check_field};
use crate::http::framing;
use crate::http::request_head::RequestHead;
use crate::rejection::Rejection;

/// The characters that HTTP/1.1 has after the name and after the value of a field.
const SEPARATORS: usize = ": \r\n".len();

/// The fields of a block, in their order.
#[derive(Debug, Default)]
pub(super) struct FieldBlock {
    /// Names and values, one after the other.
    bytes: Vec<u8>,
    /// The start of each name, the start of its value, and the end of that.
    spans: Vec<[usize; 3]>,
    /// The size of the fields in the form of HTTP/1.1.
    size: usize,
    /// The largest size that is accepted.
    limit: usize,
}

/// The head of a request that was read.
#[derive(Debug)]
pub(in crate::proxy) struct StreamHead {
    /// The head; if the request is refused, as much as is known of it.
    pub(in crate::proxy) head: RequestHead,
    /// The reason to refuse the request.
    pub(in crate::proxy) rejection: Option<Rejection>,
}

impl FieldBlock {
    /// Removes the fields. Those that come next are accepted up to `limit`.
    pub(super) fn clear(&mut self, limit: usize) {
        self.bytes.clear();
        self.spans.clear();
        (self.size, self.limit) = (0, limit);
    }

    /// Adds a field. Fields that exceed the limit are counted, and not kept.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.size = self
            .size
            .saturating_add(name.len() + value.len() + SEPARATORS);
        if self.is_too_large() || self.spans.len() > framing::MAX_FIELDS {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.spans
            .push([start, start + name.len(), self.bytes.len()]);
    }

    fn is_too_large(&self) -> bool {
        self.size > self.limit
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans
            .iter()
            .map(|[start, middle, end]| (&self.bytes[*start..*middle], &self.bytes[*middle..*end]))
    }

    /// Builds the head of a request, which has no body if `is_bodiless`.
    pub(super) fn request(&self, is_bodiless: bool) -> StreamHead {
        let mut builder = RequestBuilder::with_capacity(self.spans.len());
        let mut rejection = self
            .iter()
            .find_map(|(name, value)| builder.read(name, value).err());
        if self.is_too_large() {
            rejection = Some(Rejection::HeaderTooLarge(self.limit));
        } else if self.spans.len() > framing::MAX_FIELDS {
            rejection = Some(Rejection::TooManyFields(framing::MAX_FIELDS));
        }
        let rejection = rejection.or_else(|| builder.check(is_bodiless).err());
        StreamHead {
            head: builder.head(),
            rejection,
        }
    }

    /// Returns `true` if the fields can be trailers (section 8.1).
    pub(super) fn are_trailers(&self) -> bool {
        !self.is_too_large()
            && self
                .iter()
                .all(|(name, value)| check_field(name, value).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 4] = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "h"),
        (":path", "/a?b"),
    ];

    fn fields(fields: &[(&str, &str)]) -> FieldBlock {
        let mut read = FieldBlock::default();
        read.clear(4096);
        for (name, value) in fields {
            read.push(name.as_bytes(), value.as_bytes());
        }
        read
    }

    fn received(more: &[(&str, &str)]) -> StreamHead {
        fields(&[&GOOD[..], more].concat()).request(false)
    }

    #[test]
    fn a_request_is_read_as_it_came() {
        let StreamHead { head, rejection } = received(&[
            ("x-a", " 1\t"),
            ("cookie", "a=b"),
            ("content-length", "12"),
            ("cookie", "c=d"),
            ("x-a", "2"),
            ("te", "trailers"),
            ("host", "H"),
            ("cookie", "e"),
        ]);
        assert_eq!(rejection, None);
        assert_eq!(
            (head.method(), head.target(), head.host()),
            (&b"POST"[..], &b"/a?b"[..], &b"h"[..])
        );
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields: Vec<_> = head
            .fields()
            .map(|(name, value)| format!("{}={}", text(name), text(value)))
            .collect();
        assert_eq!(
            fields,
            [
                "host=h",
                "x-a=1",
                "cookie=a=b; c=d; e",
                "content-length=12",
                "x-a=2",
                "te=trailers"
            ]
        );
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        let without = |name: &str| {
            GOOD.iter()
                .copied()
                .filter(|(other, _)| *other != name)
                .collect::<Vec<_>>()
        };
        let with = |name: &str, value: &'static str| {
            GOOD.map(|(n, v)| (n, if n == name { value } else { v }))
                .to_vec()
        };
        let and = |name: &'static str, value: &'static str| [&GOOD[..], &[(name, value)]].concat();
        let mut cases = vec![
            without(":method"),
            without(":scheme"),
            without(":authority"),
            without(":path"),
            with(":method", ""),
            with(":method", "PO ST"),
            with(":scheme", "ftp"),
            with(":authority", "a@h"),
            with(":authority", "h/x"),
            with(":authority", "h\0"),
            with(":path", ""),
            with(":path", "a"),
            with(":path", "https://h/a"),
            with(":path", "/a#b"),
            with(":path", "/a b"),
            with(":path", "/a\r\nX: y"),
            with(":path", "/\u{e9}"),
            with(":method", "CONNECT"),
            [&[("x-a", "b")], &GOOD[..]].concat(),
            [&[("cookie", "b")], &GOOD[..]].concat(),
            [and("content-length", "1"), vec![("content-length", "1")]].concat(),
            [and("host", "h"), vec![("host", "h")]].concat(),
        ];
        for (name, value) in [
            (":method", "POST"),
            (":status", "200"),
            (":protocol", "websocket"),
            (":x", ""),
            ("", "x"),
            ("X-A", "b"),
            ("x a", "b"),
            ("x-a", "b\0"),
            ("x-a", "b\nc"),
            ("host", "other"),
            ("host", "a, b"),
            ("content-length", "1, 1"),
            ("content-length", "x"),
            ("connection", "close"),
            ("keep-alive", "x"),
            ("proxy-connection", "close"),
            (":scheme", "https"),
            (":authority", "h"),
            (":path", "/"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
        ] {
            cases.push(and(name, value));
        }
        for case in cases {
            let rejection = fields(&case).request(false).rejection;
            assert!(
                matches!(rejection, Some(Rejection::MalformedRequest(_))),
                "{case:?}: {rejection:?}"
            );
        }
        let tunnel = fields(&[(":method", "CONNECT"), (":authority", "h:1")]).request(true);
        assert_eq!(tunnel.rejection, Some(Rejection::NoTunnel));
        let promised = |length| {
            fields(&[&GOOD[..], &[("content-length", length)]].concat())
                .request(true)
                .rejection
        };
        assert!(promised("5").is_some() && promised("0").is_none());
    }

    #[test]
    fn what_is_too_large_is_refused_and_not_kept() {
        let mut large = fields(&GOOD);
        for _ in 0..1000 {
            large.push(b"x-a", &[b'a'; 1000]);
        }
        assert!(large.bytes.len() <= 4096);
        let StreamHead { head, rejection } = large.request(false);
        assert_eq!(rejection, Some(Rejection::HeaderTooLarge(4096)));
        assert_eq!(head.target(), b"/a?b");
        let mut many = fields(&GOOD);
        many.limit = usize::MAX;
        for _ in 0..1000 {
            many.push(b"a", b"");
        }
        assert_eq!(
            many.request(false).rejection,
            Some(Rejection::TooManyFields(framing::MAX_FIELDS))
        );
        assert!(many.spans.len() < 300);
    }

    #[test]
    fn trailers_are_fields_alone() {
        assert!(fields(&[("x-a", "b"), ("content-length", "5")]).are_trailers());
        for trailer in [
            (":path", "/"),
            ("X", "y"),
            ("x", "\n"),
            ("connection", "close"),
        ] {
            assert!(
                !fields(&[("x-a", "b"), trailer]).are_trailers(),
                "{trailer:?}"
            );
        }
    }

    /// The bounds of a head, and one more than each.
    #[test]
    fn a_head_has_at_most_256_fields_and_as_many_bytes_as_the_limit() {
        let mut many = fields(&GOOD);
        for _ in GOOD.len()..framing::MAX_FIELDS {
            many.push(b"a", b"");
        }
        assert_eq!(many.request(false).rejection, None);
        many.push(b"a", b"");
        assert_eq!(
            many.request(false).rejection,
            Some(Rejection::TooManyFields(framing::MAX_FIELDS))
        );
        let taken: usize = GOOD
            .iter()
            .map(|(name, value)| name.len() + value.len() + SEPARATORS)
            .sum();
        for (more, expected) in [(0, None), (1, Some(Rejection::HeaderTooLarge(4096)))] {
            let mut large = fields(&GOOD);
            large.push(b"a", &vec![b'x'; 4096 - taken - SEPARATORS - 1 + more]);
            assert_eq!(large.request(false).rejection, expected, "{more}");
        }
    }

    /// Each byte of a name and of a value, alone.
    #[test]
    fn each_byte_is_taken_where_it_may_stand() {
        for byte in 0..=255_u8 {
            let is_lower = byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let is_name = is_lower || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(
                check_field(&[b'x', byte], b"a").is_ok(),
                is_name,
                "{byte:#x}"
            );
            let is_value = byte == b'\t' || !byte.is_ascii_control();
            assert_eq!(
                check_field(b"x", &[b'a', byte, b'b']).is_ok(),
                is_value,
                "{byte:#x}"
            );
        }
    }
}
