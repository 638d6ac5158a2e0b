//! The running process: wires a configuration to listeners, threads, reload, drain and upgrade.

mod accept;
mod acme;
mod admin_listener;
mod deliverer;
mod descriptors;
mod drain;
mod listener;
mod pid_file;
mod reload;
mod self_test;
mod signals;
mod sockets;
mod systemd;
mod threads;
mod upgrade;
mod upstream_watcher;

pub(crate) use descriptors::raise_limit as raise_descriptor_limit;
pub(crate) use descriptors::shortage as descriptor_shortage;
pub(crate) use drain::Stop;
pub(crate) use sockets::Inherited;
pub(crate) use upgrade::launch::Launch;

use crate::config::{Config, Loaded};
use crate::delivery::{Delivery, OpenError};
use crate::proxy::{Downstream, Gate, Policy, PolicyError};
use crate::telemetry::Monitor;
use crate::tls;
use crate::upstream::{Upstreams, make_connector};
use accept::{Access, ConnectionHandler};
use acme::{AcmeService, AcmeSetup, Presented};
use admin_listener::AdminListener;
use deliverer::Deliverer;
use drain::{Drain, UntilDrained};
use listener::{Listener, Serving, Socket, Start};
use pid_file::PidFile;
use pingora::listeners::tls::Acceptor;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server as PingoraServer};
use reload::{Reloader, Replaced};
use self_test::SelfTest;
use sockets::Sockets;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use thiserror::Error;
use threads::WorkerThreads;
use tokio::sync::{Barrier, watch};
use tracing::{info, warn};
use upgrade::{ListenSockets, RunningProcess};
use upstream_watcher::UpstreamWatcher;

/// A server with bound sockets. It accepts connections once it is [run](Server::run).
pub(crate) struct Server {
    pingora: PingoraServer,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    monitor: Arc<Monitor>,
    startup_error: StartupError,
    until_drained: UntilDrained,
}

/// The error with which the listener ended the server instead of starting it.
type StartupError = Arc<OnceLock<ServerError>>;

/// Number of services that install signal handlers before the first connection is accepted: the
/// listener waits at a barrier for the reloader and for the service that ends the process.
const SIGNAL_LISTENERS: usize = 3;

/// Time for requests that the end of the process cuts short to report what is lost with them.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// An error because of which a server cannot start.
#[derive(Debug, Error)]
pub(crate) enum ServerError {
    /// Binding or listening on an address failed.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// The error that the system returned.
        error: io::Error,
    },
    /// Handing a bound socket to the runtime failed.
    #[error("cannot listen: {0}")]
    Listen(io::Error),
    /// Starting the worker threads failed.
    #[error("cannot start the threads that serve connections: {0}")]
    Threads(io::Error),
    /// The running process did not hand over its listening sockets.
    #[error("cannot take the listening sockets over at {}: {error}", path.display())]
    TakeOver {
        /// The path of the upgrade socket.
        path: PathBuf,
        /// The reason of the failure.
        error: io::Error,
    },
    /// The running process cancelled the upgrade.
    #[error("the listening sockets were not taken over: {0}")]
    CalledOff(io::Error),
    /// The configuration file changed after this process had read it.
    #[error("the configuration changed while this process took over: start it again")]
    Changed,
    /// The queue cannot be opened.
    #[error("cannot use the queue: {0}")]
    Queue(#[from] OpenError),
    /// A reload names another file for the queue.
    #[error("queue.path: another file takes effect after a restart or an upgrade")]
    OtherQueue,
    /// Creating the connector for upstream servers failed.
    #[error("cannot connect to applications: {0}")]
    Connector(io::Error),
    /// The trusted authorities cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Policy(#[from] PolicyError),
    /// The server certificate cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] Box<pingora::Error>),
    /// The state of ACME cannot be kept.
    #[error("{0}")]
    Acme(String),
    /// The self-test failed: an unauthenticated client was accepted.
    #[error("the self-test failed: {0}")]
    SelfTest(String),
    /// Writing the pid file failed.
    #[error("cannot write the pid file {}: {error}", path.display())]
    PidFile {
        /// The path of the pid file.
        path: PathBuf,
        /// The error that the system returned.
        error: io::Error,
    },
}

impl Server {
    /// Binds every configured socket that is not `inherited`. No connection is accepted yet.
    ///
    /// A configuration that was read before the sockets of a running process arrived may be out of
    /// date: read it again after that.
    ///
    /// With `launch`, SIGUSR2 starts a successor.
    pub(crate) fn bind(
        loaded: Loaded,
        inherited: Inherited,
        launch: Option<Launch>,
    ) -> Result<Self, ServerError> {
        let parts = Parts::prepare(&loaded.config, inherited)?;
        Self::assemble(&loaded, parts, launch)
    }

