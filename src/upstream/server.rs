//! A server, and how it is connected to.

use super::health::Health;
use super::resolve::{INTERVAL, LIMIT, Name};
use super::tls::PeerTls;
use crate::config::{Endpoint, Upstream};
use crate::tls::install_crypto_provider;
use http::StatusCode;
use pingora::ErrorType;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::upstreams::peer::{HttpPeer, Scheme};
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr as InetSocketAddr};
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::NamedTempFile;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How many addresses of one name are tried with one attempt to connect.
const MAX_ADDRESSES: usize = 8;

/// Connects. Its own pool stays empty: see [`exchange`](crate::upstream::exchange).
static CONNECTOR: OnceLock<TransportConnector> = OnceLock::new();

/// Makes what connects to applications, if that has not been done.
///
/// # Errors
/// Where there is no file to be read: Pingora would panic.
pub(crate) fn make_connector() -> io::Result<()> {
    if CONNECTOR.get().is_some() {
        return Ok(());
    }
    install_crypto_provider();
    // Pingora reads the system's authorities, and panics where it cannot, unless it has a file of
    // others. It gets an empty one: who is trusted is said for each server.
    let mut substitute = None;
    let nobody = match File::open(EMPTY) {
        Ok(_) => PathBuf::from(EMPTY),
        // In a root directory of its own there may be no devices.
        Err(_) => substitute.insert(NamedTempFile::new()?).path().to_owned(),
    };
    let nobody = nobody
        .to_str()
        .ok_or_else(|| io::Error::other("the temporary directory has a name that is not UTF-8"))?;
    let options = ConnectorOptions {
        ca_file: Some(nobody.to_owned()),
        ..ConnectorOptions::new(1)
    };
    let _ = CONNECTOR.set(TransportConnector::new(Some(options)));
    Ok(())
}

/// What makes connections to applications.
fn connector() -> io::Result<&'static TransportConnector> {
    make_connector()?;
    Ok(CONNECTOR.get().expect("it has been made"))
}

/// Is empty on every system.
const EMPTY: &str = "/dev/null";

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// It was refused, or the server is not the one that it should be.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("{0}")]
    Late(String),
}

/// What the servers of an upstream have in common.
pub(super) struct Settings {
    config: Arc<Upstream>,
    tls: Option<PeerTls>,
    /// Who is told that a server's health has changed.
    pub(super) news: Arc<Notify>,
}

impl Settings {
    pub(super) fn new(config: Arc<Upstream>, news: Arc<Notify>) -> Arc<Self> {
        let tls = config.tls.as_ref().map(PeerTls::new);
        Arc::new(Self { config, tls, news })
    }

    /// Whether connections that were made under these settings are as good under `other`.
    fn is_like(&self, other: &Self) -> bool {
        let of = |config: &Upstream| {
            (
                config.connect_timeout,
                config.response_timeout,
                config.keepalive,
            )
        };
        std::ptr::eq(self, other)
            || (of(&self.config) == of(&other.config) && self.config.tls == other.config.tls)
    }
}

/// One address, or one name outside of any group.
pub struct Server {
    id: u64,
    endpoint: Endpoint,
    label: Arc<str>,
    settings: Arc<Settings>,
    target: Target,
    pub(super) health: Arc<Health>,
}

enum Target {
    Address(Box<HttpPeer>),
    Name(Arc<Name>),
}

impl Server {
    /// The server of an endpoint that is no part of a group.
    pub(super) fn alone(endpoint: &Endpoint, settings: Arc<Settings>) -> Self {
        match Place::of(endpoint) {
            Place::Address(address) => Self::at(endpoint, &address, settings, Arc::default()),
            Place::Name(host, port) => Self {
                id: next_id(),
                endpoint: endpoint.clone(),
                label: endpoint.to_string().into(),
                settings,
                target: Target::Name(Arc::new(Name::new(host, port))),
                health: Arc::default(),
            },
        }
    }

    /// The server at one of an endpoint's addresses.
    pub(super) fn at(
        endpoint: &Endpoint,
        address: &SocketAddr,
        settings: Arc<Settings>,
        health: Arc<Health>,
    ) -> Self {
        let (id, label) = (next_id(), endpoint.to_string().into());
        let target = Target::Address(Box::new(peer(endpoint, address, &settings)));
        Self {
            id,
            endpoint: endpoint.clone(),
            label,
            settings,
            target,
            health,
        }
    }

    /// Whether this is `endpoint`, and its connections would do under `settings`.
    pub(super) fn serves(&self, endpoint: &Endpoint, settings: &Settings) -> bool {
        self.endpoint == *endpoint && self.settings.is_like(settings)
    }

