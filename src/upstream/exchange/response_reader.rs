//! Reads an HTTP/1.1 response (RFC 9112) from a connection.

use super::error::ResponseError;
use super::response_body::ResponseBody;
use super::response_framing::ResponseFraming;
use crate::http::header_class::{Class, class};
use crate::http::list;
use crate::http::read::read;
use crate::http::response_head::ResponseHead;
use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use httparse::{Header, ParserConfig, Status};
use std::mem::MaybeUninit;
use tokio::io::AsyncRead;

/// The maximum number of fields, which is more than any application sends.
const MAX_FIELDS: usize = 1000;

/// The maximum length of a head in bytes. Most servers allow less.
const MAX_HEAD: usize = 256 * 1024;

/// Reads responses from `R`, one after the other.
pub(super) struct ResponseReader<R> {
    stream: R,
    /// Bytes that have been read but not parsed.
    input: BytesMut,
    /// The body of the response whose head was read last.
    body: ResponseBody,
    keeps_alive: bool,
    /// The request is a HEAD, so that the response has no body, whatever its head says.
    is_head: bool,
    has_begun: bool,
}

impl<R: AsyncRead + Unpin> ResponseReader<R> {
    /// Creates a reader of the response to a request that has just been sent over `stream`.
    pub(super) fn new(stream: R, is_head: bool) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            body: ResponseBody::none(),
            keeps_alive: false,
            is_head,
            has_begun: false,
        }
    }

    /// Returns `true` if no byte of a response has arrived.
    pub(super) fn is_silent(&self) -> bool {
        !self.has_begun
    }

    /// Returns the head of the final response. Informational responses (RFC 9110 section 15.2)
    /// before it are dropped. Cancel safe.
    pub(super) async fn head(&mut self) -> Result<ResponseHead, ResponseError> {
        loop {
            while let Some((length, parsed)) = parse(&self.input)? {
                self.input.advance(length);
                if parsed.is_final()? {
                    return Ok(self.begin(parsed));
                }
            }
            if self.input.len() > MAX_HEAD {
                return Err(ResponseError::Malformed("the head is too long"));
            }
            self.read().await?;
        }
    }

    fn begin(&mut self, parsed: ParsedHead) -> ResponseHead {
        self.keeps_alive = parsed.keeps_alive;
        self.body = match self.is_head {
            true => ResponseBody::none(),
            false => parsed.body,
        };
        parsed.head
    }

    /// Returns the next part of the body, or `None` at its end. Cancel safe.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ResponseError> {
        loop {
            if let Some(part) = self.body.take(&mut self.input)? {
                return Ok(Some(part));
            }
            if self.body.is_done() {
                return Ok(None);
            }
            match self.read().await {
                Err(ResponseError::Closed) if self.body.ends_with_connection() => {
                    self.body = ResponseBody::none();
                    self.keeps_alive = false;
                }
                read => read?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), ResponseError> {
        if read(&mut self.stream, &mut self.input).await? == 0 {
            return Err(ResponseError::Closed);
        }
        self.has_begun = true;
        Ok(())
    }

    /// Returns the connection if another request may follow: the response was read completely,
    /// nothing came after it, and the server keeps the connection open.
    pub(super) fn reuse(self) -> Option<R> {
        (self.keeps_alive && self.body.is_done() && self.input.is_empty()).then_some(self.stream)
    }
}

/// A head, and the consequences of its fields.
struct ParsedHead {
    head: ResponseHead,
    body: ResponseBody,
    keeps_alive: bool,
}

impl ParsedHead {
    /// Returns `false` for an informational response, after which another one follows.
    fn is_final(&self) -> Result<bool, ResponseError> {
        match self.head.status() {
            StatusCode::SWITCHING_PROTOCOLS => {
                let problem = "it switches protocols without a request to do so";
                Err(ResponseError::Malformed(problem))
            }
            status => Ok(!status.is_informational()),
        }
    }
}

/// Parses the head at the start of `bytes` and returns it with its length, if it is complete.
fn parse(bytes: &[u8]) -> Result<Option<(usize, ParsedHead)>, ResponseError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    match parser().parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(Status::Partial) => Ok(None),
        Ok(Status::Complete(length)) => Ok(Some((length, interpret(&response)?))),
        Err(httparse::Error::TooManyHeaders) => {
            Err(ResponseError::Malformed("the head has too many fields"))
        }
        Err(_) => Err(ResponseError::Malformed("the head is invalid")),
    }
}

