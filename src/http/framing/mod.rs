//! Decides whether a raw HTTP/1.1 head can be read in exactly one way.
//!
//! Two programs that disagree where a request ends let an attacker smuggle a second one past the
//! first program's checks. HTTP parsers are lenient by tradition; this is not. What a conforming
//! client sends passes, everything that RFC 9112 lets a server refuse is refused.

mod fields;
mod target;

use crate::http::request_head::{HeadSpans, HttpVersion, RequestHead, Span};
use crate::rejection::Rejection;
use bytes::Bytes;
use fields::FramingFields;
use std::ops::Range;

pub(crate) use fields::{
    MAX_FIELDS, check_content_length, check_host, check_value, field, is_token,
};
pub(crate) use target::check_target;

/// Returns the length of the head at the beginning of `bytes`, if it is complete.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut line_ends = memchr::memchr_iter(b'\n', bytes);
    line_ends
        .find(|end| bytes[..=*end].ends_with(b"\r\n\r\n"))
        .map(|end| end + 1)
}

/// Reads a complete head: the request line, the fields, and the empty line at its end.
pub fn parse(head: Bytes) -> Result<RequestHead, Rejection> {
    Ok(spans(&head)?.of(head))
}

fn spans(head: &[u8]) -> Result<HeadSpans, Rejection> {
    let Some(lines) = head.strip_suffix(b"\r\n\r\n") else {
        return Rejection::malformed("The head does not end.");
    };
    let mut lines = HeadLines::new(lines);
    let request_line = lines.next().unwrap_or_default();
    let mut spans = read_request_line(request_line)?;
    let mut framing = FramingFields::default();
    for (index, line) in lines.enumerate() {
        if index == MAX_FIELDS {
            return Err(Rejection::TooManyFields(MAX_FIELDS));
        }
        let (name, value) = field(line.bytes)?;
        framing.note(name, value)?;
        let end = line.bytes.trim_ascii_end().len();
        spans.push(line.span(0..name.len()), line.span(end - value.len()..end));
    }
    framing.check(spans.version)?;
    framing.check_target(spans.target.of(head))?;
    Ok(spans)
}

/// Returns the method and the target in the first line of a head that is refused or incomplete, as
/// far as they can be read.
pub(crate) fn glimpse(head: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = head.split(|b| b"\r\n".contains(b)).next()?;
    let mut words = line.split(|b| *b == b' ');
    let (method, target) = (words.next()?, words.next()?);
    (!method.is_empty() && method.iter().all(|b| is_token(*b))).then_some((method, target))
}

/// Checks what there is of a head that is still arriving, so that a line that ends in LF alone is
/// refused at once instead of being waited for.
pub fn check_unfinished(bytes: &[u8]) -> Result<(), Rejection> {
    let is_bare = |index: usize| index == 0 || bytes[index - 1] != b'\r';
    match memchr::memchr_iter(b'\n', bytes).any(is_bare) {
        true => Rejection::malformed("A line ends in LF instead of CRLF."),
        false => Ok(()),
    }
}

/// A line, and where in its head it starts.
#[derive(Clone, Copy, Default)]
struct HeadLine<'h> {
    bytes: &'h [u8],
    start: usize,
}

impl HeadLine<'_> {
    fn span(self, range: Range<usize>) -> Span {
        Span::new(self.start + range.start..self.start + range.end)
    }
}

/// The lines of a head, split at CRLF; a CR or LF that is not part of one stays in its line, where it is refused.
struct HeadLines<'h> {
    bytes: &'h [u8],
    next: Option<usize>,
}

impl<'h> HeadLines<'h> {
    fn new(bytes: &'h [u8]) -> Self {
        Self {
            bytes,
            next: Some(0),
        }
    }
}

impl<'h> Iterator for HeadLines<'h> {
    type Item = HeadLine<'h>;

    fn next(&mut self) -> Option<HeadLine<'h>> {
        let start = self.next?;
        let rest = &self.bytes[start..];
        let end = memchr::memchr_iter(b'\n', rest)
            .find(|end| rest[..*end].ends_with(b"\r"))
            .map(|end| end - 1);
        self.next = end.map(|end| start + end + 2);
        Some(HeadLine {
            bytes: &rest[..end.unwrap_or(rest.len())],
            start,
        })
    }
}

/// Reads `method SP request-target SP HTTP-version` (RFC 9112 section 3).
fn read_request_line(line: HeadLine<'_>) -> Result<HeadSpans, Rejection> {
    let mut words = line.bytes.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Rejection::malformed("The request line is not \"method target version\".");
    };
    check_method(method)?;
    let version = read_version(version)?;
    check_target(target)?;
    let start = method.len() + 1;
    let target = line.span(start..start + target.len());
    Ok(HeadSpans::new(version, line.span(0..method.len()), target))
}

