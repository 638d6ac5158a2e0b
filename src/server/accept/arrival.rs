//! Where a connection comes from, and whether it may come from there.

use super::proxy_protocol::{ConnectionSource, ProxyHeader};
use super::refusal::late;
use crate::config::Listen;
use crate::http::forwarded::is_trusted;
use crate::tls::Refusal;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use tokio::sync::OwnedSemaphorePermit;

/// The addresses that may connect, and those of load balancers that name the client.
pub(in crate::server) struct Access {
    allow: Vec<IpNet>,
    /// Peers that send a PROXY protocol header.
    pub(super) proxies: Vec<IpNet>,
}

impl Access {
    pub(in crate::server) fn new(listen: &Listen) -> Self {
        let proxies = listen.trusted_proxies.iter();
        let proxies = proxies.filter(|_| listen.proxy_protocol);
        Self {
            allow: listen.allow.clone(),
            proxies: proxies.copied().collect(),
        }
    }

    pub(super) fn is_allowed(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || is_trusted(address, &self.allow)
    }
}

/// The origin of an accepted connection.
pub(super) struct Arrival {
    pub(super) peer: SocketAddr,
    /// The content of the PROXY protocol header, if one was sent. Unless it names a client, `peer` is
    /// the address of the load balancer.
    pub(super) source: Option<ConnectionSource>,
    /// Bytes that were read after that header.
    pub(super) rest: Vec<u8>,
    /// Present if the address is not in `listen.allow`, and may be that of a validation.
    pub(super) stranger: Option<OwnedSemaphorePermit>,
}

impl Arrival {
    pub(super) fn direct(peer: SocketAddr) -> Self {
        Self {
            peer,
            source: None,
            rest: Vec::new(),
            stranger: None,
        }
    }

    /// The origin of a connection through the load balancer `peer`.
    pub(super) fn through(peer: SocketAddr, header: ProxyHeader) -> Self {
        Self {
            peer: header.source.client().unwrap_or(peer),
            source: Some(header.source),
            rest: header.rest,
            stranger: None,
        }
    }

    /// Returns `true` for a health check of a load balancer.
    pub(super) fn is_of_balancer(&self) -> bool {
        self.source == Some(ConnectionSource::Balancer)
    }

    /// Returns the refusal of a hello that did not arrive in time; `None` if the address is refused.
    pub(super) fn late(&self) -> Option<Refusal> {
        self.stranger.is_none().then(late)
    }

    /// Returns `true` if a load balancer has not named the client.
    pub(super) fn is_anonymous(&self) -> bool {
        self.source.is_some_and(|source| source.client().is_none())
    }
}
