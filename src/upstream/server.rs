//! An upstream server: its connections, its settings and its health.

use super::address::Address;
use super::connect::{self, ConnectError};
use super::health::Health;
use super::resolve::{HostName, LOOKUP_TIMEOUT, REFRESH_INTERVAL};
use super::tls::PeerTls;
use crate::config::{Endpoint, Upstream as UpstreamConfig};
use http::StatusCode;
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::upstreams::peer::HttpPeer;
use std::fmt;
use std::net::SocketAddr as InetSocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// The number of addresses of one host name that one attempt to connect tries.
const MAX_ADDRESSES: usize = 8;

/// The settings that the servers of an upstream have in common.
pub(super) struct ServerSettings {
    config: Arc<UpstreamConfig>,
    tls: Option<PeerTls>,
    /// Notified when the health of a server has changed.
    pub(super) health_changed: Arc<Notify>,
}

impl ServerSettings {
    /// Creates the settings of the servers that `config` describes.
    pub(super) fn new(config: Arc<UpstreamConfig>, health_changed: Arc<Notify>) -> Arc<Self> {
        let tls = config.tls.as_ref().map(PeerTls::new);
        Arc::new(Self {
            config,
            tls,
            health_changed,
        })
    }

    fn peer(&self, endpoint: &Endpoint, address: &SocketAddr) -> HttpPeer {
        connect::peer(endpoint, address, &self.config, self.tls.as_ref())
    }

    /// Returns `true` if connections opened under these settings remain valid under `other`.
    fn is_compatible(&self, other: &Self) -> bool {
        if std::ptr::eq(self, other) {
            return true;
        }
        let (ours, theirs) = (&self.config, &other.config);
        ours.connect_timeout == theirs.connect_timeout
            && ours.response_timeout == theirs.response_timeout
            && ours.keepalive == theirs.keepalive
            && ours.tls == theirs.tls
    }
}

/// A server at one address, or the server of a host name outside of any group.
pub(crate) struct UpstreamServer {
    id: u64,
    endpoint: Endpoint,
    label: Arc<str>,
    settings: Arc<ServerSettings>,
    target: ConnectTarget,
    health: Arc<Health>,
}

enum ConnectTarget {
    Peer(Box<HttpPeer>),
    Name(Arc<HostName>),
}

impl UpstreamServer {
    /// Creates the server of an endpoint that is not part of a group.
    pub(super) fn alone(endpoint: &Endpoint, settings: Arc<ServerSettings>) -> Self {
        match Address::of(endpoint) {
            Address::Resolved(address) => Self::at(endpoint, &address, settings, Arc::default()),
            Address::Named(host, port) => {
                let target = ConnectTarget::Name(HostName::new(host, port));
                Self::new(endpoint, target, settings, Arc::default())
            }
        }
    }

    /// Creates the server at one of the addresses of an endpoint.
    pub(super) fn at(
        endpoint: &Endpoint,
        address: &SocketAddr,
        settings: Arc<ServerSettings>,
        health: Arc<Health>,
    ) -> Self {
        let target = ConnectTarget::Peer(Box::new(settings.peer(endpoint, address)));
        Self::new(endpoint, target, settings, health)
    }