fn read_version(version: &[u8]) -> Result<HttpVersion, Rejection> {
    match version {
        b"HTTP/1.1" => Ok(HttpVersion::Http11),
        b"HTTP/1.0" => Ok(HttpVersion::Http10),
        _ => Rejection::malformed("The version is neither HTTP/1.1 nor HTTP/1.0."),
    }
}

fn check_method(method: &[u8]) -> Result<(), Rejection> {
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Rejection::malformed("The method is not a token.");
    }
    match method {
        b"CONNECT" => Err(Rejection::NoTunnel),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(head: &str) -> Result<(), Rejection> {
        assert_eq!(head_length(head.as_bytes()), Some(head.len()), "{head:?}");
        spans(head.as_bytes()).map(drop)
    }

    #[test]
    fn what_conforming_clients_send_passes() {
        for head in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET /?crc_token=a%20b&x=~! HTTP/1.1\r\nhost:x:8443\r\nX-Empty:\r\nX-Tab: a\tb\r\n\r\n",
            "POST /a HTTP/1.1\r\nHost: [::1]:1\r\nContent-Length: 12\r\nX-Utf8: \u{e9}\r\n\r\n",
            "POST http://x/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a<b>`?c=<\"d\"> HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST /a<b> HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET http://x?a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /%0?a=%00 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x:80/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://x HTTP/1.1\r\nHost: X:80\r\n\r\n",
            "GET http://x:/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET https://x:443?a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET https://[::1] HTTP/1.1\r\nHost: [::1]:443\r\n\r\n",
            "GET https://x:8443/ HTTP/1.1\r\nHost: x:8443\r\n\r\n",
        ] {
            assert_eq!(verdict(head), Ok(()), "{head:?}");
        }
    }

    #[test]
    fn heads_that_could_be_read_in_two_ways_are_refused() {
        let request_lines = [
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "GET / HTTP/2.0",
            "GET / HTTP/0.9",
            "",
            "GET / http/1.1",
            "G(T / HTTP/1.1",
            "GET x HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET /\0 HTTP/1.1",
            "GET /#a HTTP/1.1",
            "GET /a%00 HTTP/1.1",
            "GET /a/..%00/b HTTP/1.1",
            "GET /%2500 HTTP/1.1",
            "GET /%C0%80?a HTTP/1.1",
            "GET /%u0000 HTTP/1.1",
            "GET http://x/%00 HTTP/1.1",
            "GET /\t HTTP/1.1",
            "GET /a b HTTP/1.1",
            "GET /\n HTTP/1.1",
            "GET ftp://x HTTP/1.1",
            "GET http://y/ HTTP/1.1",
            "GET http://y@x/ HTTP/1.1",
            "GET https://x:80 HTTP/1.1",
            "GET http://x:443 HTTP/1.1",
            "GET http://x:8080/ HTTP/1.1",
            "GET http:///a HTTP/1.1",
            "GET ?a HTTP/1.1",
        ];
        for line in request_lines {
            let verdict = verdict(&format!("{line}\r\nHost: x\r\n\r\n"));
            assert!(
                matches!(verdict, Err(Rejection::MalformedRequest(_))),
                "{line:?}: {verdict:?}"
            );
        }
        let fields = [
            "Host: y",
            "Content-Length: 1\r\nContent-Length: 1",
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: 0x1",
            "Content-Length:",
            "Content-Length: -1",
            "Content-Length: 9999999999999999999",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: \x0bchunked",
            " X: folded",
            "X: a\r\n b",
            "X: a\r\n\tb",
            "X",
            ": a",
            "X Y: a",
            "X: a\0b",
            "X: a\rb",
            "X: a\nY: b",
            "X: a\n\r",
            "X\u{e9}: a",
        ];
        for field in fields {
            let verdict = verdict(&format!("POST / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"));
            assert!(
                matches!(verdict, Err(Rejection::MalformedRequest(_))),
                "{field:?}: {verdict:?}"
            );
        }
        for head in [
            "POST / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "POST / HTTP/1.1\r\nHost:\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: \r\n\r\n",
            "POST http:/// HTTP/1.1\r\nHost:\r\n\r\n",
            "POST http://x/ HTTP/1.0\r\n\r\n",
        ] {
            assert!(
                matches!(verdict(head), Err(Rejection::MalformedRequest(_))),
                "{head:?}"
            );
        }
    }

    #[test]
    fn a_head_has_at_most_256_fields() {
        let head = |fields: usize| {
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
                "X: y\r\n".repeat(fields - 1)
            )
        };
        assert_eq!(verdict(&head(256)), Ok(()));
        assert_eq!(verdict(&head(257)), Err(Rejection::TooManyFields(256)));
    }

    #[test]
    fn connection_names_at_most_256_fields() {
        let head = |names: usize, more: &str| {
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\nConnection: {}x\r\n{more}\r\n",
                "x,".repeat(names - 1)
            )
        };
        assert_eq!(verdict(&head(256, "")), Ok(()));
        assert_eq!(
            verdict(&head(
                128,
                &format!("connection: {}x\r\n", "x,".repeat(127))
            )),
            Ok(())
        );
        assert!(matches!(
            verdict(&head(257, "")),
            Err(Rejection::MalformedRequest(_))
        ));
        assert!(matches!(
            verdict(&head(256, "connection: x\r\n")),
            Err(Rejection::MalformedRequest(_))
        ));
    }

    #[test]
    fn connect_is_no_method_here() {
        assert_eq!(
            verdict("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"),
            Err(Rejection::NoTunnel)
        );
    }

    #[test]
    fn an_unfinished_head_has_no_length() {
        for head in [
            "",
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "GET / HTTP/1.1\nHost: x\n\n",
        ] {
            assert_eq!(head_length(head.as_bytes()), None, "{head:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = spans(&bytes);
            let _ = check_unfinished(&bytes);
            let _ = head_length(&bytes);
            let _ = spans(&[&bytes, &b"\r\n\r\n"[..]].concat());
        }

        #[test]
        fn what_passes_httparse_reads_the_same(
            line in "(GET|POST) /[ -~]{0,8}", fields in proptest::collection::vec("[!-~]{1,8}: ?[ -~\t]{0,8}", 0..6)
        ) {
            let head = format!("{line} HTTP/1.1\r\nHost: x\r\n{}\r\n", fields.iter().map(|f| format!("{f}\r\n")).collect::<String>());
            if let Ok(read) = parse(Bytes::from(head.clone())) {
                let mut headers = [httparse::EMPTY_HEADER; 16];
                let mut request = httparse::Request::new(&mut headers);
                let status = request.parse(head.as_bytes());
                proptest::prop_assert_eq!(status, Ok(httparse::Status::Complete(head.len())));
                proptest::prop_assert_eq!(request.method.map(str::as_bytes), Some(read.method()));
                proptest::prop_assert_eq!(request.path.map(str::as_bytes), Some(read.target()));
                let theirs = request.headers.iter().map(|header| (header.name.as_bytes(), header.value));
                proptest::prop_assert!(theirs.eq(read.fields()), "{read:?} {:?}", request.headers);
            }
        }
    }

    #[test]
    fn each_byte_is_taken_where_the_grammar_has_it_and_nowhere_else() {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_text = |byte: u8| byte == b'\t' || !byte.is_ascii_control();
        for byte in 0..=255 {
            let check = |before: &str, after: &str, expected: bool| {
                let head = [before.as_bytes(), &[byte], after.as_bytes(), b"\r\n\r\n"].concat();
                assert_eq!(spans(&head).is_ok(), expected, "{before:?} {byte:#x}");
            };
            check("G", "T / HTTP/1.1\r\nHost: x", is_token(byte));
            let is_in_target = byte.is_ascii_graphic() && byte != b'#';
            check("GET /a", "b HTTP/1.1\r\nHost: x", is_in_target);
            // A colon ends the name.
            check(
                "GET / HTTP/1.1\r\nHost: x\r\nX",
                "Y: a",
                is_token(byte) || byte == b':',
            );
            check("GET / HTTP/1.1\r\nHost: x\r\nX: a", "b", is_text(byte));
            let is_in_host = byte.is_ascii_graphic() && !b"/?#@,".contains(&byte);
            check("GET / HTTP/1.1\r\nHost: a", "b", is_in_host);
        }
    }

    #[test]
    fn a_content_length_has_at_most_18_digits() {
        for (digits, passes) in [(1, true), (18, true), (19, false)] {
            for digit in ["0", "9"] {
                let head = format!(
                    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                    digit.repeat(digits)
                );
                assert_eq!(verdict(&head).is_ok(), passes, "{head:?}");
            }
        }
    }

    /// Each is refused for what it is, and not only because something else is wrong as well.
    #[test]
    fn each_sign_of_two_readings_has_its_own_refusal() {
        for (head, expected) in [
            ("POST / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", "folded"),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb: c\r\n\r\n",
                "folded",
            ),
            ("POST / HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n", "not a token"),
            ("POST / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", "not a token"),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
                "exactly one Host",
            ),
            ("POST / HTTP/1.1\r\n\r\n", "exactly one Host"),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                "Content-Length is given twice",
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                "Transfer-Encoding is given twice",
            ),
            (
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "Both",
            ),
            (
                "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
                "HTTP/1.0",
            ),
        ] {
            match verdict(head) {
                Err(Rejection::MalformedRequest(what)) => {
                    assert!(what.contains(expected), "{head:?}: {what}")
                }
                other => panic!("{head:?}: {other:?}"),
            }
        }
    }
}
