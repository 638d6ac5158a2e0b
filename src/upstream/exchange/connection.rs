//! Opens a connection for an exchange: a pooled one, or a new one to the next server.

use super::error::ExchangeError;
use super::pool;
use crate::upstream::{Tried, Upstream, UpstreamServer};
use pingora::protocols::Stream;
use std::sync::Arc;
use tokio::time::Instant;

/// A connection that is ready for a request.
pub(super) struct UpstreamConnection {
    pub(super) server: Arc<UpstreamServer>,
    pub(super) stream: Stream,
    pub(super) is_pooled: bool,
}

/// Connects to the next server of `upstream`. Servers that cannot be connected to are skipped.
pub(super) async fn connect(
    upstream: &Upstream,
    tried: Tried,
    may_be_pooled: bool,
) -> Result<UpstreamConnection, ExchangeError> {
    let server = upstream
        .choose(&tried)
        .await
        .ok_or(ExchangeError::Unavailable)?;
    if may_be_pooled && let Some(stream) = pool::take(&server) {
        return Ok(UpstreamConnection {
            server,
            stream,
            is_pooled: true,
        });
    }
    // Boxed: most requests use a pooled connection and need not pay for the room that this takes.
    Box::pin(open_new(upstream, server, tried)).await
}

async fn open_new(
    upstream: &Upstream,
    mut server: Arc<UpstreamServer>,
    mut tried: Tried,
) -> Result<UpstreamConnection, ExchangeError> {
    let started = Instant::now();
    loop {
        let error = match server.connect().await {
            Ok(stream) => {
                server.record_connection();
                return Ok(UpstreamConnection {
                    server,
                    stream,
                    is_pooled: false,
                });
            }
            Err(error) => error,
        };
        server.record_failure(&error);
        tried.record_unreachable(&server, started.elapsed());
        let Some(next) = upstream.choose(&tried).await else {
            return Err(error.into());
        };
        tracing::debug!(event = "upstream_failover", %server, %next, %error, "trying the next upstream server");
        server = next;
    }
}
