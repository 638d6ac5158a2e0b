//! Reads an HTTP/1.1 answer (RFC 9112) from a connection.

use super::response_body::Body;
use crate::http::header_class::{Class, class};
use crate::http::read::read;
use crate::http::response_head::ResponseHead;
use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use httparse::{Header, ParserConfig, Status};
use std::io;
use std::mem::MaybeUninit;
use thiserror::Error;
use tokio::io::AsyncRead;

/// More than any application sends.
const MAX_FIELDS: usize = 1000;

/// How long a head may be, in bytes. Most servers allow less.
const MAX_HEAD: usize = 256 * 1024;

/// Why an answer cannot be read.
#[derive(Debug, Error)]
pub(super) enum AnswerError {
    #[error("the connection was closed")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not HTTP: {0}")]
    Malformed(&'static str),
}

/// Reads answers from `R`, one after the other.
pub(super) struct AnswerReader<R> {
    stream: R,
    /// What was read and is still to be understood.
    input: BytesMut,
    /// Of the answer whose head was read last.
    body: Body,
    keeps_alive: bool,
    /// The answer to a HEAD has no body, whatever its head says.
    is_head: bool,
    has_begun: bool,
}

impl<R: AsyncRead + Unpin> AnswerReader<R> {
    /// Of the answer to a request that has just been sent over `stream`.
    pub(super) fn new(stream: R, is_head: bool) -> Self {
        let (input, body) = (BytesMut::new(), Body::none());
        Self {
            stream,
            input,
            body,
            keeps_alive: false,
            is_head,
            has_begun: false,
        }
    }

    /// Whether not a byte of an answer has come.
    pub(super) fn is_silent(&self) -> bool {
        !self.has_begun
    }

    /// The head of the answer proper; informational ones (RFC 9110 section 15.2) before it are read
    /// and dropped. Nothing is lost if this is cancelled.
    pub(super) async fn head(&mut self) -> Result<ResponseHead, AnswerError> {
        loop {
            while let Some((length, parsed)) = parse(&self.input)? {
                self.input.advance(length);
                if parsed.head.status() == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(AnswerError::Malformed(
                        "it switches protocols, which was not asked for",
                    ));
                }
                if !parsed.head.status().is_informational() {
                    self.keeps_alive = parsed.keeps_alive;
                    self.body = if self.is_head {
                        Body::none()
                    } else {
                        parsed.body
                    };
                    return Ok(parsed.head);
                }
            }
            if self.input.len() > MAX_HEAD {
                return Err(AnswerError::Malformed("its head is too long"));
            }
            self.read().await?;
        }
    }

    /// The next part of the body, or `None` at its end. Nothing is lost if this is cancelled.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, AnswerError> {
        loop {
            if let Some(part) = self.body.take(&mut self.input)? {
                return Ok(Some(part));
            }
            if self.body.is_done() {
                return Ok(None);
            }
            match self.read().await {
                Err(AnswerError::Closed) if self.body.ends_with_connection() => {
                    self.body = Body::none();
                    self.keeps_alive = false;
                }
                read => read?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), AnswerError> {
        if read(&mut self.stream, &mut self.input).await? == 0 {
            return Err(AnswerError::Closed);
        }
        self.has_begun = true;
        Ok(())
    }

    /// The connection, if another request may follow: this answer was read whole, nothing came
    /// after it, and the server keeps the connection open.
    pub(super) fn reuse(self) -> Option<R> {
        (self.keeps_alive && self.body.is_done() && self.input.is_empty()).then_some(self.stream)
    }
}

/// What a head says.
struct Parsed {
    head: ResponseHead,
    body: Body,
    keeps_alive: bool,
}

/// The head at the beginning of `bytes` and its length, if it is complete.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Parsed)>, AnswerError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true);
    match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(Status::Partial) => Ok(None),
        Ok(Status::Complete(length)) => Ok(Some((length, understand(&response)?))),
        Err(httparse::Error::TooManyHeaders) => {
            Err(AnswerError::Malformed("its head has too many fields"))
        }
        Err(_) => Err(AnswerError::Malformed("its head cannot be read")),
    }
}

fn understand(response: &httparse::Response<'_, '_>) -> Result<Parsed, AnswerError> {
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(AnswerError::Malformed("its status is not a number"))?;
    let framing = Framing::of(response.headers)?;
    let is_http11 = response.version == Some(1);
    let keeps_alive = match is_http11 {
        true => !has_token(response.headers, "connection", "close"),
        // A coding that this version does not have may have been misread (RFC 9112 section 6.1).
        false => !framing.is_chunked && has_token(response.headers, "connection", "keep-alive"),
    };
    let body = match (status, &framing) {
        (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED, _) => Body::none(),
        (
            _,
            Framing {
                is_chunked: true, ..
            },
        ) => Body::chunked(),
        (
            _,
            Framing {
                length: Some(length),
                ..
            },
        ) => Body::of_length(*length),
        _ => Body::until_close(),
    };
    let mut head = ResponseHead::new(status).with_reason(response.reason.unwrap_or_default());
    let mut length = framing.length_for(status);
    for field in response
        .headers
        .iter()
        .filter(|field| !is_dropped(field.name, response.headers, &framing))
    {
        if !field.name.eq_ignore_ascii_case("content-length") {
            head.push(field.name.as_bytes(), field.value);
        } else if let Some(length) = length.take() {
            // However often it was said, and with whatever zeros before it.
            head.push(field.name.as_bytes(), length.to_string().as_bytes());
        }
    }
    Ok(Parsed {
        head,
        body,
        keeps_alive: keeps_alive && !framing.is_doubtful(status),
    })
}

