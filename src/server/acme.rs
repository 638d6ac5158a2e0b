//! Certificates by ACME in a running process: the store is followed, and one of the processes that
//! share it orders.

use super::systemd;
use crate::config::{Acme, Config, Domain};
use crate::database::open_acme;
use crate::telemetry::Monitor;
use crate::tls::PresentedCertificate;
use crate::tls::acme::{
    AcmeClient, Answer, Answers, Follower, Lock, Next, Obstacles, Orders, Store, unix_now,
};
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::warn;

/// Interval at which the store is read.
const LOOK: Duration = Duration::from_millis(500);

/// Interval at which the lock is tried that another process has.
const LOCK_RETRY: Duration = Duration::from_secs(1);

/// The longest sleep until a time of day: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Waits up to this are part of a step, and are not interrupted.
const STEP: Duration = Duration::from_secs(2);

/// The name whose validation is pending during the self-test. No such name can exist.
pub(super) const SELF_TEST_NAME: &str = "self-test.invalid";

/// What listeners present, and what ACME replaces.
#[derive(Clone, Default)]
pub(super) struct Presented {
    /// The certificate that was issued, or that of files before anything was.
    pub(super) certificate: PresentedCertificate,
    pub(super) answers: Answers,
}

/// Settings with the store that they name.
#[derive(Clone)]
pub(super) struct AcmeSetup {
    acme: Arc<Acme>,
    store: Arc<dyn Store>,
    /// The store does not outlive the container.
    is_transient: bool,
}

impl AcmeSetup {
    /// Opens the store of a configuration, if that has one.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, String> {
        let Some(acme) = config.acme() else {
            return Ok(None);
        };
        let (store, is_transient) = open_acme(acme)?;
        Ok(Some(Self {
            acme: acme.clone(),
            store,
            is_transient,
        }))
    }

    fn follower(&self, presented: &Presented) -> Follower {
        let Presented {
            certificate,
            answers,
        } = presented.clone();
        Follower::new(self.acme.clone(), self.store.clone(), certificate, answers)
    }

    /// Presents what the store holds already, before the first connection is accepted.
    pub(super) async fn present(&self, presented: &Presented, monitor: &Monitor) {
        let mut follower = self.follower(presented);
        look(&mut follower, monitor).await;
        monitor.acme(Some(follower.status(self.is_transient).await));
    }
}

/// Presents what the store holds now, and shows which certificate that is.
async fn look(follower: &mut Follower, monitor: &Monitor) {
    if let Some(installed) = follower.look(unix_now()).await {
        monitor.issued(&installed.issued.certified.cert);
        installed.log();
    }
}

impl Presented {
    /// Keeps the certificate of files, for the time after a reload that replaces them by ACME.
    pub(super) fn configured(&self, config: &Config) {
        let files = config.tls.as_ref().and_then(|tls| tls.certificate.files());
        if let Some(certified) = files {
            self.certificate.replace(Some(certified.clone()));
        }
    }

    /// Prepares for the self-test: without a certificate, every handshake would fail, and without a
    /// pending validation nothing would show what that opens.
    pub(super) fn stage(&self) -> Result<Stage<'_>, String> {
        let is_bare = self.certificate.get().is_none();
        if is_bare {
            let stand_in = stand_in().map_err(|error| error.to_string())?;
            self.certificate.replace(Some(Arc::new(stand_in)));
        }
        let domain = Domain::parse(SELF_TEST_NAME)?;
        let answer = Answer::new(&domain, SELF_TEST_NAME, &[0; 32])?;
        self.answers
            .replace([(SELF_TEST_NAME.to_owned(), Arc::new(answer))].into());
        Ok(Stage {
            presented: self,
            is_bare,
        })
    }
}

/// Removes what the self-test needed when it is dropped.
pub(super) struct Stage<'p> {
    presented: &'p Presented,
    is_bare: bool,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.presented.answers.replace([].into());
        if self.is_bare {
            self.presented.certificate.replace(None);
        }
    }
}

/// Returns a certificate that nothing trusts.
pub(super) fn stand_in() -> Result<CertifiedKey, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([SELF_TEST_NAME.to_owned()])?.self_signed(&key)?;
    let der = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let signing_key = aws_lc_rs::sign::any_ecdsa_type(&der)
        .map_err(|_| rcgen::Error::KeyGenerationUnavailable)?;
    Ok(CertifiedKey::new(
        vec![certificate.der().clone()],
        signing_key,
    ))
}

/// The service that follows the store and orders certificates.
pub(super) struct AcmeService {
    setups: watch::Receiver<Option<AcmeSetup>>,
    presented: Presented,
    monitor: Arc<Monitor>,
    /// Becomes `true` when a successor serves, which then orders.
    succeeded: watch::Receiver<bool>,
    obstacles: Mutex<Obstacles>,
}

impl AcmeService {
    /// Creates the service for `setup`, and for its replacements that are sent.
    pub(super) fn new(
        setup: Option<AcmeSetup>,
        presented: Presented,
        monitor: Arc<Monitor>,
        succeeded: watch::Receiver<bool>,
    ) -> (Self, watch::Sender<Option<AcmeSetup>>) {
        let (replaced, setups) = watch::channel(setup);
        let service = Self {
            setups,
            presented,
            monitor,
            succeeded,
            obstacles: Mutex::default(),
        };
        (service, replaced)
    }