fn parser() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    config
}

fn interpret(response: &httparse::Response<'_, '_>) -> Result<ParsedHead, ResponseError> {
    let status = StatusCode::from_u16(response.code.unwrap_or_default())
        .map_err(|_| ResponseError::Malformed("the status is not valid"))?;
    let framing = ResponseFraming::of(response.headers)?;
    Ok(ParsedHead {
        head: head_for_client(response, status, &framing),
        body: framing.body(status),
        keeps_alive: keeps_alive(response, &framing) && !framing.is_doubtful(status),
    })
}

fn keeps_alive(response: &httparse::Response<'_, '_>, framing: &ResponseFraming) -> bool {
    match response.version {
        Some(1) => !has_token(response.headers, "connection", "close"),
        // HTTP/1.0 has no chunked coding, so that it may have been misread (RFC 9112 section 6.1).
        _ => !framing.is_chunked && has_token(response.headers, "connection", "keep-alive"),
    }
}

fn head_for_client(
    response: &httparse::Response<'_, '_>,
    status: StatusCode,
    framing: &ResponseFraming,
) -> ResponseHead {
    let mut head = ResponseHead::new(status).with_reason(response.reason.unwrap_or_default());
    let mut length = framing.length_for(status);
    for field in &*response.headers {
        if is_dropped(field.name, response.headers, framing) {
            continue;
        }
        if !field.name.eq_ignore_ascii_case("content-length") {
            head.push(field.name.as_bytes(), field.value);
        } else if let Some(length) = length.take() {
            // One field without leading zeros, however many there were.
            head.push(field.name.as_bytes(), length.to_string().as_bytes());
        }
    }
    head
}

