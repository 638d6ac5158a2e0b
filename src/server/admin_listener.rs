//! Accepts the connections of the admin listener on a thread of its own, so that responses come
//! while everything else is busy, until the process ends. On an upgrade, the successor takes over as
//! soon as it serves.

use super::drain::Drain;
use crate::telemetry::Monitor;
use crate::telemetry::admin::{Admin, LivenessProbe};
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use std::net::{IpAddr, Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{error, info, warn};

/// Number of connections that are served at once; others wait.
const CONNECTIONS: usize = 64;

/// The service of the admin listener.
pub(super) struct AdminListener {
    listener: Option<StdListener>,
    admin: Arc<Admin>,
    monitor: Arc<Monitor>,
    /// `true` if another process serves the admin listener until this one is ready.
    is_successor: bool,
    /// Becomes `true` when a successor serves the admin listener.
    succession: watch::Receiver<bool>,
}

impl AdminListener {
    pub(super) fn new(
        listener: StdListener,
        monitor: Arc<Monitor>,
        drain: &Drain,
        liveness: LivenessProbe,
        is_successor: bool,
    ) -> Self {
        let admin = Arc::new(Admin::new(
            monitor.clone(),
            drain.going_away(),
            drain.in_flight(),
            liveness,
            address(&listener),
        ));
        Self {
            listener: Some(listener),
            admin,
            monitor,
            is_successor,
            succession: drain.succeeded(),
        }
    }

    async fn accept(&mut self) -> std::io::Result<()> {
        let Some(listener) = self.listener.take() else {
            return Ok(());
        };
        let listener = TcpListener::from_std(listener)?;
        info!(event = "admin_listening", address = %listener.local_addr()?, "admin listener started");
        if self.is_successor {
            self.monitor.until_ready().await;
        }
        self.serve_all(&listener).await;
        Ok(())
    }

    async fn serve_all(&self, listener: &TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        // `Err` cannot happen: the semaphore is never closed.
        while let Ok(place) = places.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((socket, _)) => self.serve(socket, place),
                Err(error) => pause_after(&error).await,
            }
        }
    }

    fn serve(&self, socket: TcpStream, place: OwnedSemaphorePermit) {
        let admin = self.admin.clone();
        tokio::spawn(async move {
            admin.serve(socket).await;
            drop(place);
        });
    }
}

/// Logs an error of accepting, and waits: an immediate retry would fail, too.
async fn pause_after(error: &std::io::Error) {
    warn!(event = "admin_accept_failed", %error, "cannot accept a connection on the admin listener");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn address(listener: &StdListener) -> IpAddr {
    let address = listener.local_addr();
    address.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

fn report(result: std::io::Result<()>) {
    if let Err(error) = result {
        error!(event = "admin_listener_failed", %error, "the admin listener stopped");
    }
}

#[async_trait]
impl Service for AdminListener {
    async fn start_service(&mut self, _: Option<ListenFds>, mut shutdown: ShutdownWatch, _: usize) {
        let mut succession = self.succession.clone();
        tokio::select! {
            result = self.accept() => report(result),
            _ = succession.wait_for(|succeeded| *succeeded) => {}
            _ = shutdown.changed() => {}
        }
    }

    fn name(&self) -> &str {
        "admin"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}
