//! Where an endpoint of the configuration is: at a known address, or behind a host name.

use crate::config::Endpoint;
use pingora::protocols::l4::socket::SocketAddr;
use std::net::{IpAddr, SocketAddr as InetSocketAddr};
use std::os::unix::net::SocketAddr as UnixSocketAddr;

/// The location of an endpoint.
pub(super) enum Address<'e> {
    /// A socket address that needs no lookup.
    Resolved(SocketAddr),
    /// A host name and a port.
    Named(&'e str, u16),
}

impl<'e> Address<'e> {
    /// Returns the location of `endpoint`.
    pub(super) fn of(endpoint: &'e Endpoint) -> Self {
        match endpoint {
            Endpoint::Tcp { host, port, .. } => Self::of_host(host, *port),
            Endpoint::Unix(path) => match UnixSocketAddr::from_pathname(path) {
                Ok(address) => Self::Resolved(SocketAddr::Unix(address)),
                // The path is too long, which the configuration rejects. An empty name never
                // resolves.
                Err(_) => Self::Named("", 0),
            },
        }
    }

    fn of_host(host: &'e str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Resolved(SocketAddr::Inet(InetSocketAddr::new(address, port))),
            Err(_) => Self::Named(host, port),
        }
    }
}
