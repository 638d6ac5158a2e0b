//! Listens: accepts connections and hands each to the worker, once the self-test has passed.

use super::Failure;
use super::drain::{Drain, Stop};
use super::self_test::SelfTest;
use super::worker::Worker;
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// A bound socket, and whether TLS is spoken on it.
pub(super) struct Socket {
    pub(super) listener: std::net::TcpListener,
    pub(super) is_tls: bool,
}

/// The service that listens on every socket.
pub(super) struct Listener {
    sockets: Vec<Socket>,
    worker: Arc<Worker>,
    drain: Drain,
    start: Start,
}

/// What happens between listening and serving.
pub(super) struct Start {
    pub(super) self_test: SelfTest,
    pub(super) stop: Stop,
    pub(super) failure: Failure,
}

impl Listener {
    pub(super) fn new(sockets: Vec<Socket>, worker: Arc<Worker>, drain: Drain, start: Start) -> Self {
        Self { sockets, worker, drain, start }
    }

    /// Listens on every socket; nobody is served yet.
    fn listen(&mut self) -> std::io::Result<(Vec<JoinHandle<()>>, Vec<SocketAddr>)> {
        let (mut accepting, mut tls_addresses) = (Vec::new(), Vec::new());
        for Socket { listener, is_tls } in self.sockets.drain(..) {
            let listener = TcpListener::from_std(listener)?;
            let address = listener.local_addr()?;
            let scheme = if is_tls { "https" } else { "http" };
            info!(address = %address, scheme, "listening");
            if is_tls {
                tls_addresses.push(address);
            }
            accepting.push(self.drain.spawn(accept(listener, is_tls, self.worker.clone(), self.drain.clone())));
        }
        Ok((accepting, tls_addresses))
    }

    /// Makes sure that who must be refused is, before anybody else is let in.
    async fn test_self(&self, addresses: &[SocketAddr]) -> Result<(), String> {
        for address in addresses {
            self.start.self_test.run(*address, |probe| self.worker.start.announce(probe)).await?;
        }
        Ok(())
    }

    async fn serve(&mut self) -> Result<(), String> {
        let (accepting, addresses) = self.listen().map_err(|error| format!("cannot listen: {error}"))?;
        self.test_self(&addresses).await?;
        self.worker.start.finish();
        info!("ready");
        for task in accepting {
            // It ends when the drain begins; a panic in it has been reported by the runtime.
            let _ = task.await;
        }
        Ok(())
    }
}

#[async_trait]
impl Service for Listener {
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, _: usize) {
        if let Err(failure) = self.serve().await {
            let _ = self.start.failure.set(failure);
            self.start.stop.stop();
        }
    }

    fn name(&self) -> &str {
        "listener"
    }
}

async fn accept(listener: TcpListener, is_tls: bool, worker: Arc<Worker>, drain: Drain) {
    let mut shutdown = drain.watch();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|begun| *begun) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (worker, shutdown) = (worker.clone(), shutdown.clone());
                drain.spawn(async move { worker.serve(stream, peer, is_tls, shutdown).await });
            }
            Err(error) => {
                warn!(%error, "cannot accept");
                // Out of file descriptors, most likely: the next attempt would fail at once, too.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
