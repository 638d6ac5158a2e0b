//! Decides whether the fields of a header block are a request (RFC 9113 section 8.3) that can be
//! read in one way only.

use crate::http::framing;
use crate::http::request_head::{HttpVersion, RequestHead};
use crate::rejection::Rejection;

/// The fields that end at a hop of HTTP/1.1, and do not exist in HTTP/2 (RFC 9113 section 8.2.2).
const CONNECTION_SPECIFIC: [&[u8]; 5] = [
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
];

/// The characters that HTTP/1.1 has after the name and after the value of a field.
const SEPARATORS: usize = ": \r\n".len();

/// The fields of a block, in their order.
#[derive(Debug)]
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
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(1024),
            spans: Vec::with_capacity(16),
            size: 0,
            limit,
        }
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
        let mut builder = RequestBuilder::default();
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

/// The head of a request that is being read.
#[derive(Default)]
struct RequestBuilder<'f> {
    method: Option<&'f [u8]>,
    scheme: Option<&'f [u8]>,
    authority: Option<&'f [u8]>,
    path: Option<&'f [u8]>,
    host: Option<&'f [u8]>,
    content_length: Option<&'f [u8]>,
    fields: Vec<(&'f [u8], &'f [u8])>,
    /// The joined value, and its index among the fields.
    cookie: Option<(usize, Vec<u8>)>,
}

impl<'f> RequestBuilder<'f> {
    fn read(&mut self, name: &'f [u8], value: &'f [u8]) -> Result<(), Rejection> {
        if name.starts_with(b":") {
            return self.read_pseudo(name, value);
        }
        check_field(name, value)?;
        let value = value.trim_ascii();
        match name {
            b"host" => {
                framing::check_host(value)?;
                set(&mut self.host, value, "There must be exactly one Host.")
            }
            b"content-length" => {
                framing::check_content_length(value)?;
                set(
                    &mut self.content_length,
                    value,
                    "Content-Length is given twice.",
                )?;
                self.fields.push((name, value));
                Ok(())
            }
            b"cookie" => {
                self.add_cookie(value);
                Ok(())
            }
            _ => {
                self.fields.push((name, value));
                Ok(())
            }
        }
    }

    /// Joins the cookies: HTTP/1.1 has one line of them (section 8.2.3).
    fn add_cookie(&mut self, value: &[u8]) {
        match &mut self.cookie {
            Some((_, crumbs)) => {
                crumbs.extend_from_slice(b"; ");
                crumbs.extend_from_slice(value);
            }
            None => self.cookie = Some((self.fields.len(), value.to_vec())),
        }
    }

    fn read_pseudo(&mut self, name: &[u8], value: &'f [u8]) -> Result<(), Rejection> {
        if self.host.is_some() || self.cookie.is_some() || !self.fields.is_empty() {
            return Rejection::malformed("A pseudo-header field follows a header field.");
        }
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            _ => return Rejection::malformed("A pseudo-header field is not one of a request."),
        };
        set(slot, value, "A pseudo-header field is given twice.")
    }

    fn check(&self, is_bodiless: bool) -> Result<(), Rejection> {
        self.check_method()?;
        self.check_authority()?;
        if self.method == Some(b"CONNECT") {
            return match (self.scheme, self.path) {
                (None, None) => Err(Rejection::NoTunnel),
                _ => Rejection::malformed("CONNECT has neither a scheme nor a path."),
            };
        }
        self.check_target()?;
        self.check_content_length(is_bodiless)
    }

    fn check_method(&self) -> Result<(), Rejection> {
        let method = self.method.unwrap_or_default();
        match !method.is_empty() && method.iter().all(|b| framing::is_token(*b)) {
            true => Ok(()),
            false => Rejection::malformed("The method is not a token."),
        }
    }

    fn check_authority(&self) -> Result<(), Rejection> {
        match (self.authority, self.host) {
            (None, None) => Rejection::malformed("There must be exactly one Host."),
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                Rejection::malformed(":authority names another host than Host.")
            }
            (Some(authority), _) => framing::check_host(authority),
            (None, Some(_)) => Ok(()),
        }
    }

    fn check_target(&self) -> Result<(), Rejection> {
        if !matches!(self.scheme, Some(b"http" | b"https")) {
            return Rejection::malformed("The scheme is neither http nor https.");
        }
        let path = self.path.unwrap_or_default();
        framing::check_target(path)?;
        match path.starts_with(b"/") || path == b"*" {
            true => Ok(()),
            false => Rejection::malformed(":path is not a path."),
        }
    }

    /// Checks that a request without a body does not declare one.
    fn check_content_length(&self, is_bodiless: bool) -> Result<(), Rejection> {
        let length = self.content_length.unwrap_or_default();
        match is_bodiless && length.iter().any(|digit| *digit != b'0') {
            true => Rejection::malformed("Content-Length promises a body that does not come."),
            false => Ok(()),
        }
    }

    fn head(&self) -> RequestHead {
        let method = std::str::from_utf8(self.method.unwrap_or_default()).unwrap_or_default();
        let target = self.path.or(self.authority).unwrap_or_default();
        let host = self
            .authority
            .or(self.host)
            .map(|host| (&b"host"[..], host));
        let (before, after) = self
            .fields
            .split_at(self.cookie.as_ref().map_or(0, |(index, _)| *index));
        let cookie = self
            .cookie
            .as_ref()
            .map(|(_, crumbs)| (&b"cookie"[..], crumbs.as_slice()));
        let fields = before
            .iter()
            .copied()
            .chain(cookie)
            .chain(after.iter().copied());
        RequestHead::from_parts(
            HttpVersion::Http2,
            method,
            target,
            host.into_iter().chain(fields),
        )
    }
}

fn set<'f>(
    slot: &mut Option<&'f [u8]>,
    value: &'f [u8],
    twice: &'static str,
) -> Result<(), Rejection> {
    match slot.replace(value) {
        Some(_) => Rejection::malformed(twice),
        None => Ok(()),
    }
}

/// Checks a field that is not a pseudo-header field (RFC 9113 section 8.2).
fn check_field(name: &[u8], value: &[u8]) -> Result<(), Rejection> {
    let is_allowed = |b: &u8| framing::is_token(*b) && !b.is_ascii_uppercase();
    if name.is_empty() || !name.iter().all(is_allowed) {
        return Rejection::malformed("The name of a header field is not a token in lower case.");
    }
    if value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Rejection::malformed("A header field holds a control character.");
    }
    let is_for_hop = CONNECTION_SPECIFIC.contains(&name) || (name == b"te" && value != b"trailers");
    match is_for_hop {
        true => Rejection::malformed("A header field is one that HTTP/2 does not have."),
        false => Ok(()),
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
        let mut read = FieldBlock::new(4096);
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