    fn assemble(
        loaded: &Loaded,
        mut parts: Parts,
        launch: Option<Launch>,
    ) -> Result<Self, ServerError> {
        let config = &loaded.config;
        let addresses = parts.sockets.addresses();
        let admin_address = parts.sockets.admin_address();
        let shared = Shared::new(config, parts.presented.clone());
        shared.set_up_monitor(config, &parts.policy, &addresses);
        let delivery = shared.delivery(config, &parts.policy)?;
        let (watcher, upstreams) = shared.upstream_watcher(&parts.policy, delivery.clone());
        let admin = shared.admin_listener(&mut parts);
        let handler =
            shared.connection_handler(config, parts.acceptor, parts.policy, delivery.clone());
        let (orders, acme) = shared.orders(parts.acme.clone());
        let replaced = Replaced { upstreams, acme };
        let mut reloader = shared.reloader(loaded, handler.clone(), replaced);
        reloader.reloads_queue(delivery.clone());
        let serving = shared.serving(handler, parts.threads);
        let start = shared.start(loaded, parts.predecessor, parts.acme);
        let listener = Listener::new(parts.sockets.listeners, serving, start);

        let mut pingora = PingoraServer::new_with_opt_and_conf(None, server_conf(config));
        pingora.add_service(listener);
        pingora.add_service(reloader);
        pingora.add_service(watcher);
        pingora.add_service(orders);
        if let Some(delivery) = delivery.clone() {
            pingora.add_service(Deliverer::new(delivery, shared.drain.watch()));
        }
        if let Some(admin) = admin {
            pingora.add_service(admin);
        }
        pingora.bootstrap();
        Ok(Self {
            pingora,
            addresses,
            admin_address,
            monitor: shared.monitor.clone(),
            startup_error: shared.startup_error.clone(),
            until_drained: shared.until_drained(config, parts.sockets.opened, launch, delivery),
        })
    }

    /// Returns the bound addresses in the order of the configuration, HTTPS first.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns the bound address of the admin listener, if there is one.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Returns a handle that ends the server from another thread.
    pub(crate) fn stop(&self) -> Stop {
        self.until_drained.stop.clone()
    }

    /// Serves until a signal or [`Stop`] ends it, or a successor serves. Blocks the thread.
    pub(crate) fn run(self) -> Result<(), ServerError> {
        raise_descriptor_limit();
        let pid_file = self.until_drained.pid_file.clone();
        let drain = self.until_drained.drain.clone();
        self.pingora.run(RunArgs {
            shutdown_signal: Box::new(self.until_drained),
        });
        drain.dropped(LAST_REPORTS);
        self.monitor.flush();
        pid_file.remove();
        info!(event = "stopped", "stopped");
        let startup_error = Arc::into_inner(self.startup_error);
        startup_error
            .and_then(OnceLock::into_inner)
            .map_or(Ok(()), Err)
    }
}

/// The parts of a server whose preparation can fail.
struct Parts {
    policy: Policy,
    acceptor: Option<Acceptor>,
    presented: Presented,
    acme: Option<AcmeSetup>,
    sockets: BoundSockets,
    predecessor: Option<RunningProcess>,
    threads: WorkerThreads,
}

impl Parts {
    fn prepare(config: &Config, inherited: Inherited) -> Result<Self, ServerError> {
        prepare_process(config)?;
        let policy = Policy::new(config)?;
        let acme = AcmeSetup::open(config).map_err(ServerError::Acme)?;
        let presented = Presented::default();
        let acceptor = make_acceptor(config, &policy, &presented)?;
        presented.configured(config);
        let (sockets, predecessor) = Sockets::new(inherited, config);
        let sockets = BoundSockets::bind(config, sockets)?;
        let threads = WorkerThreads::start(config.server.threads).map_err(ServerError::Threads)?;
        Ok(Self {
            policy,
            acceptor,
            presented,
            acme,
            sockets,
            predecessor,
            threads,
        })
    }
}

/// The sockets of a configuration, bound.
struct BoundSockets {
    listeners: Vec<Socket>,
    admin: Option<TcpListener>,
    opened: Sockets,
}

impl BoundSockets {
    fn bind(config: &Config, mut sockets: Sockets) -> Result<Self, ServerError> {
        let listeners = listen_on_all(config, &mut sockets)?;
        let admin = config.admin.map(|admin| sockets.listen(admin.listen));
        Ok(Self {
            listeners,
            admin: admin.transpose()?,
            opened: sockets,
        })
    }

