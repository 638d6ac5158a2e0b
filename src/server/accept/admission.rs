//! Whether a connection is taken: by its address, its PROXY header, and the limits.

use super::ConnectionHandler;
use super::arrival::{Access, Arrival};
use super::connection_limit::{ConnectionPermit, LimitReached};
use super::proxy_protocol;
use crate::http::forwarded::is_trusted;
use crate::http::timeout::timeout;
use crate::proxy::{DRAIN_READ_TIMEOUT, after_shutdown};
use crate::telemetry::metrics::ConnectionRefusal;
use crate::telemetry::repeated::Repeated;
use pingora::server::ShutdownWatch;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, warn};

impl ConnectionHandler {
    /// Determines the client address and counts the connection, before anything else is done for
    /// it.
    async fn admit(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        is_tls: bool,
    ) -> Option<(Arrival, ConnectionPermit)> {
        let access = self.access.load_full();
        let mut arrival = self.arrival(&access, stream, peer).await?;
        arrival.stranger = self.check_access(&access, &arrival, is_tls)?;
        let permit = self.enter(arrival.peer)?;
        Some((arrival, permit))
    }

    /// Determines the client address.
    async fn arrival(
        &self,
        access: &Access,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<Arrival> {
        match is_trusted(peer.ip(), &access.proxies) {
            true => self.read_proxy_header(stream, peer).await,
            false => Some(Arrival::direct(peer)),
        }
    }

    /// Reads the PROXY protocol header, which the load balancer `peer` has to send.
    async fn read_proxy_header(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<Arrival> {
        let limit = self.gate.policy().limits().handshake_timeout;
        let code = ConnectionRefusal::ProxyProtocol;
        match timeout(limit, proxy_protocol::read(stream)).await {
            Ok(Ok(Some(header))) => Some(Arrival::through(peer, header)),
            Ok(Ok(None)) => silent(peer),
            Ok(Err(error)) => self.refuse(peer, code, &error.to_string()),
            Err(_) => self.refuse(peer, code, "there is no PROXY protocol header in time"),
        }
    }

    /// Returns `None` if the connection may not be made from this address. If it may only validate a
    /// name, the permit for that is in what is returned.
    fn check_access(
        &self,
        access: &Access,
        arrival: &Arrival,
        is_tls: bool,
    ) -> Option<Option<OwnedSemaphorePermit>> {
        let peer = arrival.peer;
        if access.is_allowed(peer.ip()) {
            return Some(None);
        }
        if arrival.is_of_balancer() {
            return not_allowed_check(peer);
        }
        match self.admit_stranger(is_tls) {
            None => self.refuse(peer, ConnectionRefusal::NotAllowed, NOT_ALLOWED),
            stranger => Some(stranger),
        }
    }

    /// Returns permission for a connection from an address outside `listen.allow`, whose hello may be
    /// that of a validation: authorities do not publish their addresses.
    fn admit_stranger(&self, is_tls: bool) -> Option<OwnedSemaphorePermit> {
        let may_validate = is_tls && self.presented.answers.are_pending();
        let permit = may_validate.then(|| self.strangers.clone().try_acquire_owned());
        permit?.ok()
    }

    /// Counts the connection, if the limits allow another one.
    fn enter(&self, peer: SocketAddr) -> Option<ConnectionPermit> {
        let limits = *self.gate.policy().limits();
        let entered = self.limits.acquire(
            peer.ip().to_canonical(),
            limits.max_connections,
            limits.max_connections_per_address,
        );
        match entered {
            Ok(permit) => Some(permit),
            Err(reached) => self.refuse(peer, reached.into(), reached.as_str()),
        }
    }

    pub(super) fn refuse<T>(
        &self,
        peer: SocketAddr,
        code: ConnectionRefusal,
        reason: &str,
    ) -> Option<T> {
        let peer = peer.ip();
        self.monitor.connection_refused(peer, code, reason);
        log_refused_connection(peer, code.as_str(), reason);
        None
    }

    /// Admits a connection, as long as the process does not end.
    pub(super) async fn admit_in_time(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        is_tls: bool,
        shutdown: &mut ShutdownWatch,
    ) -> Option<(Arrival, ConnectionPermit)> {
        tokio::select! {
            biased;
            admitted = self.admit(stream, peer, is_tls) => admitted,
            () = after_shutdown(shutdown, DRAIN_READ_TIMEOUT) => None,
        }
    }
}

/// The reason of a refusal by `listen.allow`.
pub(super) const NOT_ALLOWED: &str = "the address is not in listen.allow";

impl From<LimitReached> for ConnectionRefusal {
    fn from(reached: LimitReached) -> Self {
        match reached {
            LimitReached::Total => Self::MaxConnections,
            LimitReached::Address => Self::MaxConnectionsPerAddress,
        }
    }
}

/// Logs, at debug level, a client that closed the connection without sending anything, as the
/// health checks of load balancers do.
pub(super) fn silent<T>(peer: SocketAddr) -> Option<T> {
    debug!(event = "connection_unused", remote_addr = %peer.ip(), "client connected and disconnected without sending data");
    None
}

/// Logs the check of a load balancer from an address that is not allowed. The check has succeeded
/// by connecting.
fn not_allowed_check<T>(peer: SocketAddr) -> Option<T> {
    debug!(event = "balancer_check_not_allowed", remote_addr = %peer.ip(), "load balancer check from an address outside listen.allow");
    None
}

fn log_refused_connection(peer: IpAddr, code: &str, reason: &str) {
    if Repeated::ConnectionRefused.may_be_written() {
        warn!(event = "connection_refused", remote_addr = %peer, code, reason, "connection refused");
    }
}
