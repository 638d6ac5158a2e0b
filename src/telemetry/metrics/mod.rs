//! The Prometheus metrics.
//!
//! A label's value comes from a closed set or from the configuration, never from the wire. What a
//! request moves is resolved when the configuration is read, so that counting a request takes a
//! look-up by its route and a few atomic operations, and no lock.

mod connections;
mod process;
mod requests;
mod webhooks;

pub(crate) use connections::ConnectionRefusal;

use super::context::{Context, Outcome};
use super::repeated;
use crate::config::RouteKind;
use arc_swap::ArcSwap;
use connections::ConnectionMetrics;
use process::ProcessMetrics;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use requests::{RequestFamilies, RequestMetrics};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use webhooks::{WebhookFamilies, WebhookMetrics};

/// The prefix of every metric name.
pub(super) const NAMESPACE: &str = "netdata_webhook_proxy";

/// Buckets from the duration of a challenge to that of an upstream timeout, in seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Counts log lines dropped because the queue was full. Global, as standard error is.
pub(super) static LOG_LINES_DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Log lines that were dropped because standard error was not read fast enough.";
    IntCounter::with_opts(opts("log_lines_dropped_total", help)).expect("the metric is valid")
});

/// The label `which` of `certificate_not_after_timestamp_seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateKind {
    /// The server's own certificate.
    Server,
    /// The intermediate certificates of the server.
    Chain,
    /// An authority that issues client certificates.
    Ca,
    /// The trusted client certificate that was presented last.
    ClientLastSeen,
    /// A revocation list, whose expiry is that of `nextUpdate`.
    Crl,
}

impl CertificateKind {
    /// Returns the value of the label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Chain => "chain",
            Self::Ca => "ca",
            Self::ClientLastSeen => "client_last_seen",
            Self::Crl => "crl",
        }
    }
}

/// All metrics of the process.
pub(crate) struct Metrics {
    registry: Registry,
    requests: RequestFamilies,
    webhooks: WebhookFamilies,
    upstream_duration: HistogramVec,
    upstream_healthy: IntGaugeVec,
    connections: ConnectionMetrics,
    reloads: [IntCounter; 2],
    certificate_not_after: IntGaugeVec,
    /// The memory of request bodies, and its limit.
    buffered: IntGauge,
    buffered_limit: IntGauge,
    not_delivered_open: IntGauge,
    process: ProcessMetrics,
    /// The metrics of requests without a route.
    nowhere: RequestMetrics,
    handles: ArcSwap<Handles>,
}

/// The metrics of the configured routes and upstreams.
#[derive(Default)]
struct Handles {
    routes: HashMap<String, Arc<RouteMetrics>>,
    upstreams: HashMap<String, Histogram>,
}

struct RouteMetrics {
    requests: RequestMetrics,
    /// The metrics of webhook routes.
    webhooks: Option<WebhookMetrics>,
}

