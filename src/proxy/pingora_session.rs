//! A session of Pingora's, for the middleware.

use super::session::{BodyPart, ClientGone, Session};
use crate::http::request_head::{HttpVersion, RequestHead};
use crate::http::response_head::ResponseHead;
use crate::http::timeout::timeout;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use std::future::Future;
use std::time::Duration;

/// A session of Pingora's.
pub(super) struct PingoraSession<'s> {
    session: &'s mut ServerSession,
    /// The last part of the response's body so far. If nothing follows, it is sent together with
    /// the end.
    held_back: Bytes,
    write_timeout: Duration,
    max_body: u64,
}

impl<'s> PingoraSession<'s> {
    /// Creates a session. `write_timeout` limits how long the client may take to accept each part
    /// of the response.
    pub(super) fn new(session: &'s mut ServerSession, write_timeout: Duration) -> Self {
        Self {
            session,
            held_back: Bytes::new(),
            write_timeout,
            max_body: u64::MAX,
        }
    }

    /// Lets no body be larger than this, in bytes.
    pub(super) fn with_max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sends what was held back.
    async fn release(&mut self, is_end: bool) -> Result<(), ClientGone> {
        let part = std::mem::take(&mut self.held_back);
        taken(
            self.write_timeout,
            self.session.write_response_body(part, is_end),
        )
        .await
    }

    async fn write_head(
        &mut self,
        head: Box<ResponseHeader>,
        is_bodiless: bool,
    ) -> Result<(), ClientGone> {
        match &mut *self.session {
            // An end that follows the head, instead of coming with it, makes a length in the head
            // look wrong to some.
            ServerSession::H2(session) => session
                .write_response_header(head, is_bodiless)
                .map_err(|_| ClientGone),
            session => taken(self.write_timeout, session.write_response_header(head)).await,
        }
    }

    /// Returns `true` if a response with this status has no body, whatever its head says.
    fn is_bodiless(&self, status: StatusCode) -> bool {
        self.session.req_header().method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// Returns the head, in the form that does not depend on the version of HTTP.
    pub(super) fn head(&self) -> RequestHead {
        head(self.session.req_header())
    }
}

/// Converts a head to Pingora's form. In HTTP/2, names are in lower case, and there is no reason
/// phrase.
fn response_header(
    response: &ResponseHead,
    version: http::Version,
) -> pingora::Result<ResponseHeader> {
    let mut head = match version {
        http::Version::HTTP_2 => ResponseHeader::build_no_case(response.status(), Some(16))?,
        _ => ResponseHeader::build(response.status(), Some(16))?,
    };
    head.set_reason_phrase(Some(response.reason()))?;
    for (name, value) in response.fields() {
        head.append_header(Bytes::copy_from_slice(name), value)?;
    }
    Ok(head)
}

/// Converts a head that Pingora has read.
pub(super) fn head(request: &RequestHeader) -> RequestHead {
    let version = HttpVersion::from(request.version);
    let (method, target) = (request.method.as_str(), request.raw_path());
    let authority = authority(request).into_iter();
    if request.has_case() {
        // The spelling that came over the wire.
        let fields = request.case_header_iter();
        let fields = fields.map(|(name, value)| (name.as_slice(), value.as_bytes()));
        return RequestHead::from_parts(version, method, target, authority.chain(fields));
    }
    let fields = request.headers.iter();
    let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    RequestHead::from_parts(version, method, target, authority.chain(fields))
}

/// Returns the host as a field where only `:authority` has it, as in HTTP/2.
fn authority(request: &RequestHeader) -> Option<(&[u8], &[u8])> {
    if request.headers.contains_key(header::HOST) {
        return None;
    }
    let authority = request.uri.authority()?;
    Some((b"Host", authority.as_str().as_bytes()))
}

/// Waits until the client accepts a write.
async fn taken<T>(
    limit: Duration,
    write: impl Future<Output = pingora::Result<T>>,
) -> Result<(), ClientGone> {
    match timeout(limit, write).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(ClientGone),
    }
}

impl Session for PingoraSession<'_> {
    fn digest(&self) -> Option<&Digest> {
        self.session.digest()
    }

    fn max_body(&self) -> u64 {
        self.max_body
    }

    async fn read_body(&mut self) -> BodyPart {
        self.session.read_request_body().await
    }

    fn is_body_done(&mut self) -> bool {
        self.session.is_body_done()
    }

    async fn write_continue(&mut self) -> Result<(), ClientGone> {
        taken(self.write_timeout, self.session.write_continue_response()).await
    }

    fn close_after(&mut self) {
        self.session.set_keepalive(None);
    }

    async fn begin(&mut self, head: &ResponseHead) -> Result<(), ClientGone> {
        let is_bodiless = self.is_bodiless(head.status());
        let is_unmeasured = !is_bodiless && !head.has_length();
        let version = self.session.req_header().version;
        let mut head = response_header(head, version).map_err(|_| ClientGone)?;
        if is_unmeasured && version == http::Version::HTTP_11 {
            // Ignore the error: inserting a well-formed field cannot fail.
            let _ = head.insert_header(header::TRANSFER_ENCODING, "chunked");
        }
        self.write_head(Box::new(head), is_bodiless).await
    }

    async fn write(&mut self, part: Bytes) -> Result<(), ClientGone> {
        let response = self.session.response_written();
        let is_bodiless = response.is_some_and(|head| self.is_bodiless(head.status));
        if part.is_empty() || is_bodiless {
            return Ok(());
        }
        self.flush().await?;
        self.held_back = part;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ClientGone> {
        match self.held_back.is_empty() {
            true => Ok(()),
            false => self.release(false).await,
        }
    }

    async fn finish(&mut self) -> Result<(), ClientGone> {
        match self.held_back.is_empty() {
            true => taken(self.write_timeout, self.session.finish_body()).await,
            false => self.release(true).await,
        }
    }

    async fn abort(&mut self) {
        self.session.set_keepalive(None);
        self.session.shutdown().await;
    }

    fn status(&self) -> Option<u16> {
        self.session
            .response_written()
            .map(|head| head.status.as_u16())
    }

    fn bytes_sent(&self) -> u64 {
        self.session.body_bytes_sent() as u64
    }
}
