//! A request and the way to answer it, whichever version of HTTP carries them.

use crate::answer_head::AnswerHead;
use crate::head::{Head, Version};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType};
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

/// The sender can no longer be answered.
#[derive(Debug)]
pub(super) struct SenderGone;

/// What reading a body gives: its next part, or `None` at its end.
pub(super) type Part = pingora::Result<Option<Bytes>>;

/// One request's body, and its answer.
///
/// What is written may be held back until `flush` or `finish`, so that a small answer leaves in one piece.
pub(super) trait Session: Send {
    /// What is known about the connection.
    fn digest(&self) -> Option<&Digest>;

    /// Reads the next part of the body.
    fn read_body(&mut self) -> impl Future<Output = Part> + Send;

    /// Whether the body has been read to its end.
    fn is_body_done(&mut self) -> bool;

    /// Tells a sender that waits for it to send the body (RFC 9110 section 10.1.1).
    fn write_continue(&mut self) -> impl Future<Output = Result<(), SenderGone>> + Send;

    /// Lets no other request follow on this connection, where it carries one at a time.
    fn close_after(&mut self);

    /// Begins the answer.
    fn begin(&mut self, head: &AnswerHead) -> impl Future<Output = Result<(), SenderGone>> + Send;

    /// Continues with a part of its body.
    fn write(&mut self, part: Bytes) -> impl Future<Output = Result<(), SenderGone>> + Send;

    /// Lets the sender see what has been written so far.
    fn flush(&mut self) -> impl Future<Output = Result<(), SenderGone>> + Send;

    /// Ends the answer.
    fn finish(&mut self) -> impl Future<Output = Result<(), SenderGone>> + Send;

    /// Breaks an answer off, so that the sender does not take a part of it for the whole.
    fn abort(&mut self) -> impl Future<Output = ()> + Send;

    /// The answer's status, once it has begun.
    fn status(&self) -> Option<u16>;

    /// How many bytes of its body were sent.
    fn bytes_sent(&self) -> u64;

    /// The address at the other end of the connection.
    fn peer(&self) -> Option<IpAddr> {
        let address = self.digest()?.socket_digest.as_ref()?.peer_addr()?;
        address.as_inet().map(|address| address.ip())
    }

    /// The version of TLS, where there is one.
    fn tls_version(&self) -> Option<&str> {
        self.digest()?.ssl_digest.as_ref().map(|ssl| ssl.version.as_ref())
    }
}

/// A session of Pingora's.
pub(super) struct PingoraSession<'s>(&'s mut ServerSession);

impl<'s> PingoraSession<'s> {
    /// `limit` is for the sender to take each part of the answer.
    pub(super) fn new(session: &'s mut ServerSession, limit: Duration) -> Self {
        session.set_write_timeout(Some(limit));
        Self(session)
    }

    /// Whether an answer with this status has no body, whatever its head says.
    fn is_bodiless(&self, status: StatusCode) -> bool {
        self.0.req_header().method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// The head, in the form that does not depend on the version of HTTP.
    pub(super) fn head(&self) -> Head {
        head(self.0.req_header())
    }
}

/// A head as Pingora writes it. In HTTP/2, names are lowercase, and there is no reason phrase.
fn response_header(answer: &AnswerHead, version: http::Version) -> pingora::Result<ResponseHeader> {
    let mut head = match version {
        http::Version::HTTP_2 => ResponseHeader::build_no_case(answer.status(), Some(16))?,
        _ => ResponseHeader::build(answer.status(), Some(16))?,
    };
    head.set_reason_phrase(Some(answer.reason()))?;
    for (name, value) in answer.fields() {
        head.append_header(Bytes::copy_from_slice(name), value)?;
    }
    Ok(head)
}

/// A head that Pingora has read.
pub(super) fn head(request: &RequestHeader) -> Head {
    let version = match request.version {
        http::Version::HTTP_10 => Version::Http10,
        http::Version::HTTP_2 => Version::Http2,
        _ => Version::Http11,
    };
    // HTTP/2 has it in `:authority`.
    let authority = match request.headers.contains_key(header::HOST) {
        true => None,
        false => request.uri.authority().map(|authority| (&b"Host"[..], authority.as_str().as_bytes())),
    };
    let (method, target) = (request.method.as_str(), request.raw_path());
    if request.has_case() {
        // The spelling that came over the wire.
        let fields = request.case_header_iter().map(|(name, value)| (name.as_slice(), value.as_bytes()));
        return Head::from_parts(version, method, target, authority.into_iter().chain(fields));
    }
    let fields = request.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    Head::from_parts(version, method, target, authority.into_iter().chain(fields))
}

fn gone<T>(result: pingora::Result<T>) -> Result<(), SenderGone> {
    result.map(drop).map_err(|_| SenderGone)
}

impl Session for PingoraSession<'_> {
    fn digest(&self) -> Option<&Digest> {
        self.0.digest()
    }

    async fn read_body(&mut self) -> Part {
        self.0.read_request_body().await
    }

    fn is_body_done(&mut self) -> bool {
        self.0.is_body_done()
    }

    async fn write_continue(&mut self) -> Result<(), SenderGone> {
        gone(self.0.write_continue_response().await)
    }

    fn close_after(&mut self) {
        self.0.set_keepalive(None);
    }

    async fn begin(&mut self, head: &AnswerHead) -> Result<(), SenderGone> {
        let is_bodiless = self.is_bodiless(head.status());
        let is_unmeasured = !is_bodiless && !head.has_length();
        let version = self.0.req_header().version;
        let mut head = response_header(head, version).map_err(|_| SenderGone)?;
        if is_unmeasured && version == http::Version::HTTP_11 {
            // Otherwise Pingora ends it by closing, which looks the same when it breaks off.
            // This is a well-formed field, so inserting it cannot fail.
            let _ = head.insert_header(header::TRANSFER_ENCODING, "chunked");
        }
        let head = Box::new(head);
        match &mut *self.0 {
            // An end that follows the head, instead of coming with it, makes a length in the head look wrong to some.
            ServerSession::H2(session) => gone(session.write_response_header(head, is_bodiless)),
            session => gone(session.write_response_header(head).await),
        }
    }

    async fn write(&mut self, part: Bytes) -> Result<(), SenderGone> {
        match self.0.response_written().is_some_and(|head| self.is_bodiless(head.status)) {
            true => Ok(()),
            false => gone(self.0.write_response_body(part, false).await),
        }
    }

    async fn flush(&mut self) -> Result<(), SenderGone> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), SenderGone> {
        gone(self.0.finish_body().await)
    }

    async fn abort(&mut self) {
        self.0.set_keepalive(None);
        self.0.shutdown().await;
    }

    fn status(&self) -> Option<u16> {
        self.0.response_written().map(|head| head.status.as_u16())
    }

    fn bytes_sent(&self) -> u64 {
        self.0.body_bytes_sent() as u64
    }
}

/// The error of a connection that ended in the middle of a body.
pub(super) fn broken_off<T>(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> pingora::Result<T> {
    Error::e_because(ErrorType::ReadError, "in the middle of a body", cause)
}
