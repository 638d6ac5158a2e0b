//! The state of a running server: counters, recent events, certificates and health.

use super::access_log::Answered;
use super::certificates::{Certificate, earliest};
use super::configured::Configured;
use super::context::{Context, Outcome};
use super::history::{Event, Recent, Snapshot, UpstreamAnswer};
use super::lost::{self, LostNotification};
use super::metrics::{CertificateKind, ConnectionRefusal, Ended, Metrics};
use super::queue_witness::QueueWitness;
use super::undelivered::Undelivered;
use super::upstream_health::{self, UpstreamHealth, each, has};
use crate::auth::ClientIdentity;
use crate::config::{Config, Route};
use crate::delivery::Delivery;
use crate::http::buffers::Buffers;
use crate::rejection::Rejection;
use crate::tls::Refusal;
use crate::tls::acme::{AcmeEvent, AcmeStatus};
use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus::IntGauge;
use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// Records what happens, for the metrics and the admin listener.
pub(crate) struct Monitor {
    /// `true` if there is an admin listener, so that requests are recorded.
    is_watched: bool,
    started: SystemTime,
    is_ready: AtomicBool,
    became_ready: Notify,
    has_failed_to_reload: AtomicBool,
    metrics: Metrics,
    /// The certificates and revocation lists of the configuration.
    certificates: ArcSwap<Vec<Certificate>>,
    /// The certificate that was issued by ACME, with its chain.
    issued: ArcSwap<Vec<Certificate>>,
    /// The state of ACME, if certificates come from there.
    acme: ArcSwapOption<AcmeStatus>,
    client_last_seen: ArcSwapOption<ClientIdentity>,
    /// The health of each server of each upstream.
    upstreams: Mutex<UpstreamHealth>,
    recent: Recent,
    undelivered: Undelivered,
    configured: ArcSwap<Configured>,
    /// The addresses of the listeners, HTTPS first.
    addresses: OnceLock<Vec<SocketAddr>>,
    /// The keys whose changes take effect after a restart.
    pending: ArcSwap<Vec<&'static str>>,
    /// The memory of request bodies.
    buffers: OnceLock<Arc<Buffers>>,
    /// The time when a body was last refused because the memory limit was reached.
    overloaded: ArcSwapOption<SystemTime>,
    /// The queue, if there is one.
    delivery: OnceLock<Arc<Delivery>>,
}

