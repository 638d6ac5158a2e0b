//! Reads the heads that come over HTTP/2, and leaves the rest to h2: streams, flow control, and
//! what is sent.
//!
//! On its way to h2, each header block is taken out and judged, as a head of HTTP/1.1 is. h2 gets a
//! block in its place that says nothing but that there is a request, or its end. What h2 would make
//! of a malformed one — repair it, reset its stream without a word, end the connection and with it
//! the requests beside it — it never sees.
//!
//! Every head has a deadline, here as well: for the client's preface, and for the rest of a frame
//! or of a header block. What may take its time is the payload of DATA frames, which is a body's
//! and has a deadline of its own. And frames that bring no request any further are limited in
//! number.

use super::head::{FieldBlock, StreamHead};
use super::hpack::Decoder;
use crate::config::Limits;
use crate::http::timeout::{Sleep, sleep};
use bytes::{Buf as _, BufMut as _, BytesMut};
use h2::Reason;
use pingora::protocols::Stream;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The length of the client's preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// The length of a frame's header (RFC 9113 section 4.1).
const FRAME_HEADER: usize = 9;

/// How long a frame may be, since nothing else is announced (RFC 9113 section 4.2).
const MAX_FRAME: usize = 16_384;

/// Types of frames (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Flags of frames.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// How long a header block may be, encoded: below this, one that is too large is refused by an
/// answer.
const MAX_BLOCK: usize = 64 * 1024;

/// How many frames it may have.
const MAX_BLOCK_FRAMES: usize = 64;

/// What h2 gets for a request: `:method: POST`, `:scheme: https` and `:path: /` from the static
/// table.
const REQUEST: [u8; 3] = [0x83, 0x87, 0x84];

/// How many heads may wait for h2 to hand over their streams: as many as there may be streams. h2
/// refuses the others.
pub(super) const MAX_STREAMS: usize = 100;

/// How many streams may have had trailers that are none.
const MAX_BAD_TRAILERS: usize = 100;

/// How many frames that bring no request further may come at once, and in each second.
const IDLE_FRAMES: u64 = 1000;
const IDLE_FRAMES_PER_SECOND: u64 = 100;

/// How many such frames each request and each KiB of an answer allow for: windows have to be
/// updated.
const IDLE_FRAMES_PER_REQUEST: u64 = 10;

/// How long a client may take to read what it has been told last, and close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What has been read and waits to be asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox(Arc<Mutex<InboxContents>>);

#[derive(Debug, Default)]
struct InboxContents {
    /// By stream, in the order in which h2 hands these over.
    requests: VecDeque<(u32, StreamHead)>,
    /// The streams whose trailers are none.
    bad_trailers: Vec<u32>,
    /// Why the connection cannot go on.
    end: Option<Reason>,
}

