//! Connections from clients, which carry requests over HTTP/1.1 or HTTP/2.

mod connection;
mod http1;
mod http2;
mod peer;
pub(crate) mod shutdown;

use crate::delivery::Delivery;
use crate::proxy::gate::Gate;
use crate::proxy::gateway::Gateway;
use crate::telemetry::Monitor;
pub(crate) use connection::{Connection, TlsFacts};
use peer::Peer;
use pingora::server::ShutdownWatch;
use std::sync::Arc;

/// Serves the connections of clients.
pub(crate) struct Downstream {
    gateway: Gateway,
}

impl Downstream {
    /// Serves requests that `gate` admits, and reports them to `monitor`. Routes with a queue store
    /// notifications in `delivery`.
    pub(crate) fn new(
        gate: Arc<Gate>,
        draining: ShutdownWatch,
        monitor: Arc<Monitor>,
        delivery: Option<Arc<Delivery>>,
    ) -> Self {
        Self {
            gateway: Gateway::new(gate, draining, monitor, delivery),
        }
    }

    /// Serves requests until the connection ends. A drain that is signalled through `shutdown` lets
    /// the request in flight finish.
    pub(crate) async fn serve(&self, connection: Connection, shutdown: ShutdownWatch) {
        let (stream, peer) = Peer::of(connection, shutdown.clone());
        if peer.has_http2() {
            // Boxed because its future is large, and most connections use HTTP/1.1.
            return Box::pin(http2::serve(&self.gateway, stream, peer, shutdown)).await;
        }
        http1::serve(&self.gateway, stream, &peer, shutdown).await;
    }
}
