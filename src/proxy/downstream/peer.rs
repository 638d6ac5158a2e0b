//! The other end of a connection.

use super::shutdown::{DRAIN_READ_TIMEOUT, after_shutdown};
use futures_util::poll;
use pingora::protocols::{Digest, Stream};
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType};
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tracing::Span;
use tracing::field::DisplayValue;

/// The other end of a connection: the client, or the proxy in between.
pub(super) struct Peer {
    /// The properties of the connection.
    pub(super) digest: Digest,
    /// The peer is a load balancer that has not named the client: forwarding headers that arrive
    /// from there are not believed.
    pub(super) is_anonymous: bool,
    /// Becomes `true` when the process is about to end.
    shutdown: ShutdownWatch,
    /// The span of the connection, which those of its requests are in.
    span: Span,
}

impl Peer {
    pub(super) fn new(stream: &Stream, is_anonymous: bool, shutdown: ShutdownWatch) -> Self {
        let digest = digest(stream);
        let span = tracing::debug_span!("connection", remote_addr = remote_addr(&digest));
        Self {
            digest,
            is_anonymous,
            shutdown,
            span,
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Waits for `read`, a part of a body, but not much longer once the process is about to end.
    /// `has_stalled` remembers that this wait was in vain: the next one is not made.
    pub(super) async fn in_time<T>(
        &self,
        has_stalled: &mut bool,
        read: impl Future<Output = T>,
    ) -> pingora::Result<T> {
        let mut read = pin!(read);
        // The part has usually arrived: skip setting up the wait.
        if let Poll::Ready(part) = poll!(&mut read) {
            return Ok(part);
        }
        let mut shutdown = self.shutdown.clone();
        let grace = match *has_stalled {
            true => Duration::ZERO,
            false => DRAIN_READ_TIMEOUT,
        };
        tokio::select! {
            biased;
            part = read => Ok(part),
            () = after_shutdown(&mut shutdown, grace) => {
                *has_stalled = true;
                Error::e_explain(ErrorType::ReadTimedout, "the process is to end")
            }
        }
    }
}

fn digest(stream: &Stream) -> Digest {
    Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: Vec::new(),
        proxy_digest: None,
        socket_digest: stream.get_socket_digest(),
    }
}

fn remote_addr(digest: &Digest) -> Option<DisplayValue<IpAddr>> {
    let address = digest.socket_digest.as_ref()?.peer_addr()?;
    let address = address.as_inet()?.ip();
    Some(tracing::field::display(address.to_canonical()))
}