    /// Follows the store of the settings of now; never returns.
    async fn follow(&self) {
        let mut setups = self.setups.clone();
        loop {
            let setup = setups.borrow_and_update().clone();
            tokio::select! {
                () = self.follow_one(setup) => {}
                changed = setups.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
            }
        }
    }

    async fn follow_one(&self, setup: Option<AcmeSetup>) {
        let Some(setup) = setup else {
            self.presented.answers.replace([].into());
            self.monitor.acme(None);
            return std::future::pending().await;
        };
        let mut follower = setup.follower(&self.presented);
        // That of files, which were configured before, until the first one is issued.
        if let Some(certified) = self.presented.certificate.get() {
            self.monitor.issued(&certified.cert);
        }
        let mut was_bare = self.presented.certificate.get().is_none();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            look(&mut follower, &self.monitor).await;
            let status = follower.status(setup.is_transient).await;
            self.monitor.acme(Some(status.with(self.obstacles())));
            if was_bare && self.presented.certificate.get().is_some() {
                systemd::status(SERVING);
                was_bare = false;
            }
        }
    }

    fn obstacles(&self) -> Obstacles {
        let obstacles = self.obstacles.lock();
        obstacles.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, obstacles: Obstacles) {
        let noted = self.obstacles.lock();
        *noted.unwrap_or_else(PoisonError::into_inner) = obstacles;
    }

    /// Orders by the settings of now; never returns.
    async fn order(&self) {
        let mut setups = self.setups.clone();
        let mut is_first = true;
        loop {
            let setup = setups.borrow_and_update().clone();
            if let Some(setup) = setup {
                self.order_by(&setup, &mut setups, !is_first).await;
            } else if setups.changed().await.is_err() {
                return std::future::pending().await;
            }
            // Whatever was changed may be what was wrong. A mere restart changes nothing.
            is_first = false;
        }
    }

    /// Orders until the settings change.
    async fn order_by(
        &self,
        setup: &AcmeSetup,
        setups: &mut watch::Receiver<Option<AcmeSetup>>,
        hurries: bool,
    ) {
        let client = match AcmeClient::new(&setup.acme) {
            Ok(client) => client,
            Err(error) => {
                warn!(
                    event = "acme_state_failed",
                    error, "no certificate can be ordered"
                );
                let _ = setups.changed().await;
                return;
            }
        };
        let monitor = self.monitor.clone();
        let mut orders = Orders::new(
            setup.acme.clone(),
            setup.store.clone(),
            client,
            Box::new(rand::random::<f64>),
            Box::new(move |event| monitor.acme_event(event)),
        );
        let mut succeeded = self.succeeded.clone();
        let mut lock: Option<Lock> = None;
        let mut hurries = hurries;
        let mut failure = None;
        loop {
            if *succeeded.borrow_and_update() {
                drop(lock.take());
                let _ = setups.changed().await;
                return;
            }
            lock = lock.filter(|lock| !lock.is_lost());
            if lock.is_none() {
                match orders.lock().await {
                    Ok(taken) => lock = taken,
                    Err(pause) => failure = Some(pause),
                }
            }
            let next = match (&lock, failure.take()) {
                (_, Some(pause)) => pause,
                (None, None) => Next::After(LOCK_RETRY),
                (Some(_), None) => {
                    if std::mem::take(&mut hurries) {
                        // Ignore the error: the next step has it, too.
                        let _ = orders.hurry(unix_now()).await;
                    }
                    orders.step(unix_now()).await
                }
            };
            self.note(orders.obstacles());
            let (wait, can_be_interrupted) = wait(next, lock.is_some());
            if !can_be_interrupted {
                sleep(wait).await;
            }
            tokio::select! {
                () = sleep(wait), if can_be_interrupted => {}
                () = std::future::ready(()), if !can_be_interrupted => {}
                _ = succeeded.changed() => {}
                changed = setups.changed() => if changed.is_ok() {
                    return;
                },
            }
        }
    }
}

/// Returns how long to wait, and whether that may be cut short.
fn wait(next: Next, is_ordering: bool) -> (Duration, bool) {
    match next {
        Next::After(wait) => (wait, wait > STEP || !is_ordering),
        Next::At(at) => {
            let left = u64::try_from(at - unix_now()).unwrap_or_default();
            (Duration::from_secs(left).min(LONGEST_SLEEP), true)
        }
    }
}

/// What the service manager shows while everything is as it should be.
pub(super) const SERVING: &str = "Serving";

/// What it shows before the first certificate.
pub(super) const WAITING: &str = "Waiting for the first certificate: see the log";

#[async_trait]
impl Service for AcmeService {
    async fn start_service(&mut self, _: Option<ListenFds>, mut shutdown: ShutdownWatch, _: usize) {
        self.monitor.until_ready().await;
        tokio::select! {
            () = self.follow() => {}
            () = self.order() => {}
            _ = shutdown.changed() => {}
        }
    }

    fn name(&self) -> &str {
        "acme"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}
