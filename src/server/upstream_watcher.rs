//! Runs name resolution and health checks for the groups of servers in use.

use crate::delivery::Delivery;
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
    delivery: Option<Arc<Delivery>>,
}

impl UpstreamWatcher {
    /// Watches `upstreams`, and their replacements that are sent; reports their health to `monitor`,
    /// and to `delivery`.
    pub(super) fn new(
        upstreams: Arc<Upstreams>,
        monitor: Arc<Monitor>,
        delivery: Option<Arc<Delivery>>,
    ) -> (Self, watch::Sender<Arc<Upstreams>>) {
        let (replaced, upstreams) = watch::channel(upstreams);
        let watcher = Self {
            upstreams,
            monitor,
            delivery,
        };
        (watcher, replaced)
    }

    /// Reports the health of all servers now and after each change.
    async fn report(&self, upstreams: &Upstreams) {
        loop {
            self.monitor.servers(upstreams.health());
            if let Some(delivery) = &self.delivery {
                report_healthy(upstreams, delivery);
            }
            upstreams.changed().await;
        }
    }
}

fn report_healthy(upstreams: &Upstreams, delivery: &Delivery) {
    let healthy = upstreams.health().filter(|(.., is_healthy)| *is_healthy);
    healthy.for_each(|(upstream, ..)| delivery.note_healthy(upstream));
}

#[async_trait]
impl Service for UpstreamWatcher {
    async fn start_service(&mut self, _: Option<ListenFds>, mut shutdown: ShutdownWatch, _: usize) {
        let mut replaced = self.upstreams.clone();
        loop {
            let upstreams = replaced.borrow_and_update().clone();
            tokio::select! {
                () = watch_forever(&upstreams) => {}
                () = self.report(&upstreams) => {}
                replaced = replaced.changed() => if replaced.is_err() {
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

/// Watches the servers; never returns, even if there are none.
async fn watch_forever(upstreams: &Upstreams) {
    upstreams.watch().await;
    std::future::pending().await
}