    /// Returns the addresses that were bound, without that of the admin listener.
    fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.listeners.iter();
        sockets
            .filter_map(|socket| socket.listener.local_addr().ok())
            .collect()
    }

    fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }
}

/// Handles that several services of a server share.
struct Shared {
    presented: Presented,
    monitor: Arc<Monitor>,
    drain: Drain,
    pid_file: PidFile,
    /// Passed once every signal handler is installed.
    signals_installed: Arc<Barrier>,
    stop: Stop,
    startup_error: StartupError,
}

impl Shared {
    fn new(config: &Config, presented: Presented) -> Self {
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

    fn set_up_monitor(&self, config: &Config, policy: &Policy, addresses: &[SocketAddr]) {
        self.monitor.watch(policy.buffers());
        self.monitor.listening(config, addresses);
        if let Some(directory) = systemd::state_directory() {
            self.monitor.keep_in(&directory);
        }
    }

    /// Opens the queue, if there is one.
    fn delivery(
        &self,
        config: &Config,
        policy: &Policy,
    ) -> Result<Option<Arc<Delivery>>, ServerError> {
        let delivery = deliverer::open(config, policy, &self.drain)?;
        Ok(delivery.inspect(|delivery| self.monitor.watch_queue(delivery)))
    }

    fn connection_handler(
        &self,
        config: &Config,
        acceptor: Option<Acceptor>,
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
    fn orders(&self, acme: Option<AcmeSetup>) -> (AcmeService, watch::Sender<Option<AcmeSetup>>) {
        let (presented, monitor) = (self.presented.clone(), self.monitor.clone());
        AcmeService::new(acme, presented, monitor, self.drain.succeeded())
    }

    fn start(
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

    fn serving(&self, handler: Arc<ConnectionHandler>, threads: WorkerThreads) -> Serving {
        Serving {
            handler,
            threads,
            drain: self.drain.clone(),
        }
    }

    fn upstream_watcher(
        &self,
        policy: &Policy,
        delivery: Option<Arc<Delivery>>,
    ) -> (UpstreamWatcher, watch::Sender<Arc<Upstreams>>) {
        UpstreamWatcher::new(policy.upstreams().clone(), self.monitor.clone(), delivery)
    }

    fn reloader(
        &self,
        loaded: &Loaded,
        handler: Arc<ConnectionHandler>,
        replaced: Replaced,
    ) -> Reloader {
        let monitor = self.monitor.clone();
        let signals_installed = self.signals_installed.clone();
        Reloader::new(handler, monitor, replaced, loaded, signals_installed)
    }

    fn admin_listener(&self, parts: &mut Parts) -> Option<AdminListener> {
        let listener = parts.sockets.admin.take()?;
        Some(AdminListener::new(
            listener,
            self.monitor.clone(),
            &self.drain,
            parts.threads.liveness_probe(),
            parts.predecessor.is_some(),
        ))
    }

    fn until_drained(
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

/// Sets up what is global in the process.
fn prepare_process(config: &Config) -> Result<(), ServerError> {
    tls::install_crypto_provider();
    make_connector().map_err(ServerError::Connector)?;
    if let Some(shortage) = descriptor_shortage(config) {
        warn!(event = "file_limit_low", "{shortage}");
    }
    Ok(())
}

/// Creates the TLS acceptor, if TLS is configured; it trusts what `policy` trusts, and with ACME
/// presents what `presented` has.
fn make_acceptor(
    config: &Config,
    policy: &Policy,
    presented: &Presented,
) -> pingora::Result<Option<Acceptor>> {
    let Some(tls) = &config.tls else {
        return Ok(None);
    };
    let (trust, http2) = (policy.trust().clone(), config.listen.http2);
    tls::acceptor(tls, trust, http2, &presented.certificate).map(Some)
}

fn listen_on_all(config: &Config, sockets: &mut Sockets) -> Result<Vec<Socket>, ServerError> {
    let https = config.listen.https.iter().map(|address| (*address, true));
    let http = config.listen.http.iter().map(|address| (*address, false));
    https
        .chain(http)
        .map(|(address, is_tls)| listen(sockets, address, is_tls))
        .collect()
}

fn listen(sockets: &mut Sockets, address: SocketAddr, is_tls: bool) -> Result<Socket, ServerError> {
    let listener = sockets.listen(address)?;
    Ok(Socket { listener, is_tls })
}

fn server_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.threads,
        // Pingora is told to shut down after the drain, when there is nothing left to wait for.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}
