//! The sockets to listen on: bound here, passed by systemd, or taken over from a running process.

use super::ServerError;
use super::upgrade::{Predecessor, Successor};
use crate::config::{self, Config, Listen};
use listenfd::ListenFd;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, socket_acceptconn};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::net::{SocketAddr, TcpListener};
use tracing::warn;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Sockets that listen already, and where they come from.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Each with the address that the configuration calls it by.
    sockets: Vec<(SocketAddr, TcpListener)>,
    predecessor: Option<Predecessor>,
}

impl Inherited {
    /// None.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// What systemd passed (`LISTEN_FDS`); nothing, if it did not start this process or passed
    /// none.
    ///
    /// To be called before there are threads: it takes the variables out of the environment.
    pub fn from_systemd() -> Self {
        let mut passed = ListenFd::from_env();
        let sockets = (0..passed.len()).filter_map(|index| match passed.take_tcp_listener(index) {
            Ok(listener) => {
                let listener = listener?;
                Some((listener.local_addr().ok()?, listener))
            }
            Err(error) => {
                warn!(event = "inherited_socket_unusable", %error, "systemd passed a descriptor that is not a TCP listener");
                None
            }
        });
        Self {
            sockets: sockets.collect(),
            predecessor: None,
        }
    }

    /// What a running process with this configuration hands over, as soon as it has received
    /// SIGQUIT.
    ///
    /// # Errors
    /// If none does in time.
    pub fn from_running(server: &config::Server) -> Result<Self, ServerError> {
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

/// Listens on each address once, with what was inherited or with a socket of its own, and keeps
/// what a successor needs.
#[derive(Debug)]
pub(super) struct Sockets {
    inherited: Vec<(SocketAddr, TcpListener)>,
    in_use: Vec<(SocketAddr, TcpListener)>,
    /// Ports that are listened on over IPv4 by an address of their own.
    ipv4_ports: Vec<u16>,
}

impl Sockets {
    /// Says besides with whom a take-over is to be completed.
    pub(super) fn new(inherited: Inherited, config: &Config) -> (Self, Option<Predecessor>) {
        let Listen { https, http, .. } = &config.listen;
        let addresses = https
            .iter()
            .chain(http)
            .copied()
            .chain(config.admin.map(|admin| admin.listen));
        let ipv4_ports = addresses
            .filter(SocketAddr::is_ipv4)
            .map(|address| address.port())
            .collect();
        (
            Self {
                inherited: inherited.sockets,
                in_use: Vec::new(),
                ipv4_ports,
            },
            inherited.predecessor,
        )
    }

    pub(super) fn listen(&mut self, address: SocketAddr) -> Result<TcpListener, ServerError> {
        self.open(address)
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                self.in_use.push((address, listener.try_clone()?));
                Ok(listener)
            })
            .map_err(|error| ServerError::Bind { address, error })
    }

    fn open(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        match self
            .inherited
            .iter()
            .position(|(inherited, _)| *inherited == address)
        {
            None => {
                let listener = self.bind(address)?;
                // Again, for a longer queue than std's: when a sender connects a thousand times at
                // once, what does not fit is tried again after a second. The kernel shortens it to
                // `net.core.somaxconn`.
                rustix::net::listen(&listener, BACKLOG)?;
                Ok(listener)
            }
            Some(index) => {
                let (_, listener) = self.inherited.swap_remove(index);
                match socket_acceptconn(&listener)? {
                    true => Ok(listener),
                    false => Err(io::Error::other("the inherited socket does not listen")),
                }
            }
        }
    }

    /// `[::]` takes the connections to IPv4 addresses along, unless another socket has them.
    fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        if !address.is_ipv6()
            || !address.ip().is_unspecified()
            || !self.ipv4_ports.contains(&address.port())
        {
            return TcpListener::bind(address);
        }
        let socket = socket_with(
            AddressFamily::INET6,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // As std does it: what is left of earlier connections is in the way of nothing.
        set_socket_reuseaddr(&socket, true)?;
        set_ipv6_v6only(&socket, true)?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(TcpListener::from(socket))
    }

    /// What a successor gets. What was inherited and is not in use is closed.
    pub(super) fn into_legacy(self) -> Vec<(SocketAddr, TcpListener)> {
        for (address, _) in &self.inherited {
            warn!(event = "inherited_socket_unused", %address, "inherited socket does not match any configured address, closing it");
        }
        self.in_use
    }
}
