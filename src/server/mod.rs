//! The running process: wires a configuration to listeners, threads, reload, drain and upgrade.

mod accept;
mod acme;
mod admin_listener;
mod deliverer;
mod descriptors;
mod drain;
mod error;
mod listener;
mod parts;
mod pid_file;
mod reload;
mod self_test;
mod shared;
mod signals;
mod sockets;
mod systemd;
mod threads;
mod upgrade;
mod upstream_watcher;

pub(crate) use descriptors::raise_limit as raise_descriptor_limit;
pub(crate) use descriptors::shortage as descriptor_shortage;
pub(crate) use drain::Stop;
pub(crate) use error::ServerError;
pub(crate) use sockets::Inherited;
pub(crate) use upgrade::launch::Launch;

use crate::config::{Config, Loaded};
use crate::telemetry::Monitor;
use deliverer::Deliverer;
use drain::UntilDrained;
use listener::Listener;
use parts::Parts;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server as PingoraServer};
use reload::Replaced;
use shared::Shared;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing::info;

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

/// Time for requests that the end of the process cuts short to report what is lost with them.
const LAST_REPORTS: Duration = Duration::from_secs(1);

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
        let has_predecessor = parts.predecessor.is_some();
        let delivery = shared.delivery(config, &parts.policy, has_predecessor)?;
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

fn server_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: config.server.threads,
        // Pingora is told to shut down after the drain, when there is nothing left to wait for.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}
