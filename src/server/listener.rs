//! Listens: accepts connections and hands each to the worker, once the self-test has passed.

use super::accept::Worker;
use super::drain::{Drain, Stop};
use super::pid_file::PidFile;
use super::self_test::SelfTest;
use super::threads::Cores;
use super::upgrade::{Permission, Predecessor};
use super::{Failure, ServerError, systemd};
use crate::config::Sources;
use crate::telemetry::Monitor;
use crate::telemetry::repeated::Repeated;
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// How long a process that ends may take to accept what had connected before.
const LAST_ACCEPT: Duration = Duration::from_millis(100);

/// A bound socket, and whether TLS is spoken on it.
pub(super) struct Socket {
    pub(super) listener: std::net::TcpListener,
    pub(super) is_tls: bool,
}

/// The service that listens on every socket.
pub(super) struct Listener {
    sockets: Vec<Socket>,
    serving: Arc<Serving>,
    start: Start,
}

/// What serves the connections that are accepted.
pub(super) struct Serving {
    pub(super) worker: Arc<Worker>,
    pub(super) cores: Cores,
    pub(super) drain: Drain,
}

/// What happens between listening and serving.
pub(super) struct Start {
    pub(super) self_test: SelfTest,
    pub(super) monitor: Arc<Monitor>,
    /// Who served until now.
    pub(super) predecessor: Option<Predecessor>,
    /// What it is to serve by.
    pub(super) sources: Sources,
    pub(super) pid_file: PidFile,
    /// Passed when this process obeys signals.
    pub(super) listening: Arc<Barrier>,
    pub(super) stop: Stop,
    pub(super) failure: Failure,
}

impl Listener {
    pub(super) fn new(sockets: Vec<Socket>, serving: Serving, start: Start) -> Self {
        Self {
            sockets,
            serving: Arc::new(serving),
            start,
        }
    }

    /// What connects before this waits in the sockets' queues. Connections are accepted last, when
    /// nothing can fail any more: they would be lost with this process.
    async fn serve(&mut self) -> Result<(), ServerError> {
        let sockets = self
            .sockets
            .drain(..)
            .map(listen)
            .collect::<Result<Vec<_>, _>>()?;
        self.start.listening.wait().await;
        self.test_self().await?;
        let permission = self.permission().await?;
        self.write_pid_file(permission.is_some())?;
        self.start.monitor.ready();
        let accepting: Vec<_> = sockets
            .into_iter()
            .map(|(listener, is_tls)| self.accept(listener, is_tls))
            .collect();
        if let Some(permission) = permission {
            permission
                .announce()
                .await
                .map_err(ServerError::CalledOff)?;
        }
        systemd::ready("Serving");
        info!(event = "ready", "ready");
        let liveness = self.serving.cores.liveness_probe();
        tokio::spawn(async move { systemd::keep_watchdog_calm(|| liveness.responded()).await });
        for task in accepting {
            // It ends when the drain begins; a panic in it has been reported by the runtime.
            let _ = task.await;
        }
        // The threads that serve what is in flight end with `self`.
        self.serving.drain.finished().await;
        Ok(())
    }

    /// Makes sure that who must be refused is, before anybody is let in.
    async fn test_self(&self) -> Result<(), ServerError> {
        let serve = |stream, peer| {
            let (worker, shutdown) = (self.serving.worker.clone(), self.serving.drain.watch());
            async move { worker.serve_probe(stream, peer, shutdown).await }
        };
        self.start
            .self_test
            .run(serve)
            .await
            .map_err(ServerError::SelfTest)
    }

    async fn permission(&mut self) -> Result<Option<Permission>, ServerError> {
        match self.start.predecessor.take() {
            None => Ok(None),
            Some(predecessor) => {
                let permission = predecessor.allow().await.map_err(ServerError::CalledOff)?;
                // The reload that withdrew trust was one of the process that ends: this one would
                // not hear of it.
                match self.start.sources.text_changed() {
                    true => Err(ServerError::Changed),
                    false => Ok(Some(permission)),
                }
            }
        }
    }

    fn write_pid_file(&self, is_successor: bool) -> Result<(), ServerError> {
        let pid_file = &self.start.pid_file;
        let written = if is_successor {
            pid_file.write()
        } else {
            pid_file.claim()
        };
        written.map_err(|error| ServerError::PidFile {
            path: pid_file.path().map(ToOwned::to_owned).unwrap_or_default(),
            error,
        })
    }

    fn accept(&self, listener: TcpListener, is_tls: bool) -> JoinHandle<()> {
        self.serving
            .drain
            .spawn(accept(listener, is_tls, self.serving.clone()))
    }
}

/// Hands the socket to the runtime; nobody is accepted yet.
fn listen(Socket { listener, is_tls }: Socket) -> Result<(TcpListener, bool), ServerError> {
    let listener = TcpListener::from_std(listener).map_err(ServerError::Listen)?;
    let address = listener.local_addr().map_err(ServerError::Listen)?;
    info!(event = "listening", address = %address, scheme = if is_tls { "https" } else { "http" }, "listening");
    Ok((listener, is_tls))
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

    /// It accepts only; what is accepted is served by [`Cores`].
    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

async fn accept(listener: TcpListener, is_tls: bool, serving: Arc<Serving>) {
    let mut shutdown = serving.drain.watch();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|begun| *begun) => break,
        };
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => serving.serve(stream, peer, is_tls),
            Err(error) => {
                warn!(event = "accept_failed", %error, "cannot accept a connection");
                // Out of file descriptors, most likely: the next attempt would fail at once, too.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    if let Err(error) = accept_rest(listener, is_tls, &serving) {
        warn!(event = "accept_failed", %error, "cannot accept a connection");
    }
}

/// Accepts what is in the queue, which would be reset with the socket.
fn accept_rest(listener: TcpListener, is_tls: bool, serving: &Serving) -> std::io::Result<()> {
    let listener = listener.into_std()?;
    let started = Instant::now();
    while started.elapsed() < LAST_ACCEPT {
        let (stream, peer) = match listener.accept() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            accepted => accepted?,
        };
        stream.set_nonblocking(true)?;
        serving.serve(stream, peer, is_tls);
    }
    Ok(())
}

impl Serving {
    fn serve(&self, stream: std::net::TcpStream, peer: SocketAddr, is_tls: bool) {
        let (worker, shutdown) = (self.worker.clone(), self.drain.watch());
        let (runtime, connection) = self.cores.place(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => worker.serve(stream, peer, is_tls, shutdown).await,
                Err(error) if Repeated::ConnectionNotServed.may_be_written() => {
                    warn!(event = "connection_failed", %error, "cannot serve a connection");
                }
                Err(_) => {}
            }
        });
        self.drain.spawn_on(runtime, connection);
    }
}
