//! Accepts connections once the self-test has passed, and assigns each to a worker thread.

use super::accept::{ConnectionHandler, log_failed};
use super::acme::{self, AcmeSetup, Presented};
use super::drain::{Drain, Stop};
use super::pid_file::PidFile;
use super::self_test::SelfTest;
use super::threads::WorkerThreads;
use super::upgrade::{RunningProcess, ServeGrant};
use super::{ServerError, StartupError, systemd};
use crate::config::Sources;
use crate::telemetry::Monitor;

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

/// Time within which a process that ends accepts the connections that are still queued.
const LAST_ACCEPT: Duration = Duration::from_millis(100);

/// A bound socket, with or without TLS.
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

/// The parts that serve accepted connections.
pub(super) struct Serving {
    pub(super) handler: Arc<ConnectionHandler>,
    pub(super) threads: WorkerThreads,
    pub(super) drain: Drain,
}

/// The inputs of the start-up between binding and serving.
pub(super) struct Start {
    pub(super) self_test: SelfTest,
    pub(super) monitor: Arc<Monitor>,
    pub(super) presented: Presented,
    /// The store of ACME, if certificates come from there.
    pub(super) acme: Option<AcmeSetup>,
    /// The process that serves so far, on an upgrade.
    pub(super) predecessor: Option<RunningProcess>,
    /// The configuration to serve by.
    pub(super) sources: Sources,
    pub(super) pid_file: PidFile,
    /// Passed once every signal handler is installed.
    pub(super) signals_installed: Arc<Barrier>,
    pub(super) stop: Stop,
    pub(super) startup_error: StartupError,
}

impl Listener {
    pub(super) fn new(sockets: Vec<Socket>, serving: Serving, start: Start) -> Self {
        Self {
            sockets,
            serving: Arc::new(serving),
            start,
        }
    }

    /// Accepts connections until the drain begins, and returns when it is complete.
    ///
    /// Accepting comes last, when nothing can fail any more: accepted connections would be lost with
    /// this process, whereas those that wait in the queues of the sockets are not.
    async fn serve(&mut self) -> Result<(), ServerError> {
        let sockets = self.listen()?;
        self.start.signals_installed.wait().await;
        self.test_self().await?;
        if let Some(acme) = &self.start.acme {
            let start = &self.start;
            acme.present(&start.presented, &start.monitor).await;
        }
        let grant = self.grant().await?;
        self.write_pid_file(grant.is_some())?;
        self.start.monitor.ready();
        let accepting = self.accept_all(sockets);
        if let Some(grant) = grant {
            grant.announce().await.map_err(ServerError::CalledOff)?;
        }
        self.announce_ready();
        for task in accepting {
            // Each ends when the drain begins. Ignore the error: the runtime reports panics.
            let _ = task.await;
        }
        // The worker threads, which still serve requests in flight, end when `self` is dropped.
        self.serving.drain.finished().await;
        Ok(())
    }

    /// Registers all sockets with the runtime.
    fn listen(&mut self) -> Result<Vec<(TcpListener, bool)>, ServerError> {
        self.sockets.drain(..).map(listen).collect()
    }

    /// Starts to accept connections.
    fn accept_all(&self, sockets: Vec<(TcpListener, bool)>) -> Vec<JoinHandle<()>> {
        let sockets = sockets.into_iter();
        sockets
            .map(|(listener, is_tls)| self.accept(listener, is_tls))
            .collect()
    }

    /// Reports to the service manager that requests are served, and from now on that they still are.
    fn announce_ready(&self) {
        // Without a certificate as well: it is by connections that one is validated.
        systemd::ready(match self.has_certificate() {
            true => acme::SERVING,
            false => acme::WAITING,
        });
        info!(event = "ready", "ready");
        let liveness = self.serving.threads.liveness_probe();
        tokio::spawn(async move { systemd::keep_watchdog_calm(|| liveness.responded()).await });
    }

