//! The Prometheus metrics.
//!
//! A label's value comes from a closed set or from the configuration, never from the wire. What a
//! request moves is resolved when the configuration is read, so that counting a request takes a
//! look-up by its route and a few atomic operations, and no lock.

mod acme;
mod connections;
mod process;
mod requests;
mod webhooks;

pub(crate) use connections::ConnectionRefusal;

use super::context::{Context, Outcome};
use super::repeated;
use crate::config::RouteKind;
use crate::tls::acme::{AcmeEvent, AcmeStatus};
use acme::AcmeMetrics;
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

/// The invariant of the names, help texts and labels in this room.
const VALID: &str = "the metric is valid";

/// The invariant of the names together.
const ONE_NAME: &str = "no two metrics have one name";

/// Buckets from the duration of a challenge to that of an upstream timeout, in seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Counts log lines dropped because the queue was full. Global, as standard error is.
pub(super) static LOG_LINES_DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Log lines that were dropped because standard error was not read fast enough.";
    IntCounter::with_opts(opts("log_lines_dropped_total", help)).expect(VALID)
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
    certificate_not_before: IntGaugeVec,
    certificate_not_after: IntGaugeVec,
    acme: AcmeMetrics,
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

impl Handles {
    fn route(&self, path: Option<&str>) -> Option<&RouteMetrics> {
        self.routes.get(path?).map(Arc::as_ref)
    }

    /// Returns the metrics of a route that was of this kind before.
    fn same_route(&self, path: &str, kind: RouteKind) -> Option<Arc<RouteMetrics>> {
        let is_webhook = kind == RouteKind::Webhook;
        let known = self.routes.get(path);
        known
            .filter(|metrics| metrics.webhooks.is_some() == is_webhook)
            .cloned()
    }
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

impl Ended<'_> {
    fn outcome(&self) -> Outcome {
        // Every request has an outcome; a missing one would be a bug.
        let outcome = self.context.outcome;
        outcome.unwrap_or(Outcome::Refused("internal_error"))
    }
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
        let requests = RequestFamilies::new(&registry);
        register(&registry, LOG_LINES_DROPPED.clone());
        register(&registry, repeated::left_out().clone());
        register_build_info(&registry);
        Self {
            nowhere: RequestMetrics::new(&requests, ""),
            requests,
            webhooks: WebhookFamilies::new(&registry),
            upstream_duration: upstream_duration(&registry),
            upstream_healthy: upstream_healthy(&registry),
            connections: ConnectionMetrics::new(&registry),
            reloads: reloads(&registry),
            acme: AcmeMetrics::new(&registry),
            certificate_not_before: certificate_not_before(&registry),
            certificate_not_after: certificate_not_after(&registry),
            buffered: buffered(&registry),
            buffered_limit: buffered_limit(&registry),
            not_delivered_open: not_delivered_open(&registry),
            process: ProcessMetrics::new(&registry),
            handles: ArcSwap::default(),
            registry,
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
        let route = |(path, kind): (String, _)| {
            let metrics = old.same_route(&path, kind);
            let metrics = metrics.unwrap_or_else(|| Arc::new(self.route(&path, kind)));
            (path, metrics)
        };
        let upstream = |name: String| {
            let duration = self.upstream_duration.with_label_values(&[&name]);
            (name, duration)
        };
        let new = Handles {
            routes: routes.map(route).collect(),
            upstreams: upstreams.map(upstream).collect(),
        };
        self.forget_routes(&old, &new);
        self.forget_upstreams(&old, &new);
        self.handles.store(Arc::new(new));
    }

    /// Removes the metrics of routes that have gone, or have become those of another kind.
    fn forget_routes(&self, old: &Handles, new: &Handles) {
        for path in old.routes.keys() {
            let metrics = new.routes.get(path);
            if metrics.is_none() {
                self.requests.forget(path);
            }
            if metrics.is_none_or(|metrics| metrics.webhooks.is_none()) {
                self.webhooks.forget(path);
            }
        }
    }