/// A request that has ended.
pub(crate) struct Ended<'c> {
    pub(crate) context: &'c Context,
    /// The request is a challenge.
    pub(crate) is_challenge: bool,
    /// The time from the head to the end, or `None` if the head could not be read.
    pub(crate) duration: Option<Duration>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Creates metrics with all counters at 0.
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let (requests, webhooks) = (
            RequestFamilies::new(&registry),
            WebhookFamilies::new(&registry),
        );
        let upstream_duration = histograms(
            &registry,
            "upstream_duration_seconds",
            "From sending to the end of the answer.",
            &["upstream"],
        );
        let upstream_healthy = gauges(
            &registry,
            "upstream_healthy",
            "1 if the server of the upstream is in use, 0 if it is left out.",
            &["upstream", "server"],
        );
        let reloads = counters(
            &registry,
            "reloads_total",
            "Attempts to reload the configuration.",
            &["outcome"],
        );
        let certificate_not_after = gauges(
            &registry,
            "certificate_not_after_timestamp_seconds",
            "Until when a certificate is valid; of several, the first to expire. For crl, when the next list is due.",
            &["which"],
        );
        let buffered = gauge(
            &registry,
            "buffered_bytes",
            "The memory that bodies of requests take.",
        );
        let buffered_limit = gauge(
            &registry,
            "buffered_limit_bytes",
            "The memory that bodies of requests may take.",
        );
        let not_delivered_open = gauge(
            &registry,
            "not_delivered_open",
            "Verified notifications of the last 24 hours that did not reach their application, and have not since.",
        );
        register(&registry, LOG_LINES_DROPPED.clone());
        gauges(
            &registry,
            "build_info",
            "Always 1; says which version runs.",
            &["version"],
        )
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
        repeated::start();
        register(&registry, repeated::LEFT_OUT.clone());
        Self {
            reloads: ["ok", "failed"].map(|outcome| reloads.with_label_values(&[outcome])),
            nowhere: RequestMetrics::new(&requests, ""),
            process: ProcessMetrics::new(&registry),
            connections: ConnectionMetrics::new(&registry),
            registry,
            requests,
            webhooks,
            upstream_duration,
            upstream_healthy,
            certificate_not_after,
            buffered,
            buffered_limit,
            not_delivered_open,
            handles: ArcSwap::default(),
        }
    }

    /// Resolves the metrics of the configured routes and upstreams, and drops those that no longer
    /// exist.
    pub(crate) fn serve(
        &self,
        routes: impl Iterator<Item = (String, RouteKind)>,
        upstreams: impl Iterator<Item = String>,
    ) {
        let old = self.handles.load_full();
        let metrics = |path: &str, kind| {
            let same = old
                .routes
                .get(path)
                .filter(|metrics| metrics.webhooks.is_some() == (kind == RouteKind::Webhook));
            same.cloned()
                .unwrap_or_else(|| Arc::new(self.route(path, kind)))
        };
        let duration = |name: &str| self.upstream_duration.with_label_values(&[name]);
        let new = Handles {
            routes: routes
                .map(|(path, kind)| (metrics(&path, kind), path))
                .map(|(metrics, path)| (path, metrics))
                .collect(),
            upstreams: upstreams
                .map(|name| (duration(&name), name))
                .map(|(duration, name)| (name, duration))
                .collect(),
        };
        for path in old.routes.keys() {
            let metrics = new.routes.get(path);
            if metrics.is_none() {
                self.requests.forget(path);
            }
            if metrics.is_none_or(|metrics| metrics.webhooks.is_none()) {
                self.webhooks.forget(path);
            }
        }
        for name in old
            .upstreams
            .keys()
            .filter(|name| !new.upstreams.contains_key(*name))
        {
            // Ignore the error: the series did not exist.
            let _ = self.upstream_duration.remove_label_values(&[name]);
        }
        self.handles.store(Arc::new(new));
    }

    fn route(&self, path: &str, kind: RouteKind) -> RouteMetrics {
        RouteMetrics {
            requests: RequestMetrics::new(&self.requests, path),
            webhooks: (kind == RouteKind::Webhook)
                .then(|| WebhookMetrics::new(&self.webhooks, path)),
        }
    }

    /// Adds the metrics of another room.
    pub(crate) fn add(&self, collectors: Vec<Box<dyn Collector>>) {
        for collector in collectors {
            let added = self.registry.register(collector);
            added.expect("no two metrics have one name");
        }
    }

    /// Counts a request that has ended.
    pub(crate) fn request(
        &self,
        Ended {
            context,
            is_challenge,
            duration,
        }: Ended<'_>,
    ) {
        let handles = self.handles.load();
        let route = context
            .route
            .as_deref()
            .and_then(|route| handles.routes.get(route));
        // Every request has an outcome; a missing one would be a bug.
        let outcome = context
            .outcome
            .unwrap_or(Outcome::Refused("internal_error"));
        let requests = route.map_or(&self.nowhere, |route| &route.requests);
        requests.count(&self.requests, outcome, duration);
        requests.dropped_headers(context.dropped_headers.count);
        if let Some(webhooks) = route.and_then(|route| route.webhooks.as_ref()) {
            if let Some(notification) = &context.notification {
                webhooks.notification(&self.webhooks, notification);
            }
            if is_challenge {
                webhooks.challenge(outcome == Outcome::Challenged);
            }
        }
        let upstream = context
            .upstream
            .as_deref()
            .and_then(|upstream| handles.upstreams.get(upstream));
        if let (Some(upstream), Some(duration)) = (upstream, context.upstream_duration) {
            upstream.observe(duration.as_secs_f64());
        }
    }

    /// Returns the metrics of connections.
    pub(crate) fn connections(&self) -> &ConnectionMetrics {
        &self.connections
    }

    /// Records the memory that bodies use.
    pub(crate) fn buffered(&self, bytes: u64) {
        self.buffered.set(bytes.try_into().unwrap_or(i64::MAX));
    }

    /// Records the memory that bodies may use.
    pub(crate) fn buffered_limit(&self, bytes: u64) {
        self.buffered_limit
            .set(bytes.try_into().unwrap_or(i64::MAX));
    }

    /// Counts a verified notification that did not reach its application.
    pub(crate) fn not_delivered(&self, route: &str, code: &str) {
        let handles = self.handles.load();
        let webhooks = handles
            .routes
            .get(route)
            .and_then(|it| it.webhooks.as_ref());
        if let Some(webhooks) = webhooks {
            webhooks.not_delivered(code);
        }
    }

    /// Records the number of notifications that are still not delivered.
    pub(crate) fn not_delivered_open(&self, count: usize) {
        self.not_delivered_open
            .set(count.try_into().unwrap_or(i64::MAX));
    }

    /// Counts an attempt to reload.
    pub(crate) fn reload(&self, is_ok: bool) {
        self.reloads[usize::from(!is_ok)].inc();
    }

    /// Records the expiry of certificates in seconds since 1970. `None` removes the series.
    pub(crate) fn certificate(&self, which: CertificateKind, not_after: Option<i64>) {
        match not_after {
            Some(time) => self
                .certificate_not_after
                .with_label_values(&[which.as_str()])
                .set(time),
            // Ignore the error: the series did not exist.
            None => drop(
                self.certificate_not_after
                    .remove_label_values(&[which.as_str()]),
            ),
        }
    }

    /// Records the health of a server.
    pub(crate) fn upstream_healthy(&self, upstream: &str, server: &str, is_healthy: bool) {
        self.upstream_healthy
            .with_label_values(&[upstream, server])
            .set(is_healthy.into());
    }

    /// Removes a server that no longer exists.
    pub(crate) fn forget_server(&self, upstream: &str, server: &str) {
        // Ignore the error: the series did not exist.
        let _ = self
            .upstream_healthy
            .remove_label_values(&[upstream, server]);
    }

    /// Returns all metrics in Prometheus' text format.
    pub(crate) fn expose(&self) -> String {
        self.process.update();
        // Encoding fails for unnamed or mixed metrics only, which tests would detect.
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry
        .register(Box::new(collector.clone()))
        .expect("no two metrics have one name");
    collector
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(
        registry,
        IntCounterVec::new(opts(name, help), labels).expect("the metric is valid"),
    )
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(
        registry,
        IntGauge::with_opts(opts(name, help)).expect("the metric is valid"),
    )
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(
        registry,
        IntGaugeVec::new(opts(name, help), labels).expect("the metric is valid"),
    )
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let opts = HistogramOpts::from(opts(name, help)).buckets(BUCKETS.to_vec());
    register(
        registry,
        HistogramVec::new(opts, labels).expect("the metric is valid"),
    )
}
