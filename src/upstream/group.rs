//! A group of servers: who belongs to it, and who is next.
//!
//! Pingora's load balancer keeps the list, has it looked up and checked again and again, and
//! chooses. What a server is, and whether it is healthy, is known here.

use super::Tried;
use super::health::Check;
use super::resolve::{INTERVAL, LIMIT, Name};
use super::server::{Place, Server, Settings};
use crate::config::{Balance, Endpoint, Upstream};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Random, RoundRobin};
use pingora_load_balancing::{Backend, Backends, Extensions, LoadBalancer};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Servers between which requests are balanced.
pub struct Group {
    config: Arc<Upstream>,
    balancer: Balancer,
    roster: Arc<Roster>,
}

enum Balancer {
    RoundRobin(LoadBalancer<RoundRobin>),
    Random(LoadBalancer<Random>),
}

impl Group {
    /// The group that `config` describes. What is known of servers that were in it before is kept.
    pub(super) fn new(config: Arc<Upstream>, previous: Option<&Group>, news: Arc<Notify>) -> Self {
        let roster = Arc::new(Roster::new(
            &config,
            previous.map(|group| &*group.roster),
            news,
        ));
        let balancer = match config.balance {
            Balance::RoundRobin => Balancer::RoundRobin(balancer(&config, &roster)),
            Balance::Random => Balancer::Random(balancer(&config, &roster)),
        };
        Self {
            config,
            balancer,
            roster,
        }
    }

    pub(super) fn config(&self) -> &Arc<Upstream> {
        &self.config
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Resolves names and checks servers, for ever.
    pub(super) async fn run(&self) {
        // Dropping this future is how it ends.
        let (_never, ending) = watch::channel(false);
        match &self.balancer {
            Balancer::RoundRobin(balancer) => balancer.run(ending, None).await,
            Balancer::Random(balancer) => balancer.run(ending, None).await,
        }
    }

    /// Checks each server once, by all of its addresses, and says what is wrong with it.
    pub(super) async fn check_once(&self) -> Vec<(String, String)> {
        let Some(config) = self.config.health_check.clone() else {
            return Vec::new();
        };
        let check = Check {
            config,
            roster: self.roster.clone(),
        };
        self.roster.refresh().await;
        let servers = self.roster.servers.load_full();
        let probes = servers
            .values()
            .map(async |server| (server.label().to_string(), check.probe(server).await.err()));
        let mut found = futures_util::future::join_all(probes).await;
        found.sort();
        found
            .into_iter()
            .filter_map(|(server, error)| Some((server, error?)))
            .collect()
    }

    /// The next server after those that were tried: one that is healthy, or else one that could be.
    ///
    /// Where none is, checks notwithstanding, the next one in turn: a request finds out sooner than
    /// the next check that a server is back. What does not even refuse costs a request no more than
    /// one time to connect.
    pub(crate) async fn choose(&self, tried: &Tried) -> Option<Arc<Server>> {
        if self.roster.servers.load().is_empty() {
            self.roster.wait(self.config.connect_timeout).await;
        }
        let is_new = |server: &Server| !tried.is_unreachable(server);
        let is_other = |server: &Server| is_new(server) && !tried.has_broken(server);
        let could_be_healthy = self
            .select(|server| is_other(server) && server.health.is_healthy())
            .or_else(|| self.select(|server| is_other(server) && server.health.could_be_healthy()))
            .or_else(|| self.select(|server| is_new(server) && server.health.could_be_healthy()));
        if could_be_healthy.is_some() || tried.lost >= self.config.connect_timeout {
            return could_be_healthy;
        }
        self.select(is_other).or_else(|| self.select(is_new))
    }

    fn select(&self, accept: impl Fn(&Server) -> bool) -> Option<Arc<Server>> {
        let servers = self.roster.servers.load();
        let accepts = |backend: &Backend, _: bool| {
            servers
                .get(&backend.addr)
                .is_some_and(|server| accept(server))
        };
        // Other requests advance the same turn, so that this one may be shown the same servers
        // again and again.
        let rounds = 4 * servers.len();
        let chosen = match &self.balancer {
            Balancer::RoundRobin(balancer) => balancer.select_with(b"", rounds, accepts),
            Balancer::Random(balancer) => balancer.select_with(b"", rounds, accepts),
        };
        let chosen = chosen.and_then(|backend| servers.get(&backend.addr).cloned());
        chosen.or_else(|| servers.values().find(|server| accept(server)).cloned())
    }

    /// Each configured server, and whether it is healthy at any of its addresses.
    pub(super) fn health(&self) -> impl Iterator<Item = (&str, bool)> {
        let servers = self.roster.servers.load_full();
        self.roster.sources.iter().map(move |source| {
            let mut found = source
                .addresses()
                .into_iter()
                .filter_map(|address| servers.get(&address));
            (
                source.label.as_str(),
                found.any(|server| server.health.is_healthy()),
            )
        })
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.config.name)
            .finish_non_exhaustive()
    }
}

fn balancer<S>(config: &Upstream, roster: &Arc<Roster>) -> LoadBalancer<S>
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    let discovery = Discovery {
        roster: roster.clone(),
        has_begun: AtomicBool::new(false),
    };
    let mut balancer = LoadBalancer::from_backends(Backends::new(Box::new(discovery)));
    if let Some(check) = config.health_check.clone() {
        balancer.health_check_frequency = Some(check.interval);
        balancer.set_health_check(Box::new(Check {
            config: check,
            roster: roster.clone(),
        }));
    }
    balancer.parallel_health_check = true;
    balancer.update_frequency = roster.has_names().then_some(INTERVAL);
    // What is known without looking anything up is there from the beginning: that takes no waiting.
    let _ = pin!(balancer.update()).poll(&mut Context::from_waker(Waker::noop()));
    balancer
}

