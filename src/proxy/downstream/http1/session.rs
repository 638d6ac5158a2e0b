//! Carries one HTTP/1.1 request and its response.
//!
//! A small response leaves in one write, and so in one TLS record.

use super::chunked::{self, Chunked};
use crate::http::chunked::{LAST_CHUNK, put_chunk};
use crate::http::read::read;
use crate::http::request_head::{HttpVersion, RequestHead};
use crate::http::response_head::ResponseHead;
use crate::http::timeout::timeout;
use crate::proxy::downstream::connection::Stream;
use crate::proxy::downstream::peer::Peer;
use crate::proxy::session::{BodyPart, ClientGone, Session, broken_off, malformed};
use crate::tls::PresentedChain;
use bytes::{BufMut as _, Bytes, BytesMut};
use pingora::protocols::Digest;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tracing::Span;

/// A response is written when this much of it has been buffered.
const HELD_BACK: usize = 16 * 1024;

/// The way in which the end of the response's body is marked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DownstreamFraming {
    /// The response has no body, whatever its head says.
    NoBody,
    /// `Content-Length`, or the end of the connection, marks the end.
    Plain,
    Chunked,
}

/// The part of a request's body that has not been read (RFC 9112 section 6).
enum Unread {
    /// The number of bytes that remain.
    Length(u64),
    Chunked(Chunked),
}

impl Unread {
    fn of(head: &RequestHead) -> Self {
        match head.first("transfer-encoding") {
            // No other coding passes the check of the framing.
            Some(_) => Self::Chunked(Chunked::new()),
            None => Self::Length(head.content_length().unwrap_or(0)),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// Takes the next part from the beginning of `input`, if there is one.
    fn take(&mut self, input: &mut BytesMut) -> BodyPart {
        match self {
            Self::Length(0) => Ok(None),
            Self::Length(_) if input.is_empty() => Ok(None),
            Self::Length(left) => Ok(Some(chunked::split(input, left))),
            Self::Chunked(chunked) => chunked.take(input).or_else(|error| malformed(error.0)),
        }
    }
}

/// A request on a connection that carries one request at a time.
pub(super) struct Http1<'c> {
    stream: &'c mut Stream,
    peer: &'c Peer,
    /// The bytes that were read after the head: of the body, and perhaps of the next request.
    input: &'c mut BytesMut,
    unread: Unread,
    version: HttpVersion,
    is_head: bool,
    output: BytesMut,
    framing: DownstreamFraming,
    status: Option<u16>,
    sent: u64,
    write_timeout: Duration,
    closes: bool,
    is_finished: bool,
    /// The body was waited for in vain after the process was about to end.
    has_stalled: bool,
}

impl<'c> Http1<'c> {
    /// Creates the session of the request with this `head`, which was read from `stream`, with
    /// `input` after it. `write_timeout` limits how long the client may take to accept each part of
    /// the response.
    pub(super) fn new(
        stream: &'c mut Stream,
        peer: &'c Peer,
        input: &'c mut BytesMut,
        head: &RequestHead,
        write_timeout: Duration,
    ) -> Self {
        // HTTP/1.0 closes, unless the client requests otherwise (RFC 9112 section 9.3).
        let keeps_alive =
            head.version() == HttpVersion::Http11 || head.has_token("connection", "keep-alive");
        Self {
            stream,
            peer,
            input,
            unread: Unread::of(head),
            version: head.version(),
            is_head: head.method() == b"HEAD",
            output: BytesMut::new(),
            framing: DownstreamFraming::Plain,
            status: None,
            sent: 0,
            write_timeout,
            closes: !keeps_alive || head.has_token("connection", "close"),
            is_finished: false,
            has_stalled: false,
        }
    }

    /// Returns `true` if another request may follow: this one was read and answered completely, and
    /// neither side has asked to close the connection.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_finished && !self.closes && self.unread.is_done()
    }

    fn framing_of(&self, head: &ResponseHead) -> DownstreamFraming {
        match head.status().as_u16() {
            _ if self.is_head => DownstreamFraming::NoBody,
            204 | 304 => DownstreamFraming::NoBody,
            _ if head.has_length() => DownstreamFraming::Plain,
            _ if self.version == HttpVersion::Http11 => DownstreamFraming::Chunked,
            _ => DownstreamFraming::Plain,
        }
    }

