//! The sockets to listen on: bound here, passed by systemd, or taken over from a running process.

use super::ServerError;
use super::upgrade::{RunningProcess, Successor};
use crate::config::{self, Config, Listen};
use listenfd::ListenFd;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, socket_acceptconn};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::net::{SocketAddr, TcpListener};
use tracing::warn;

/// Number of connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Listening sockets that systemd or a running process passed to this one.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    /// Each socket with its address in the configuration.
    sockets: Vec<(SocketAddr, TcpListener)>,
    predecessor: Option<RunningProcess>,
}

impl Inherited {
    /// Returns an empty set: every socket will be bound by this process.
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    /// Takes the sockets that systemd passed (`LISTEN_FDS`), if any.
    ///
    /// Call this before any thread is started: it removes the variables from the environment.
    pub(crate) fn from_systemd() -> Self {
        let mut passed = ListenFd::from_env();
        let sockets = (0..passed.len()).filter_map(|index| take(&mut passed, index));
        Self {
            sockets: sockets.collect(),
            predecessor: None,
        }
    }

    /// Waits for the sockets of a running process with this configuration, which hands them over
    /// when it receives SIGQUIT.
    ///
    /// # Errors
    /// If no process hands them over in time.
    pub(crate) fn from_running(server: &config::ServerSettings) -> Result<Self, ServerError> {
        let (predecessor, sockets) =
            Successor::new(&server.upgrade_socket)
                .take_over()
                .map_err(|error| ServerError::TakeOver {
                    path: server.upgrade_socket.clone(),
                    error,
                })?;
        Ok(Self {
            sockets,
            predecessor: Some(predecessor),
        })
    }
}

/// Takes one of the descriptors that systemd passed.
fn take(passed: &mut ListenFd, index: usize) -> Option<(SocketAddr, TcpListener)> {
    let report = |error: &io::Error| {
        warn!(event = "inherited_socket_unusable", %error, "systemd passed a descriptor that is not a TCP listener");
    };
    let taken = passed.take_tcp_listener(index).inspect_err(report);
    let listener = taken.ok().flatten()?;
    Some((listener.local_addr().ok()?, listener))
}

/// Opens one socket per address, inherited or new, and keeps a copy for a successor.
#[derive(Debug)]
pub(super) struct Sockets {
    inherited: Vec<(SocketAddr, TcpListener)>,
    in_use: Vec<(SocketAddr, TcpListener)>,
    /// Ports for which an IPv4 address is configured.
    ipv4_ports: Vec<u16>,
}

impl Sockets {
    /// Returns the sockets, and the running process with which the upgrade must be completed.
    pub(super) fn new(inherited: Inherited, config: &Config) -> (Self, Option<RunningProcess>) {
        let Listen { https, http, .. } = &config.listen;
        let addresses = https.iter().chain(http).copied();
        let addresses = addresses.chain(config.admin.map(|admin| admin.listen));
        let ipv4 = addresses.filter(SocketAddr::is_ipv4);
        let sockets = Self {
            inherited: inherited.sockets,
            in_use: Vec::new(),
            ipv4_ports: ipv4.map(|address| address.port()).collect(),
        };
        (sockets, inherited.predecessor)
    }

    pub(super) fn listen(&mut self, address: SocketAddr) -> Result<TcpListener, ServerError> {
        self.open_and_keep(address)
            .map_err(|error| ServerError::Bind { address, error })
    }

    fn open_and_keep(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        let listener = self.open(address)?;
        listener.set_nonblocking(true)?;
        self.in_use.push((address, listener.try_clone()?));
        Ok(listener)
    }

    fn open(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        let mut inherited = self.inherited.iter();
        let Some(index) = inherited.position(|(inherited, _)| *inherited == address) else {
            let listener = self.bind(address)?;
            // A second call, for a longer queue than that of std: when a client opens a thousand
            // connections at once, those that do not fit are retried only after a second. The
            // kernel limits the length to `net.core.somaxconn`.
            rustix::net::listen(&listener, BACKLOG)?;
            return Ok(listener);
        };
        let (_, listener) = self.inherited.swap_remove(index);
        match socket_acceptconn(&listener)? {
            true => Ok(listener),
            false => Err(io::Error::other("the inherited socket does not listen")),
        }
    }

    /// Binds a socket. `[::]` accepts connections to IPv4 addresses as well, unless another socket
    /// is configured for them.
    fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let is_any_ipv6 = address.is_ipv6() && address.ip().is_unspecified();
        match is_any_ipv6 && self.ipv4_ports.contains(&address.port()) {
            true => bind_ipv6_only(address),
            false => TcpListener::bind(address),
        }
    }

    /// Returns the sockets for a successor. Inherited sockets that are not in use are closed.
    pub(super) fn into_listen_sockets(self) -> Vec<(SocketAddr, TcpListener)> {
        for (address, _) in &self.inherited {
            warn!(event = "inherited_socket_unused", %address, "inherited socket does not match any configured address, closing it");
        }
        self.in_use
    }
}

fn bind_ipv6_only(address: SocketAddr) -> io::Result<TcpListener> {
    let (family, kind) = (AddressFamily::INET6, SocketType::STREAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    // As in std: connections of an earlier process in TIME_WAIT must not prevent binding.
    set_socket_reuseaddr(&socket, true)?;
    set_ipv6_v6only(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}
