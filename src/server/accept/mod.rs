//! Serves a connection: determines the client address, checks limits, performs the TLS handshake,
//! and passes the connection on to the proxy.
//!
//! ```text
//!  admission     whether it is taken at all: addresses, PROXY header, limits
//!   ├ arrival       where it comes from
//!   ├ proxy_protocol
//!   └ connection_limit
//!  handshake     TLS, or what is spoken in its place (`opening`)
//!   ├ validation    the hello of an authority that validates a name, and its answer
//!   └ linger        time to read the alert
//!  refusal       what is said about those that were refused
//! ```

mod admission;
mod arrival;
mod connection_limit;
mod handshake;
mod linger;
mod opening;
mod proxy_protocol;
mod refusal;
mod validation;

pub(super) use arrival::Access;

use super::acme::Presented;
use crate::proxy::{Downstream, Gate, Policy};
use crate::telemetry::repeated::Repeated;
use crate::telemetry::{Monitor, access_log};
use crate::tls::Refusal;
use arc_swap::{ArcSwap, ArcSwapOption};
use arrival::Arrival;
use connection_limit::ConnectionLimits;
use handshake::plain;
use pingora::server::ShutdownWatch;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tracing::warn;

/// Serves connections; one object for all of them.
pub(super) struct ConnectionHandler {
    acceptor: ArcSwapOption<TlsAcceptor>,
    access: ArcSwap<Access>,
    limits: Arc<ConnectionLimits>,
    presented: Presented,
    validations: Semaphore,
    strangers: Arc<Semaphore>,
    gate: Arc<Gate>,
    downstream: Downstream,
    monitor: Arc<Monitor>,
}

impl ConnectionHandler {
    pub(super) fn new(
        acceptor: Option<TlsAcceptor>,
        presented: Presented,
        access: Access,
        gate: Arc<Gate>,
        downstream: Downstream,
        monitor: Arc<Monitor>,
    ) -> Self {
        Self {
            acceptor: ArcSwapOption::from_pointee(acceptor),
            access: ArcSwap::from_pointee(access),
            limits: Arc::default(),
            presented,
            validations: Semaphore::new(validation::AT_ONCE),
            strangers: Arc::new(Semaphore::new(validation::STRANGERS_AT_ONCE)),
            gate,
            downstream,
            monitor,
        }
    }

    /// Replaces the policy, for open connections as well, and the acceptor for new connections.
    pub(super) fn replace(&self, acceptor: Option<TlsAcceptor>, access: Access, policy: Policy) {
        // The policy comes first: it checks each request again, whatever the result of the handshake
        // was.
        self.gate.replace(policy);
        self.access.store(Arc::new(access));
        self.acceptor.store(acceptor.map(Arc::new));
    }

    /// Returns what handshakes present.
    pub(super) fn presented(&self) -> &Presented {
        &self.presented
    }

    pub(super) fn policy(&self) -> Arc<Policy> {
        self.gate.policy()
    }

    pub(super) async fn serve(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        is_tls: bool,
        mut shutdown: ShutdownWatch,
    ) {
        let admitted = self.admit_in_time(&mut stream, peer, is_tls, &mut shutdown);
        let admitted = admitted.await;
        let Some((arrival, _permit)) = admitted else {
            return;
        };
        let _connected = self.monitor.connected();
        let served = self.serve_admitted(stream, &arrival, is_tls, shutdown);
        if let Err(refusal) = served.await {
            self.report_refusal(&arrival, &refusal);
        }
    }

    /// Serves a connection of the self-test. Refusals are expected, so they are not logged.
    pub(super) async fn serve_probe(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: ShutdownWatch,
    ) {
        let arrival = Arrival::direct(peer);
        let _ = access_log::without(self.serve_admitted(stream, &arrival, true, shutdown)).await;
    }

    async fn serve_admitted(
        &self,
        stream: TcpStream,
        arrival: &Arrival,
        is_tls: bool,
        mut shutdown: ShutdownWatch,
    ) -> Result<(), Refusal> {
        let connection = match is_tls {
            false => Some(plain(stream, arrival)),
            true => self.secure(stream, arrival, &mut shutdown).await?,
        };
        if let Some(connection) = connection {
            self.downstream.serve(connection, shutdown).await;
        }
        Ok(())
    }
}

/// Logs that a connection is not served for want of a descriptor.
pub(super) fn log_failed(error: &std::io::Error) {
    if Repeated::ConnectionNotServed.may_be_written() {
        warn!(event = "connection_failed", %error, "cannot serve a connection");
    }
}
