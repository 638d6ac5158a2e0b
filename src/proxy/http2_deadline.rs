//! Gives every head that comes over HTTP/2 a deadline.
//!
//! Pingora waits without one: for the client's preface, and for the rest of a frame or of a header block. What may take
//! its time is the payload of DATA frames, which is a body's and has a deadline of its own.

use async_trait::async_trait;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The length of the client's preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// The length of a frame's header (RFC 9113 section 4.1).
const FRAME_HEADER: usize = 9;

/// Types of frames (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// The flag of the last frame of a header block.
const END_HEADERS: u8 = 4;

/// Follows a client's frames, so far as to know whether something was begun that must be finished.
#[derive(Debug)]
struct Frames {
    header: [u8; FRAME_HEADER],
    /// How much of the next frame's header is there.
    known: usize,
    /// How much of the preface or of a frame's payload is still to come.
    missing: usize,
    in_data: bool,
    in_block: bool,
}

impl Frames {
    fn new() -> Self {
        Self { header: [0; FRAME_HEADER], known: 0, missing: PREFACE, in_data: false, in_block: false }
    }

    /// Takes what was read, and says whether anything was finished by it.
    fn read(&mut self, mut bytes: &[u8]) -> bool {
        let mut finished = false;
        while !bytes.is_empty() {
            if self.missing == 0 {
                bytes = self.read_header(bytes);
            }
            let skipped = self.missing.min(bytes.len());
            bytes = &bytes[skipped..];
            self.missing -= skipped;
            finished |= !self.is_unfinished();
        }
        finished
    }

    /// Takes as much as belongs to a frame's header, and gives the rest back.
    fn read_header<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (taken, rest) = bytes.split_at((FRAME_HEADER - self.known).min(bytes.len()));
        self.header[self.known..self.known + taken.len()].copy_from_slice(taken);
        self.known += taken.len();
        if self.known == FRAME_HEADER {
            let [a, b, c, kind, flags, ..] = self.header;
            self.known = 0;
            self.missing = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            self.in_data = kind == DATA;
            if matches!(kind, HEADERS | CONTINUATION) {
                self.in_block = flags & END_HEADERS == 0;
            }
        }
        rest
    }

    fn is_unfinished(&self) -> bool {
        self.in_block || self.known > 0 || (self.missing > 0 && !self.in_data)
    }
}

/// A connection on which what is begun has to be finished in time.
#[derive(Debug)]
pub(super) struct Http2Deadline {
    stream: Stream,
    frames: Frames,
    limit: Duration,
    /// Of what is unfinished.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Http2Deadline {
    pub(super) fn new(stream: Stream, limit: Duration) -> Self {
        Self { stream, frames: Frames::new(), limit, deadline: Some(Box::pin(sleep(limit))) }
    }
}

impl AsyncRead for Http2Deadline {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "an HTTP/2 head did not come in time")));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        let finished = self.frames.read(&buf.filled()[before..]);
        if !self.frames.is_unfinished() {
            self.deadline = None;
        } else if finished || self.deadline.is_none() {
            self.deadline = Some(Box::pin(sleep(self.limit)));
        }
        result
    }
}

impl AsyncWrite for Http2Deadline {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Http2Deadline {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

impl UniqueID for Http2Deadline {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Http2Deadline {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Http2Deadline {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Http2Deadline {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Http2Deadline {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Peek for Http2Deadline {}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(FRAME_HEADER + usize::from(length), 0);
        frame
    }

    /// After the preface and `bytes`, however they are cut, something is unfinished or not.
    fn check(bytes: &[u8], unfinished: bool) {
        let all = [&[0; PREFACE], bytes].concat();
        for size in 1..=all.len() {
            let mut frames = Frames::new();
            for part in all.chunks(size) {
                frames.read(part);
            }
            assert_eq!(frames.is_unfinished(), unfinished, "{bytes:?} in parts of {size}");
        }
    }

    #[test]
    fn what_is_begun_must_be_finished_but_for_data() {
        let settings = frame(4, 0, 6);
        check(&[], false);
        check(&settings, false);
        check(&settings[..3], true);
        check(&settings[..FRAME_HEADER + 1], true);
        check(&frame(HEADERS, END_HEADERS, 40), false);
        check(&frame(HEADERS, 0, 40), true);
        check(&[frame(HEADERS, 0, 4), frame(CONTINUATION, 0, 4)].concat(), true);
        check(&[frame(HEADERS, 0, 4), frame(CONTINUATION, END_HEADERS, 4)].concat(), false);
        check(&frame(DATA, 0, 200)[..20], false);
        check(&frame(DATA, 0, 200)[..5], true);
    }

    #[test]
    fn the_next_one_has_a_deadline_of_its_own() {
        let mut frames = Frames::new();
        assert!(!frames.read(&[0; PREFACE - 1]), "the preface is not complete");
        assert!(frames.read(&[&[0], &frame(4, 0, 6)[..10]].concat()), "the preface is, another frame begun");
        assert!(!frames.read(&[0]), "and not finished by this");
    }
}
