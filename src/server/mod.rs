//! All wiring: a configuration becomes a running server.

mod accept;
mod admin_listener;
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
pub use drain::Stop;
pub use sockets::Inherited;
pub use upgrade::launch::Launch;

use crate::config::{Config, Loaded};
use crate::proxy::{Downstream, Gate, Policy};
use crate::telemetry::Monitor;
use crate::tls;
use crate::upstream::make_connector;
use accept::{Access, Worker};
use admin_listener::AdminListener;
use drain::{Drain, UntilDrained};
use listener::{Listener, Serving, Socket, Start};
use pid_file::PidFile;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server as PingoraServer};
use reload::Reloader;
use self_test::SelfTest;
use sockets::Sockets;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use thiserror::Error;
use threads::Cores;
use tokio::sync::Barrier;
use tracing::{info, warn};
use upgrade::Legacy;
use upstream_watcher::Watcher;

/// A server whose sockets are bound, and which serves once it is [run](Server::run).
pub struct Server {
    pingora: PingoraServer,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    failure: Failure,
    until_drained: UntilDrained,
}

/// Where the listener leaves word when it refuses to start.
type Failure = Arc<OnceLock<ServerError>>;

/// The parts of the server that listen for a signal: the listener waits for the reloader and for
/// what ends the process.
const LISTENING: usize = 3;

/// Why a server cannot start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A socket cannot be listened on after all.
    #[error("cannot listen: {0}")]
    Listen(io::Error),
    /// There are no threads to be had.
    #[error("cannot start the threads that serve connections: {0}")]
    Threads(io::Error),
    /// Nobody hands sockets over.
    #[error("cannot take the listening sockets over at {}: {error}", path.display())]
    TakeOver {
        /// Where they would come from.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Somebody did, and thought better of it.
    #[error("the listening sockets were not taken over: {0}")]
    CalledOff(io::Error),
    /// The configuration that this process read is not the one that is there by now.
    #[error("the configuration changed while this process took over: start it again")]
    Changed,
    /// There is nothing to connect to applications with.
    #[error("cannot connect to applications: {0}")]
    Connector(io::Error),
    /// The trusted authorities or the certificate cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// Somebody got through where nobody must.
    #[error("the self-test failed: {0}")]
    SelfTest(String),
    /// The process id cannot be written.
    #[error("cannot write the pid file {}: {error}", path.display())]
    PidFile {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Server {
    /// Binds every socket that the configuration names and that is not `inherited`. Nothing is
    /// accepted yet.
    ///
    /// A configuration that was read before the sockets of a running process came may be out of
    /// date: read it after that.
    ///
    /// With `launch`, SIGUSR2 starts a successor.
    pub fn bind(
        loaded: Loaded,
        inherited: Inherited,
        launch: Option<Launch>,
    ) -> Result<Self, ServerError> {
        let config = &loaded.config;
        tls::install_crypto_provider();
        make_connector().map_err(ServerError::Connector)?;
        if let Some(shortage) = descriptor_shortage(config) {
            warn!(event = "file_limit_low", "{shortage}");
        }
        let policy = Policy::new(config).map_err(ServerError::Tls)?;
        let acceptor = match &config.tls {
            Some(tls) => Some(
                tls::acceptor(tls, policy.trust().clone(), config.listen.http2)
                    .map_err(ServerError::Tls)?,
            ),
            None => None,
        };
        let (mut sockets, predecessor) = Sockets::new(inherited, config);
        let listeners = listen_on_all(config, &mut sockets)?;
        let addresses = listeners
            .iter()
            .filter_map(|socket| socket.listener.local_addr().ok())
            .collect();
        let admin = config
            .admin
            .map(|admin| sockets.listen(admin.listen))
            .transpose()?;
        let (drain, is_successor) = (Drain::new(), predecessor.is_some());
        let mut pingora = PingoraServer::new_with_opt_and_conf(None, server_conf(config));
        let monitor = Arc::new(Monitor::new(config));
        monitor.watch(policy.buffers());
        let (watcher, upstreams) = Watcher::new(policy.upstreams().clone(), monitor.clone());
        let gate = Arc::new(Gate::new(policy));
        let downstream = Downstream::new(gate.clone(), drain.watch(), monitor.clone());
        let access = Access::new(&config.listen);
        let worker = Arc::new(Worker::new(
            acceptor,
            access,
            gate,
            downstream,
            monitor.clone(),
        ));
        let (stop, failure, listening) = (
            Stop::default(),
            Failure::default(),
            Arc::new(Barrier::new(LISTENING)),
        );
        let pid_file = PidFile::new(config.server.pid_file.clone());
        let start = Start {
            self_test: SelfTest::new(config),
            monitor: monitor.clone(),
            predecessor,
            sources: loaded.sources.clone(),
            pid_file: pid_file.clone(),
            listening: listening.clone(),
            stop: stop.clone(),
            failure: failure.clone(),
        };
        let cores = Cores::start(config.server.threads).map_err(ServerError::Threads)?;
        let liveness = cores.liveness_probe();
        let serving = Serving {
            worker: worker.clone(),
            cores,
            drain: drain.clone(),
        };
        pingora.add_service(Listener::new(listeners, serving, start));
        let reloader = Reloader::new(
            worker,
            monitor.clone(),
            upstreams,
            config,
            loaded.sources,
            listening.clone(),
        );
        pingora.add_service(reloader);
        pingora.add_service(watcher);
        let admin_address = admin
            .as_ref()
            .and_then(|listener| listener.local_addr().ok());
        if let Some(listener) = admin {
            pingora.add_service(AdminListener::new(
                listener,
                monitor,
                &drain,
                liveness,
                is_successor,
            ));
        }
        pingora.bootstrap();
        let legacy = Legacy {
            path: config.server.upgrade_socket.clone(),
            sockets: sockets.into_legacy(),
        };
        let until_drained = UntilDrained {
            drain,
            stop,
            shutdown_timeout: config.server.shutdown_timeout,
            pid_file,
            legacy: Mutex::new(Some(legacy)),
            launch,
            listening,
        };
        Ok(Self {
            pingora,
            addresses,
            admin_address,
            failure,
            until_drained,
        })
    }

    /// Where it listens, in the order of the configuration, HTTPS first.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the admin listener is, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Ends it from another thread.
    pub fn stop(&self) -> Stop {
        self.until_drained.stop.clone()
    }

    /// Serves until a signal or [`Stop`] ends it, or a successor serves. Blocks the thread.
    pub fn run(self) -> Result<(), ServerError> {
        raise_descriptor_limit();
        let pid_file = self.until_drained.pid_file.clone();
        self.pingora.run(RunArgs {
            shutdown_signal: Box::new(self.until_drained),
        });
        pid_file.remove();
        info!(event = "stopped", "stopped");
        match Arc::into_inner(self.failure).and_then(OnceLock::into_inner) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

fn listen_on_all(config: &Config, sockets: &mut Sockets) -> Result<Vec<Socket>, ServerError> {
    let https = config.listen.https.iter().map(|address| (*address, true));
    let http = config.listen.http.iter().map(|address| (*address, false));
    https
        .chain(http)
        .map(|(address, is_tls)| {
            Ok(Socket {
                listener: sockets.listen(address)?,
                is_tls,
            })
        })
        .collect()
}

fn server_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.threads,
        // The drain is over when Pingora hears of the end: there is nothing left to wait for.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}
