//! Applies a changed configuration, whole or not at all.
//!
//! On SIGHUP, the configuration and all files that it names are read again. These files are also
//! watched: when one of them changes, they are read again under the unchanged configuration, which
//! may be in the middle of an edit. Watching means polling once a second: this detects a renewed
//! link of Let's Encrypt, the switched link of a Kubernetes volume and an editor's rename alike, on
//! every file system.

use super::accept::{Access, ConnectionHandler};
use super::acme::AcmeSetup;
use super::parts::make_acceptor;
use super::{ServerError, systemd};
use crate::config::{
    self, Config, ConfigError, DeliveryMode, Listen, Loaded, RevocationList, Sources,
};
use crate::delivery::Delivery;
use crate::telemetry::{self, Monitor};
use crate::upstream::Upstreams;
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use rustls::pki_types::UnixTime;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Barrier, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{error, info, warn};

/// Interval at which the files are checked for changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time after which rejected files are read again even if they have not changed: the cause may lie
/// in the system, for example if it ran out of descriptors.
const RETRY: Duration = Duration::from_secs(60);

/// Interval at which the error about outdated revocation lists is repeated.
const ALARM_INTERVAL: Duration = Duration::from_secs(3600);

/// The service that reloads the configuration.
pub(super) struct Reloader {
    handler: Arc<ConnectionHandler>,
    monitor: Arc<Monitor>,
    replaced: Replaced,
    sources: Sources,
    listen: Listen,
    server: config::ServerSettings,
    delivery: Option<Arc<Delivery>>,
    queue: Option<config::QueueSettings>,
    admin: Option<config::AdminSettings>,
    /// Time at which changed files were last rejected.
    refused: Option<Instant>,
    revocation_lists: Vec<RevocationList>,
    alarmed: Option<Instant>,
    /// Passed once the handler of SIGHUP is installed.
    signals_installed: Arc<Barrier>,
}

/// What services work with, and a reload replaces.
pub(super) struct Replaced {
    /// The groups of servers that are watched.
    pub(super) upstreams: watch::Sender<Arc<Upstreams>>,
    /// The settings by which certificates are ordered.
    pub(super) acme: watch::Sender<Option<AcmeSetup>>,
}

impl Reloader {
    pub(super) fn new(
        handler: Arc<ConnectionHandler>,
        monitor: Arc<Monitor>,
        replaced: Replaced,
        loaded: &Loaded,
        signals_installed: Arc<Barrier>,
    ) -> Self {
        let config = &loaded.config;
        Self {
            handler,
            monitor,
            replaced,
            sources: loaded.sources.clone(),
            listen: config.listen.clone(),
            server: config.server.clone(),
            delivery: None,
            queue: config.queue.clone(),
            admin: config.admin,
            refused: None,
            revocation_lists: revocation_lists(config),
            alarmed: None,
            signals_installed,
        }
    }

    /// Sets the queue, whose settings a reload changes.
    pub(super) fn reloads_queue(&mut self, delivery: Option<Arc<Delivery>>) {
        self.delivery = delivery;
    }

    /// Reloads on SIGHUP, and when files have changed, until the process ends.
    async fn watch(&mut self, mut hangup: Signal, mut shutdown: ShutdownWatch) {
        let mut look = ticks();
        loop {
            tokio::select! {
                _ = hangup.recv() => self.reload(),
                _ = look.tick() => {
                    self.reload_changed();
                    self.watch_revocation_lists();
                }
                _ = shutdown.changed() => return,
            }
        }
    }

    /// Reads everything again, on request.
    ///
    /// After a failure, the files that the old configuration names are still watched: they may have
    /// changed as well.
    fn reload(&mut self) {
        systemd::reloading();
        let loaded = self.sources.reload();
        self.take_over(loaded);
    }

    /// Reads the named files again if one of them has changed since it was read, or if they were
    /// rejected a while ago.
    fn reload_changed(&mut self) {
        if !self.sources.files_changed() && !self.is_retried() {
            return;
        }
        let attempted = self.sources.stamped_now();
        let loaded = attempted.reload_files();
        if !self.take_over(loaded) {
            self.sources = attempted;
            self.refused = Some(Instant::now());
        }
    }

    /// Returns `true` if changed files were rejected a while ago.
    fn is_retried(&self) -> bool {
        self.refused
            .is_some_and(|refused| refused.elapsed() >= RETRY)
    }

    /// Logs an error about outdated revocation lists, at once and then every hour.
    ///
    /// They remain in use: they still list the certificates that were revoked until then, and
    /// refusing every client would lose alerts.
    fn watch_revocation_lists(&mut self) {
        let is_quiet = |alarmed: Instant| alarmed.elapsed() < ALARM_INTERVAL;
        if self.alarmed.is_some_and(is_quiet) {
            return;
        }
        for list in self.revocation_lists.iter().filter(is_over) {
            log_over(list.file());
            self.alarmed = Some(Instant::now());
        }
    }

