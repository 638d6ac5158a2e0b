//! Connections and exchanges with application servers: groups, health, resolution, pools.
//!
//! Host names are resolved again and again. The servers of a group have health checks; a server
//! that a route names by its URL has none. [`Upstreams::watch`] does both while it is polled.

mod address;
mod connect;
pub(crate) mod exchange;
mod group;
mod health;
mod health_check;
mod members;
mod resolve;
mod server;
mod tls;

pub(crate) use connect::ConnectError;
use connect::describe_io;
pub(crate) use connect::make_connector;
pub(crate) use group::ServerGroup;
pub(crate) use server::UpstreamServer;

use crate::config::{Config, Upstream as UpstreamConfig};
use server::ServerSettings;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The destination of the requests of a route.
#[derive(Clone, Debug)]
pub(crate) enum Upstream {
    /// The server whose URL the route names.
    Server(Arc<UpstreamServer>),
    /// A group of servers.
    Group(Arc<ServerGroup>),
    /// Another proxy forwards the requests: there is no server here.
    Outside,
}

impl Upstream {
    /// Returns the name of the group, or the URL of the server.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Server(server) => server.label(),
            Self::Group(group) => group.name(),
            Self::Outside => "outside",
        }
    }

    /// Returns the time for which a notification is tried again while no server can be connected to.
    pub(crate) fn retry_for(&self) -> Duration {
        match self {
            Self::Server(server) => server.retry_for(),
            Self::Group(group) => group.config().retry_for,
            Self::Outside => Duration::ZERO,
        }
    }

    /// Returns the server for the next attempt, after those in `tried`.
    ///
    /// A server outside of a group is tried twice.
    pub(crate) async fn choose(&self, tried: &Tried) -> Option<Arc<UpstreamServer>> {
        match self {
            Self::Server(server) => (tried.unreachable.len() < 2).then(|| server.clone()),
            Self::Group(group) => group.choose(tried).await,
            Self::Outside => None,
        }
    }
}

/// The servers that one request was tried with.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// The ids of servers that could not be connected to.
    unreachable: Vec<u64>,
    /// The time spent on these attempts.
    lost: Duration,
    /// The id of the server that closed the connection after it got the request.
    broke: Option<u64>,
}

impl Tried {
    /// Records `server` as one that closed the connection before it responded.
    pub(crate) fn broke(server: &UpstreamServer) -> Self {
        Self {
            broke: Some(server.id()),
            ..Self::default()
        }
    }

    /// Records a failed connection to `server`. `lost` is the time spent on all attempts so far.
    pub(crate) fn record_unreachable(&mut self, server: &UpstreamServer, lost: Duration) {
        self.unreachable.push(server.id());
        self.lost = lost;
    }

    /// Returns `true` if connecting to `server` has not failed.
    fn is_new(&self, server: &UpstreamServer) -> bool {
        !self.unreachable.contains(&server.id())
    }

    /// Returns `true` if the request has not been tried with `server`.
    fn is_other(&self, server: &UpstreamServer) -> bool {
        self.is_new(server) && self.broke != Some(server.id())
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Checks each server of a group once. Returns those that fail and the reasons.
pub(crate) async fn check_once(group: &Arc<UpstreamConfig>) -> Vec<(String, String)> {
    ServerGroup::new(group.clone(), None, Arc::default())
        .check_once()
        .await
}

/// All upstreams of a configuration.
#[derive(Debug, Default)]
pub struct Upstreams {
    groups: Vec<Arc<ServerGroup>>,
    /// Servers outside of groups, by the URL that a route names.
    servers: HashMap<String, ConfiguredServer>,
    /// Notified when the health of a server has changed.
    health_changed: Arc<Notify>,
}

/// A server outside of a group, with its configuration.
type ConfiguredServer = (Arc<UpstreamConfig>, Arc<UpstreamServer>);

impl Upstreams {
    /// Creates the upstreams of `config`. Those that have not changed since `previous` keep their
    /// idle connections, health and addresses.
    pub fn new(config: &Config, previous: &Self) -> Self {
        let groups = config.upstreams.iter();
        let upstreams = config.routes.iter().map(|route| &route.upstream);
        let mut servers = HashMap::new();
        for upstream in upstreams.filter(|upstream| upstream.health_check.is_none()) {
            let server = servers.entry(upstream.name.clone());
            server.or_insert_with(|| previous.server(upstream));
        }
        Self {
            groups: groups.map(|group| previous.successor(group)).collect(),
            servers,
            health_changed: previous.health_changed.clone(),
        }
    }

    /// Returns the group that `config` describes: the present one, unless it has changed.
    fn successor(&self, config: &Arc<UpstreamConfig>) -> Arc<ServerGroup> {
        match self.groups.iter().find(|group| group.name() == config.name) {
            Some(same) if same.config() == config => same.clone(),
            previous => Arc::new(ServerGroup::new(
                config.clone(),
                previous.map(|group| &**group),
                self.health_changed.clone(),
            )),
        }
    }

    /// Returns the server outside of a group that `config` describes: the present one, unless it
    /// has changed.
    fn server(&self, config: &Arc<UpstreamConfig>) -> ConfiguredServer {
        match self.servers.get(&config.name) {
            Some((known, server)) if known == config => (known.clone(), server.clone()),
            _ => {
                let settings = ServerSettings::new(config.clone(), self.health_changed.clone());
                let server = UpstreamServer::alone(&config.servers[0], settings);
                (config.clone(), Arc::new(server))
            }
        }
    }

    /// Returns the upstream that a route of the same configuration names.
    pub(crate) fn of(&self, config: &UpstreamConfig) -> Option<Upstream> {
        if config.health_check.is_none() {
            let (_, server) = self.servers.get(&config.name)?;
            return Some(Upstream::Server(server.clone()));
        }
        let group = self.groups.iter().find(|group| group.name() == config.name);
        Some(Upstream::Group(group?.clone()))
    }

    /// Returns the group, the URL and the health of every server of every group.
    ///
    /// A host name with several addresses is healthy if any of them is.
    pub fn health(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.groups.iter().flat_map(|group| {
            group
                .health()
                .map(|(server, is_healthy)| (group.name(), server, is_healthy))
        })
    }

    /// Waits until [`health`](Self::health) may have changed since the last call.
    pub async fn changed(&self) {
        self.health_changed.notified().await;
    }

    /// Resolves host names and checks the servers of groups until it is dropped.
    pub async fn watch(&self) {
        let mut watched = JoinSet::new();
        for group in &self.groups {
            let group = group.clone();
            watched.spawn(async move { group.run().await });
        }
        for (_, server) in self.servers.values() {
            let server = server.clone();
            watched.spawn(async move { server.keep_resolved().await });
        }
        while watched.join_next().await.is_some() {}
    }
}