impl Inbox {
    /// The request of a stream that h2 has handed over. Those before it have been refused.
    pub(super) fn take(&self, stream: u32) -> Option<StreamHead> {
        self.with(|contents| {
            while let Some((id, request)) = contents.requests.pop_front() {
                match id.cmp(&stream) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => return Some(request),
                    std::cmp::Ordering::Greater => {
                        contents.requests.push_front((id, request));
                        return None;
                    }
                }
            }
            None
        })
    }

    /// Whether what came behind the body of a stream is what may come there.
    pub(super) fn has_good_trailers(&self, stream: u32) -> bool {
        self.with(|contents| {
            let index = contents.bad_trailers.iter().position(|id| *id == stream);
            index
                .map(|index| contents.bad_trailers.swap_remove(index))
                .is_none()
        })
    }

    /// Why the connection has to end.
    pub(super) fn end(&self) -> Option<Reason> {
        self.with(|contents| contents.end)
    }

    fn with<T>(&self, act: impl FnOnce(&mut InboxContents) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Follows a client's frames.
#[derive(Debug)]
struct Frames {
    /// How much of the preface is still to come.
    preface: usize,
    header: [u8; FRAME_HEADER],
    /// How much of the next frame's header is there.
    known: usize,
    /// How much of a frame's payload is still to come.
    missing: usize,
    /// What is of a header block, and not for h2.
    payload: Option<Vec<u8>>,
    in_data: bool,
    block: Option<HeaderBlock>,
    last_request: u32,
    decoder: Decoder,
    max_head: usize,
    allowance: Allowance,
    inbox: Inbox,
}

/// A header block that is arriving.
#[derive(Debug)]
struct HeaderBlock {
    stream: u32,
    is_last: bool,
    bytes: Vec<u8>,
    frames: usize,
}

impl Frames {
    fn new(max_head: usize, inbox: Inbox) -> Self {
        Self {
            preface: PREFACE,
            header: [0; FRAME_HEADER],
            known: 0,
            missing: 0,
            payload: None,
            in_data: false,
            block: None,
            last_request: 0,
            decoder: Decoder::new(),
            max_head,
            allowance: Allowance::new(Instant::now()),
            inbox,
        }
    }

    /// Takes what was read, appends what h2 is to read, and says whether anything was finished by
    /// it.
    fn read(&mut self, mut bytes: &[u8], output: &mut BytesMut) -> Result<bool, Reason> {
        let mut finished = false;
        while !bytes.is_empty() {
            if self.preface > 0 {
                let taken = take(&mut bytes, self.preface);
                self.preface -= taken.len();
                output.put_slice(taken);
            } else if self.missing == 0 {
                let taken = take(&mut bytes, FRAME_HEADER - self.known);
                self.header[self.known..self.known + taken.len()].copy_from_slice(taken);
                self.known += taken.len();
                if self.known == FRAME_HEADER {
                    self.known = 0;
                    self.begin_frame(output)?;
                }
            } else {
                let taken = take(&mut bytes, self.missing);
                self.missing -= taken.len();
                match &mut self.payload {
                    Some(payload) => payload.extend_from_slice(taken),
                    None => output.put_slice(taken),
                }
            }
            if self.missing == 0
                && let Some(payload) = self.payload.take()
            {
                self.end_frame(&payload, output)?;
            }
            finished |= !self.is_unfinished();
        }
        Ok(finished)
    }

    /// Whether the next bytes, so many, are of a body and nothing else. Then they have been
    /// counted.
    fn pass(&mut self, bytes: usize) -> bool {
        let is_body = self.in_data && self.known == 0 && self.missing >= bytes;
        self.missing -= if is_body { bytes } else { 0 };
        is_body
    }

    fn begin_frame(&mut self, output: &mut BytesMut) -> Result<(), Reason> {
        let [a, b, c, kind, flags, ..] = self.header;
        self.missing = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.in_data = kind == DATA;
        let stream = self.stream();
        let is_continued = self
            .block
            .as_ref()
            .is_some_and(|block| block.stream == stream && kind == CONTINUATION);
        if self.block.is_some() != is_continued || (kind == CONTINUATION && !is_continued) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if matches!(kind, HEADERS | CONTINUATION) {
            // Only a client's streams are odd.
            if stream.is_multiple_of(2) {
                return Err(Reason::PROTOCOL_ERROR);
            }
            if self.missing > MAX_FRAME {
                return Err(Reason::FRAME_SIZE_ERROR);
            }
            self.payload = Some(Vec::with_capacity(self.missing));
            return Ok(());
        }
        if kind != DATA || (self.missing == 0 && flags & END_STREAM == 0) {
            self.allowance.spend(Instant::now())?;
        }
        output.put_slice(&self.header);
        Ok(())
    }

    fn stream(&self) -> u32 {
        let [.., a, b, c, d] = self.header;
        u32::from_be_bytes([a & 0x7f, b, c, d])
    }

    /// Takes the payload of a frame of a header block.
    fn end_frame(&mut self, payload: &[u8], output: &mut BytesMut) -> Result<(), Reason> {
        let [_, _, _, kind, flags, ..] = self.header;
        let mut block = match self.block.take() {
            Some(block) => block,
            None => HeaderBlock {
                stream: self.stream(),
                is_last: flags & END_STREAM != 0,
                bytes: Vec::new(),
                frames: 0,
            },
        };
        let fragment = if kind == HEADERS {
            fragment(payload, flags)?
        } else {
            payload
        };
        block.bytes.extend_from_slice(fragment);
        block.frames += 1;
        if block.bytes.len() > MAX_BLOCK.max(4 * self.max_head) || block.frames > MAX_BLOCK_FRAMES {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        if flags & END_HEADERS == 0 {
            self.block = Some(block);
            return Ok(());
        }
        self.end_block(&block, output)
    }

    fn end_block(&mut self, block: &HeaderBlock, output: &mut BytesMut) -> Result<(), Reason> {
        let mut fields = FieldBlock::new(self.max_head);
        let decoded = self
            .decoder
            .decode(&block.bytes, |name, value| fields.push(name, value));
        decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
        let is_request = block.stream > self.last_request;
        if is_request {
            self.last_request = block.stream;
            self.allowance.earn(IDLE_FRAMES_PER_REQUEST);
            self.inbox.with(|contents| {
                if contents.requests.len() < MAX_STREAMS {
                    contents
                        .requests
                        .push_back((block.stream, fields.request(block.is_last)));
                }
            });
        } else if !fields.are_trailers() {
            self.inbox.with(|contents| {
                contents.bad_trailers.push(block.stream);
                if contents.bad_trailers.len() > MAX_BAD_TRAILERS {
                    Err(Reason::ENHANCE_YOUR_CALM)
                } else {
                    Ok(())
                }
            })?;
        }
        let replacement: &[u8] = if is_request { &REQUEST } else { &[] };
        let flags = END_HEADERS | if block.is_last { END_STREAM } else { 0 };
        output.put_slice(&[0, 0, replacement.len() as u8, HEADERS, flags]);
        output.put_u32(block.stream);
        output.put_slice(replacement);
        Ok(())
    }

    fn is_unfinished(&self) -> bool {
        self.preface > 0
            || self.block.is_some()
            || self.known > 0
            || (self.missing > 0 && !self.in_data)
    }
}

/// Takes at most `limit` bytes from the beginning of `bytes`.
fn take<'b>(bytes: &mut &'b [u8], limit: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(limit.min(bytes.len()));
    *bytes = rest;
    taken
}

/// The part of a header block in a HEADERS frame, which may have a priority before it and padding
/// around it.
fn fragment(payload: &[u8], flags: u8) -> Result<&[u8], Reason> {
    let (padding, payload) = match (flags & PADDED != 0, payload) {
        (false, payload) => (0, payload),
        (true, [padding, payload @ ..]) => (usize::from(*padding), payload),
        (true, []) => return Err(Reason::FRAME_SIZE_ERROR),
    };
    let skipped = if flags & PRIORITY == 0 { 0 } else { 5 };
    let end = payload
        .len()
        .checked_sub(padding)
        .ok_or(Reason::PROTOCOL_ERROR)?;
    payload.get(skipped..end).ok_or(Reason::PROTOCOL_ERROR)
}

/// How many more frames may come that bring no request any further.
#[derive(Debug)]
struct Allowance {
    left: u64,
    /// When time was counted last.
    since: Instant,
    /// What was written, as far as nothing has been allowed for it.
    written: u64,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            left: IDLE_FRAMES,
            since: now,
            written: 0,
        }
    }

    fn earn(&mut self, frames: u64) {
        self.left = (self.left + frames).min(IDLE_FRAMES);
    }

    fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.earn(self.written / 1024 * IDLE_FRAMES_PER_REQUEST);
        self.written %= 1024;
    }

    fn spend(&mut self, now: Instant) -> Result<(), Reason> {
        let seconds = now.duration_since(self.since).as_secs();
        if seconds > 0 {
            self.since = now;
            self.earn(seconds.saturating_mul(IDLE_FRAMES_PER_SECOND));
        }
        self.left = self.left.checked_sub(1).ok_or(Reason::ENHANCE_YOUR_CALM)?;
        Ok(())
    }
}