    fn new(
        endpoint: &Endpoint,
        target: ConnectTarget,
        settings: Arc<ServerSettings>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            id: next_id(),
            endpoint: endpoint.clone(),
            label: endpoint.to_string().into(),
            settings,
            target,
            health,
        }
    }

    /// Returns `true` if this is the server of `endpoint` and its pooled connections remain valid
    /// under `settings`.
    pub(super) fn is_reusable(&self, endpoint: &Endpoint, settings: &ServerSettings) -> bool {
        self.endpoint == *endpoint && self.settings.is_compatible(settings)
    }

    /// Returns the URL of the server as it is configured.
    pub(crate) fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Returns the `Host` of requests that have none of their own: the name in the TLS handshake,
    /// or else the host of the URL.
    pub(super) fn default_host(&self) -> String {
        let tls = self.settings.config.tls.as_ref();
        match (&self.endpoint, tls.and_then(|tls| tls.server_name.as_ref())) {
            (Endpoint::Tcp { tls: true, .. }, Some(name)) => name.clone(),
            (Endpoint::Tcp { .. }, _) => {
                let url = self.label.split_once("://");
                url.map_or("", |(_, host)| host).to_owned()
            }
            (Endpoint::Unix(_), _) => "localhost".to_owned(),
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Returns the key of the pool of idle connections. It is never used for another server.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the number of idle connections that each thread keeps.
    pub(crate) fn keepalive(&self) -> usize {
        self.settings.config.keepalive
    }

    /// Returns the time within which a response must arrive.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.settings.config.response_timeout
    }

    /// Returns the time for which a notification is tried again while no server can be connected to.
    pub(super) fn retry_for(&self) -> Duration {
        self.settings.config.retry_for
    }

    /// Opens a connection, with TLS if the URL is `https`.
    pub(crate) async fn connect(&self) -> Result<Stream, ConnectError> {
        match &self.target {
            ConnectTarget::Peer(peer) => connect::open(peer).await,
            ConnectTarget::Name(name) => self.connect_by_name(name).await,
        }
    }

    /// Tries the known addresses first, and looks up the name only if none of them works.
    async fn connect_by_name(&self, name: &Arc<HostName>) -> Result<Stream, ConnectError> {
        name.refresh_if_stale();
        let known = name.addresses();
        let no_address = ConnectError::Refused(format!("{} has no known address", self.label));
        let error = match self.connect_to_any(&known, no_address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let mut others = name.refresh(self.settings.config.connect_timeout).await;
        others.retain(|address| !known.contains(address));
        let result = self.connect_to_any(&others, error).await;
        result.inspect_err(|_| name.mark_stale())
    }

    /// Connects to the first of `addresses` that accepts. Returns the last error, or `error` if
    /// there is no address.
    async fn connect_to_any(
        &self,
        addresses: &[InetSocketAddr],
        mut error: ConnectError,
    ) -> Result<Stream, ConnectError> {
        for address in addresses.iter().take(MAX_ADDRESSES) {
            match connect::open(&self.peer_at(*address)).await {
                Ok(stream) => return Ok(stream),
                Err(failure) => error = failure,
            }
        }
        Err(error)
    }

    /// Returns `true` if a pooled connection leads where a new one would: the addresses of a name
    /// may have changed.
    pub(crate) fn is_current(&self, stream: &Stream) -> bool {
        let ConnectTarget::Name(name) = &self.target else {
            return true;
        };
        let digest = stream.get_socket_digest();
        digest
            .as_ref()
            .and_then(|digest| digest.peer_addr()?.as_inet())
            .is_some_and(|address| name.has(address))
    }

    /// Keeps the addresses of the host name current until it is dropped. Returns at once if the
    /// server has no name.
    pub(super) async fn keep_resolved(&self) {
        if let ConnectTarget::Name(name) = &self.target {
            loop {
                name.refresh(LOOKUP_TIMEOUT).await;
                sleep(REFRESH_INTERVAL).await;
            }
        }
    }

    /// Opens and closes a TCP connection, without TLS, as a health check.
    pub(super) async fn probe_tcp(&self) -> Result<(), ConnectError> {
        let ConnectTarget::Peer(peer) = &self.target else {
            return self.connect().await.map(drop);
        };
        connect::open(&connect::without_tls(peer)).await.map(drop)
    }

    fn peer_at(&self, address: InetSocketAddr) -> HttpPeer {
        self.settings
            .peer(&self.endpoint, &SocketAddr::Inet(address))
    }

    /// Records a failed connection.
    pub(crate) fn record_failure(&self, error: &ConnectError) {
        if let ConnectTarget::Name(name) = &self.target {
            name.mark_stale();
        }
        if self.is_in_group() {
            let (upstream, server) = self.names();
            self.notify_if(self.health.record_failure(upstream, server, error));
        }
    }

    /// Records an established connection.
    pub(crate) fn record_connection(&self) {
        let (upstream, server) = self.names();
        self.notify_if(self.health.record_connection(upstream, server));
        let check = self.settings.config.health_check.as_ref();
        if check.is_some_and(|check| check.path.is_none()) {
            // A check without a path only connects, too.
            self.notify_if(self.health.record_success(upstream, server));
        }
    }

    /// Records a response with `status`. A server error proves nothing about the server.
    pub(crate) fn record_response(&self, status: StatusCode) {
        if !status.is_server_error() {
            let (upstream, server) = self.names();
            self.notify_if(self.health.record_success(upstream, server));
        }
    }

    /// Records the result of a health check, which failed if there is an `error`.
    pub(super) fn record_check(&self, error: Option<&str>) {
        let (upstream, server) = self.names();
        self.notify_if(self.health.record_check(upstream, server, error));
    }

    /// Returns the names of the upstream and of the server, as the log shows them.
    fn names(&self) -> (&str, &str) {
        (&self.settings.config.name, &self.label)
    }

    fn notify_if(&self, has_changed: bool) {
        if has_changed {
            self.settings.health_changed.notify_one();
        }
    }

    fn is_in_group(&self) -> bool {
        self.settings.config.health_check.is_some()
    }
}

impl fmt::Display for UpstreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl fmt::Debug for UpstreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamServer")
            .field("id", &self.id)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