    /// Returns `false` if the first certificate by ACME is still to come.
    fn has_certificate(&self) -> bool {
        self.start.acme.is_none() || self.start.presented.certificate.get().is_some()
    }

    /// Runs the self-test: verifies that unauthenticated clients are rejected before any connection
    /// is accepted.
    async fn test_self(&self) -> Result<(), ServerError> {
        let presented = &self.start.presented;
        let stage = self.start.acme.as_ref().map(|_| presented.stage());
        let _stage = stage.transpose().map_err(ServerError::SelfTest)?;
        let serve = |stream, peer| {
            let (handler, shutdown) = (self.serving.handler.clone(), self.serving.drain.watch());
            async move { handler.serve_probe(stream, peer, shutdown).await }
        };
        let result = self.start.self_test.run(serve).await;
        result.map_err(ServerError::SelfTest)
    }

    /// Waits until the process that serves so far agrees to be replaced, if there is one.
    async fn grant(&mut self) -> Result<Option<ServeGrant>, ServerError> {
        let Some(predecessor) = self.start.predecessor.take() else {
            return Ok(None);
        };
        let grant = predecessor.request_grant(self.has_certificate()).await;
        let grant = grant.map_err(ServerError::CalledOff)?;
        // A reload that withdrew trust happened in the process that ends, not in this one.
        match self.start.sources.text_changed() {
            true => Err(ServerError::Changed),
            false => Ok(Some(grant)),
        }
    }

    fn write_pid_file(&self, is_successor: bool) -> Result<(), ServerError> {
        let pid_file = &self.start.pid_file;
        let written = match is_successor {
            true => pid_file.write(),
            false => pid_file.claim(),
        };
        written.map_err(|error| unwritten(pid_file, error))
    }

    fn accept(&self, listener: TcpListener, is_tls: bool) -> JoinHandle<()> {
        self.serving
            .drain
            .spawn(accept(listener, is_tls, self.serving.clone()))
    }
}

fn unwritten(pid_file: &PidFile, error: std::io::Error) -> ServerError {
    ServerError::PidFile {
        path: pid_file.path().map(ToOwned::to_owned).unwrap_or_default(),
        error,
    }
}

/// Registers the socket with the runtime. No connection is accepted yet.
fn listen(Socket { listener, is_tls }: Socket) -> Result<(TcpListener, bool), ServerError> {
    let listener = TcpListener::from_std(listener).map_err(ServerError::Listen)?;
    let address = listener.local_addr().map_err(ServerError::Listen)?;
    info!(event = "listening", address = %address, scheme = if is_tls { "https" } else { "http" }, "listening");
    Ok((listener, is_tls))
}

#[async_trait]
impl Service for Listener {
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, _: usize) {
        if let Err(startup_error) = self.serve().await {
            let _ = self.start.startup_error.set(startup_error);
            self.start.stop.stop();
        }
    }

    fn name(&self) -> &str {
        "listener"
    }

    /// One thread accepts; [`WorkerThreads`] serve the connections.
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
            Err(error) => pause_after(&error).await,
        }
    }
    if let Err(error) = accept_rest(listener, is_tls, &serving) {
        report(&error);
    }
}

/// Logs an error of accepting, and waits: the process is probably out of file descriptors, and an
/// immediate retry would fail, too.
async fn pause_after(error: &std::io::Error) {
    report(error);
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn report(error: &std::io::Error) {
    warn!(event = "accept_failed", %error, "cannot accept a connection");
}

/// Accepts the queued connections, which would be reset when the socket is closed.
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
        let (handler, shutdown) = (self.handler.clone(), self.drain.watch());
        let (runtime, connection) = self.threads.assign(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => handler.serve(stream, peer, is_tls, shutdown).await,
                Err(error) => log_failed(&error),
            }
        });
        self.drain.spawn_on(runtime, connection);
    }
}
