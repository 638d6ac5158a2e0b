//! Why a server does not start.

use crate::delivery::OpenError;
use crate::proxy::PolicyError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

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
    /// A reload names another place for the queue.
    #[error("queue.path, queue.url: another one takes effect after a restart or an upgrade")]
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