/// Counts an open connection until it is dropped.
pub(crate) struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Monitor {
    /// Creates a monitor for `config`. Without `[admin]`, requests are not recorded.
    pub(crate) fn new(config: &Config) -> Self {
        let monitor = Self {
            is_watched: config.admin.is_some(),
            ..Self::off()
        };
        monitor.configured(config);
        monitor
    }

    /// Creates a monitor that records no requests.
    pub(crate) fn off() -> Self {
        Self {
            is_watched: false,
            started: SystemTime::now(),
            is_ready: AtomicBool::new(false),
            became_ready: Notify::new(),
            has_failed_to_reload: AtomicBool::new(false),
            metrics: Metrics::new(),
            certificates: ArcSwap::default(),
            issued: ArcSwap::default(),
            acme: ArcSwapOption::empty(),
            client_last_seen: ArcSwapOption::empty(),
            upstreams: Mutex::default(),
            recent: Recent::default(),
            undelivered: Undelivered::default(),
            configured: ArcSwap::default(),
            addresses: OnceLock::new(),
            pending: ArcSwap::default(),
            buffers: OnceLock::new(),
            overloaded: ArcSwapOption::empty(),
            delivery: OnceLock::new(),
        }
    }

    /// Sets the memory of request bodies, which the metrics report.
    pub(crate) fn watch(&self, buffers: &Arc<Buffers>) {
        // Ignore the error: a process has one such memory.
        let _ = self.buffers.set(buffers.clone());
    }

    /// Sets the queue, which the metrics report.
    pub(crate) fn watch_queue(&self, delivery: &Arc<Delivery>) {
        if self.delivery.set(delivery.clone()).is_ok() {
            self.metrics.add(delivery.figures().collectors());
            if self.is_watched {
                let is_new = delivery.figures().damaged().is_some();
                let witness = QueueWitness::new(self.undelivered.clone(), is_new);
                delivery.set_witness(Arc::new(witness));
            }
        }
    }

    /// Returns the queue, if there is one.
    pub(crate) fn delivery(&self) -> Option<&Arc<Delivery>> {
        self.delivery.get()
    }

    /// Returns the time when a body was last refused because the memory limit was reached.
    pub(crate) fn overloaded(&self) -> Option<SystemTime> {
        self.overloaded.load().as_deref().copied()
    }

    /// Keeps the notifications that are not delivered in a file in `directory`, beginning with those
    /// of an earlier process.
    pub(crate) fn keep_in(&self, directory: &Path) {
        if self.is_watched {
            self.undelivered.keep_in(directory);
        }
    }

    /// Waits until everything that outlives the process is written, for a second at most.
    pub(crate) fn flush(&self) {
        self.undelivered.flush();
    }

    /// Sets the addresses of the listeners, HTTPS first, where the system chooses the ports.
    pub(crate) fn listening(&self, config: &Config, addresses: &[SocketAddr]) {
        // Ignore the error: they are bound once.
        let _ = self.addresses.set(addresses.to_owned());
        self.configured.store(Arc::new(self.describe(config)));
    }

    fn describe(&self, config: &Config) -> Configured {
        let addresses = self.addresses.get().map_or(&[][..], Vec::as_slice);
        Configured::of(config, addresses)
    }

    /// Sets the keys whose changes take effect after a restart.
    pub(crate) fn restart_required(&self, keys: Vec<&'static str>) {
        self.pending.store(Arc::new(keys));
    }

    /// Returns the keys whose changes take effect after a restart.
    pub(crate) fn pending(&self) -> Arc<Vec<&'static str>> {
        self.pending.load_full()
    }

    /// Returns what is configured.
    pub(crate) fn configuration(&self) -> Arc<Configured> {
        self.configured.load_full()
    }

    /// Returns the notifications of the last day that are not delivered, the oldest first.
    pub(crate) fn undelivered(&self) -> Vec<LostNotification> {
        self.undelivered.open(lost::now())
    }

    /// Applies `config` to metrics and history.
    pub(crate) fn configured(&self, config: &Config) {
        self.metrics.buffered_limit(config.limits.max_buffered);
        let routes = config.routes.iter();
        let routes = routes.map(|route| (route.path.to_string(), route.kind));
        let upstreams = config.routes.iter().map(|route| route.upstream.to_string());
        self.metrics.serve(routes, upstreams);
        self.keep_recent(&config.routes);
        self.configured.store(Arc::new(self.describe(config)));
        self.watch_certificates(config);
    }

    /// Removes recent events of routes and upstreams that no longer exist.
    fn keep_recent(&self, routes: &[Route]) {
        let is_route = |path: &str| routes.iter().any(|known| known.path.to_string() == path);
        self.recent.keep_routes(is_route);
        let is_upstream = |name: &str| routes.iter().any(|known| known.upstream.name == name);
        self.recent.keep_upstreams(is_upstream);
    }

    fn watch_certificates(&self, config: &Config) {
        self.certificates.store(Arc::new(Certificate::all(config)));
        if config.acme().is_none() {
            self.issued.store(Arc::default());
            self.acme(None);
        }
        self.show_certificates();
    }

    /// Records the certificate that was issued by ACME, with its chain.
    pub(crate) fn issued(&self, chain: &[CertificateDer<'static>]) {
        self.issued.store(Arc::new(Certificate::of_server(chain)));
        self.show_certificates();
    }

    /// Records the state of ACME; `None` if certificates come from files.
    pub(crate) fn acme(&self, status: Option<AcmeStatus>) {
        self.metrics.acme_status(status.as_ref());
        self.acme.store(status.map(Arc::new));
    }

    /// Returns the state of ACME, if certificates come from there.
    pub(crate) fn acme_status(&self) -> Option<Arc<AcmeStatus>> {
        self.acme.load_full()
    }

    /// Counts an order of a certificate.
    pub(crate) fn acme_event(&self, event: AcmeEvent) {
        self.metrics.acme_event(event);
    }

    /// Counts a validation by an authority.
    pub(crate) fn validation(&self, is_answered: bool) {
        self.metrics.validation(is_answered);
    }

    fn show_certificates(&self) {
        let certificates = self.configured_certificates();
        for (which, first) in earliest(&certificates, lost::now()) {
            self.metrics.certificate(
                which,
                first.and_then(|certificate| certificate.not_before),
                first.map(|certificate| certificate.not_after),
            );
        }
    }

    fn configured_certificates(&self) -> Vec<Certificate> {
        let (configured, issued) = (self.certificates.load(), self.issued.load());
        issued.iter().chain(configured.iter()).cloned().collect()
    }

    /// Records that the self-test has passed and requests are served.
    pub(crate) fn ready(&self) {
        self.is_ready.store(true, Ordering::Release);
        self.became_ready.notify_waiters();
    }

    /// Waits until the self-test has passed.
    pub(crate) async fn until_ready(&self) {
        let became_ready = self.became_ready.notified();
        if !self.is_ready() {
            became_ready.await;
        }
    }

    /// Returns `true` if the last attempt to reload the configuration failed.
    pub(crate) fn has_failed_to_reload(&self) -> bool {
        self.has_failed_to_reload.load(Ordering::Relaxed)
    }

    /// Returns `true` if the self-test has passed.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Returns `true` if requests are recorded. Those of the self-test are not.
    fn is_noting(&self) -> bool {
        self.is_watched && self.is_ready()
    }

    /// Records a request that has ended. `lost` is its notification, if that was not delivered.
    pub(crate) fn request(
        &self,
        answered: &Answered<'_>,
        context: &Context,
        lost: Option<LostNotification>,
    ) {
        if !self.is_noting() {
            return;
        }
        let duration = answered.was_read.then(|| context.started.elapsed());
        self.metrics.request(Ended {
            context,
            // On a webhook route, every GET is a challenge.
            is_challenge: answered.head.method() == b"GET",
            duration,
        });
        self.note_client(context);
        self.note_token(context);
        self.note_answer(answered, context);
        if context.rejection == Some(Rejection::Overloaded) {
            self.overloaded.store(Some(Arc::new(SystemTime::now())));
        }
        self.note_event(context, answered.status, duration, lost.as_ref());
        self.note_delivery(answered, context, lost);
    }

    fn note_event(
        &self,
        context: &Context,
        status: Option<u16>,
        duration: Option<Duration>,
        lost: Option<&LostNotification>,
    ) {
        // There may be a thousand of these for each notification, which they would soon displace.
        if context.outcome == Some(Outcome::Forwarded) && context.notification.is_none() {
            return self.recent.count_passed();
        }
        let event = Event::of_request(context, status, duration, lost);
        self.recent.note(event);
    }

    /// Records a notification that was not delivered because the process ends.
    pub(crate) fn lost(&self, lost: LostNotification) {
        if self.is_noting() {
            self.metrics.not_delivered(&lost.route, lost.known_code());
            self.undelivered.lost(lost);
        }
    }

    fn note_delivery(
        &self,
        answered: &Answered<'_>,
        context: &Context,
        lost: Option<LostNotification>,
    ) {
        match (lost, &context.notification) {
            (Some(lost), _) => self.lost(lost),
            (None, Some(notification)) if lost::is_delivered(context, answered.status) => self
                .undelivered
                .delivered(|| lost::key(context, notification)),
            _ => {}
        }
    }

    /// Keeps what the upstream last responded.
    fn note_answer(&self, answered: &Answered<'_>, context: &Context) {
        let Some(upstream) = &context.upstream else {
            return;
        };
        let failure = context.failure.clone();
        let answer = UpstreamAnswer {
            at: SystemTime::now(),
            status: answered.status.filter(|_| failure.is_none()),
            duration: context.upstream_duration,
            failure,
        };
        self.recent.note_answer(upstream, answer);
    }

    /// Keeps the token of a Test notification that the proxy answered.
    fn note_token(&self, context: &Context) {
        if let Some((route, token)) = answered_test(context) {
            self.recent.note_token(route, token);
        }
    }

    /// Keeps the expiry of the client certificate, which otherwise goes unnoticed for years.
    fn note_client(&self, context: &Context) {
        let Some(identity) = admitted_client(context) else {
            return;
        };
        let last = self.client_last_seen.load();
        let is_known = last
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, identity));
        if !is_known {
            self.client_last_seen.store(Some(identity.clone()));
            self.metrics.certificate(
                CertificateKind::ClientLastSeen,
                Some(identity.not_before),
                Some(identity.not_after),
            );
        }
    }

    /// Records a connection, which lasts until the returned value is dropped.
    pub(crate) fn connected(&self) -> Connected {
        let open = self.metrics.connections().open();
        open.inc();
        Connected(open.clone())
    }

    /// Records a connection that is refused before any data is exchanged.
    pub(crate) fn connection_refused(&self, peer: IpAddr, why: ConnectionRefusal, reason: &str) {
        self.metrics.connections().refused(why);
        if self.is_watched {
            self.recent.note(Event::of_connection(peer, why, reason));
        }
    }

    /// Records the result of a handshake.
    pub(crate) fn handshake(&self, peer: IpAddr, result: Result<(), &Refusal>) {
        if !self.is_noting() {
            return;
        }
        let refused = result.err().map(|refusal| refusal.code);
        self.metrics.connections().handshake(refused);
        if let Err(refusal) = result {
            self.recent.note(Event::of_handshake(peer, refusal));
        }
    }

    /// Records an attempt to reload the configuration.
    pub(crate) fn reload(&self, is_ok: bool) {
        self.has_failed_to_reload.store(!is_ok, Ordering::Relaxed);
        self.metrics.reload(is_ok);
    }

    /// Records the health of all servers of all upstreams. Servers that are not listed have been
    /// removed.
    pub(crate) fn servers<'s>(&self, servers: impl IntoIterator<Item = (&'s str, &'s str, bool)>) {
        let now = upstream_health::collect(servers);
        let mut known = self.health();
        let is_gone = |(upstream, server, _): &(&str, &str, bool)| !has(&now, upstream, server);
        for (upstream, server, _) in each(&known).filter(is_gone) {
            self.metrics.forget_server(upstream, server);
        }
        for (upstream, server, is_healthy) in each(&now) {
            self.metrics.upstream_healthy(upstream, server, is_healthy);
        }
        *known = now;
    }

    fn health(&self) -> MutexGuard<'_, UpstreamHealth> {
        self.upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the health of each server, by upstream and server: `true` if it is healthy.
    pub(crate) fn upstreams(&self) -> UpstreamHealth {
        self.health().clone()
    }

    /// Returns the certificates and revocation lists of the configuration, and the client
    /// certificate seen last.
    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        let client = self.client_last_seen.load_full();
        let mut certificates = self.configured_certificates();
        certificates.extend(client.as_deref().map(Certificate::last_seen));
        certificates
    }

    /// Returns the recent events.
    pub(crate) fn recent(&self) -> Snapshot {
        self.recent.snapshot()
    }

    /// Returns the time of the start.
    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    /// Returns the number of open connections.
    pub(crate) fn connections(&self) -> i64 {
        self.metrics.connections().open().get()
    }

    /// Returns the metrics in Prometheus' text format.
    pub(crate) fn metrics(&self) -> String {
        self.metrics
            .buffered(self.buffers.get().map_or(0, |buffers| buffers.used()));
        self.metrics.not_delivered_open(self.undelivered().len());
        if let Some(delivery) = self.delivery() {
            delivery.refresh_figures();
        }
        self.metrics.expose()
    }
}