    /// Applies a configuration, and logs the result. Returns `true` on success.
    fn take_over(&mut self, loaded: Result<Loaded, ConfigError>) -> bool {
        let result = loaded
            .map_err(|error| error.to_string())
            .and_then(|loaded| self.apply(loaded).map_err(|error| error.to_string()));
        self.monitor.reload(result.is_ok());
        match &result {
            Ok(()) => report_success(),
            Err(problems) => report_failure(problems),
        }
        result.is_ok()
    }

    /// Everything that can fail comes before everything that has an effect.
    fn apply(&mut self, loaded: Loaded) -> Result<(), ServerError> {
        let config = &loaded.config;
        self.check_queue(config)?;
        let policy = self.handler.policy().successor(config)?;
        let presented = self.handler.presented();
        let acceptor = make_acceptor(config, &policy, presented)?;
        let acme = AcmeSetup::open(config).map_err(ServerError::Acme)?;
        presented.configured(config);
        self.report(&loaded);
        telemetry::change(&config.log);
        self.monitor.configured(config);
        let upstreams = policy.upstreams().clone();
        if let Some(delivery) = &self.delivery {
            delivery.configure(config, policy.destinations());
        }
        let access = Access::new(&config.listen);
        self.handler.replace(acceptor, access, policy);
        self.replaced.upstreams.send_replace(upstreams);
        self.replaced.acme.send_replace(acme);
        self.revocation_lists = revocation_lists(config);
        self.sources = loaded.sources;
        self.refused = None;
        self.alarmed = None;
        Ok(())
    }

    /// Logs the findings about a configuration with which a process runs all the same.
    fn report(&self, loaded: &Loaded) {
        for problem in &loaded.errors {
            error!(event = "config_error", "{problem}");
        }
        for warning in &loaded.warnings {
            warn!(event = "config_warning", "{warning}");
        }
        let pending = self.pending(&loaded.config);
        if !pending.is_empty() {
            log_restart_required(&pending);
        }
        self.monitor.restart_required(pending);
    }

    /// Checks that routes that store notifications have the queue that this process has opened.
    fn check_queue(&self, config: &Config) -> Result<(), ServerError> {
        let is_direct = |route: &config::Route| route.delivery == DeliveryMode::Direct;
        match self.is_same_queue(config) || config.routes.iter().all(is_direct) {
            true => Ok(()),
            false => Err(ServerError::OtherQueue),
        }
    }

    fn is_same_queue(&self, config: &Config) -> bool {
        queue_place(config.queue.as_ref()) == queue_place(self.queue.as_ref())
    }

    /// Returns the keys that are fixed for the life of the process, and differ in `config`.
    fn pending(&self, config: &Config) -> Vec<&'static str> {
        let differs = [
            ("listen.https", config.listen.https != self.listen.https),
            ("listen.http", config.listen.http != self.listen.http),
            ("admin.listen", config.admin != self.admin),
            ("server", config.server != self.server),
            ("queue.path, queue.url", !self.is_same_queue(config)),
        ];
        let keys = differs.into_iter().filter(|(_, differs)| *differs);
        keys.map(|(key, _)| key).collect()
    }
}

fn log_over(list: &Path) {
    error!(event = "revocation_list_expired", file = %list.display(), "revocation list expired: download the current one");
}

fn log_restart_required(keys: &[&str]) {
    warn!(
        event = "config_restart_required",
        keys = keys.join(" "),
        "changes of these keys take effect after a restart or an upgrade"
    );
}

fn report_success() {
    info!(event = "config_reloaded", "configuration reloaded");
    systemd::ready("Serving");
}

fn report_failure(problems: &str) {
    systemd::ready("Serving by the old configuration: the new one is wrong, see the log");
    for problem in problems.lines() {
        error!(
            event = "config_reload_failed",
            problem, "configuration not reloaded, keeping the previous one"
        );
    }
}

fn revocation_lists(config: &Config) -> Vec<RevocationList> {
    let tls = config.tls.as_ref();
    tls.map(|tls| tls.client.revocation_lists.clone())
        .unwrap_or_default()
}

fn queue_place(queue: Option<&config::QueueSettings>) -> Option<&config::QueuePlace> {
    queue.map(|queue| &queue.place)
}

/// Returns `true` if the next list was due before now.
fn is_over(list: &&RevocationList) -> bool {
    let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    list.next_update().is_some_and(|due| due < now)
}

/// Returns the ticks at which the files are checked.
fn ticks() -> Interval {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[async_trait]
impl Service for Reloader {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        let hangup = signal(SignalKind::hangup());
        self.signals_installed.wait().await;
        match hangup {
            Ok(hangup) => self.watch(hangup, shutdown).await,
            Err(error) => {
                error!(event = "signal_handler_failed", %error, "cannot install a handler for SIGHUP")
            }
        }
    }

    fn name(&self) -> &str {
        "reloader"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}
