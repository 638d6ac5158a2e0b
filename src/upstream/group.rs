//! A group of servers, between which requests are balanced.
//!
//! Pingora's load balancer keeps the list of servers, refreshes it, checks it and chooses. The state
//! of a server and its health are kept here.

use super::Tried;
use super::health_check::HealthChecker;
use super::members::Members;
use super::resolve::REFRESH_INTERVAL;
use super::server::UpstreamServer;
use crate::config::{Balance, Upstream as UpstreamConfig};
use async_trait::async_trait;
use futures_util::future::join_all;
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
use tokio::sync::{Notify, watch};

/// Servers between which requests are balanced.
pub(crate) struct ServerGroup {
    config: Arc<UpstreamConfig>,
    balancer: Balancer,
    members: Arc<Members>,
}

enum Balancer {
    RoundRobin(LoadBalancer<RoundRobin>),
    Random(LoadBalancer<Random>),
}

impl Balancer {
    fn new(config: &UpstreamConfig, members: &Arc<Members>) -> Self {
        match config.balance {
            Balance::RoundRobin => Self::RoundRobin(balancer(config, members)),
            Balance::Random => Self::Random(balancer(config, members)),
        }
    }

    fn select(
        &self,
        max_rounds: usize,
        accepts: impl Fn(&Backend, bool) -> bool,
    ) -> Option<Backend> {
        match self {
            Self::RoundRobin(balancer) => balancer.select_with(b"", max_rounds, accepts),
            Self::Random(balancer) => balancer.select_with(b"", max_rounds, accepts),
        }
    }
}

impl ServerGroup {
    /// Creates the group that `config` describes. The state of servers in `previous` is kept.
    pub(super) fn new(
        config: Arc<UpstreamConfig>,
        previous: Option<&Self>,
        health_changed: Arc<Notify>,
    ) -> Self {
        let previous = previous.map(|group| &*group.members);
        let members = Arc::new(Members::new(&config, previous, health_changed));
        Self {
            balancer: Balancer::new(&config, &members),
            config,
            members,
        }
    }

    pub(super) fn config(&self) -> &Arc<UpstreamConfig> {
        &self.config
    }

    /// Returns the name of the group.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Resolves host names and checks servers until it is dropped.
    pub(super) async fn run(&self) {
        // Dropping this future is how it ends.
        let (_sender, shutdown) = watch::channel(false);
        match &self.balancer {
            Balancer::RoundRobin(balancer) => balancer.run(shutdown, None).await,
            Balancer::Random(balancer) => balancer.run(shutdown, None).await,
        }
    }

    /// Checks each server once at all of its addresses and returns the failures.
    pub(super) async fn check_once(&self) -> Vec<(String, String)> {
        let Some(config) = self.config.health_check.clone() else {
            return Vec::new();
        };
        let checker = HealthChecker::new(config, self.members.clone());
        self.members.refresh().await;
        let servers = Arc::clone(&self.members.servers());
        let checks = servers.values().map(|server| checker.failure_of(server));
        let results = join_all(checks).await;
        let mut failures: Vec<_> = results.into_iter().flatten().collect();
        failures.sort();
        failures
    }

    /// Returns the next server after those in `tried`: preferably a healthy one, or else one that
    /// passes its checks.
    ///
    /// If no server passes its checks, this is the next in turn: a request detects sooner than the
    /// next check that a server has recovered. Servers that do not even refuse connections cost a
    /// request one `connect_timeout` at most.
    pub(crate) async fn choose(&self, tried: &Tried) -> Option<Arc<UpstreamServer>> {
        if self.members.servers().is_empty() {
            let limit = self.config.connect_timeout;
            self.members.wait_until_resolved(limit).await;
        }
        let promising = self.select_promising(tried);
        if promising.is_some() || tried.lost >= self.config.connect_timeout {
            return promising;
        }
        self.select(|server| tried.is_other(server))
            .or_else(|| self.select(|server| tried.is_new(server)))
    }

    /// Returns the next server that passes its checks.
    fn select_promising(&self, tried: &Tried) -> Option<Arc<UpstreamServer>> {
        let is_healthy = |server: &UpstreamServer| server.health().is_healthy();
        let passes = |server: &UpstreamServer| server.health().passes_checks();
        self.select(|server| tried.is_other(server) && is_healthy(server))
            .or_else(|| self.select(|server| tried.is_other(server) && passes(server)))
            .or_else(|| self.select(|server| tried.is_new(server) && passes(server)))
    }

    fn select(&self, accept: impl Fn(&UpstreamServer) -> bool) -> Option<Arc<UpstreamServer>> {
        let servers = self.members.servers();
        let accepts = |backend: &Backend, _: bool| {
            let server = servers.get(&backend.addr);
            server.is_some_and(|server| accept(server))
        };
        // Other requests advance the same turn, so that this one may see the same servers again.
        let chosen = self.balancer.select(4 * servers.len(), accepts);
        chosen
            .and_then(|backend| servers.get(&backend.addr).cloned())
            .or_else(|| servers.values().find(|server| accept(server)).cloned())
    }

    /// Returns each configured server and `true` if it is healthy at any of its addresses.
    pub(super) fn health(&self) -> impl Iterator<Item = (&str, bool)> {
        self.members.health()
    }
}

impl fmt::Debug for ServerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerGroup")
            .field("name", &self.config.name)
            .finish_non_exhaustive()
    }
}

fn balancer<S>(config: &UpstreamConfig, members: &Arc<Members>) -> LoadBalancer<S>
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    let discovery = Discovery::new(members.clone());
    let mut balancer = LoadBalancer::from_backends(Backends::new(Box::new(discovery)));
    if let Some(check) = config.health_check.clone() {
        balancer.health_check_frequency = Some(check.interval);
        balancer.set_health_check(Box::new(HealthChecker::new(check, members.clone())));
    }
    balancer.parallel_health_check = true;
    balancer.update_frequency = members.has_names().then_some(REFRESH_INTERVAL);
    // Servers that need no lookup are there from the beginning: the first update does not wait.
    let _ = pin!(balancer.update()).poll(&mut Context::from_waker(Waker::noop()));
    balancer
}

/// Lists the members of a group for Pingora's load balancer.
struct Discovery {
    members: Arc<Members>,
    has_begun: AtomicBool,
}

impl Discovery {
    fn new(members: Arc<Members>) -> Self {
        Self {
            members,
            has_begun: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        // The first call must not wait: see `balancer`.
        if self.has_begun.swap(true, Ordering::Relaxed) {
            self.members.refresh().await;
        }
        let backends = self.members.servers().keys().map(backend).collect();
        Ok((backends, HashMap::new()))
    }
}

fn backend(address: &SocketAddr) -> Backend {
    Backend {
        addr: address.clone(),
        weight: 1,
        ext: Extensions::new(),
    }
}