/// Returns the route and the token of a Test notification that the proxy answered.
fn answered_test(context: &Context) -> Option<(&str, &str)> {
    let token = context.notification.as_ref()?.test_token.as_deref()?;
    let route = context.route.as_deref()?;
    (context.outcome == Some(Outcome::TestAnswered)).then_some((route, token))
}

/// Returns the certificate of a client that was let in.
fn admitted_client(context: &Context) -> Option<&Arc<ClientIdentity>> {
    // Any certificate of a trusted authority is an identity, but only an admitted one is that of
    // Netdata Cloud.
    let got_through =
        context.outcome.is_some_and(Outcome::is_good) || context.notification.is_some();
    context.identity.as_ref().filter(|_| got_through)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_health_of_servers_is_shown_as_long_as_there_are_any() {
        let monitor = Monitor::off();
        let series = "netdata_webhook_proxy_upstream_healthy{server=\"http://a\",upstream=\"app\"}";
        for (is_healthy, value) in [(true, 1), (false, 0)] {
            monitor.servers([("app", "http://a", is_healthy), ("app", "http://b", true)]);
            assert!(monitor.metrics().contains(&format!("{series} {value}\n")));
            assert_eq!(monitor.upstreams()["app"]["http://a"], is_healthy);
        }
        monitor.servers([("app", "http://b", true)]);
        assert!(!monitor.metrics().contains(series) && monitor.metrics().contains("http://b"));
        monitor.servers([]);
        assert!(!monitor.metrics().contains("upstream_healthy"));
        assert!(monitor.upstreams().is_empty());
    }
}