/// The servers of a group, by their addresses.
pub(super) struct Roster {
    settings: Arc<Settings>,
    sources: Vec<Source>,
    servers: ArcSwap<HashMap<SocketAddr, Arc<Server>>>,
    /// Turns true when every name has been looked up.
    is_complete: watch::Sender<bool>,
}

struct Source {
    endpoint: Endpoint,
    label: String,
    whereabouts: Whereabouts,
}

enum Whereabouts {
    Address(SocketAddr),
    Name(Arc<Name>),
}

impl Roster {
    fn new(config: &Arc<Upstream>, previous: Option<&Roster>, news: Arc<Notify>) -> Self {
        let sources = config
            .servers
            .iter()
            .map(|endpoint| Source::new(endpoint, previous))
            .collect();
        let is_complete = watch::Sender::new(false);
        let settings = Settings::new(config.clone(), news);
        let roster = Self {
            settings,
            sources,
            servers: ArcSwap::default(),
            is_complete,
        };
        let servers = previous
            .map(|previous| previous.servers.load_full())
            .unwrap_or_default();
        roster.enlist(&servers);
        roster
    }

    /// What is known about a name, for the group that replaces this one.
    fn name(&self, host: &str, port: u16) -> Option<Arc<Name>> {
        self.sources
            .iter()
            .find_map(|source| match &source.whereabouts {
                Whereabouts::Name(name) if name.is(host, port) => Some(name.clone()),
                _ => None,
            })
    }

    fn has_names(&self) -> bool {
        self.sources
            .iter()
            .any(|source| matches!(source.whereabouts, Whereabouts::Name(_)))
    }

    pub(super) fn server(&self, address: &SocketAddr) -> Option<Arc<Server>> {
        self.servers.load().get(address).cloned()
    }

    /// Looks every name up, at the same time, and takes over what is known then.
    async fn refresh(&self) {
        let lookups = self
            .sources
            .iter()
            .filter_map(|source| match &source.whereabouts {
                Whereabouts::Name(name) => Some(name.clone()),
                Whereabouts::Address(_) => None,
            });
        let mut lookups: tokio::task::JoinSet<_> = lookups
            .map(|name| async move { name.refresh(LIMIT).await.is_empty() })
            .collect();
        while lookups.join_next().await.is_some() {}
        self.enlist(&self.servers.load_full());
        self.is_complete.send_replace(true);
    }

    /// Lists the servers at the addresses that are known. Those that are in `present` already stay
    /// who they are.
    fn enlist(&self, present: &HashMap<SocketAddr, Arc<Server>>) {
        let mut servers = HashMap::new();
        for source in &self.sources {
            for address in source.addresses() {
                // Two names may lead to the same address, which is one server.
                let server = || self.server_at(&source.endpoint, &address, present.get(&address));
                servers.entry(address.clone()).or_insert_with(server);
            }
        }
        self.servers.store(Arc::new(servers));
        // Each comes with its health.
        self.settings.news.notify_one();
    }

    fn server_at(
        &self,
        endpoint: &Endpoint,
        address: &SocketAddr,
        present: Option<&Arc<Server>>,
    ) -> Arc<Server> {
        match present {
            Some(server) if server.serves(endpoint, &self.settings) => server.clone(),
            present => {
                let same = present.filter(|server| server.endpoint() == endpoint);
                let health = same.map(|server| server.health.clone()).unwrap_or_default();
                Arc::new(Server::at(endpoint, address, self.settings.clone(), health))
            }
        }
    }

    /// Waits for the first answers, but not for long.
    async fn wait(&self, limit: Duration) {
        let mut complete = self.is_complete.subscribe();
        // Either way, what is there then is what is chosen from.
        let _ = timeout(limit, complete.wait_for(|complete| *complete)).await;
    }
}

impl Source {
    fn new(endpoint: &Endpoint, previous: Option<&Roster>) -> Self {
        let whereabouts = match Place::of(endpoint) {
            Place::Address(address) => Whereabouts::Address(address),
            Place::Name(host, port) => {
                let known = previous.and_then(|previous| previous.name(host, port));
                Whereabouts::Name(known.unwrap_or_else(|| Arc::new(Name::new(host, port))))
            }
        };
        Self {
            endpoint: endpoint.clone(),
            label: endpoint.to_string(),
            whereabouts,
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match &self.whereabouts {
            Whereabouts::Address(address) => vec![address.clone()],
            Whereabouts::Name(name) => name.known().into_iter().map(SocketAddr::Inet).collect(),
        }
    }
}

/// Tells Pingora's load balancer who there is.
struct Discovery {
    roster: Arc<Roster>,
    has_begun: AtomicBool,
}

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        // The first time, nobody waits for an answer: see `balancer`.
        if self.has_begun.swap(true, Ordering::Relaxed) {
            self.roster.refresh().await;
        }
        let backend = |address: &SocketAddr| Backend {
            addr: address.clone(),
            weight: 1,
            ext: Extensions::new(),
        };
        Ok((
            self.roster.servers.load().keys().map(backend).collect(),
            HashMap::new(),
        ))
    }
}
