//! The rules that requests are judged by: one configuration's routes, trust and limits.

use super::rate_limit::RateLimiter;
#[cfg(feature = "server")]
use crate::config::RouteKind;
use crate::config::{ClientTrust, Config, Limits, Route};
#[cfg(feature = "server")]
use crate::delivery::{Destination, Destinations};
use crate::http::buffers::{Budget, Buffers};
use crate::http::path::{Guarded, PathPattern, Routes};
#[cfg(feature = "server")]
use crate::telemetry::metrics::Metrics;
use crate::tls::{Trust, TrustError};
#[cfg(feature = "server")]
use crate::upstream::{Upstream, Upstreams};
use ipnet::IpNet;
use std::ops::Deref;
use std::sync::Arc;
use thiserror::Error;

/// The routes, the trust and the limits of one configuration.
#[derive(Debug)]
pub struct Policy {
    pub(super) routes: Routes<Arc<PolicyRoute>>,
    #[cfg(feature = "server")]
    upstreams: Arc<Upstreams>,
    /// Paths without a route are left to the service that the gate is a part of.
    pub(super) passes_other_paths: bool,
    pub(super) trust: Arc<Trust>,
    pub(super) limits: Limits,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) rate_limiter: RateLimiter,
    buffers: Arc<Buffers>,
}

/// The reason why a policy cannot be made of a configuration.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The authorities cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A route names an upstream that the configuration does not have.
    #[error("there is no upstream {0}")]
    Upstream(String),
}

impl Policy {
    /// Creates the policy that `config` describes.
    ///
    /// # Errors
    /// If its authorities cannot be used.
    #[cfg(feature = "server")]
    pub fn new(config: &Config) -> Result<Self, PolicyError> {
        Self::after(config, &Upstreams::default(), Arc::default())
    }

    /// Creates the policy that `config` describes.
    ///
    /// # Errors
    /// If its authorities cannot be used.
    #[cfg(not(feature = "server"))]
    pub fn new(config: &Config) -> Result<Self, PolicyError> {
        let proxies = config.listen.trusted_proxies.clone();
        let routes = outside(&config.routes);
        Ok(Self::assemble(
            routes,
            trust(config)?,
            config.limits,
            proxies,
        ))
    }

    /// Creates the policy that `config` describes and that replaces this one: the state of
    /// upstreams that appear in both is kept.
    ///
    /// # Errors
    /// If its authorities cannot be used.
    #[cfg(feature = "server")]
    pub fn successor(&self, config: &Config) -> Result<Self, PolicyError> {
        Self::after(config, &self.upstreams, self.buffers.clone())
    }

    #[cfg(feature = "server")]
    fn after(
        config: &Config,
        previous: &Upstreams,
        buffers: Arc<Buffers>,
    ) -> Result<Self, PolicyError> {
        let upstreams = Upstreams::new(config, previous);
        let routes = config
            .routes
            .iter()
            .map(|route| PolicyRoute::new(route, &upstreams).map(Arc::new))
            .collect::<Result<_, PolicyError>>()?;
        let proxies = config.listen.trusted_proxies.clone();
        let mut policy = Self::assemble(routes, trust(config)?, config.limits, proxies);
        policy.upstreams = Arc::new(upstreams);
        policy.buffers = buffers;
        Ok(policy)
    }

    /// Creates the policy of a gate whose requests are forwarded by another proxy.
    pub(super) fn of_routes(
        routes: &[Route],
        trust: &ClientTrust,
        limits: Limits,
        trusted_proxies: Vec<IpNet>,
    ) -> Result<Self, TrustError> {
        let trust = Trust::new(trust)?;
        Ok(Self::assemble(
            outside(routes),
            trust,
            limits,
            trusted_proxies,
        ))
    }

    fn assemble(
        routes: Vec<Arc<PolicyRoute>>,
        trust: Trust,
        limits: Limits,
        trusted_proxies: Vec<IpNet>,
    ) -> Self {
        Self {
            routes: Routes::new(routes),
            #[cfg(feature = "server")]
            upstreams: Arc::default(),
            passes_other_paths: false,
            trust: Arc::new(trust),
            limits,
            trusted_proxies,
            rate_limiter: RateLimiter::new(&limits),
            buffers: Arc::default(),
        }
    }

