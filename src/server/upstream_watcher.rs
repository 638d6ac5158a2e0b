//! Has the groups of servers watched: resolved and checked, as long as they are the ones in use.

use crate::telemetry::Monitor;
use crate::upstream::Upstreams;
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use std::sync::Arc;
use tokio::sync::watch;

/// The service that watches, on a thread of its own: no request waits for a check.
pub(super) struct Watcher {
    upstreams: watch::Receiver<Arc<Upstreams>>,
    monitor: Arc<Monitor>,
}

impl Watcher {
    /// Watches `upstreams`, and those that are sent in their place; `monitor` is told how they are.
    pub(super) fn new(
        upstreams: Arc<Upstreams>,
        monitor: Arc<Monitor>,
    ) -> (Self, watch::Sender<Arc<Upstreams>>) {
        let (replaced, upstreams) = watch::channel(upstreams);
        (Self { upstreams, monitor }, replaced)
    }
}

#[async_trait]
impl Service for Watcher {
    async fn start_service(&mut self, _: Option<ListenFds>, mut shutdown: ShutdownWatch, _: usize) {
        loop {
            let upstreams = self.upstreams.borrow_and_update().clone();
            tokio::select! {
                () = watch_forever(&upstreams) => {}
                () = report(&upstreams, &self.monitor) => {}
                replaced = self.upstreams.changed() => if replaced.is_err() {
                    return;
                },
                _ = shutdown.changed() => return,
            }
        }
    }

    fn name(&self) -> &str {
        "watcher"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

/// Tells how they are, now and whenever that changes.
async fn report(upstreams: &Upstreams, monitor: &Monitor) {
    loop {
        monitor.servers(upstreams.health());
        upstreams.changed().await;
    }
}

/// Also where there is nothing to watch.
async fn watch_forever(upstreams: &Upstreams) {
    upstreams.watch().await;
    std::future::pending().await
}
