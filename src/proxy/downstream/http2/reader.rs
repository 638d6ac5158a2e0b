//! Reads the heads that arrive over HTTP/2, and leaves the rest to h2: streams, flow control, and
//! everything that is sent.
//!
//! Each header block is removed from the input of h2 and judged, as a head of HTTP/1.1 is. h2 reads
//! a replacement that contains only that there is a request, or the end of its body. So h2 never
//! sees a malformed block, which it would repair, answer by resetting the stream without an
//! explanation, or treat as an error of the connection, which ends all other requests with it.
//!
//! Every head has a deadline here as well: the client's preface, and the rest of a frame or of a
//! header block. Only the payload of DATA frames has none, because the body has a deadline of its
//! own. And frames that do not advance any request are limited in number.

use super::frames::Frames;
use super::inbox::Inbox;
use crate::config::Limits;
use crate::http::timeout::{Sleep, sleep};
use crate::proxy::downstream::connection::Stream;
use bytes::{Buf as _, BytesMut};
use h2::Reason;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a client may take to read the end of the connection and close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection of which h2 gets to read what it needs.
#[derive(Debug)]
pub(super) struct FrameReader {
    stream: Stream,
    frames: Frames,
    /// The bytes that h2 has still to read.
    output: BytesMut,
    limit: Duration,
    /// The deadline of the element that is incomplete.
    deadline: Option<Sleep>,
    /// The deadline of the client for closing its side, once this side is closed.
    close_timer: Option<Sleep>,
}

impl FrameReader {
    pub(super) fn new(stream: Stream, limits: &Limits, inbox: Inbox) -> Self {
        Self {
            stream,
            frames: Frames::new(limits.max_header_size, inbox),
            output: BytesMut::new(),
            limit: limits.header_timeout,
            deadline: Some(sleep(limits.header_timeout)),
            close_timer: None,
        }
    }

    /// Processes bytes that were read. Returns the reason if the connection cannot continue.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.output.reserve(bytes.len());
        let finished = self.frames.read(bytes, &mut self.output)?;
        if !self.frames.is_unfinished() {
            self.deadline = None;
        } else if finished || self.deadline.is_none() {
            self.deadline = Some(sleep(self.limit));
        }
        Ok(())
    }

    /// Fills `buf` with bytes that h2 is to read.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.output.len().min(buf.remaining());
        buf.put_slice(&self.output[..length]);
        self.output.advance(length);
        if self.output.is_empty() {
            // Free the memory: most connections are idle.
            self.output = BytesMut::new();
        }
    }

    /// Waits for more, but no longer than for what is unfinished.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        ready!(Pin::new(deadline).poll(cx));
        let message = "an HTTP/2 head did not come in time";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }

    /// Processes bytes that were read, or ends the connection.
    fn take_or_end(&mut self, bytes: &[u8], cx: &Context<'_>) {
        if let Err(reason) = self.take(bytes) {
            self.end(reason, cx);
        }
    }

    /// Reads on until the client closes its side.
    fn discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut discarded = [0; 4096];
        loop {
            let mut discarded = ReadBuf::new(&mut discarded);
            // How the client ends it makes no difference.
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut discarded));
            if read.is_err() || discarded.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Ends the connection from the side that can send the reason.
    fn end(&self, reason: Reason, cx: &Context<'_>) {
        self.frames.inbox().end_with(reason);
        cx.waker().wake_by_ref();
    }
}

impl AsyncRead for FrameReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.output.is_empty() {
                self.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            if self.frames.inbox().end().is_some() {
                return Poll::Pending;
            }
            let start = buf.filled().len();
            match Pin::new(&mut self.stream).poll_read(cx, buf) {
                Poll::Ready(read) => read?,
                // Check the deadline only now: data that has arrived was in time, however late it
                // is read.
                Poll::Pending => return self.wait(cx),
            }
            let read = buf.filled().len() - start;
            if read == 0 || self.frames.pass(read) {
                return Poll::Ready(Ok(()));
            }
            // Take the bytes out of the buffer, which gets those that h2 is to read.
            self.take_or_end(&buf.filled()[start..], cx);
            buf.set_filled(start);
        }
    }
}

impl AsyncWrite for FrameReader {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.frames.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Reads on for a while: closing with unread data resets the connection, and the client might
    /// never see the reason.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.close_timer.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        let close_timer = self.close_timer.get_or_insert_with(|| sleep(CLOSE_TIMEOUT));
        if Pin::new(close_timer).poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.discard(cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.frames.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
