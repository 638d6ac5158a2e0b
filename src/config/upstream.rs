//! `[upstreams]`: the servers that requests are forwarded to.

use http::{HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A group of servers, or the single server of a route that has a URL instead of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The group's name, or the URL.
    pub name: String,
    /// The servers, at least one, without duplicates.
    pub servers: Vec<Endpoint>,
    /// The choice of the next server.
    pub balance: Balance,
    /// Timeout of each attempt to connect, including the TLS handshake.
    pub connect_timeout: Duration,
    /// Timeout from the last byte of a request to the head of its response, and between two parts of
    /// the body.
    pub response_timeout: Duration,
    /// Time for which a notification is tried again while no server can be connected to.
    pub retry_for: Duration,
    /// Number of idle connections to each server that a thread keeps.
    pub keepalive: usize,
    /// The health check of the servers; `None` for a URL, which is not checked.
    pub health_check: Option<HealthCheck>,
    /// TLS settings, if any of the servers uses TLS.
    pub tls: Option<UpstreamTls>,
}

/// Default of `retry_for`: most applications restart within it, and clients wait for longer.
pub(super) const RETRY_FOR: Duration = Duration::from_secs(5);

impl Upstream {
    /// Creates the upstream of a route whose requests another proxy forwards. It has no server, so
    /// that whatever is sent to it fails.
    pub(crate) fn outside() -> Self {
        Self {
            name: "outside".into(),
            servers: Vec::new(),
            balance: Balance::RoundRobin,
            connect_timeout: Duration::ZERO,
            response_timeout: Duration::ZERO,
            retry_for: Duration::ZERO,
            keepalive: 0,
            health_check: None,
            tls: None,
        }
    }

    /// Creates a group of one server, with all defaults and without a health check.
    pub fn url(server: Endpoint, tls: Option<UpstreamTls>) -> Self {
        Self {
            name: server.to_string(),
            servers: vec![server],
            balance: Balance::RoundRobin,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(30),
            retry_for: RETRY_FOR,
            keepalive: 128,
            health_check: None,
            tls,
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A TCP address: `http://host:port` or `https://host:port`.
    Tcp {
        /// A name, which is resolved repeatedly, or an address.
        host: String,
        /// The TCP port of the server.
        port: u16,
        /// `true` if the server uses TLS.
        tls: bool,
    },
    /// The path of a Unix socket: `unix:/path`.
    Unix(PathBuf),
}

impl Endpoint {
    /// Returns `true` if the server uses TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }
}

impl Endpoint {
    /// Returns the name for SNI and verification, if the server uses TLS.
    pub fn tls_name<'e>(&'e self, tls: Option<&'e UpstreamTls>) -> Option<&'e str> {
        match self {
            Self::Tcp {
                host, tls: true, ..
            } => Some(
                tls.and_then(|tls| tls.server_name.as_deref())
                    .unwrap_or(host),
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, tls } => {
                let scheme = if *tls { "https" } else { "http" };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The choice of the server for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Each server in turn.
    RoundRobin,
    /// A server chosen at random.
    Random,
}

/// A health check of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path of a GET request. `None` only connects.
    pub path: Option<String>,
    /// The `Host` of the request; `None` is the host of the server.
    pub host: Option<String>,
    /// Additional headers of the request. `Debug` does not show their values.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Statuses that mean healthy.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Interval between two checks of a server.
    pub interval: Duration,
}

impl HealthCheck {
    /// Returns `true` if `status` means healthy.
    pub fn accepts(&self, status: u16) -> bool {
        self.statuses.iter().any(|good| good.contains(&status))
    }
}

/// TLS settings for connections to servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Authorities that may issue the certificates of the servers.
    pub authorities: Arc<[CertificateDer<'static>]>,
    /// The name that the certificates must have, if it is not the host of the URL.
    pub server_name: Option<String>,
    /// The client certificate for the servers.
    pub identity: Option<Arc<UpstreamIdentity>>,
}

/// A client certificate with its key.
#[derive(Debug, PartialEq, Eq)]
pub struct UpstreamIdentity {
    /// The certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the leaf. `Debug` does not show it.
    pub key: PrivateKeyDer<'static>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivatePkcs8KeyDer;

    #[test]
    fn the_key_is_not_printed() {
        let key = PrivatePkcs8KeyDer::from(b"key material".to_vec());
        let identity = UpstreamIdentity {
            chain: Vec::new(),
            key: key.into(),
        };
        let printed = format!("{identity:?}");
        assert!(
            !printed.contains("key material") && !printed.contains("107, 101, 121"),
            "{printed}"
        );
    }
}