/// Whether a field ends at this hop.
fn is_dropped(name: &str, fields: &[Header<'_>], framing: &Framing) -> bool {
    class(name.as_bytes()) == Some(Class::HopByHop)
        || (framing.has_connection && has_token(fields, "connection", name))
}

/// How the end of the body is told (RFC 9112 section 6.3).
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
    has_connection: bool,
}

impl Framing {
    fn of(fields: &[Header<'_>]) -> Result<Self, AnswerError> {
        let mut framing = Self::default();
        for field in fields {
            if field.name.eq_ignore_ascii_case("content-length") {
                field
                    .value
                    .split(|b| *b == b',')
                    .try_for_each(|length| framing.agree_on(length))?;
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                if framing.is_chunked || !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked")
                {
                    return Err(AnswerError::Malformed("its transfer coding is not known"));
                }
                framing.is_chunked = true;
            } else if field.name.eq_ignore_ascii_case("connection") {
                framing.has_connection = true;
            }
        }
        Ok(framing)
    }

    /// The length that the sender is told. It has no place where the coding tells it (RFC 9112
    /// section 6.3), and in an answer that cannot have a body (RFC 9110 section 8.6).
    fn length_for(&self, status: StatusCode) -> Option<u64> {
        self.length
            .filter(|_| !self.is_chunked && status != StatusCode::NO_CONTENT)
    }

    /// Whether the server may mean more to belong to the answer than is read as such, or less.
    fn is_doubtful(&self, status: StatusCode) -> bool {
        let has_body = self.is_chunked || self.length.is_some_and(|length| length > 0);
        (self.is_chunked && self.length.is_some()) || (status == StatusCode::NO_CONTENT && has_body)
    }

    fn agree_on(&mut self, length: &[u8]) -> Result<(), AnswerError> {
        let digits = length.trim_ascii();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .filter(|_| is_number);
        match (length, self.length.replace(length.unwrap_or_default())) {
            (None, _) => Err(AnswerError::Malformed("its Content-Length is not a number")),
            (Some(length), Some(other)) if length != other => {
                Err(AnswerError::Malformed("its Content-Lengths do not agree"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether `token` is among the comma-separated values of the fields of this name, in whatever
/// case.
fn has_token(fields: &[Header<'_>], name: &str, token: &str) -> bool {
    let mut values = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value);
    values.any(|value| {
        value
            .split(|b| *b == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The status, fields and body of the answer in `wire`, and whether its connection may be used
    /// again.
    async fn answer(
        wire: &[u8],
        is_head: bool,
    ) -> Result<(u16, String, String, bool), AnswerError> {
        let mut reader = AnswerReader::new(wire, is_head);
        let head = reader.head().await?;
        let mut body = Vec::new();
        while let Some(part) = reader.chunk().await? {
            body.extend_from_slice(&part);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // What is behind the answer is found out when the next one is asked for; see
        // `pool::is_open`.
        Ok((
            head.status().as_u16(),
            text(head.lines()),
            text(&body),
            reader.reuse().is_some(),
        ))
    }

    #[tokio::test]
    async fn the_end_of_an_answer_is_told_in_several_ways() {
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
            let found = answer(format!("HTTP/1.{wire}").as_bytes(), false)
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
            answer(head, true).await.unwrap(),
            (200, "Content-Length: 5\r\n".into(), String::new(), true)
        );
    }

    #[tokio::test]
    async fn what_ends_at_this_hop_is_dropped() {
        let wire = "HTTP/1.1 299 Quite Fine\r\nConnection: x-secret, Keep-Alive\r\nX-Secret: 1\r\nx-kept: \tspaces  inside \r\n\
                    Keep-Alive: timeout=5\r\nTE: x\r\nTrailer: x\r\nUpgrade: x\r\nProxy-Connection: x\r\nX-Folded: a\r\n b\r\n\r\n";
        let mut wire = wire.as_bytes();
        let head = AnswerReader::new(&mut wire, true).head().await.unwrap();
        assert_eq!(head.reason(), "Quite Fine");
        assert_eq!(
            head.lines(),
            b"x-kept: spaces  inside\r\nX-Folded: a   b\r\n"
        );
    }

    #[tokio::test]
    async fn what_can_be_read_in_two_ways_is_no_answer() {
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
            let error = answer(format!("HTTP/1.{wire}").as_bytes(), false)
                .await
                .unwrap_err();
            assert!(
                matches!(error, AnswerError::Malformed(_)),
                "{wire}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
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
                    answer(wire.as_bytes(), false).await,
                    Err(AnswerError::Closed)
                ),
                "{wire}"
            );
            let mut wire_left = wire.as_bytes();
            let mut reader = AnswerReader::new(&mut wire_left, false);
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
            let _ = runtime.block_on(answer(&wire, false));
        }
    }
}
