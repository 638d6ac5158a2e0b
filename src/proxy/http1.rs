//! Carries one HTTP/1.1 request and its answer.
//!
//! The body of a request is as long as its `Content-Length` says; one that is chunked is left to Pingora's session. A
//! small answer leaves in one write, and with it in one record of TLS.

use super::session::{Part, SenderGone, Session, broken_off};
use crate::answer_head::AnswerHead;
use crate::head::{Head, Version};
use crate::patience::timeout;
use crate::read::read;
use bytes::{BufMut as _, Bytes, BytesMut};
use pingora::protocols::{Digest, Stream};
use std::io::Write as _;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// How much of an answer is held back.
const HELD_BACK: usize = 16 * 1024;

/// How the end of the answer's body is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none, whatever the head says.
    NoBody,
    /// By `Content-Length`, or by closing.
    Plain,
    Chunked,
}

/// A request on a connection that carries one after the other.
pub(super) struct Http1<'c> {
    stream: &'c mut Stream,
    digest: &'c Digest,
    /// What was read beyond the head: of the body, and perhaps of the next request.
    input: &'c mut BytesMut,
    /// Of the body, still to be read.
    unread: u64,
    version: Version,
    is_head: bool,
    output: BytesMut,
    framing: Framing,
    status: Option<u16>,
    sent: u64,
    write_timeout: Duration,
    closes: bool,
    is_finished: bool,
}

impl<'c> Http1<'c> {
    /// The request of which `head` was read from `stream`, and `input` after it. `write_timeout` is for the sender to
    /// take each part of the answer.
    pub(super) fn new(
        stream: &'c mut Stream,
        digest: &'c Digest,
        input: &'c mut BytesMut,
        head: &Head,
        write_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            digest,
            input,
            unread: head.content_length().unwrap_or(0),
            version: head.version(),
            is_head: head.method() == b"HEAD",
            output: BytesMut::new(),
            framing: Framing::Plain,
            status: None,
            sent: 0,
            write_timeout,
            closes: head.version() == Version::Http10 || head.has_token("connection", "close"),
            is_finished: false,
        }
    }

    /// Whether another request may follow: this one was read and answered whole, and nobody said otherwise.
    pub(super) fn is_reusable(&self) -> bool {
        self.is_finished && !self.closes && self.unread == 0
    }

    fn put_head(&mut self, head: &AnswerHead) {
        self.output.reserve(head.lines().len() + 128);
        for part in ["HTTP/1.1 ", head.status().as_str(), " ", head.reason(), "\r\n"] {
            self.output.put_slice(part.as_bytes());
        }
        self.output.put_slice(head.lines());
        if self.framing == Framing::Chunked {
            self.output.put_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if self.closes {
            self.output.put_slice(b"Connection: close\r\n");
        }
        self.output.put_slice(b"\r\n");
    }

    async fn send(&mut self) -> Result<(), SenderGone> {
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
                Err(SenderGone)
            }
        }
    }
}

impl Session for Http1<'_> {
    fn digest(&self) -> Option<&Digest> {
        Some(self.digest)
    }

    async fn read_body(&mut self) -> Part {
        if self.unread == 0 {
            return Ok(None);
        }
        if self.input.is_empty() {
            match read(self.stream, self.input).await {
                Ok(1..) => {}
                Ok(0) => return broken_off("the connection was closed"),
                Err(error) => return broken_off(error),
            }
        }
        let length = usize::try_from(self.unread).unwrap_or(usize::MAX).min(self.input.len());
        self.unread -= length as u64;
        Ok(Some(self.input.split_to(length).freeze()))
    }

    fn is_body_done(&mut self) -> bool {
        self.unread == 0
    }

    async fn write_continue(&mut self) -> Result<(), SenderGone> {
        self.output.put_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        self.send().await
    }

    fn close_after(&mut self) {
        self.closes = true;
    }

    async fn begin(&mut self, head: &AnswerHead) -> Result<(), SenderGone> {
        self.framing = match head.status().as_u16() {
            _ if self.is_head => Framing::NoBody,
            204 | 304 => Framing::NoBody,
            _ if head.has_length() => Framing::Plain,
            _ if self.version == Version::Http11 => Framing::Chunked,
            _ => Framing::Plain,
        };
        self.closes |= self.unread > 0;
        self.status = Some(head.status().as_u16());
        self.put_head(head);
        Ok(())
    }

    async fn write(&mut self, part: Bytes) -> Result<(), SenderGone> {
        if self.framing == Framing::NoBody || part.is_empty() {
            return Ok(());
        }
        self.sent += part.len() as u64;
        if self.framing == Framing::Chunked {
            // Writing to memory cannot fail.
            let _ = write!((&mut self.output).writer(), "{:x}\r\n", part.len());
        }
        self.output.put_slice(&part);
        if self.framing == Framing::Chunked {
            self.output.put_slice(b"\r\n");
        }
        match self.output.len() >= HELD_BACK {
            true => self.send().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), SenderGone> {
        match self.output.is_empty() {
            true => Ok(()),
            false => self.send().await,
        }
    }

    async fn finish(&mut self) -> Result<(), SenderGone> {
        if self.framing == Framing::Chunked {
            self.output.put_slice(b"0\r\n\r\n");
        }
        self.flush().await?;
        self.is_finished = true;
        Ok(())
    }

    async fn has_left(&mut self) -> bool {
        // What comes instead of the end is the beginning of the next request, for which there is no hurry.
        self.input.is_empty()
            && matches!(futures_util::poll!(pin!(read(self.stream, self.input))), Poll::Ready(Ok(0) | Err(_)))
    }

    async fn abort(&mut self) {
        self.closes = true;
        // What was held back tells the sender that there was an answer; whether it arrives makes no difference.
        let _ = self.flush().await;
    }

    fn status(&self) -> Option<u16> {
        self.status
    }

    fn bytes_sent(&self) -> u64 {
        self.sent
    }
}