    fn forget_upstreams(&self, old: &Handles, new: &Handles) {
        for name in old.upstreams.keys() {
            if !new.upstreams.contains_key(name) {
                // Ignore the error: the series did not exist.
                let _ = self.upstream_duration.remove_label_values(&[name]);
            }
        }
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
            self.registry.register(collector).expect(ONE_NAME);
        }
    }

    /// Counts a request that has ended.
    pub(crate) fn request(&self, ended: Ended<'_>) {
        let (context, handles) = (ended.context, self.handles.load());
        let route = handles.route(context.route.as_deref());
        let requests = route.map_or(&self.nowhere, |route| &route.requests);
        requests.count(&self.requests, ended.outcome(), ended.duration);
        requests.dropped_headers(context.dropped_headers.count);
        if let Some(webhooks) = route.and_then(|route| route.webhooks.as_ref()) {
            self.webhook(webhooks, &ended);
        }
        let upstream = context.upstream.as_deref();
        let upstream = upstream.and_then(|upstream| handles.upstreams.get(upstream));
        if let (Some(upstream), Some(duration)) = (upstream, context.upstream_duration) {
            upstream.observe(duration.as_secs_f64());
        }
    }

    fn webhook(&self, webhooks: &WebhookMetrics, ended: &Ended<'_>) {
        if let Some(notification) = &ended.context.notification {
            webhooks.notification(&self.webhooks, notification);
        }
        if ended.is_challenge {
            webhooks.challenge(ended.outcome() == Outcome::Challenged);
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
            .route(Some(route))
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

    /// Records the begin and the expiry of a certificate in seconds since 1970. `None` removes the
    /// series.
    pub(crate) fn certificate(
        &self,
        which: CertificateKind,
        not_before: Option<i64>,
        not_after: Option<i64>,
    ) {
        for (series, time) in [
            (&self.certificate_not_before, not_before),
            (&self.certificate_not_after, not_after),
        ] {
            match time {
                Some(time) => series.with_label_values(&[which.as_str()]).set(time),
                // Ignore the error: the series did not exist.
                None => drop(series.remove_label_values(&[which.as_str()])),
            }
        }
    }

    /// Counts an order of a certificate.
    pub(crate) fn acme_event(&self, event: AcmeEvent) {
        self.acme.order(event);
    }

    /// Counts a validation by an authority.
    pub(crate) fn validation(&self, is_answered: bool) {
        self.acme.validation(is_answered);
    }

    /// Records the state of certificates by ACME; `None` if they come from files.
    pub(crate) fn acme_status(&self, status: Option<&AcmeStatus>) {
        self.acme.status(status);
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

fn register_build_info(registry: &Registry) {
    let help = "Always 1; says which version runs.";
    let info = gauges(registry, "build_info", help, &["version"]);
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
}

fn upstream_duration(registry: &Registry) -> HistogramVec {
    let help = "From sending to the end of the answer.";
    histograms(registry, "upstream_duration_seconds", help, &["upstream"])
}

fn upstream_healthy(registry: &Registry) -> IntGaugeVec {
    let help = "1 if the server of the upstream is in use, 0 if it is left out.";
    gauges(registry, "upstream_healthy", help, &["upstream", "server"])
}

fn reloads(registry: &Registry) -> [IntCounter; 2] {
    let help = "Attempts to reload the configuration.";
    let reloads = counters(registry, "reloads_total", help, &["outcome"]);
    ["ok", "failed"].map(|outcome| reloads.with_label_values(&[outcome]))
}

fn certificate_not_before(registry: &Registry) -> IntGaugeVec {
    gauges(
        registry,
        "certificate_not_before_timestamp_seconds",
        "From when on that certificate is valid: with its end, its lifetime.",
        &["which"],
    )
}

fn certificate_not_after(registry: &Registry) -> IntGaugeVec {
    gauges(
        registry,
        "certificate_not_after_timestamp_seconds",
        "Until when a certificate is valid; of several, the first to expire. For crl, when the next list is due.",
        &["which"],
    )
}

fn buffered(registry: &Registry) -> IntGauge {
    let help = "The memory that bodies of requests take.";
    gauge(registry, "buffered_bytes", help)
}

fn buffered_limit(registry: &Registry) -> IntGauge {
    let help = "The memory that bodies of requests may take.";
    gauge(registry, "buffered_limit_bytes", help)
}

fn not_delivered_open(registry: &Registry) -> IntGauge {
    gauge(
        registry,
        "not_delivered_open",
        "Verified notifications of the last 24 hours that did not reach their application, and have not since.",
    )
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    let collectors = Box::new(collector.clone());
    registry.register(collectors).expect(ONE_NAME);
    collector
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counters = IntCounterVec::new(opts(name, help), labels);
    register(registry, counters.expect(VALID))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let gauge = IntGauge::with_opts(opts(name, help));
    register(registry, gauge.expect(VALID))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let gauges = IntGaugeVec::new(opts(name, help), labels);
    register(registry, gauges.expect(VALID))
}

fn histograms(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let opts = HistogramOpts::from(opts(name, help)).buckets(BUCKETS.to_vec());
    register(registry, HistogramVec::new(opts, labels).expect(VALID))
}
