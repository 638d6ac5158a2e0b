//! The other end of a connection.

use super::connection::{Connection, Stream, TlsFacts};
use super::shutdown::{DRAIN_READ_TIMEOUT, after_shutdown};
use crate::tls::PresentedChain;
use futures_util::poll;
use pingora::protocols::Digest;
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
    /// The addresses of the connection.
    pub(super) digest: Digest,
    tls: Option<TlsFacts>,
    /// The peer is a load balancer that has not named the client: forwarding headers that arrive
    /// from there are not believed.
    pub(super) is_anonymous: bool,
    /// Becomes `true` when the process is about to end.
    shutdown: ShutdownWatch,
    /// The span of the connection, which those of its requests are in.
    span: Span,
}

impl Peer {
    /// Returns the other end of `connection`, and what is read from there and written to it.
    pub(super) fn of(connection: Connection, shutdown: ShutdownWatch) -> (Stream, Self) {
        let digest = Digest {
            socket_digest: connection.sockets,
            ..Digest::default()
        };
        let span = tracing::debug_span!("connection", remote_addr = remote_addr(&digest));
        let peer = Self {
            digest,
            tls: connection.tls,
            is_anonymous: connection.is_anonymous,
            shutdown,
            span,
        };
        (connection.stream, peer)
    }

    pub(super) fn has_http2(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_http2)
    }

    /// Returns the version of TLS, where there is one.
    pub(super) fn tls_version(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.version)
    }

    /// Returns the certificates of the client, if it has shown any.
    pub(super) fn chain(&self) -> Option<&PresentedChain> {
        self.tls.as_ref()?.chain.as_ref()
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

fn remote_addr(digest: &Digest) -> Option<DisplayValue<IpAddr>> {
    let address = digest.socket_digest.as_ref()?.peer_addr()?;
    let address = address.as_inet()?.ip();
    Some(tracing::field::display(address.to_canonical()))
}
