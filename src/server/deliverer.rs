//! Delivers what is in the queue, on a thread of its own: no request waits for it.

use super::ServerError;
use super::drain::Drain;
use crate::config::Config;
use crate::delivery::Delivery;
use crate::proxy::Policy;
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use std::sync::Arc;
use tokio::runtime::Builder;

/// The service that delivers what is in the queue.
pub(super) struct Deliverer {
    delivery: Arc<Delivery>,
    draining: ShutdownWatch,
}

impl Deliverer {
    pub(super) fn new(delivery: Arc<Delivery>, draining: ShutdownWatch) -> Self {
        Self { delivery, draining }
    }
}

/// Opens the queue of `config`, if it has one, and reads what waits for the routes of `policy`.
pub(super) fn open(
    config: &Config,
    policy: &Policy,
    drain: &Drain,
    has_predecessor: bool,
) -> Result<Option<Arc<Delivery>>, ServerError> {
    let Some(settings) = &config.queue else {
        return Ok(None);
    };
    let delivery = Delivery::open(settings, drain.in_flight())?;
    delivery.configure(config, policy.destinations());
    if has_predecessor {
        delivery.expect_predecessor();
    }
    // The order is known before the first request: until then, everything would be stored.
    wait_for(delivery.begin())?;
    Ok(Some(delivery))
}

/// Blocks the thread until `future` is complete.
fn wait_for(future: impl Future<Output = ()>) -> Result<(), ServerError> {
    let runtime = Builder::new_current_thread().build();
    runtime.map_err(ServerError::Listen)?.block_on(future);
    Ok(())
}

#[async_trait]
impl Service for Deliverer {
    async fn start_service(&mut self, _: Option<ListenFds>, mut shutdown: ShutdownWatch, _: usize) {
        self.delivery.run(self.draining.clone()).await;
        // Attempts under way need the runtime until the drain is complete.
        let _ = shutdown.changed().await;
    }

    fn name(&self) -> &str {
        "deliverer"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}
