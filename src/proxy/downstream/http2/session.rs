//! Carries one HTTP/2 request and its response.

use super::inbox::Inbox;
use crate::http::request_head::RequestHead;
use crate::http::response_head::ResponseHead;
use crate::http::timeout::timeout;
use crate::proxy::downstream::peer::Peer;
use crate::proxy::session::{BodyPart, ClientGone, Session, broken_off, malformed};
use crate::tls::PresentedChain;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderName, HeaderValue, Response};
use pingora::protocols::Digest;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::Span;

/// A request on a stream of its own.
pub(super) struct Http2 {
    peer: Arc<Peer>,
    /// The body was waited for in vain after the process was about to end.
    has_stalled: bool,
    inbox: Inbox,
    request: RecvStream,
    /// The declared length of the body.
    declared: Option<u64>,
    received: u64,
    is_read: bool,
    is_head: bool,
    respond: SendResponse<Bytes>,
    /// The stream of the response's body, once its head was sent.
    response: Option<SendStream<Bytes>>,
    /// The last part of the response's body so far. If nothing follows, it is sent together with
    /// the end.
    held_back: Bytes,
    has_ended: bool,
    status: Option<u16>,
    sent: u64,
    write_timeout: Duration,
}

impl Http2 {
    /// Creates the session of the request with this `head`, whose body comes from `request`, and
    /// which is answered through `respond`. `write_timeout` limits how long the client may take to
    /// accept each part of the response.
    pub(super) fn new(
        peer: Arc<Peer>,
        inbox: Inbox,
        head: &RequestHead,
        request: RecvStream,
        respond: SendResponse<Bytes>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            peer,
            has_stalled: false,
            inbox,
            request,
            declared: head.content_length(),
            received: 0,
            is_read: false,
            is_head: head.method() == b"HEAD",
            respond,
            response: None,
            held_back: Bytes::new(),
            has_ended: false,
            status: None,
            sent: 0,
            write_timeout,
        }
    }

    /// Ends the response, of which all is sent.
    fn end(&mut self) -> Result<(), ClientGone> {
        self.has_ended = true;
        let response = self.response.as_mut().ok_or(ClientGone)?;
        let sent = response.send_data(Bytes::new(), true);
        sent.map_err(|_| ClientGone)
    }

    /// Checks the body at its end, or what there is of it.
    fn check_body(&self, is_end: bool) -> pingora::Result<()> {
        if !self.has_right_length(is_end) {
            return malformed("The body is not as long as was declared.");
        }
        let stream = self.respond.stream_id().as_u32();
        if is_end && !self.inbox.has_good_trailers(stream) {
            return malformed("The trailers are not header fields.");
        }
        Ok(())
    }

    /// Returns `true` if what was received can be, or is, a body of the declared length.
    fn has_right_length(&self, is_end: bool) -> bool {
        let declared = self.declared.unwrap_or(self.received);
        self.received == declared || (self.received < declared && !is_end)
    }

    /// Sends the part that was held back, as fast as the client accepts it.
    async fn release(&mut self, is_end: bool) -> Result<(), ClientGone> {
        let mut part = std::mem::take(&mut self.held_back);
        let response = self.response.as_mut().ok_or(ClientGone)?;
        while !part.is_empty() {
            let capacity = reserve(response, part.len(), self.write_timeout).await?;
            let chunk = part.split_to(capacity.min(part.len()));
            self.sent += chunk.len() as u64;
            let sent = response.send_data(chunk, is_end && part.is_empty());
            sent.map_err(|_| ClientGone)?;
        }
        self.has_ended |= is_end;
        Ok(())
    }

    /// Processes a part of the body that was received.
    fn accept(&mut self, part: Bytes) -> BodyPart {
        self.received += part.len() as u64;
        // Ignore the error: the stream has ended, which the next read reports.
        let _ = self.request.flow_control().release_capacity(part.len());
        self.check_body(false)?;
        Ok(Some(part))
    }
}

/// Waits until the client accepts some of `wanted` bytes, and returns their number.
async fn reserve(
    response: &mut SendStream<Bytes>,
    wanted: usize,
    limit: Duration,
) -> Result<usize, ClientGone> {
    response.reserve_capacity(wanted);
    match timeout(limit, poll_fn(|cx| response.poll_capacity(cx))).await {
        Ok(Some(Ok(capacity))) => Ok(capacity),
        _ => Err(ClientGone),
    }
}

/// The number of fields for which a response has room at once.
const USUAL_FIELDS: usize = 8;

/// Converts a head to the form of h2.
fn response(head: &ResponseHead) -> http::Result<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = head.status();
    response.headers_mut().reserve(USUAL_FIELDS);
    for (name, value) in head.fields() {
        let name = HeaderName::from_bytes(name)?;
        let value = HeaderValue::from_bytes(value)?;
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

impl Session for Http2 {
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
        if self.is_read {
            return Ok(None);
        }
        let part = self.request.data();
        match self.peer.in_time(&mut self.has_stalled, part).await? {
            Some(Ok(part)) => self.accept(part),
            Some(Err(error)) => broken_off(error),
            None => {
                self.is_read = true;
                self.check_body(true)?;
                Ok(None)
            }
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.is_read || self.request.is_end_stream()
    }

    async fn write_continue(&mut self) -> Result<(), ClientGone> {
        // Clients do not need it: the end of the stream marks the end of the body, whether the body
        // comes or not.
        Ok(())
    }

    fn close_after(&mut self) {}

    async fn begin(&mut self, head: &ResponseHead) -> Result<(), ClientGone> {
        let is_bodiless = self.is_head || matches!(head.status().as_u16(), 204 | 304);
        let response = response(head).map_err(|_| ClientGone)?;
        // An end that follows the head, instead of coming with it, makes a length in the head look
        // wrong to some.
        let sent = self.respond.send_response(response, is_bodiless);
        self.response = Some(sent.map_err(|_| ClientGone)?);
        self.has_ended = is_bodiless;
        self.status = Some(head.status().as_u16());
        Ok(())
    }

    async fn write(&mut self, part: Bytes) -> Result<(), ClientGone> {
        if part.is_empty() || self.has_ended {
            return Ok(());
        }
        self.flush().await?;
        self.held_back = part;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ClientGone> {
        self.release(false).await
    }

    async fn finish(&mut self) -> Result<(), ClientGone> {
        match (self.has_ended, self.held_back.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => self.end(),
            (false, false) => self.release(true).await,
        }
    }

    async fn has_left(&mut self) -> bool {
        futures_util::poll!(pin!(self.until_given_up())).is_ready()
    }

    async fn until_given_up(&mut self) {
        // Ignore the error: the whole connection has ended.
        let _ = poll_fn(|cx| match &mut self.response {
            Some(response) => response.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        })
        .await;
    }

    async fn abort(&mut self) {
        if !self.has_ended {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
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