/// A connection of which h2 gets to read what it needs.
#[derive(Debug)]
pub(super) struct FrameReader {
    stream: Stream,
    frames: Frames,
    /// What h2 has still to read.
    output: BytesMut,
    limit: Duration,
    /// Of what is unfinished.
    deadline: Option<Sleep>,
    /// Once it is closed on this side.
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

    /// Takes what was read, and says why the connection cannot go on, if it cannot.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        let finished = self.frames.read(bytes, &mut self.output)?;
        if !self.frames.is_unfinished() {
            self.deadline = None;
        } else if finished || self.deadline.is_none() {
            self.deadline = Some(sleep(self.limit));
        }
        Ok(())
    }

    /// Waits for more, but no longer than for what is unfinished.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self
            .deadline
            .as_mut()
            .map(|deadline| Pin::new(deadline).poll(cx))
        {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "an HTTP/2 head did not come in time",
            ))),
            _ => Poll::Pending,
        }
    }

    /// Ends the connection from the side that can say why.
    fn end(&self, reason: Reason, cx: &Context<'_>) {
        self.frames
            .inbox
            .with(|contents| contents.end = Some(reason));
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
                let length = self.output.len().min(buf.remaining());
                buf.put_slice(&self.output[..length]);
                self.output.advance(length);
                if self.output.is_empty() {
                    // Most connections are idle, and need no memory for what has been read.
                    self.output = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if self.frames.inbox.end().is_some() {
                return Poll::Pending;
            }
            let start = buf.filled().len();
            match Pin::new(&mut self.stream).poll_read(cx, buf) {
                Poll::Ready(read) => read?,
                // What has arrived was in time, whenever it is looked at.
                Poll::Pending => return self.wait(cx),
            }
            if buf.filled().len() == start {
                return Poll::Ready(Ok(()));
            }
            if self.frames.pass(buf.filled().len() - start) {
                return Poll::Ready(Ok(()));
            }
            // It goes back into the same buffer, without what is taken out.
            let taken = self.take(&buf.filled()[start..]);
            buf.set_filled(start);
            if let Err(reason) = taken {
                self.end(reason, cx);
            }
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
        self.frames.allowance.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Reads on for a while: closing with unread data resets the connection, and the client might
    /// never see why.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.close_timer.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        let close_timer = self.close_timer.get_or_insert_with(|| sleep(CLOSE_TIMEOUT));
        if Pin::new(close_timer).poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut discarded = [0; 4096];
        loop {
            let mut discarded = ReadBuf::new(&mut discarded);
            // How the client ends it makes no difference.
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut discarded));
            if read.is_err() || discarded.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.frames.allowance.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that says what [`REQUEST`] does, for an authority.
    const BLOCK: &[u8] = b"\x83\x87\x84\x41\x01h";

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        frame.extend_from_slice(payload);
        frame
    }

    fn headers(flags: u8, payload: &[u8]) -> Vec<u8> {
        frame(HEADERS, flags, 1, payload)
    }

    fn frames() -> Frames {
        Frames::new(4096, Inbox::default())
    }

    /// What h2 gets of the preface and `bytes`, cut into parts of `size`.
    fn read(frames: &mut Frames, bytes: &[u8], size: usize) -> Result<Vec<u8>, Reason> {
        let mut output = BytesMut::new();
        for part in [&[0; PREFACE], bytes].concat().chunks(size) {
            frames.read(part, &mut output)?;
        }
        Ok(output[PREFACE.min(output.len())..].to_vec())
    }

    #[test]
    fn h2_gets_nothing_of_a_head() {
        let (data, ping) = (frame(DATA, 0, 1, b"body"), frame(6, 0, 0, &[0; 8]));
        let request = headers(END_HEADERS, &REQUEST);
        let end = headers(END_HEADERS | END_STREAM, &[]);
        let padded = [&[3, 0, 0, 0, 0, 9][..], BLOCK, b"pad"].concat();
        for (bytes, expected) in [
            (vec![], vec![]),
            (headers(END_HEADERS, BLOCK), request.clone()),
            (
                headers(END_HEADERS | PADDED | PRIORITY, &padded),
                request.clone(),
            ),
            (
                [
                    headers(0, &BLOCK[..2]),
                    frame(CONTINUATION, 0, 1, &[]),
                    frame(CONTINUATION, END_HEADERS, 1, &BLOCK[2..]),
                ]
                .concat(),
                request.clone(),
            ),
            (
                [
                    &ping[..],
                    &headers(END_HEADERS, BLOCK),
                    &data,
                    &headers(END_HEADERS | END_STREAM, b"\0\x01t\x01v"),
                    &ping,
                ]
                .concat(),
                [&ping[..], &request, &data, &end, &ping].concat(),
            ),
        ] {
            for size in 1..=bytes.len() + PREFACE {
                let mut frames = frames();
                assert_eq!(
                    read(&mut frames, &bytes, size),
                    Ok(expected.clone()),
                    "{bytes:?} in parts of {size}"
                );
                let received = frames.inbox.take(1);
                assert_eq!(
                    received.is_some_and(|received| received.rejection.is_none()),
                    !bytes.is_empty()
                );
                assert!(frames.inbox.has_good_trailers(1));
            }
        }
    }

    #[test]
    fn what_breaks_the_connection_is_told_from_what_breaks_a_request() {
        let long = vec![0; 255];
        for (bytes, reason) in [
            (headers(END_HEADERS, &[0x80]), Reason::COMPRESSION_ERROR),
            (headers(END_HEADERS | PADDED, &[]), Reason::FRAME_SIZE_ERROR),
            (
                headers(END_HEADERS | PADDED, &[9, 0]),
                Reason::PROTOCOL_ERROR,
            ),
            (
                headers(END_HEADERS | PRIORITY, &[0; 4]),
                Reason::PROTOCOL_ERROR,
            ),
            (
                frame(HEADERS, END_HEADERS, 0, BLOCK),
                Reason::PROTOCOL_ERROR,
            ),
            (
                frame(HEADERS, END_HEADERS, 2, BLOCK),
                Reason::PROTOCOL_ERROR,
            ),
            (
                frame(CONTINUATION, END_HEADERS, 1, BLOCK),
                Reason::PROTOCOL_ERROR,
            ),
            (
                [headers(0, BLOCK), frame(DATA, 0, 1, b"")].concat(),
                Reason::PROTOCOL_ERROR,
            ),
            (
                [headers(0, BLOCK), headers(0, BLOCK)].concat(),
                Reason::PROTOCOL_ERROR,
            ),
            (
                [headers(0, BLOCK), frame(CONTINUATION, 0, 3, BLOCK)].concat(),
                Reason::PROTOCOL_ERROR,
            ),
            (
                vec![0, 0x40, 1, HEADERS, END_HEADERS, 0, 0, 0, 1],
                Reason::FRAME_SIZE_ERROR,
            ),
            (
                [headers(0, BLOCK), frame(CONTINUATION, 0, 1, &[]).repeat(64)].concat(),
                Reason::ENHANCE_YOUR_CALM,
            ),
            (
                [
                    headers(0, BLOCK),
                    frame(CONTINUATION, 0, 1, &long).repeat(300),
                ]
                .concat(),
                Reason::ENHANCE_YOUR_CALM,
            ),
            (
                frame(6, 0, 0, &[0; 8]).repeat(2000),
                Reason::ENHANCE_YOUR_CALM,
            ),
            (
                frame(DATA, 0, 1, &[]).repeat(2000),
                Reason::ENHANCE_YOUR_CALM,
            ),
        ] {
            assert_eq!(read(&mut frames(), &bytes, 1000), Err(reason), "{bytes:?}");
        }
        let mut frames = frames();
        read(
            &mut frames,
            &headers(END_HEADERS, b"\x83\x87\x84\x41\x01h\0\x01X\x01y"),
            9,
        )
        .unwrap();
        assert!(frames.inbox.take(1).unwrap().rejection.is_some());
        frames
            .read(
                &headers(END_HEADERS | END_STREAM, b"\x84"),
                &mut BytesMut::new(),
            )
            .unwrap();
        assert!(!frames.inbox.has_good_trailers(1));
    }

    #[test]
    fn heads_that_nothing_asks_for_are_bounded() {
        let mut frames = frames();
        let requests = (0..120_u8)
            .map(|index| frame(HEADERS, END_HEADERS, 2 * index + 1, BLOCK))
            .collect::<Vec<_>>();
        read(&mut frames, &requests.concat(), 1000).unwrap();
        assert_eq!(frames.inbox.0.lock().unwrap().requests.len(), MAX_STREAMS);
        assert!(frames.inbox.take(5).is_some());
        assert!(
            frames.inbox.take(3).is_none()
                && frames.inbox.take(7).is_some()
                && frames.inbox.take(239).is_none()
        );
    }

    #[test]
    fn what_is_begun_must_be_finished_but_for_data() {
        let settings = frame(4, 0, 0, &[0; 6]);
        for (bytes, unfinished) in [
            (&[][..], false),
            (&settings, false),
            (&settings[..3], true),
            (&settings[..FRAME_HEADER + 1], true),
            (&headers(END_HEADERS, BLOCK), false),
            (&headers(0, BLOCK), true),
            (
                &[headers(0, BLOCK), frame(CONTINUATION, 0, 1, &[])].concat(),
                true,
            ),
            (
                &[headers(0, BLOCK), frame(CONTINUATION, END_HEADERS, 1, &[])].concat(),
                false,
            ),
            (&frame(DATA, 0, 1, &[0; 200])[..20], false),
            (&frame(DATA, 0, 1, &[0; 200])[..5], true),
        ] {
            for size in 1..=bytes.len() + PREFACE {
                let mut frames = frames();
                read(&mut frames, bytes, size).unwrap();
                assert_eq!(
                    frames.is_unfinished(),
                    unfinished,
                    "{bytes:?} in parts of {size}"
                );
            }
        }
    }

    #[test]
    fn the_next_one_has_a_deadline_of_its_own() {
        let (mut frames, mut output) = (frames(), BytesMut::new());
        assert_eq!(
            frames.read(&[0; PREFACE - 1], &mut output),
            Ok(false),
            "the preface is not complete"
        );
        let next = [&[0], &frame(4, 0, 0, &[0; 6])[..10]].concat();
        assert_eq!(
            frames.read(&next, &mut output),
            Ok(true),
            "the preface is, another frame begun"
        );
        assert_eq!(
            frames.read(&[0], &mut output),
            Ok(false),
            "and not finished by this"
        );
    }

    #[test]
    fn frames_are_allowed_for_by_what_is_done_and_by_time() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let spent = |allowance: &mut Allowance, now| {
            (0..10_000)
                .take_while(|_| allowance.spend(now).is_ok())
                .count()
        };
        assert_eq!(spent(&mut allowance, now), 1000);
        allowance.earn(3);
        assert_eq!(spent(&mut allowance, now), 3);
        allowance.wrote(1000);
        allowance.wrote(1100);
        assert_eq!(spent(&mut allowance, now), 20);
        assert_eq!(spent(&mut allowance, now + Duration::from_secs(2)), 200);
        assert_eq!(spent(&mut allowance, now + Duration::from_secs(3600)), 1000);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, kind in 0_u8..10, flags: u8, size in 1_usize..50) {
            let _ = read(&mut frames(), &[frame(kind, flags, 1, &bytes[..bytes.len().min(255)]), bytes].concat(), size);
        }
    }
}
