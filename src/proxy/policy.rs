//! The rules that requests are judged by: one configuration's routes, trust and limits.

use super::rate_limit::RateLimiter;
use crate::config::{Config, Limits, Route};
use crate::http::buffers::{Budget, Buffers};
use crate::http::path::{Guarded, PathPattern, Routes};
use crate::tls::Trust;
use crate::upstream::{Upstream, Upstreams};
use ipnet::IpNet;
use std::ops::Deref;
use std::sync::Arc;

/// The routes, the trust and the limits of one configuration.
#[derive(Debug)]
pub struct Policy {
    pub(super) routes: Routes<Arc<PolicyRoute>>,
    upstreams: Arc<Upstreams>,
    pub(super) trust: Arc<Trust>,
    pub(super) limits: Limits,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) rate_limiter: RateLimiter,
    buffers: Arc<Buffers>,
}

impl Policy {
    /// Creates the policy that `config` describes.
    ///
    /// # Errors
    /// If its authorities cannot be used.
    pub fn new(config: &Config) -> Result<Self, String> {
        Self::after(config, &Upstreams::default(), Arc::default())
    }

    /// Creates the policy that `config` describes and that replaces this one: the state of
    /// upstreams that appear in both is kept.
    ///
    /// # Errors
    /// If its authorities cannot be used.
    pub fn successor(&self, config: &Config) -> Result<Self, String> {
        Self::after(config, &self.upstreams, self.buffers.clone())
    }

    fn after(config: &Config, previous: &Upstreams, buffers: Arc<Buffers>) -> Result<Self, String> {
        let upstreams = Upstreams::new(config, previous);
        let routes = config
            .routes
            .iter()
            .map(|route| PolicyRoute::new(route, &upstreams).map(Arc::new))
            .collect::<Result<_, String>>()?;
        let trust = match &config.tls {
            Some(tls) => Trust::new(&tls.client)?,
            None => Trust::nobody(),
        };
        Ok(Self {
            routes: Routes::new(routes),
            upstreams: Arc::new(upstreams),
            trust: Arc::new(trust),
            limits: config.limits,
            trusted_proxies: config.listen.trusted_proxies.clone(),
            rate_limiter: RateLimiter::new(&config.limits),
            buffers,
        })
    }

    /// The memory that the bodies of all requests share.
    pub(super) fn budget(&self) -> Budget<'_> {
        Budget {
            buffers: &self.buffers,
            limit: self.limits.max_buffered,
        }
    }

    /// The account of the memory that bodies take.
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// The trust that client certificates are judged against.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// The upstreams of all routes.
    pub fn upstreams(&self) -> &Arc<Upstreams> {
        &self.upstreams
    }

    /// The limits on what a client may use: time, size, connections, rate.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// A configured route, with its upstream and the labels that records about its requests show.
#[derive(Debug)]
pub(super) struct PolicyRoute {
    route: Route,
    pub(super) upstream: Upstream,
    /// The path of the route.
    pub(super) label: Arc<str>,
    /// The name of the upstream.
    pub(super) upstream_label: Arc<str>,
}

impl PolicyRoute {
    fn new(route: &Route, upstreams: &Upstreams) -> Result<Self, String> {
        let upstream = upstreams
            .of(&route.upstream)
            .ok_or_else(|| format!("there is no {}", route.upstream))?;
        Ok(Self {
            route: route.clone(),
            label: route.path.to_string().into(),
            upstream_label: upstream.name().into(),
            upstream,
        })
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
