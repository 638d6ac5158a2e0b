//! What is configured, as the status page shows it.

use crate::config::{Config, Route, RouteKind, Verify};
use serde::Serialize;
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
        let tls = config.tls.as_ref();
        let mut upstreams: Vec<_> = config
            .routes
            .iter()
            .map(|route| route.upstream.to_string())
            .collect();
        upstreams.sort();
        upstreams.dedup();
        Self {
            listeners: listeners(config, addresses),
            routes: config
                .routes
                .iter()
                .map(|route| ConfiguredRoute::of(config, route))
                .collect(),
            upstreams,
            foreign_authorities: tls
                .map(|tls| tls.client.foreign_authorities())
                .unwrap_or_default(),
        }
    }
}

fn listeners(config: &Config, addresses: &[SocketAddr]) -> Vec<ConfiguredListener> {
    let verify = match config.verify() {
        Verify::Require => "require",
        Verify::Request => "request",
        Verify::Off => "off",
    };
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

impl ConfiguredRoute {
    fn of(config: &Config, route: &Route) -> Self {
        Self {
            path: route.path.to_string(),
            kind: match route.kind {
                RouteKind::Webhook => "webhook",
                RouteKind::Proxy => "proxy",
            },
            upstream: route.upstream.to_string(),
            demands: route.requirements.to_string(),
            spaces: route.spaces.clone(),
            challenge: route.challenge_secret.is_some(),
            note: config.openness(route),
        }
    }
}