/// Returns `true` if the field `name` ends at this hop.
fn is_dropped(name: &str, fields: &[Header<'_>], framing: &ResponseFraming) -> bool {
    class(name.as_bytes()) == Some(Class::HopByHop)
        || (framing.has_connection && has_token(fields, "connection", name))
}

/// Returns `true` if `token` is one of the values of the fields `name`, in whatever case.
fn has_token(fields: &[Header<'_>], name: &str, token: &str) -> bool {
    let fields = fields.iter();
    let named = fields.filter(|field| field.name.eq_ignore_ascii_case(name));
    list::has_token(named.map(|field| field.value), token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the status, the fields and the body of the response in `wire`, and `true` if its
    /// connection may be used again.
    async fn read_response(
        wire: &[u8],
        is_head: bool,
    ) -> Result<(u16, String, String, bool), ResponseError> {
        let mut reader = ResponseReader::new(wire, is_head);
        let head = reader.head().await?;
        let mut body = Vec::new();
        while let Some(part) = reader.chunk().await? {
            body.extend_from_slice(&part);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // Bytes behind the response are detected when the connection is used again: see
        // `pool::is_open`.
        Ok((
            head.status().as_u16(),
            text(head.lines()),
            text(&body),
            reader.reuse().is_some(),
        ))
    }

    #[tokio::test]
    async fn the_end_of_a_response_is_marked_in_several_ways() {
        for (wire, status, lines, body, is_reusable) in [
            (
                "1 200 OK\r\nContent-Length: 2\r\n\r\nab",
                200,
                "Content-Length: 2\r\n",
                "ab",
                true,
            ),
            (
                "1 200 OK\r\nContent-length: 2, 02\r\ncontent-length:\r\n 2\r\nContent-Length : 2\r\n\r\nab",
                200,
                "Content-length: 2\r\n",
                "ab",
                true,
            ),
            (
                "1 200\nContent-Length: 2\n\nab",
                200,
                "Content-Length: 2\r\n",
                "ab",
                true,
            ),
            (
                "1 200 OK\r\nContent-Length: 2\r\n\r\nabc",
                200,
                "Content-Length: 2\r\n",
                "ab",
                false,
            ),
            (
                "1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\nab",
                200,
                "Content-Length: 2\r\n",
                "ab",
                false,
            ),
            (
                "0 200 OK\r\nContent-Length: 2\r\n\r\nab",
                200,
                "Content-Length: 2\r\n",
                "ab",
                false,
            ),
            (
                "0 200 OK\r\nContent-Length: 2\r\nConnection: Keep-Alive\r\n\r\nab",
                200,
                "Content-Length: 2\r\n",
                "ab",
                true,
            ),
            (
                "1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                200,
                "",
                "ab",
                false,
            ),
            (
                "1 200 OK\r\nTransfer-Encoding : Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                200,
                "",
                "ab",
                true,
            ),
            (
                "0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
                200,
                "",
                "",
                false,
            ),
            ("1 200 OK\r\n\r\nab", 200, "", "ab", false),
            (
                "1 204 No Content\r\nX: y\r\n\r\n",
                204,
                "X: y\r\n",
                "",
                true,
            ),
            (
                "1 204 No Content\r\nContent-Length: 0\r\n\r\n",
                204,
                "",
                "",
                true,
            ),
            (
                "1 204 No Content\r\nContent-Length: 2\r\n\r\n",
                204,
                "",
                "",
                false,
            ),
            (
                "1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
                204,
                "",
                "",
                false,
            ),
            (
                "1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                304,
                "Content-Length: 9\r\n",
                "",
                true,
            ),
            (
                "1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 7\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
                201,
                "Content-Length: 0\r\n",
                "",
                true,
            ),
        ] {
            let found = read_response(format!("HTTP/1.{wire}").as_bytes(), false)
                .await
                .unwrap();
            assert_eq!(
                found,
                (status, lines.to_owned(), body.to_owned(), is_reusable),
                "{wire}"
            );
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(
            read_response(head, true).await.unwrap(),
            (200, "Content-Length: 5\r\n".into(), String::new(), true)
        );
    }

    #[tokio::test]
    async fn hop_by_hop_fields_are_dropped() {
        let wire = "HTTP/1.1 299 Quite Fine\r\nConnection: x-secret, Keep-Alive\r\nX-Secret: 1\r\nx-kept: \tspaces  inside \r\n\
                    Keep-Alive: timeout=5\r\nTE: x\r\nTrailer: x\r\nUpgrade: x\r\nProxy-Connection: x\r\nX-Folded: a\r\n b\r\n\r\n";
        let mut wire = wire.as_bytes();
        let head = ResponseReader::new(&mut wire, true).head().await.unwrap();
        assert_eq!(head.reason(), "Quite Fine");
        assert_eq!(
            head.lines(),
            b"x-kept: spaces  inside\r\nX-Folded: a   b\r\n"
        );
    }

    #[tokio::test]
    async fn ambiguous_responses_are_errors() {
        let many = format!("1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(MAX_FIELDS + 1));
        let long = format!("1 200 OK\r\nX: {}", "x".repeat(2 * MAX_HEAD));
        for wire in [
            "1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            "1 200 OK\r\nContent-Length: 2, 3\r\n\r\nabc",
            "1 200 OK\r\nContent-Length: 2\r\n 3\r\n\r\nab",
            "1 200 OK\r\nContent-Length: 2,\r\n\r\nab",
            "1 204 No Content\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
            "1 103 Early Hints\r\nContent-Length: 2, 3\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "1 200 OK\r\n X: y\r\n\r\n",
            "1 200 OK\r\nX y\r\n\r\n",
            "1 200 OK\r\nX: a\rb\r\n\r\n",
            "1 200 OK\r\nContent-Length: +2\r\n\r\nab",
            "1 200 OK\r\nContent-Length: \r\n\r\nab",
            "1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nab",
            "1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nab",
            "1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
            "1 99 Too Small\r\n\r\n",
            "1 200 OK\r\nX\0: y\r\n\r\n",
            "1 200 OK\r\nX: a\0b\r\n\r\n",
            "2 200 OK\r\n\r\n",
            &many,
            &long,
        ] {
            let error = read_response(format!("HTTP/1.{wire}").as_bytes(), false)
                .await
                .unwrap_err();
            assert!(
                matches!(error, ResponseError::Malformed(_)),
                "{wire}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn truncated_responses_are_errors() {
        for wire in [
            "",
            "HTTP/1.1 2",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
        ] {
            assert!(
                matches!(
                    read_response(wire.as_bytes(), false).await,
                    Err(ResponseError::Closed)
                ),
                "{wire}"
            );
            let mut wire_left = wire.as_bytes();
            let mut reader = ResponseReader::new(&mut wire_left, false);
            let _ = reader.head().await;
            assert_eq!(reader.is_silent(), wire.is_empty());
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(
            start in prop_oneof![Just(""), Just("HTTP/1.1 200 OK\r\n"), Just("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")],
            rest in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b':')], 0..200),
        ) {
            let wire = [start.as_bytes(), &rest].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read_response(&wire, false));
        }
    }
}
