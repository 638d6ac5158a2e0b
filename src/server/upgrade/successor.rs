//! The side that takes over, before it serves: gets the sockets.

use super::predecessor::Predecessor;
use super::socket;
use super::wire::{receive_sockets, same_user};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tracing::info;

/// How long a process is waited for that hands its sockets over.
const ARRIVAL: Duration = Duration::from_secs(30);

/// How often it is looked for.
const INTERVAL: Duration = Duration::from_millis(20);

/// How long it may take to send them.
const DELIVERY: Duration = Duration::from_secs(10);

/// A process that is to succeed another.
pub(in crate::server) struct Successor<'p> {
    path: &'p Path,
}

impl<'p> Successor<'p> {
    /// Of whoever meets it at `path`.
    pub(in crate::server) fn new(path: &'p Path) -> Self {
        Self { path }
    }

    /// Waits for the running process, and gets its sockets. Blocks the thread.
    pub(in crate::server) fn take_over(
        &self,
    ) -> io::Result<(Predecessor, Vec<(SocketAddr, TcpListener)>)> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            // A terminal that is closed meanwhile, or an operator that means the other: both read
            // everything anyway.
            let _hangup = signal(SignalKind::hangup());
            info!(event = "upgrade_waiting_for_sockets", path = %self.path.display(), "waiting for the listening sockets of the running process");
            let stream = timeout(ARRIVAL, self.arrive()).await.map_err(|_| {
                io::Error::other(format!(
                    "nobody handed them over within {ARRIVAL:?}: the running process does so when it receives SIGQUIT"
                ))
            })??;
            let pid = same_user(&stream)?;
            let sockets = timeout(DELIVERY, receive_sockets(&stream)).await??;
            info!(event = "upgrade_sockets_received", predecessor = pid, sockets = sockets.len(), "received the listening sockets");
            Ok((Predecessor::new(stream)?, sockets))
        })
    }

    async fn arrive(&self) -> io::Result<UnixStream> {
        // Nothing listens there yet, or its queue has no room.
        let is_early = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::WouldBlock
            )
        };
        loop {
            socket::check(self.path)?;
            match UnixStream::connect(self.path).await {
                Err(error) if is_early(&error) => sleep(INTERVAL).await,
                other => return other,
            }
        }
    }
}
