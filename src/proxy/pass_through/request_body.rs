//! The body of a request on its way from the client to the server, one part at a time.

use crate::http::chunked;
use crate::http::request_head::RequestHead;
use crate::proxy::body;
use crate::proxy::interrupt::Interrupt;
use crate::proxy::session::Session;
use crate::proxy::upstream_request::RequestFraming;
use crate::rejection::Rejection;
use crate::upstream::exchange::relay::RequestSide;
use bytes::{Buf as _, Bytes};
use std::collections::VecDeque;
use std::io;

/// A request's body that is being sent while it is read.
pub(super) struct RequestBody {
    framing: RequestFraming,
    /// The bytes to be sent next, which have been read.
    pending: Bytes,
    /// The parts to be sent after [`pending`](Self::pending).
    queued: VecDeque<Bytes>,
    /// The whole body, if it was gathered.
    whole: Option<Bytes>,
    is_unflushed: bool,
    /// The client has sent all of it.
    has_ended: bool,
    /// The server takes no more of it. It may have responded anyway.
    is_broken: bool,
    received: u64,
    /// The largest allowed body; 0 means no limit.
    limit: u64,
}

impl RequestBody {
    pub(super) fn new<S: Session>(session: &mut S, head: &RequestHead, limit: u64) -> Self {
        let has_ended = session.is_body_done();
        Self {
            framing: framing(head, has_ended),
            pending: Bytes::new(),
            queued: VecDeque::new(),
            whole: None,
            is_unflushed: false,
            has_ended,
            is_broken: false,
            received: 0,
            limit,
        }
    }

    pub(super) fn framing(&self) -> RequestFraming {
        self.framing
    }

    /// Returns the number of bytes that have been read.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Sets the whole body, which was gathered.
    pub(super) fn set_whole(&mut self, body: Bytes) {
        self.framing = RequestFraming::Length(body.len() as u64);
        self.has_ended = true;
        self.is_unflushed = !body.is_empty();
        self.pending = body.clone();
        self.whole = Some(body);
    }

    /// Drops the copy that allowed to send the body again.
    pub(super) fn forget_whole(&mut self) {
        self.whole = None;
    }

    /// Sets the beginning of the body, which was gathered; the rest is still to be read.
    pub(super) fn begin_with(&mut self, gathered: Bytes) {
        // It is large: queue the parts of its chunk around it instead of copying it into one.
        self.pending = chunked::size_line(gathered.len());
        let end = Bytes::from_static(chunked::CHUNK_END);
        self.queued.extend([gathered, end]);
        self.is_unflushed = true;
    }

    /// Returns `true` if the body can be sent from its beginning.
    pub(super) fn can_start_again(&self) -> bool {
        self.received == 0 || self.whole.is_some()
    }

    /// Returns to the beginning of a body that was gathered. There is nothing to return to if
    /// nothing has been read.
    pub(super) fn start_again(&mut self) {
        if let Some(body) = self.whole.clone() {
            self.is_broken = false;
            self.set_whole(body);
        }
    }

    /// Counts bytes that have been read.
    pub(super) fn count(&mut self, length: usize) -> Result<(), Interrupt> {
        self.received += length as u64;
        match self.limit > 0 && self.received > self.limit {
            true => Err(Rejection::BodyTooLarge(self.limit).into()),
            false => Ok(()),
        }
    }

    /// Returns `true` if something is left to be read or sent.
    fn is_active(&self) -> bool {
        let is_done = self.has_ended && self.is_flushed();
        !is_done && !self.is_broken
    }

    /// Returns `true` if what has been read has been sent.
    fn is_flushed(&self) -> bool {
        self.pending.is_empty() && !self.is_unflushed
    }

    /// Returns `true` if the server has all of it. After the declared length, the end that the
    /// client is still to send adds nothing.
    pub(super) fn is_sent(&self) -> bool {
        let is_whole = self.has_ended || self.framing == RequestFraming::Length(self.received);
        is_whole && self.is_flushed() && !self.is_broken
    }

