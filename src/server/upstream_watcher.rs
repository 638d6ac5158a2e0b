//! Runs name resolution and health checks for the groups of servers in use.

use crate::telemetry::Monitor;
use crate::upstream::Upstreams;
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use std::sync::Arc;
use tokio::sync::watch;

/// The service that watches upstream servers, on a thread of its own so that no request waits for a
/// check.
pub(super) struct UpstreamWatcher {
    upstreams: watch::Receiver<Arc<Upstreams>>,
    monitor: Arc<Monitor>,
}

impl UpstreamWatcher {
    /// Watches `upstreams`, and their replacements that are sent; reports their health to `monitor`.
    pub(super) fn new(
        upstreams: Arc<Upstreams>,
        monitor: Arc<Monitor>,
    ) -> (Self, watch::Sender<Arc<Upstreams>>) {
        let (replaced, upstreams) = watch::channel(upstreams);
        (Self { upstreams, monitor }, replaced)
    }
}

#[async_trait]
impl Service for UpstreamWatcher {
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

/// Reports the health of all servers now and after each change.
async fn report(upstreams: &Upstreams, monitor: &Monitor) {
    loop {
        monitor.servers(upstreams.health());
        upstreams.changed().await;
    }
}

/// Watches the servers; never returns, even if there are none.
async fn watch_forever(upstreams: &Upstreams) {
    upstreams.watch().await;
    std::future::pending().await
}
