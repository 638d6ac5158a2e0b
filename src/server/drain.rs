//! Ending without losing what is in flight.

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// Says when to end, and knows what is in flight.
#[derive(Clone)]
pub(super) struct Drain {
    begun: watch::Sender<bool>,
    /// The accept loops and the connections.
    in_flight: TaskTracker,
}

impl Drain {
    pub(super) fn new() -> Self {
        Self { begun: watch::Sender::new(false), in_flight: TaskTracker::new() }
    }

    /// Turns true when the drain begins.
    pub(super) fn watch(&self) -> ShutdownWatch {
        self.begun.subscribe()
    }

    /// Runs what is to be finished before the process ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.in_flight.spawn(task)
    }

    /// Asks everything in flight to finish, and waits for that.
    async fn complete(&self, limit: Duration) {
        self.begun.send_replace(true);
        self.in_flight.close();
        match timeout(limit, self.in_flight.wait()).await {
            Ok(()) => info!("everything in flight is finished"),
            Err(_) => warn!(connections = self.in_flight.len(), "shutdown_timeout is over, closing what is in flight"),
        }
    }
}

/// Ends a server from within its process, as SIGTERM does from without.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Notify>);

impl Stop {
    /// Stops accepting, lets requests in flight finish, and ends.
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

/// What Pingora waits for: a signal or [`Stop`], and then the end of the drain.
pub(super) struct UntilDrained {
    pub(super) drain: Drain,
    pub(super) stop: Stop,
    pub(super) shutdown_timeout: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for UntilDrained {
    async fn recv(&self) -> ShutdownSignal {
        tokio::select! {
            () = received(SignalKind::terminate()) => info!("SIGTERM received, draining"),
            () = self.stop.0.notified() => info!("draining"),
            () = received(SignalKind::interrupt()) => return ShutdownSignal::FastShutdown,
        }
        self.drain.complete(self.shutdown_timeout).await;
        ShutdownSignal::GracefulTerminate
    }
}

async fn received(kind: SignalKind) {
    match signal(kind).as_mut().map(Signal::recv) {
        Ok(signal) => {
            signal.await;
        }
        Err(error) => {
            error!(%error, "cannot listen for a signal");
            std::future::pending::<()>().await;
        }
    }
}
