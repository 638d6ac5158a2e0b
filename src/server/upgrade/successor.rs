//! The successor's side before it serves: receives the sockets.

use super::predecessor::RunningProcess;
use super::socket;
use super::wire::{receive_sockets, same_user};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tracing::info;

/// Time to wait for the running process to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Interval between attempts to connect.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Time within which the sockets must arrive.
const SOCKETS_TIMEOUT: Duration = Duration::from_secs(10);

/// A process that takes over from a running one.
pub(in crate::server) struct Successor<'p> {
    path: &'p Path,
}

impl<'p> Successor<'p> {
    /// Creates a successor of the process whose upgrade socket is at `path`.
    pub(in crate::server) fn new(path: &'p Path) -> Self {
        Self { path }
    }

    /// Waits for the running process, and receives its sockets. Blocks the thread.
    pub(in crate::server) fn take_over(
        &self,
    ) -> io::Result<(RunningProcess, Vec<(SocketAddr, TcpListener)>)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.receive())
    }

    async fn receive(&self) -> io::Result<(RunningProcess, Vec<(SocketAddr, TcpListener)>)> {
        // SIGHUP must not end this process while it waits: a reload that is meant for the running
        // process may reach both, and everything is read again anyway.
        let _hangup = signal(SignalKind::hangup());
        let stream = self.connect_in_time().await?;
        let predecessor = same_user(&stream)?;
        let sockets = timeout(SOCKETS_TIMEOUT, receive_sockets(&stream)).await??;
        info!(
            event = "upgrade_sockets_received",
            predecessor,
            sockets = sockets.len(),
            "received the listening sockets"
        );
        Ok((RunningProcess::new(stream)?, sockets))
    }

    async fn connect_in_time(&self) -> io::Result<UnixStream> {
        info!(event = "upgrade_waiting_for_sockets", path = %self.path.display(), "waiting for the listening sockets of the running process");
        let connected = timeout(CONNECT_TIMEOUT, self.connect()).await;
        connected.map_err(|_| no_predecessor())?
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        loop {
            socket::check(self.path)?;
            match UnixStream::connect(self.path).await {
                Err(error) if is_early(&error) => sleep(RETRY_INTERVAL).await,
                other => return other,
            }
        }
    }
}

/// Returns `true` if the running process does not listen yet, or its queue is full.
fn is_early(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;

    let kind = error.kind();
    matches!(
        kind,
        Kind::NotFound | Kind::ConnectionRefused | Kind::WouldBlock
    )
}

fn no_predecessor() -> io::Error {
    io::Error::other(format!(
        "no process handed them over within {CONNECT_TIMEOUT:?}: the running process does so when it receives SIGQUIT"
    ))
}
