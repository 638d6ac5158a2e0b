//! A request's body and its response, whichever version of HTTP carries them.

use crate::auth::Presented;
use crate::http::response_head::ResponseHead;
use crate::tls::{PresentedChain, Trust};
use bytes::Bytes;
use pingora::protocols::Digest;
use pingora::{Error, ErrorType};
use std::future::Future;
use std::net::IpAddr;
use tracing::Span;

/// The client can no longer be answered.
#[derive(Debug)]
pub(super) struct ClientGone;

/// The result of reading a body: its next part, or `None` at its end.
pub(super) type BodyPart = pingora::Result<Option<Bytes>>;

/// The body of one request, and its response.
///
/// Writes may be held back until `flush` or `finish`, so that a small response leaves in one piece.
pub(super) trait Session: Send {
    /// Returns the properties of the connection.
    fn digest(&self) -> Option<&Digest>;

    /// Returns the certificates of the client, if it has shown any.
    fn chain(&self) -> Option<&PresentedChain> {
        PresentedChain::of(self.digest())
    }

    /// Returns the verdict on the client's certificates under the current trust, and not that of the
    /// handshake: a connection outlives certificates and policies.
    fn presented(&self, trust: &Trust) -> Presented {
        self.chain()
            .map_or(Presented::Nothing, |chain| chain.judge(trust))
    }

    /// Returns the verdict, if it is known without verifying the certificates.
    fn presented_before(&self, trust: &Trust) -> Option<Presented> {
        self.chain()
            .map_or(Some(Presented::Nothing), |chain| chain.judged(trust))
    }

    /// Returns the largest body that can be read from here, in bytes.
    fn max_body(&self) -> u64 {
        u64::MAX
    }

    /// Returns `true` if the peer is a load balancer that has not named the client. Forwarding
    /// headers are then not the balancer's.
    fn is_anonymous(&self) -> bool {
        false
    }

    /// Reads the next part of the body.
    fn read_body(&mut self) -> impl Future<Output = BodyPart> + Send;

    /// Returns `true` if the body has been read to its end.
    fn is_body_done(&mut self) -> bool;

    /// Invites a client that waits for it to send the body (RFC 9110 section 10.1.1).
    fn write_continue(&mut self) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Closes the connection after this request, if it carries one request at a time.
    fn close_after(&mut self);

    /// Begins the response with its head.
    fn begin(&mut self, head: &ResponseHead)
    -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Continues with a part of its body.
    fn write(&mut self, part: Bytes) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Sends everything that has been written so far.
    fn flush(&mut self) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Ends the response after its body.
    fn finish(&mut self) -> impl Future<Output = Result<(), ClientGone>> + Send;

    /// Returns `true` if the client has closed its side of the connection, as far as that can be
    /// known before the response is sent.
    fn has_left(&mut self) -> impl Future<Output = bool> + Send {
        // Writing fails where it matters.
        std::future::ready(false)
    }

    /// Completes when the client has given up this request, if it can do so and continue with
    /// others.
    fn until_given_up(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Breaks the response off, so that the client does not take a part of it for the whole.
    fn abort(&mut self) -> impl Future<Output = ()> + Send;

    /// Returns the span of the connection, if it has one.
    fn connection_span(&self) -> Span {
        Span::none()
    }

    /// Returns the status of the response, once it has begun.
    fn status(&self) -> Option<u16>;

    /// Returns the number of bytes of the response's body that were sent.
    fn bytes_sent(&self) -> u64;

    /// Returns the address at the other end of the connection.
    fn peer(&self) -> Option<IpAddr> {
        let address = self.digest()?.socket_digest.as_ref()?.peer_addr()?;
        address.as_inet().map(|address| address.ip())
    }

    /// Returns the port of this program that the connection was made to.
    fn local_port(&self) -> Option<u16> {
        let address = self.digest()?.socket_digest.as_ref()?.local_addr()?;
        address.as_inet().map(|address| address.port())
    }

    /// Returns the version of TLS, where there is one.
    fn tls_version(&self) -> Option<&str> {
        self.digest()?
            .ssl_digest
            .as_ref()
            .map(|ssl| ssl.version.as_ref())
    }
}

/// Returns the error of a connection that ended in the middle of a body.
pub(super) fn broken_off<T>(
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> pingora::Result<T> {
    Error::e_because(ErrorType::ReadError, "in the middle of a body", cause)
}

/// Returns the error of a body that can be read in more than one way.
pub(super) fn malformed<T>(what: &'static str) -> pingora::Result<T> {
    Error::e_explain(ErrorType::InvalidHTTPHeader, what)
}
