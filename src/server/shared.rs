//! What the services of a server share, and the services made from it.

use super::StartupError;
use super::accept::{Access, ConnectionHandler};
use super::acme::{AcmeService, AcmeSetup, Presented};
use super::admin_listener::AdminListener;
use super::deliverer;
use super::drain::{Drain, Stop, UntilDrained};
use super::error::ServerError;
use super::listener::{Serving, Start};
use super::parts::Parts;
use super::pid_file::PidFile;
use super::reload::{Reloader, Replaced};
use super::self_test::SelfTest;
use super::sockets::Sockets;
use super::systemd;
use super::threads::WorkerThreads;
use super::upgrade::launch::Launch;
use super::upgrade::{ListenSockets, RunningProcess};
use super::upstream_watcher::UpstreamWatcher;
use crate::config::{Config, Loaded};
use crate::delivery::Delivery;
use crate::proxy::{Downstream, Gate, Policy};
use crate::telemetry::Monitor;
use crate::upstream::Upstreams;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::sync::{Barrier, watch};
use tokio_rustls::TlsAcceptor;

/// Number of services that install signal handlers before the first connection is accepted: the
/// listener waits at a barrier for the reloader and for the service that ends the process.
const SIGNAL_LISTENERS: usize = 3;

/// Handles that several services of a server share.
pub(super) struct Shared {
    pub(super) presented: Presented,
    pub(super) monitor: Arc<Monitor>,
    pub(super) drain: Drain,
    pub(super) pid_file: PidFile,
    /// Passed once every signal handler is installed.
    pub(super) signals_installed: Arc<Barrier>,
    pub(super) stop: Stop,
    pub(super) startup_error: StartupError,
}

impl Shared {
    pub(super) fn new(config: &Config, presented: Presented) -> Self {
        Self {
            presented,
            monitor: Arc::new(Monitor::new(config)),
            drain: Drain::new(),
            pid_file: PidFile::new(config.server.pid_file.clone()),
            signals_installed: Arc::new(Barrier::new(SIGNAL_LISTENERS)),
            stop: Stop::default(),
            startup_error: StartupError::default(),
        }
    }

    pub(super) fn set_up_monitor(
        &self,
        config: &Config,
        policy: &Policy,
        addresses: &[SocketAddr],
    ) {
        self.monitor.watch(policy.buffers());
        self.monitor.listening(config, addresses);
        if let Some(directory) = systemd::state_directory() {
            self.monitor.keep_in(&directory);
        }
    }

    /// Opens the queue, if there is one.
    pub(super) fn delivery(
        &self,
        config: &Config,
        policy: &Policy,
        has_predecessor: bool,
    ) -> Result<Option<Arc<Delivery>>, ServerError> {
        let delivery = deliverer::open(config, policy, &self.drain, has_predecessor)?;
        Ok(delivery.inspect(|delivery| self.monitor.watch_queue(delivery)))
    }

    pub(super) fn connection_handler(
        &self,
        config: &Config,
        acceptor: Option<TlsAcceptor>,
        policy: Policy,
        delivery: Option<Arc<Delivery>>,
    ) -> Arc<ConnectionHandler> {
        let gate = Arc::new(Gate::new(policy));
        let (draining, monitor) = (self.drain.watch(), self.monitor.clone());
        let downstream = Downstream::new(gate.clone(), draining, monitor, delivery);
        let access = Access::new(&config.listen);
        let (monitor, presented) = (self.monitor.clone(), self.presented.clone());
        Arc::new(ConnectionHandler::new(
            acceptor, presented, access, gate, downstream, monitor,
        ))
    }

    /// Creates the service that orders certificates, and the sender of its settings.
    pub(super) fn orders(
        &self,
        acme: Option<AcmeSetup>,
    ) -> (AcmeService, watch::Sender<Option<AcmeSetup>>) {
        let (presented, monitor) = (self.presented.clone(), self.monitor.clone());
        AcmeService::new(acme, presented, monitor, self.drain.succeeded())
    }

    pub(super) fn start(
        &self,
        loaded: &Loaded,
        predecessor: Option<RunningProcess>,
        acme: Option<AcmeSetup>,
    ) -> Start {
        Start {
            self_test: SelfTest::new(&loaded.config),
            monitor: self.monitor.clone(),
            presented: self.presented.clone(),
            acme,
            predecessor,
            sources: loaded.sources.clone(),
            pid_file: self.pid_file.clone(),
            signals_installed: self.signals_installed.clone(),
            stop: self.stop.clone(),
            startup_error: self.startup_error.clone(),
        }
    }

    pub(super) fn serving(
        &self,
        handler: Arc<ConnectionHandler>,
        threads: WorkerThreads,
    ) -> Serving {
        Serving {
            handler,
            threads,
            drain: self.drain.clone(),
        }
    }

    pub(super) fn upstream_watcher(
        &self,
        policy: &Policy,
        delivery: Option<Arc<Delivery>>,
    ) -> (UpstreamWatcher, watch::Sender<Arc<Upstreams>>) {
        UpstreamWatcher::new(policy.upstreams().clone(), self.monitor.clone(), delivery)
    }

    pub(super) fn reloader(
        &self,
        loaded: &Loaded,
        handler: Arc<ConnectionHandler>,
        replaced: Replaced,
    ) -> Reloader {
        let monitor = self.monitor.clone();
        let signals_installed = self.signals_installed.clone();
        Reloader::new(handler, monitor, replaced, loaded, signals_installed)
    }

    pub(super) fn admin_listener(&self, parts: &mut Parts) -> Option<AdminListener> {
        let listener = parts.sockets.admin.take()?;
        Some(AdminListener::new(
            listener,
            self.monitor.clone(),
            &self.drain,
            parts.threads.liveness_probe(),
            parts.predecessor.is_some(),
        ))
    }

    pub(super) fn until_drained(
        self,
        config: &Config,
        sockets: Sockets,
        launch: Option<Launch>,
        delivery: Option<Arc<Delivery>>,
    ) -> UntilDrained {
        let listen_sockets = ListenSockets {
            path: config.server.upgrade_socket.clone(),
            sockets: sockets.into_listen_sockets(),
            certificate: self.presented.certificate,
            delivery,
        };
        UntilDrained {
            drain: self.drain,
            stop: self.stop,
            shutdown_timeout: config.server.shutdown_timeout,
            pid_file: self.pid_file,
            listen_sockets: Mutex::new(Some(listen_sockets)),
            launch,
            signals_installed: self.signals_installed,
        }
    }
}
