//! Opens a connection for an exchange: a pooled one, or a new one to the next server.

use super::error::ExchangeError;
use super::pool;
use crate::upstream::{Tried, Upstream, UpstreamServer};
use pingora::protocols::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A connection that is ready for a request.
pub(super) struct UpstreamConnection {
    pub(super) server: Arc<UpstreamServer>,
    pub(super) stream: Stream,
    pub(super) is_pooled: bool,
}

impl UpstreamConnection {
    /// Records that a new connection was established.
    fn new(server: Arc<UpstreamServer>, stream: Stream) -> Self {
        server.record_connection();
        Self {
            server,
            stream,
            is_pooled: false,
        }
    }
}

/// The pause before the first repetition of [`connect_within`], and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Connects as [`connect`] does, again and again for `limit` while that fails. Nothing has been sent
/// by then, so that no repetition can be a duplicate.
pub(super) async fn connect_within(
    limit: Duration,
    upstream: &Upstream,
    tried: Tried,
    may_be_pooled: bool,
) -> Result<UpstreamConnection, ExchangeError> {
    let deadline = Instant::now() + limit;
    match connect(upstream, tried, may_be_pooled).await {
        // Boxed for the same reason as the new connection.
        Err(error) if !limit.is_zero() => Box::pin(connect_again(deadline, upstream, error)).await,
        result => result,
    }
}

async fn connect_again(
    deadline: Instant,
    upstream: &Upstream,
    mut error: ExchangeError,
) -> Result<UpstreamConnection, ExchangeError> {
    let mut pause = FIRST_PAUSE;
    while Instant::now() + pause < deadline {
        tracing::debug!(event = "upstream_connect_retried", %upstream, %error, "no server can be connected to, trying again");
        sleep(pause).await;
        pause = MAX_PAUSE.min(2 * pause);
        match connect(upstream, Tried::default(), false).await {
            Ok(connection) => return Ok(connection),
            Err(failure) => error = failure,
        }
    }
    Err(error)
}

/// Connects to the next server of `upstream`. Servers that cannot be connected to are skipped.
pub(super) async fn connect(
    upstream: &Upstream,
    tried: Tried,
    may_be_pooled: bool,
) -> Result<UpstreamConnection, ExchangeError> {
    let server = upstream.choose(&tried).await;
    let server = server.ok_or(ExchangeError::Unavailable)?;
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
            Ok(stream) => return Ok(UpstreamConnection::new(server, stream)),
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