    /// Returns `true` if a request for `target` is to be judged here: a route has its path, or an
    /// application could read it as that of a route, or no path is left to others.
    pub(super) fn is_responsible_for(&self, target: &[u8]) -> bool {
        match std::str::from_utf8(without_query(target)) {
            Ok(path) if self.passes_other_paths && path.starts_with('/') => {
                self.routes.has_reading_of(path)
            }
            // Absolute targets, and paths that applications read in ways that are not known.
            _ => true,
        }
    }

    /// Makes `metrics` count the requests of each route.
    #[cfg(feature = "server")]
    pub(super) fn count_in(&self, metrics: &Metrics) {
        let routes = self
            .routes
            .iter()
            .map(|route| (route.label.to_string(), route.kind));
        let upstreams = self
            .routes
            .iter()
            .map(|route| route.upstream_label.to_string());
        metrics.serve(routes, upstreams);
    }

    /// Returns the memory that the bodies of all requests share.
    pub(super) fn budget(&self) -> Budget<'_> {
        Budget {
            buffers: &self.buffers,
            limit: self.limits.max_buffered,
        }
    }

    /// Returns the account of the memory that bodies take.
    #[cfg(feature = "server")]
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// Returns the trust that client certificates are judged against.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Returns the upstreams of all routes.
    #[cfg(feature = "server")]
    pub fn upstreams(&self) -> &Arc<Upstreams> {
        &self.upstreams
    }

    /// Returns the applications of all webhooks, for notifications that wait.
    #[cfg(feature = "server")]
    pub(crate) fn destinations(&self) -> Destinations {
        let routes = self.routes.iter();
        let webhooks = routes.filter(|route| route.kind == RouteKind::Webhook);
        webhooks
            .map(|route| (route.label.clone(), route.destination()))
            .collect()
    }

    /// Returns the limits on what a client may use: time, size, connections, rate.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

fn without_query(target: &[u8]) -> &[u8] {
    let mut parts = target.split(|byte| *byte == b'?');
    parts.next().unwrap_or_default()
}

/// A configured route, with its upstream and the labels that records about its requests show.
#[derive(Debug)]
pub(super) struct PolicyRoute {
    route: Route,
    #[cfg(feature = "server")]
    pub(super) upstream: Upstream,
    /// The path of the route.
    pub(super) label: Arc<str>,
    /// The name of the upstream.
    #[cfg(feature = "server")]
    pub(super) upstream_label: Arc<str>,
}

impl PolicyRoute {
    /// Creates a route whose requests another proxy forwards.
    fn outside(route: &Route) -> Self {
        Self {
            route: route.clone(),
            label: route.path.to_string().into(),
            #[cfg(feature = "server")]
            upstream: Upstream::Outside,
            #[cfg(feature = "server")]
            upstream_label: Upstream::Outside.name().into(),
        }
    }

    #[cfg(feature = "server")]
    fn destination(&self) -> Destination {
        Destination {
            upstream: self.upstream.clone(),
            signer: self.signer.clone(),
        }
    }

    #[cfg(feature = "server")]
    fn new(route: &Route, upstreams: &Upstreams) -> Result<Self, PolicyError> {
        let upstream = upstreams
            .of(&route.upstream)
            .ok_or_else(|| PolicyError::Upstream(route.upstream.to_string()))?;
        Ok(Self {
            route: route.clone(),
            label: route.path.to_string().into(),
            upstream_label: upstream.name().into(),
            upstream,
        })
    }
}

/// Returns routes whose requests another proxy forwards.
fn outside(routes: &[Route]) -> Vec<Arc<PolicyRoute>> {
    let outside = |route| Arc::new(PolicyRoute::outside(route));
    routes.iter().map(outside).collect()
}

fn trust(config: &Config) -> Result<Trust, TrustError> {
    match &config.tls {
        Some(tls) => Trust::new(&tls.client),
        None => Ok(Trust::empty()),
    }
}

impl Deref for PolicyRoute {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.route
    }
}

impl Guarded for PolicyRoute {
    fn path(&self) -> &PathPattern {
        &self.route.path
    }

    fn demands_at_least(&self, other: &Self) -> bool {
        self.route.demands_at_least(&other.route)
    }
}