    /// As it is configured.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The host under which it is asked, where requests do not say: the name that TLS asks for, or
    /// else where it is.
    pub(super) fn own_host(&self) -> String {
        let tls = self.settings.config.tls.as_ref();
        match (&self.endpoint, tls.and_then(|tls| tls.server_name.as_ref())) {
            (Endpoint::Tcp { tls: true, .. }, Some(name)) => name.clone(),
            (Endpoint::Tcp { .. }, _) => self
                .label
                .split_once("://")
                .map_or_else(String::new, |(_, host)| host.to_owned()),
            (Endpoint::Unix(_), _) => "localhost".to_owned(),
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Under which its idle connections are kept. No two servers have the same, ever.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// How many of them a thread keeps.
    pub(crate) fn keepalive(&self) -> usize {
        self.settings.config.keepalive
    }

    /// How long it may take to answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.settings.config.response_timeout
    }

    /// Connects, and speaks TLS where that is spoken.
    pub(crate) async fn connect(&self) -> Result<Stream, ConnectError> {
        match &self.target {
            Target::Address(peer) => open(peer).await,
            Target::Name(name) => self.connect_by_name(name).await,
        }
    }

    /// Tries the addresses that are known, and only then waits for what else there may be.
    async fn connect_by_name(&self, name: &Arc<Name>) -> Result<Stream, ConnectError> {
        name.keep_fresh();
        let known = name.known();
        let unknown = ConnectError::Refused(format!("{} has no known address", self.label));
        let failure = match self.connect_to_any(&known, unknown).await {
            Ok(stream) => return Ok(stream),
            Err(failure) => failure,
        };
        let mut others = name.refresh(self.settings.config.connect_timeout).await;
        others.retain(|address| !known.contains(address));
        let result = self.connect_to_any(&others, failure).await;
        if result.is_err() {
            name.doubt();
        }
        result
    }

    async fn connect_to_any(
        &self,
        addresses: &[InetSocketAddr],
        mut failure: ConnectError,
    ) -> Result<Stream, ConnectError> {
        for address in addresses.iter().take(MAX_ADDRESSES) {
            match open(&self.peer_at(*address)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Whether a connection that was made before leads where a new one would: a name may have
    /// moved.
    pub(crate) fn leads_here(&self, stream: &Stream) -> bool {
        let Target::Name(name) = &self.target else {
            return true;
        };
        let digest = stream.get_socket_digest();
        digest
            .as_ref()
            .and_then(|digest| digest.peer_addr()?.as_inet())
            .is_some_and(|address| name.has(address))
    }

    /// Looks its name up again and again, for ever, if it has one.
    pub(super) async fn follow(&self) {
        if let Target::Name(name) = &self.target {
            loop {
                name.refresh(LIMIT).await;
                sleep(INTERVAL).await;
            }
        }
    }

    /// Connects, and leaves it at that.
    pub(super) async fn knock(&self) -> Result<(), ConnectError> {
        let Target::Address(peer) = &self.target else {
            return self.connect().await.map(drop);
        };
        let plain = HttpPeer {
            scheme: Scheme::HTTP,
            ..HttpPeer::clone(peer)
        };
        open(&plain).await.map(drop)
    }

    fn peer_at(&self, address: InetSocketAddr) -> HttpPeer {
        peer(&self.endpoint, &SocketAddr::Inet(address), &self.settings)
    }

    /// Notes that it could not be connected to.
    pub(crate) fn failed(&self, error: &ConnectError) {
        if let Target::Name(name) = &self.target {
            name.doubt();
        }
        if self.is_in_group() {
            self.tell(
                self.health
                    .failed(&self.settings.config.name, &self.label, error),
            );
        }
    }

    /// Notes that it could.
    pub(crate) fn worked(&self) {
        let (upstream, server) = (&self.settings.config.name, &self.label);
        self.tell(self.health.worked(upstream, server));
        let check = self.settings.config.health_check.as_ref();
        if check.is_some_and(|check| check.path.is_none()) {
            // A check would have found out no more than this.
            self.tell(self.health.proved(upstream, server));
        }
    }

    /// Notes that it answered a request with `status`. One that says itself that it cannot serve
    /// proves nothing.
    pub(crate) fn answered(&self, status: StatusCode) {
        if !status.is_server_error() {
            self.tell(self.health.proved(&self.settings.config.name, &self.label));
        }
    }

    /// Notes what a check has found against it, if anything.
    pub(super) fn checked(&self, error: Option<&str>) {
        self.tell(
            self.health
                .checked(&self.settings.config.name, &self.label, error),
        );
    }

    fn tell(&self, is_news: bool) {
        if is_news {
            self.settings.news.notify_one();
        }
    }

    fn is_in_group(&self) -> bool {
        self.settings.config.health_check.is_some()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.id)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where an endpoint is.
pub(super) enum Place<'e> {
    /// There, without being looked up.
    Address(SocketAddr),
    /// At the addresses of this name, with this port.
    Name(&'e str, u16),
}

impl<'e> Place<'e> {
    pub(super) fn of(endpoint: &'e Endpoint) -> Self {
        match endpoint {
            Endpoint::Tcp { host, port, .. } => match host.parse::<IpAddr>() {
                Ok(address) => Self::Address(SocketAddr::Inet(InetSocketAddr::new(address, *port))),
                Err(_) => Self::Name(host, *port),
            },
            Endpoint::Unix(path) => match UnixSocketAddr::from_pathname(path) {
                Ok(address) => Self::Address(SocketAddr::Unix(address)),
                // Too long a path, which the configuration refuses. It leads nowhere.
                Err(_) => Self::Name("", 0),
            },
        }
    }
}

fn peer(endpoint: &Endpoint, address: &SocketAddr, settings: &Settings) -> HttpPeer {
    let mut peer = HttpPeer::new((Ipv4Addr::UNSPECIFIED, 0), false, String::new());
    peer._address = address.clone();
    if let (
        Endpoint::Tcp {
            host, tls: true, ..
        },
        Some(tls),
    ) = (endpoint, &settings.tls)
    {
        peer.scheme = Scheme::HTTPS;
        peer.sni = tls.name_of(host);
        peer.client_cert_key = tls.identity.clone();
        peer.options.ca = Some(tls.authorities.clone());
    }
    let config = &settings.config;
    peer.options.connection_timeout = Some(config.connect_timeout);
    peer.options.total_connection_timeout = Some(config.connect_timeout);
    peer
}

async fn open(peer: &HttpPeer) -> Result<Stream, ConnectError> {
    let connector = connector().map_err(|error| ConnectError::Refused(error.to_string()))?;
    connector.new_stream(peer).await.map_err(|error| {
        let message = format!("cannot connect: {error}");
        match error.etype() {
            ErrorType::ConnectTimedout => ConnectError::Late(message),
            _ => ConnectError::Refused(message),
        }
    })
}
