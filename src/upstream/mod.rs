//! Where requests go: servers, alone or in groups, and what is known about them.
//!
//! Names are resolved again and again. A server that a route names by its URL is otherwise only
//! ever tried; those of a group are checked besides. [`Upstreams::watch`] does so for as long as it
//! is polled.

pub mod exchange;
mod group;
mod health;
mod resolve;
mod server;
mod tls;

pub use group::Group;
pub(crate) use server::make_connector;
pub use server::{ConnectError, Server};

use crate::config::{self, Config};
use server::Settings;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Where the requests of a route go.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// To the one server whose URL the route names.
    Server(Arc<Server>),
    /// To one of several.
    Group(Arc<Group>),
    /// Another proxy forwards the requests. Whatever is sent here finds no server.
    Outside,
}

impl Upstream {
    /// What a route names: a group, or a URL.
    pub fn name(&self) -> &str {
        match self {
            Self::Server(server) => server.label(),
            Self::Group(group) => group.name(),
            Self::Outside => "outside",
        }
    }

    /// The server for the next attempt, after those that were tried.
    ///
    /// One that is alone is tried twice.
    pub(crate) async fn choose(&self, tried: &Tried) -> Option<Arc<Server>> {
        match self {
            Self::Server(server) => (tried.unreachable.len() < 2).then(|| server.clone()),
            Self::Group(group) => group.choose(tried).await,
            Self::Outside => None,
        }
    }
}

/// The servers that were tried with one message.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// Could not be connected to.
    unreachable: Vec<u64>,
    /// How long that took.
    lost: Duration,
    /// Took the message, and broke off.
    broke: Option<u64>,
}

impl Tried {
    /// One server, which broke off before it answered.
    pub(crate) fn broke(server: &Server) -> Self {
        Self {
            broke: Some(server.id()),
            ..Self::default()
        }
    }

    /// Notes a server that could not be connected to, `lost` after the first of them was tried.
    pub(crate) fn note_unreachable(&mut self, server: &Server, lost: Duration) {
        self.unreachable.push(server.id());
        self.lost = lost;
    }

    fn is_unreachable(&self, server: &Server) -> bool {
        self.unreachable.contains(&server.id())
    }

    fn has_broken(&self, server: &Server) -> bool {
        self.broke == Some(server.id())
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Checks each server of a group once, and gives those that fail, with the reason.
pub async fn check_once(group: &Arc<config::Upstream>) -> Vec<(String, String)> {
    Group::new(group.clone(), None, Arc::default())
        .check_once()
        .await
}

/// Everything that the routes of a configuration lead to.
#[derive(Debug, Default)]
pub struct Upstreams {
    groups: Vec<Arc<Group>>,
    /// By the URL that a route names.
    servers: HashMap<String, (Arc<config::Upstream>, Arc<Server>)>,
    /// The health of a server has changed.
    news: Arc<Notify>,
}

impl Upstreams {
    /// What `config` names. What is the same in `previous` is kept: idle connections, health,
    /// addresses.
    pub fn new(config: &Config, previous: &Self) -> Self {
        let groups = config
            .upstreams
            .iter()
            .map(|group| previous.successor(group))
            .collect();
        let mut servers = HashMap::new();
        for upstream in config
            .routes
            .iter()
            .map(|route| &route.upstream)
            .filter(|u| u.health_check.is_none())
        {
            servers
                .entry(upstream.name.clone())
                .or_insert_with(|| previous.server(upstream));
        }
        Self {
            groups,
            servers,
            news: previous.news.clone(),
        }
    }

    /// The group that `config` describes: the one that there is, unless it changes.
    fn successor(&self, config: &Arc<config::Upstream>) -> Arc<Group> {
        match self.groups.iter().find(|group| group.name() == config.name) {
            Some(same) if same.config() == config => same.clone(),
            previous => Arc::new(Group::new(
                config.clone(),
                previous.map(|group| &**group),
                self.news.clone(),
            )),
        }
    }

    /// Likewise for a server that is alone.
    fn server(&self, config: &Arc<config::Upstream>) -> (Arc<config::Upstream>, Arc<Server>) {
        match self.servers.get(&config.name) {
            Some((known, server)) if known == config => (known.clone(), server.clone()),
            _ => {
                let server = Server::alone(
                    &config.servers[0],
                    Settings::new(config.clone(), self.news.clone()),
                );
                (config.clone(), Arc::new(server))
            }
        }
    }

    /// What a route of the same configuration leads to.
    pub(crate) fn of(&self, config: &config::Upstream) -> Option<Upstream> {
        match config.health_check {
            None => self
                .servers
                .get(&config.name)
                .map(|(_, server)| Upstream::Server(server.clone())),
            Some(_) => {
                let group = self.groups.iter().find(|group| group.name() == config.name);
                group.map(|group| Upstream::Group(group.clone()))
            }
        }
    }

    /// Every server of every group, with the name of the group, and whether it is healthy.
    ///
    /// A name that leads to several servers is healthy if any of them is.
    pub fn health(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.groups.iter().flat_map(|group| {
            group
                .health()
                .map(|(server, is_healthy)| (group.name(), server, is_healthy))
        })
    }

    /// Returns when [`health`](Self::health) may have changed, at once if that was since the last
    /// time.
    pub async fn changed(&self) {
        self.news.notified().await;
    }

    /// Resolves names and checks the servers of groups, for ever. Dropping this ends it.
    pub async fn watch(&self) {
        let mut watched = JoinSet::new();
        for group in &self.groups {
            let group = group.clone();
            watched.spawn(async move { group.run().await });
        }
        for (_, server) in self.servers.values() {
            let server = server.clone();
            watched.spawn(async move { server.follow().await });
        }
        while watched.join_next().await.is_some() {}
    }
}
