//! `[upstreams]`: where the requests of a route go.

use http::{HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A group of servers, or the one server whose URL a route names instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The group's name, or the URL.
    pub name: String,
    /// At least one; the same one is not there twice.
    pub servers: Vec<Endpoint>,
    /// Which of them is next.
    pub balance: Balance,
    /// For each attempt to connect, the TLS handshake included.
    pub connect_timeout: Duration,
    /// From the last byte of a request to the head of its answer, and between two parts of the
    /// body.
    pub response_timeout: Duration,
    /// How many idle connections to each server a thread keeps.
    pub keepalive: usize,
    /// How the servers are checked; `None` for a URL, which is tried whenever there is a request.
    pub health_check: Option<HealthCheck>,
    /// Present if any of the servers speaks TLS.
    pub tls: Option<UpstreamTls>,
}

impl Upstream {
    /// The upstream of a route whose requests another proxy forwards. It has no server, so that
    /// whatever is sent to it fails.
    pub(crate) fn outside() -> Self {
        Self {
            name: "outside".into(),
            servers: Vec::new(),
            balance: Balance::RoundRobin,
            connect_timeout: Duration::ZERO,
            response_timeout: Duration::ZERO,
            keepalive: 0,
            health_check: None,
            tls: None,
        }
    }

    /// One server, as a route names it: with every default, and never checked.
    pub fn url(server: Endpoint, tls: Option<UpstreamTls>) -> Self {
        Self {
            name: server.to_string(),
            servers: vec![server],
            balance: Balance::RoundRobin,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(30),
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

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `http://host:port` or `https://host:port`.
    Tcp {
        /// A name or an address. A name is resolved again and again.
        host: String,
        /// The port.
        port: u16,
        /// Whether TLS is spoken.
        tls: bool,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Endpoint {
    /// Whether TLS is spoken with it.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }
}

impl Endpoint {
    /// The name that TLS asks for and verifies, where it is spoken.
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

/// How a request's server is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
}

/// How it is found out whether a server is healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The target of a GET; `None` only connects.
    pub path: Option<String>,
    /// The host that the GET names; `None` is the server's own.
    pub host: Option<String>,
    /// What it carries besides. `Debug` does not show the values.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The statuses of answers that are good.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// How often.
    pub interval: Duration,
}

impl HealthCheck {
    /// Whether an answer with this status is good.
    pub fn accepts(&self, status: u16) -> bool {
        self.statuses.iter().any(|good| good.contains(&status))
    }
}

/// How TLS is spoken with servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who may issue the servers' certificates.
    pub authorities: Arc<[CertificateDer<'static>]>,
    /// The name that they must have, where it is not the host of their URL.
    pub server_name: Option<String>,
    /// What is presented to them.
    pub identity: Option<Arc<UpstreamIdentity>>,
}

/// A client certificate, and its key.
#[derive(Debug, PartialEq, Eq)]
pub struct UpstreamIdentity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's. `Debug` does not show it.
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
