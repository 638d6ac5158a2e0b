//! All wiring: a configuration becomes a running server.

mod drain;
mod listener;
mod proxy_protocol;
mod quota;
mod reload;
mod self_test;
mod worker;

pub use drain::Stop;

use crate::config::{Config, Loaded};
use crate::proxy::{Downstream, Gate, Policy};
use crate::tls;
use drain::{Drain, UntilDrained};
use listener::{Listener, Socket, Start};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server as PingoraServer};
use reload::Reloader;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use self_test::SelfTest;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use thiserror::Error;
use tracing::{info, warn};
use worker::{Access, Worker};

/// A server whose sockets are bound, and which serves once it is [run](Server::run).
pub struct Server {
    pingora: PingoraServer,
    addresses: Vec<SocketAddr>,
    drain: Drain,
    stop: Stop,
    failure: Failure,
    config: crate::config::Server,
}

/// Where the listener leaves word when it refuses to start.
type Failure = Arc<OnceLock<String>>;

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
    /// Binds every socket that the configuration names. Nothing is accepted yet.
    pub fn bind(loaded: Loaded) -> Result<Self, ServerError> {
        let config = &loaded.config;
        tls::install_crypto_provider();
        let policy = Policy::new(config).map_err(ServerError::Tls)?;
        let acceptor = match &config.tls {
            Some(tls) => {
                Some(tls::acceptor(tls, policy.trust().clone(), config.listen.http2).map_err(ServerError::Tls)?)
            }
            None => None,
        };
        let sockets = bind_all(config)?;
        let addresses = sockets.iter().filter_map(|socket| socket.listener.local_addr().ok()).collect();
        let drain = Drain::new();
        let mut pingora = PingoraServer::new_with_opt_and_conf(None, server_conf(config));
        let gate = Arc::new(Gate::new(policy));
        let downstream = Downstream::new(gate.clone(), drain.watch(), &pingora.configuration);
        let worker = Arc::new(Worker::new(acceptor, Access::new(&config.listen), gate, downstream));
        let (stop, failure) = (Stop::default(), Failure::default());
        let start = Start { self_test: SelfTest::new(config), stop: stop.clone(), failure: failure.clone() };
        pingora.add_service(Listener::new(sockets, worker.clone(), drain.clone(), start));
        pingora.add_service(Reloader::new(worker, config, loaded.sources));
        pingora.bootstrap();
        Ok(Self { pingora, addresses, drain, stop, failure, config: loaded.config.server })
    }

    /// Where it listens, in the order of the configuration, HTTPS first.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends it from another thread.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Serves until SIGTERM, SIGINT or [`Stop`]. Blocks the thread.
    pub fn run(self) -> Result<(), ServerError> {
        if let Some(path) = &self.config.pid_file {
            std::fs::write(path, format!("{}\n", std::process::id()))
                .map_err(|error| ServerError::PidFile { path: path.clone(), error })?;
        }
        raise_file_limit();
        let shutdown_timeout = self.config.shutdown_timeout;
        let until_drained = UntilDrained { drain: self.drain, stop: self.stop, shutdown_timeout };
        self.pingora.run(RunArgs { shutdown_signal: Box::new(until_drained) });
        if let Some(path) = &self.config.pid_file
            && let Err(error) = std::fs::remove_file(path)
        {
            warn!(path = %path.display(), %error, "cannot remove the pid file");
        }
        info!("ended");
        match self.failure.get() {
            Some(failure) => Err(ServerError::SelfTest(failure.clone())),
            None => Ok(()),
        }
    }
}

/// Each connection is an open file, and the usual soft limit is a tenth of `limits.max_connections`.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        warn!(%error, "cannot raise the limit of open files");
    }
}

fn bind_all(config: &Config) -> Result<Vec<Socket>, ServerError> {
    let https = config.listen.https.iter().map(|address| (*address, true));
    let http = config.listen.http.iter().map(|address| (*address, false));
    https.chain(http).map(|(address, is_tls)| bind(address, is_tls)).collect()
}

fn bind(address: SocketAddr, is_tls: bool) -> Result<Socket, ServerError> {
    let listener = TcpListener::bind(address)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
        .map_err(|error| ServerError::Bind { address, error })?;
    Ok(Socket { listener, is_tls })
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
