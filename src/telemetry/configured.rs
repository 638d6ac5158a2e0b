//! What is configured, as the status page shows it.

use crate::config::{Config, Route, RouteKind, Verify};
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// The configuration in effect, in words.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Configured {
    /// The listeners, HTTPS first.
    pub(in crate::telemetry) listeners: Vec<ConfiguredListener>,
    /// The routes in their order.
    pub(in crate::telemetry) routes: Vec<ConfiguredRoute>,
    /// Each upstream that a route names, once.
    #[serde(skip)]
    pub(in crate::telemetry) upstreams: Vec<String>,
    /// Warnings about authorities whose certificates pass for those of Netdata Cloud.
    #[serde(skip)]
    pub(in crate::telemetry) foreign_authorities: Vec<String>,
}

/// An address that is listened on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConfiguredListener {
    pub(in crate::telemetry) address: String,
    pub(in crate::telemetry) scheme: &'static str,
    /// The client certificate: `require`, `request` or `off`.
    pub(in crate::telemetry) verify: &'static str,
}

/// A route, and what it demands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConfiguredRoute {
    pub(in crate::telemetry) path: String,
    pub(in crate::telemetry) kind: &'static str,
    pub(in crate::telemetry) upstream: String,
    /// The requirements in words.
    pub(in crate::telemetry) demands: String,
    pub(in crate::telemetry) spaces: Vec<String>,
    /// The route answers challenges.
    pub(in crate::telemetry) challenge: bool,
    /// What its operator may not have thought of.
    pub(in crate::telemetry) note: Option<&'static str>,
}

impl Configured {
    /// Describes `config`. `addresses` are those of its listeners, where the system has chosen their
    /// ports.
    pub(in crate::telemetry) fn of(config: &Config, addresses: &[SocketAddr]) -> Self {
        let routes = config.routes.iter();
        let tls = config.tls.as_ref();
        let foreign = tls.map(|tls| tls.client.foreign_authorities());
        Self {
            listeners: listeners(config, addresses),
            routes: routes
                .map(|route| ConfiguredRoute::of(config, route))
                .collect(),
            upstreams: upstreams(&config.routes),
            foreign_authorities: foreign.unwrap_or_default(),
        }
    }
}

/// Returns each upstream that a route names, once.
fn upstreams(routes: &[Route]) -> Vec<String> {
    let upstreams = routes.iter().map(|route| route.upstream.to_string());
    let upstreams: BTreeSet<_> = upstreams.collect();
    upstreams.into_iter().collect()
}

fn listeners(config: &Config, addresses: &[SocketAddr]) -> Vec<ConfiguredListener> {
    let verify = verify_word(config.verify());
    let https = config.listen.https.iter().map(|it| (it, "https", verify));
    let http = config.listen.http.iter().map(|it| (it, "http", "off"));
    let listener = |(index, (address, scheme, verify)): (usize, (&SocketAddr, _, _))| {
        let chosen = addresses.get(index).filter(|_| address.port() == 0);
        ConfiguredListener {
            address: chosen.unwrap_or(address).to_string(),
            scheme,
            verify,
        }
    };
    https.chain(http).enumerate().map(listener).collect()
}

fn verify_word(verify: Verify) -> &'static str {
    match verify {
        Verify::Require => "require",
        Verify::Request => "request",
        Verify::Off => "off",
    }
}

fn kind_word(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Webhook => "webhook",
        RouteKind::Proxy => "proxy",
    }
}

impl ConfiguredRoute {
    fn of(config: &Config, route: &Route) -> Self {
        Self {
            path: route.path.to_string(),
            kind: kind_word(route.kind),
            upstream: route.upstream.to_string(),
            demands: route.requirements.to_string(),
            spaces: route.spaces.clone(),
            challenge: route.challenge_secret.is_some(),
            note: config.openness(route),
        }
    }
}