    fn put_head(&mut self, head: &ResponseHead) {
        self.output.reserve(head.lines().len() + 128);
        let (status, reason) = (head.status(), head.reason());
        for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
            self.output.put_slice(part.as_bytes());
        }
        self.output.put_slice(head.lines());
        if self.framing == DownstreamFraming::Chunked {
            self.output.put_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if self.closes {
            self.output.put_slice(b"Connection: close\r\n");
        } else if self.version == HttpVersion::Http10 {
            // Such a client would take silence for the opposite.
            self.output.put_slice(b"Connection: keep-alive\r\n");
        }
        self.output.put_slice(b"\r\n");
    }

    async fn send(&mut self) -> Result<(), ClientGone> {
        let write = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        let written = timeout(self.write_timeout, write).await;
        self.output.clear();
        match written {
            Ok(Ok(())) => Ok(()),
            _ => {
                self.closes = true;
                Err(ClientGone)
            }
        }
    }
}

impl Session for Http1<'_> {
    fn digest(&self) -> Option<&Digest> {
        Some(&self.peer.digest)
    }

    fn tls_version(&self) -> Option<&str> {
        self.peer.tls_version()
    }

    fn chain(&self) -> Option<&PresentedChain> {
        self.peer.chain()
    }

    fn is_anonymous(&self) -> bool {
        self.peer.is_anonymous
    }

    async fn read_body(&mut self) -> BodyPart {
        loop {
            if let Some(part) = self.unread.take(self.input)? {
                return Ok(Some(part));
            }
            if self.unread.is_done() {
                return Ok(None);
            }
            let more = read(self.stream, self.input);
            match self.peer.in_time(&mut self.has_stalled, more).await? {
                Ok(1..) => {}
                Ok(0) => return broken_off("the connection was closed"),
                Err(error) => return broken_off(error),
            }
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.unread.is_done()
    }

    async fn write_continue(&mut self) -> Result<(), ClientGone> {
        self.output.put_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        self.send().await
    }

    fn close_after(&mut self) {
        self.closes = true;
    }

    async fn begin(&mut self, head: &ResponseHead) -> Result<(), ClientGone> {
        self.framing = self.framing_of(head);
        self.closes |= !self.unread.is_done();
        // Nothing else can mark the end of the body.
        self.closes |= self.framing == DownstreamFraming::Plain && !head.has_length();
        self.status = Some(head.status().as_u16());
        self.put_head(head);
        Ok(())
    }

    async fn write(&mut self, part: Bytes) -> Result<(), ClientGone> {
        if self.framing == DownstreamFraming::NoBody || part.is_empty() {
            return Ok(());
        }
        self.sent += part.len() as u64;
        match self.framing {
            DownstreamFraming::Chunked => put_chunk(&mut self.output, &part),
            _ => self.output.put_slice(&part),
        }
        match self.output.len() >= HELD_BACK {
            true => self.send().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), ClientGone> {
        match self.output.is_empty() {
            true => Ok(()),
            false => self.send().await,
        }
    }

    async fn finish(&mut self) -> Result<(), ClientGone> {
        if self.framing == DownstreamFraming::Chunked {
            self.output.put_slice(LAST_CHUNK);
        }
        self.flush().await?;
        self.is_finished = true;
        Ok(())
    }

    async fn has_left(&mut self) -> bool {
        // Data instead of the end is the beginning of the next request, which can wait.
        self.input.is_empty()
            && matches!(
                futures_util::poll!(pin!(read(self.stream, self.input))),
                Poll::Ready(Ok(0) | Err(_))
            )
    }

    async fn abort(&mut self) {
        self.closes = true;
        // Ignore the error: a client that gets the beginning of the response learns more than one
        // that gets nothing, but the connection is closed in any case.
        let _ = self.flush().await;
    }

    fn connection_span(&self) -> Span {
        self.peer.span().clone()
    }

    fn status(&self) -> Option<u16> {
        self.status
    }

    fn bytes_sent(&self) -> u64 {
        self.sent
    }
}
