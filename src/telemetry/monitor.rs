//! What a running server knows about itself: what it counted, and in which state it is.

use super::access_log::Answered;
use super::context::{Context, Outcome};
use super::history::{Event, Recent, Snapshot};
use super::metrics::{ConnectionRefusal, Ended, Metrics, Which};
use crate::auth::ClientIdentity;
use crate::config::{Config, Tls};
use crate::http::buffers::Buffers;
use crate::rejection::Rejection;
use crate::tls::Refusal;
use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus::IntGauge;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Is told what happens, and asked by the admin listener.
pub struct Monitor {
    /// Whether anybody can ask.
    is_watched: bool,
    started: SystemTime,
    is_ready: AtomicBool,
    became_ready: Notify,
    has_failed_to_reload: AtomicBool,
    metrics: Metrics,
    /// Those of the configuration.
    certificates: ArcSwap<Vec<Certificate>>,
    client_last_seen: ArcSwapOption<ClientIdentity>,
    /// Whether each server is in use, by upstream and server.
    upstreams: Mutex<Upstreams>,
    recent: Recent,
    /// The memory of bodies.
    buffers: OnceLock<Arc<Buffers>>,
    /// When a body was last refused for want of memory.
    overloaded: ArcSwapOption<SystemTime>,
}

/// Whether each server of each upstream is in use.
pub type Upstreams = BTreeMap<String, BTreeMap<String, bool>>;

/// Something that is valid until a certain time.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// What it is for.
    pub which: Which,
    /// Its subject; of a revocation list, its file.
    pub name: String,
    /// Until when, in seconds since 1970.
    pub not_after: i64,
}

/// An open connection, counted until this is dropped.
pub(crate) struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Monitor {
    /// What `config` is to be watched by: without an admin listener nobody can ask, and requests
    /// are not noted.
    pub fn new(config: &Config) -> Self {
        let monitor = Self {
            is_watched: config.admin.is_some(),
            ..Self::off()
        };
        monitor.configured(config);
        monitor
    }

    /// One that notes no requests.
    pub fn off() -> Self {
        Self {
            is_watched: false,
            started: SystemTime::now(),
            is_ready: AtomicBool::new(false),
            became_ready: Notify::new(),
            has_failed_to_reload: AtomicBool::new(false),
            metrics: Metrics::new(),
            certificates: ArcSwap::default(),
            client_last_seen: ArcSwapOption::empty(),
            upstreams: Mutex::default(),
            recent: Recent::default(),
            buffers: OnceLock::new(),
            overloaded: ArcSwapOption::empty(),
        }
    }

    /// Says how much memory bodies have, whenever that is asked for.
    pub(crate) fn watch(&self, buffers: &Arc<Buffers>) {
        // There is one of these in a process.
        let _ = self.buffers.set(buffers.clone());
    }

    /// When a body was last refused for want of memory.
    pub fn overloaded(&self) -> Option<SystemTime> {
        self.overloaded.load().as_deref().copied()
    }

    /// Follows another configuration.
    pub(crate) fn configured(&self, config: &Config) {
        self.metrics.buffered_limit(config.limits.max_buffered);
        let routes = config
            .routes
            .iter()
            .map(|route| (route.path.to_string(), route.kind));
        let upstreams = config.routes.iter().map(|route| route.upstream.to_string());
        self.metrics.serve(routes, upstreams);
        self.recent.keep_routes(|route| {
            config
                .routes
                .iter()
                .any(|known| known.path.to_string() == route)
        });
        let certificates = config.tls.as_ref().map(certificates).unwrap_or_default();
        let now = unix_now();
        for which in [Which::Server, Which::Chain, Which::Ca, Which::Crl] {
            let of_this_kind = certificates
                .iter()
                .filter(|certificate| certificate.which == which);
            // What had run out of the chain before would hide what is going to.
            let counted = of_this_kind
                .filter(|certificate| which != Which::Chain || certificate.not_after >= now);
            self.metrics.certificate(
                which,
                counted.map(|certificate| certificate.not_after).min(),
            );
        }
        self.certificates.store(Arc::new(certificates));
    }

    /// The self-test has passed: everybody is served.
    pub(crate) fn ready(&self) {
        self.is_ready.store(true, Ordering::Release);
        self.became_ready.notify_waiters();
    }

    /// Returns when it has.
    pub(crate) async fn until_ready(&self) {
        let became_ready = self.became_ready.notified();
        if !self.is_ready() {
            became_ready.await;
        }
    }

    /// Whether the last attempt to reload the configuration failed.
    pub fn has_failed_to_reload(&self) -> bool {
        self.has_failed_to_reload.load(Ordering::Relaxed)
    }

    /// Whether the self-test has passed.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Whether anybody can ask. What comes before the self-test has passed is its own.
    fn is_noting(&self) -> bool {
        self.is_watched && self.is_ready()
    }

    /// Notes a request that has ended.
    pub(crate) fn request(&self, answered: &Answered<'_>, context: &Context) {
        if self.is_noting() {
            // On a webhook, a GET is a challenge or nothing.
            let is_challenge = answered.head.method() == b"GET";
            let duration = answered.was_read.then(|| context.started.elapsed());
            self.metrics.request(Ended {
                context,
                is_challenge,
                duration,
            });
            self.note_client(context);
            self.note_token(context);
            if context.rejection == Some(Rejection::Overloaded) {
                self.overloaded.store(Some(Arc::new(SystemTime::now())));
            }
            match context.outcome {
                // Of these there may be a thousand for each notification, which would soon be
                // forgotten for them.
                Some(Outcome::Forwarded) if context.notification.is_none() => {
                    self.recent.count_passed()
                }
                _ => self
                    .recent
                    .note(Event::of_request(context, answered.status, duration)),
            }
        }
    }

    /// Only what was answered here is for the operator.
    fn note_token(&self, context: &Context) {
        let token = context
            .notification
            .as_ref()
            .and_then(|notification| notification.test_token.as_deref());
        if let (Some(Outcome::TestAnswered), Some(route), Some(token)) =
            (context.outcome, &context.route, token)
        {
            self.recent.note_token(route, token);
        }
    }

    /// The certificate seems the same for years, and so does its expiry, which then takes everybody
    /// by surprise.
    fn note_client(&self, context: &Context) {
        // Any certificate of a trusted authority is an identity; only one that got through is the
        // sender's.
        let got_through =
            context.outcome.is_some_and(Outcome::is_good) || context.notification.is_some();
        let Some(identity) = context.identity.as_ref().filter(|_| got_through) else {
            return;
        };
        if !self
            .client_last_seen
            .load()
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, identity))
        {
            self.client_last_seen.store(Some(identity.clone()));
            self.metrics
                .certificate(Which::ClientLastSeen, Some(identity.not_after));
        }
    }

    /// Notes a connection, which lasts as long as what is returned.
    pub(crate) fn connected(&self) -> Connected {
        self.metrics.connections().inc();
        Connected(self.metrics.connections().clone())
    }

    /// Notes a connection that is refused before anything is said on it.
    pub(crate) fn connection_refused(&self, peer: IpAddr, why: ConnectionRefusal, reason: &str) {
        self.metrics.connection_refused(why);
        if self.is_watched {
            self.recent.note(Event::of_connection(peer, why, reason));
        }
    }

    /// Notes how a handshake ended.
    pub(crate) fn handshake(&self, peer: IpAddr, result: Result<(), &Refusal>) {
        if !self.is_noting() {
            return;
        }
        self.metrics
            .handshake(result.err().map(|refusal| refusal.code));
        if let Err(refusal) = result {
            self.recent.note(Event::of_handshake(peer, refusal));
        }
    }

    /// Notes an attempt to reload the configuration.
    pub(crate) fn reload(&self, is_ok: bool) {
        self.has_failed_to_reload.store(!is_ok, Ordering::Relaxed);
        self.metrics.reload(is_ok);
    }

    /// Notes every server of every upstream, and whether it is in use. Those that are not mentioned
    /// are no more.
    pub fn servers<'s>(&self, servers: impl IntoIterator<Item = (&'s str, &'s str, bool)>) {
        let mut now = Upstreams::new();
        for (upstream, server, is_healthy) in servers {
            now.entry(upstream.to_owned())
                .or_default()
                .insert(server.to_owned(), is_healthy);
        }
        let mut known = self
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (upstream, server, _) in
            each(&known).filter(|(upstream, server, _)| !has(&now, upstream, server))
        {
            self.metrics.forget_server(upstream, server);
        }
        for (upstream, server, is_healthy) in each(&now) {
            self.metrics.upstream_healthy(upstream, server, is_healthy);
        }
        *known = now;
    }

    /// Whether each server of each upstream is in use.
    pub fn upstreams(&self) -> Upstreams {
        self.upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The certificates and revocation lists of the configuration, and the client certificate that
    /// was seen last.
    pub fn certificates(&self) -> Vec<Certificate> {
        let client = self.client_last_seen.load();
        let client = client.as_ref().map(|identity| Certificate {
            which: Which::ClientLastSeen,
            name: identity.subject.clone(),
            not_after: identity.not_after,
        });
        self.certificates
            .load()
            .iter()
            .cloned()
            .chain(client)
            .collect()
    }

    /// What happened lately.
    pub fn recent(&self) -> Snapshot {
        self.recent.snapshot()
    }

    /// Since when it is told what happens.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// The number of open connections.
    pub fn connections(&self) -> i64 {
        self.metrics.connections().get()
    }

    /// Everything that was counted, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.metrics
            .buffered(self.buffers.get().map_or(0, |buffers| buffers.used()));
        self.metrics.expose()
    }
}

fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs().cast_signed())
}

fn each(upstreams: &Upstreams) -> impl Iterator<Item = (&str, &str, bool)> {
    upstreams.iter().flat_map(|(name, servers)| {
        servers
            .iter()
            .map(move |(server, is_healthy)| (name.as_str(), server.as_str(), *is_healthy))
    })
}

fn has(upstreams: &Upstreams, upstream: &str, server: &str) -> bool {
    upstreams
        .get(upstream)
        .is_some_and(|servers| servers.contains_key(server))
}

fn certificates(tls: &Tls) -> Vec<Certificate> {
    // A client needs the leaf. What else is in the chain may be of use to some and has run out for
    // others: one that signed itself, or was signed across, may have been there for years after its
    // end.
    let mut chain = tls
        .certificate
        .cert
        .iter()
        .filter_map(|der| ClientIdentity::from_der(der));
    let leaf = chain.next().map(|leaf| (Which::Server, leaf));
    let server = leaf
        .into_iter()
        .chain(chain.map(|above| (Which::Chain, above)));
    let server = server.map(|(which, it)| Certificate {
        which,
        name: it.subject,
        not_after: it.not_after,
    });
    let authorities = tls
        .client
        .authorities
        .iter()
        .filter_map(|der| ClientIdentity::from_der(der));
    let authorities = authorities.map(|ca| Certificate {
        which: Which::Ca,
        name: ca.subject,
        not_after: ca.not_after,
    });
    let lists = tls.client.revocation_lists.iter().filter_map(|list| {
        let name = list.file().display().to_string();
        Some(Certificate {
            which: Which::Crl,
            name,
            not_after: list.next_update()?,
        })
    });
    server.chain(authorities).chain(lists).collect()
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
