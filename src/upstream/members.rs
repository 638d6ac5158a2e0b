//! The members of a group: its servers, by the addresses at which they are found.

use super::address::Address;
use super::health::Health;
use super::resolve::{HostName, LOOKUP_TIMEOUT};
use super::server::{ServerSettings, UpstreamServer};
use crate::config::{Endpoint, Upstream as UpstreamConfig};
use arc_swap::{ArcSwap, Guard};
use pingora::protocols::l4::socket::SocketAddr;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Servers by their addresses.
pub(super) type ServersByAddress = HashMap<SocketAddr, Arc<UpstreamServer>>;

/// The servers of a group.
pub(super) struct Members {
    settings: Arc<ServerSettings>,
    endpoints: Vec<MemberEndpoint>,
    servers: ArcSwap<ServersByAddress>,
    /// Becomes `true` when every host name has been looked up.
    is_complete: watch::Sender<bool>,
}

/// A configured server of a group, which may have several addresses.
struct MemberEndpoint {
    endpoint: Endpoint,
    label: String,
    address: EndpointAddress,
}

enum EndpointAddress {
    Resolved(SocketAddr),
    Named(Arc<HostName>),
}

impl Members {
    /// Creates the members that `config` names. Servers and host names of `previous` are kept.
    pub(super) fn new(
        config: &Arc<UpstreamConfig>,
        previous: Option<&Self>,
        health_changed: Arc<Notify>,
    ) -> Self {
        let endpoints = config.servers.iter();
        let endpoints = endpoints.map(|endpoint| MemberEndpoint::new(endpoint, previous));
        let members = Self {
            settings: ServerSettings::new(config.clone(), health_changed),
            endpoints: endpoints.collect(),
            servers: ArcSwap::default(),
            is_complete: watch::Sender::new(false),
        };
        let present = previous.map(|previous| previous.servers.load_full());
        members.rebuild(&present.unwrap_or_default());
        members
    }

    /// Returns the servers at the addresses known now.
    pub(super) fn servers(&self) -> Guard<Arc<ServersByAddress>> {
        self.servers.load()
    }

    /// Returns the server at `address`.
    pub(super) fn server(&self, address: &SocketAddr) -> Option<Arc<UpstreamServer>> {
        self.servers.load().get(address).cloned()
    }

    /// Returns `true` if a server is configured by its host name.
    pub(super) fn has_names(&self) -> bool {
        self.names().next().is_some()
    }

    fn names(&self) -> impl Iterator<Item = &Arc<HostName>> {
        let endpoints = self.endpoints.iter();
        endpoints.filter_map(|endpoint| match &endpoint.address {
            EndpointAddress::Named(name) => Some(name),
            EndpointAddress::Resolved(_) => None,
        })
    }

    /// Returns each configured server and `true` if it is healthy at any of its addresses.
    pub(super) fn health(&self) -> impl Iterator<Item = (&str, bool)> {
        let servers = self.servers.load_full();
        self.endpoints.iter().map(move |endpoint| {
            let addresses = endpoint.addresses();
            let mut servers = addresses.iter().filter_map(|address| servers.get(address));
            let is_healthy = servers.any(|server| server.health().is_healthy());
            (endpoint.label.as_str(), is_healthy)
        })
    }

    /// Looks up all host names at the same time and rebuilds the list of servers.
    pub(super) async fn refresh(&self) {
        let names = self.names().cloned();
        let mut lookups: JoinSet<_> = names
            .map(|name| async move { name.refresh(LOOKUP_TIMEOUT).await.is_empty() })
            .collect();
        while lookups.join_next().await.is_some() {}
        self.rebuild(&self.servers.load_full());
        self.is_complete.send_replace(true);
    }

    /// Waits until every host name has been looked up, for `limit` at most.
    pub(super) async fn wait_until_resolved(&self, limit: Duration) {
        let mut complete = self.is_complete.subscribe();
        // Ignore a timeout: the request uses the servers that are known by then.
        let _ = timeout(limit, complete.wait_for(|complete| *complete)).await;
    }

    /// Lists the servers at the known addresses. Those of `present` are kept, with their
    /// connections and their health.
    fn rebuild(&self, present: &ServersByAddress) {
        let mut servers = HashMap::new();
        for endpoint in &self.endpoints {
            for address in endpoint.addresses() {
                // Two names may lead to the same address, which is one server.
                let present = present.get(&address);
                let server = || self.server_at(&endpoint.endpoint, &address, present);
                servers.entry(address.clone()).or_insert_with(server);
            }
        }
        self.servers.store(Arc::new(servers));
        // New servers are part of what is reported.
        self.settings.health_changed.notify_one();
    }

    fn server_at(
        &self,
        endpoint: &Endpoint,
        address: &SocketAddr,
        present: Option<&Arc<UpstreamServer>>,
    ) -> Arc<UpstreamServer> {
        let settings = &self.settings;
        match present {
            Some(server) if server.is_reusable(endpoint, settings) => server.clone(),
            present => {
                let health = health_of(present, endpoint);
                let settings = settings.clone();
                Arc::new(UpstreamServer::at(endpoint, address, settings, health))
            }
        }
    }

    /// Returns the known host name, for the group that replaces this one.
    fn name(&self, host: &str, port: u16) -> Option<Arc<HostName>> {
        self.names().find(|name| name.is(host, port)).cloned()
    }
}

/// Returns the health of `present` if it has the same endpoint, or else that of a new server.
fn health_of(present: Option<&Arc<UpstreamServer>>, endpoint: &Endpoint) -> Arc<Health> {
    present
        .filter(|server| server.endpoint() == endpoint)
        .map(|server| server.health().clone())
        .unwrap_or_default()
}

impl MemberEndpoint {
    fn new(endpoint: &Endpoint, previous: Option<&Members>) -> Self {
        let address = match Address::of(endpoint) {
            Address::Resolved(address) => EndpointAddress::Resolved(address),
            Address::Named(host, port) => {
                let known = previous.and_then(|previous| previous.name(host, port));
                EndpointAddress::Named(known.unwrap_or_else(|| HostName::new(host, port)))
            }
        };
        Self {
            endpoint: endpoint.clone(),
            label: endpoint.to_string(),
            address,
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match &self.address {
            EndpointAddress::Resolved(address) => vec![address.clone()],
            EndpointAddress::Named(name) => {
                name.addresses().into_iter().map(SocketAddr::Inet).collect()
            }
        }
    }
}
