//! The parts of a server whose preparation can fail: nothing has been started yet.

use super::acme::{AcmeSetup, Presented};
use super::descriptors::shortage as descriptor_shortage;
use super::error::ServerError;
use super::listener::Socket;
use super::sockets::{Inherited, Sockets};
use super::threads::WorkerThreads;
use super::upgrade::RunningProcess;
use crate::config::Config;
use crate::proxy::Policy;
use crate::tls;
use crate::upstream::make_connector;
use std::net::{SocketAddr, TcpListener};
use tokio_rustls::TlsAcceptor;
use tracing::warn;

/// The parts of a server whose preparation can fail.
pub(super) struct Parts {
    pub(super) policy: Policy,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) presented: Presented,
    pub(super) acme: Option<AcmeSetup>,
    pub(super) sockets: BoundSockets,
    pub(super) predecessor: Option<RunningProcess>,
    pub(super) threads: WorkerThreads,
}

impl Parts {
    pub(super) fn prepare(config: &Config, inherited: Inherited) -> Result<Self, ServerError> {
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
pub(super) struct BoundSockets {
    pub(super) listeners: Vec<Socket>,
    pub(super) admin: Option<TcpListener>,
    pub(super) opened: Sockets,
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
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.listeners.iter();
        sockets
            .filter_map(|socket| socket.listener.local_addr().ok())
            .collect()
    }

    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
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
pub(super) fn make_acceptor(
    config: &Config,
    policy: &Policy,
    presented: &Presented,
) -> pingora::Result<Option<TlsAcceptor>> {
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
