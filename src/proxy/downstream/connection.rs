//! A connection that is ready for requests, over TLS or not.

use crate::tls::PresentedChain;
use pingora::protocols::SocketDigest;
use rustls::ServerConnection;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// The bytes of a connection.
pub(super) type Stream = Box<dyn Transport>;

/// What a connection reads from and writes to.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Transport for T {}

/// A connection from a client.
pub(crate) struct Connection {
    pub(super) stream: Stream,
    /// The addresses of both ends.
    pub(super) sockets: Option<Arc<SocketDigest>>,
    pub(super) tls: Option<TlsFacts>,
    /// The peer is a load balancer that has not named the client.
    pub(super) is_anonymous: bool,
}

/// What the handshake of a connection has settled.
pub(crate) struct TlsFacts {
    pub(super) version: &'static str,
    pub(super) has_http2: bool,
    /// The certificates of the client, if it has shown any.
    pub(super) chain: Option<PresentedChain>,
}

impl TlsFacts {
    pub(crate) fn of(session: &ServerConnection) -> Self {
        let version = session.protocol_version();
        Self {
            version: version.and_then(|it| it.as_str()).unwrap_or_default(),
            has_http2: session.alpn_protocol() == Some(b"h2"),
            chain: session.peer_certificates().map(PresentedChain::new),
        }
    }
}

impl Connection {
    pub(crate) fn new(
        stream: impl Transport + 'static,
        sockets: Option<Arc<SocketDigest>>,
        tls: Option<TlsFacts>,
        is_anonymous: bool,
    ) -> Self {
        Self {
            stream: Box::new(stream),
            sockets,
            tls,
            is_anonymous,
        }
    }
}
