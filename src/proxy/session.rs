//! A request and the way to answer it, whichever version of HTTP carries them.

use super::downstream::{LAST_PART, over};
use crate::http::request_head::{Head, Version};
use crate::http::response_head::AnswerHead;
use crate::http::timeout::timeout;
use bytes::Bytes;
use futures_util::poll;
use http::{Method, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType};
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The sender can no longer be answered.
#[derive(Debug)]
pub(super) struct SenderGone;

/// What reading a body gives: its next part, or `None` at its end.
pub(super) type Part = pingora::Result<Option<Bytes>>;

/// The other end of a connection.
pub(super) struct Peer {
    /// What is known about the connection.
    pub(super) digest: Digest,
    /// A balancer is at the other end, and has not said for which client: nothing that comes from
    /// there is believed.
    pub(super) is_anonymous: bool,
    /// Turns true when the process is to end.
    pub(super) shutdown: ShutdownWatch,
}

impl Peer {
    /// What is `read` of a body, or that the process is to end and nothing comes for a while.
    /// `has_stalled` says that this was so before: nothing is waited for twice.
    pub(super) async fn in_time<T>(
        &self,
        has_stalled: &mut bool,
        read: impl Future<Output = T>,
    ) -> pingora::Result<T> {
        let mut read = pin!(read);
        // Mostly it is there.
        if let Poll::Ready(part) = poll!(&mut read) {
            return Ok(part);
        }
        let mut shutdown = self.shutdown.clone();
        let grace = if *has_stalled {
            Duration::ZERO
        } else {
            LAST_PART
        };
        tokio::select! {
            biased;
            part = read => Ok(part),
            () = over(&mut shutdown, grace) => {
                *has_stalled = true;
                Error::e_explain(ErrorType::ReadTimedout, "the process is to end")
            }
        }
    }
}

/// One request's body, and its answer.
///
/// What is written may be held back until `flush` or `finish`, so that a small answer leaves in one
/// piece.
pub(super) trait Session: Send {
    /// What is known about the connection.
    fn digest(&self) -> Option<&Digest>;

    /// Whether a balancer passes it on without a word about where it comes from. What the request
    /// says about that is not the balancer's.
    fn is_anonymous(&self) -> bool {
        false
    }

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

    /// Whether the sender has closed its side of the connection, as far as that can be known before
    /// it is answered.
    fn has_left(&mut self) -> impl Future<Output = bool> + Send {
        // Where it matters, writing says so.
        std::future::ready(false)
    }

    /// Returns when the sender has given this request up, where it can do so and go on with others.
    fn until_given_up(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

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

    /// The port of this program that the connection was made to.
    fn local_port(&self) -> Option<u16> {
        let address = self.digest()?.socket_digest.as_ref()?.local_addr()?;
        address.as_inet().map(|address| address.port())
    }

    /// The version of TLS, where there is one.
    fn tls_version(&self) -> Option<&str> {
        self.digest()?
            .ssl_digest
            .as_ref()
            .map(|ssl| ssl.version.as_ref())
    }
}

/// A session of Pingora's.
pub(super) struct PingoraSession<'s> {
    session: &'s mut ServerSession,
    /// The last part of the answer's body so far. If nothing follows it, it leaves together with
    /// the end.
    held_back: Bytes,
    write_timeout: Duration,
}

impl<'s> PingoraSession<'s> {
    /// `write_timeout` is for the sender to take each part of the answer.
    pub(super) fn new(session: &'s mut ServerSession, write_timeout: Duration) -> Self {
        Self {
            session,
            held_back: Bytes::new(),
            write_timeout,
        }
    }

    /// Sends what was held back.
    async fn release(&mut self, is_end: bool) -> Result<(), SenderGone> {
        let part = std::mem::take(&mut self.held_back);
        taken(
            self.write_timeout,
            self.session.write_response_body(part, is_end),
        )
        .await
    }

    /// Whether an answer with this status has no body, whatever its head says.
    fn is_bodiless(&self, status: StatusCode) -> bool {
        self.session.req_header().method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// The head, in the form that does not depend on the version of HTTP.
    pub(super) fn head(&self) -> Head {
        head(self.session.req_header())
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
        false => request
            .uri
            .authority()
            .map(|authority| (&b"Host"[..], authority.as_str().as_bytes())),
    };
    let (method, target) = (request.method.as_str(), request.raw_path());
    if request.has_case() {
        // The spelling that came over the wire.
        let fields = request
            .case_header_iter()
            .map(|(name, value)| (name.as_slice(), value.as_bytes()));
        return Head::from_parts(version, method, target, authority.into_iter().chain(fields));
    }
    let fields = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    Head::from_parts(version, method, target, authority.into_iter().chain(fields))
}

/// Waits for the sender to take what is written to it.
async fn taken<T>(
    limit: Duration,
    write: impl Future<Output = pingora::Result<T>>,
) -> Result<(), SenderGone> {
    match timeout(limit, write).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(SenderGone),
    }
}

impl Session for PingoraSession<'_> {
    fn digest(&self) -> Option<&Digest> {
        self.session.digest()
    }

    async fn read_body(&mut self) -> Part {
        self.session.read_request_body().await
    }

    fn is_body_done(&mut self) -> bool {
        self.session.is_body_done()
    }

    async fn write_continue(&mut self) -> Result<(), SenderGone> {
        taken(self.write_timeout, self.session.write_continue_response()).await
    }

    fn close_after(&mut self) {
        self.session.set_keepalive(None);
    }

    async fn begin(&mut self, head: &AnswerHead) -> Result<(), SenderGone> {
        let is_bodiless = self.is_bodiless(head.status());
        let is_unmeasured = !is_bodiless && !head.has_length();
        let version = self.session.req_header().version;
        let mut head = response_header(head, version).map_err(|_| SenderGone)?;
        if is_unmeasured && version == http::Version::HTTP_11 {
            // Otherwise Pingora ends it by closing, which looks the same when it breaks off.
            // This is a well-formed field, so inserting it cannot fail.
            let _ = head.insert_header(header::TRANSFER_ENCODING, "chunked");
        }
        let head = Box::new(head);
        match &mut *self.session {
            // An end that follows the head, instead of coming with it, makes a length in the head
            // look wrong to some.
            ServerSession::H2(session) => session
                .write_response_header(head, is_bodiless)
                .map_err(|_| SenderGone),
            session => taken(self.write_timeout, session.write_response_header(head)).await,
        }
    }

    async fn write(&mut self, part: Bytes) -> Result<(), SenderGone> {
        if part.is_empty()
            || self
                .session
                .response_written()
                .is_some_and(|head| self.is_bodiless(head.status))
        {
            return Ok(());
        }
        self.flush().await?;
        self.held_back = part;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), SenderGone> {
        match self.held_back.is_empty() {
            true => Ok(()),
            false => self.release(false).await,
        }
    }

    async fn finish(&mut self) -> Result<(), SenderGone> {
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

/// The error of a connection that ended in the middle of a body.
pub(super) fn broken_off<T>(
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> pingora::Result<T> {
    Error::e_because(ErrorType::ReadError, "in the middle of a body", cause)
}

/// The error of a body that can be read in more than one way.
pub(super) fn malformed<T>(what: &'static str) -> pingora::Result<T> {
    Error::e_explain(ErrorType::InvalidHTTPHeader, what)
}