    /// Returns `true` if nothing can be sent before more is read.
    pub(super) fn awaits_client(&self) -> bool {
        self.is_active() && self.is_flushed()
    }

    /// Reads or sends a part, or notices that the client has given up. Cancel safe.
    pub(super) async fn step<S: Session>(
        &mut self,
        session: &mut S,
        request: &mut RequestSide,
    ) -> Result<(), Interrupt> {
        if self.awaits_client() {
            let part = session.read_body().await;
            return self.take(part.map_err(|error| body::broken(&error))?);
        }
        tokio::select! {
            () = session.until_given_up() => Err(Interrupt::ClientGone),
            () = self.send(request), if self.is_active() => Ok(()),
        }
    }

    /// Sends some of what is pending, and flushes the last of it. A failure is left to the reader of
    /// the response, which may have arrived before. Cancel safe.
    async fn send(&mut self, request: &mut RequestSide) {
        self.is_broken = self.try_send(request).await.is_err();
    }

    async fn try_send(&mut self, request: &mut RequestSide) -> io::Result<()> {
        if !self.pending.is_empty() {
            let sent = request.send(&self.pending).await?;
            self.advance(sent);
        }
        if self.pending.is_empty() {
            // At once: the response may come before the next step.
            request.flush().await?;
            self.is_unflushed = false;
        }
        Ok(())
    }

    fn advance(&mut self, sent: usize) {
        self.pending.advance(sent);
        if self.pending.is_empty() {
            // Replace it: even an empty part would keep the memory of the whole.
            self.pending = self.queued.pop_front().unwrap_or_default();
        }
    }

    /// Takes what was read from the client: the next part, or the end of the body.
    fn take(&mut self, part: Option<Bytes>) -> Result<(), Interrupt> {
        self.is_unflushed = true;
        match part {
            Some(part) => self.take_part(part),
            None => self.take_end(),
        }
    }

    fn take_part(&mut self, part: Bytes) -> Result<(), Interrupt> {
        self.count(part.len())?;
        self.check_length(|length| self.received <= length)?;
        self.pending = self.framing.frame(part);
        Ok(())
    }

    fn take_end(&mut self) -> Result<(), Interrupt> {
        self.has_ended = true;
        self.check_length(|length| self.received == length)?;
        self.pending = self.framing.end();
        Ok(())
    }

    /// Checks the declared length once more, whatever the session makes of one that is wrong: the
    /// server must not take the rest of this request for the next one.
    fn check_length(&self, is_right: impl Fn(u64) -> bool) -> Result<(), Interrupt> {
        match self.framing {
            RequestFraming::Length(length) if !is_right(length) => {
                let what = "The body is not as long as was declared.";
                Err(Rejection::MalformedRequest(what).into())
            }
            _ => Ok(()),
        }
    }
}

impl RequestFraming {
    /// Returns a part of the body as it is sent.
    fn frame(self, part: Bytes) -> Bytes {
        match self {
            Self::Chunked if !part.is_empty() => chunked::chunk(&part),
            _ => part,
        }
    }

    /// Returns what is sent behind the last part.
    fn end(self) -> Bytes {
        match self {
            Self::Chunked => Bytes::from_static(chunked::LAST_CHUNK),
            _ => Bytes::new(),
        }
    }
}

fn framing(head: &RequestHead, has_ended: bool) -> RequestFraming {
    match head.content_length() {
        Some(length) => RequestFraming::Length(length),
        // Some servers require a length where a body is to be expected, even if it is empty
        // (RFC 9110 section 8.6).
        None if has_ended && matches!(head.method(), b"POST" | b"PUT" | b"PATCH") => {
            RequestFraming::Length(0)
        }
        None if has_ended => RequestFraming::NoBody,
        None => RequestFraming::Chunked,
    }
}
