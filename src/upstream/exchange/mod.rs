//! Exchanges a verified message for the response of the upstream.
//!
//! A webhook is a message, not a stream: it is complete before the upstream gets its first byte, so
//! it is sent in one write, and it can be sent again if the connection closes before a response.
//! Pingora opens the connections.

mod connection;
mod error;
mod message;
mod pool;
pub(crate) mod relay;
mod response_body;
mod response_framing;
mod response_reader;

pub(crate) use error::ExchangeError;
pub(crate) use message::{Message, Signing};

use crate::http::response_head::ResponseHead;
use crate::http::timeout::{Deadline, timeout};
use crate::upstream::{Tried, Upstream, UpstreamServer};
use bytes::Bytes;
use connection::{UpstreamConnection, connect_within};
use error::ResponseError;
use pingora::protocols::Stream;
use response_reader::ResponseReader;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt as _;

/// How long reading the rest of a response may take that nothing waits for, and how many bytes it
/// may have.
const REMAINDER_TIMEOUT: Duration = Duration::from_secs(5);
const REMAINDER_MAX_BYTES: usize = 1024 * 1024;

/// The response of an upstream: its head, and a body that is still to be read.
pub(crate) struct UpstreamResponse {
    /// The head. Its status is never informational.
    pub head: ResponseHead,
    reader: ResponseReader<Stream>,
    server: Arc<UpstreamServer>,
    /// The upstream read the whole request before it responded.
    was_sent: bool,
}

/// The reason why an attempt failed.
struct AttemptError {
    error: ExchangeError,
    /// The server, if it probably has not acted on the request: the connection closed before the
    /// first byte of a response. A server that timed out may still be at work.
    unanswered_by: Option<Arc<UpstreamServer>>,
}

impl AttemptError {
    fn timeout(message: &str) -> Self {
        Self {
            error: ExchangeError::timeout(message),
            unanswered_by: None,
        }
    }

    fn idle_timeout(server: Arc<UpstreamServer>) -> Self {
        Self {
            error: ExchangeError::idle_timeout(),
            unanswered_by: Some(server),
        }
    }
}

/// Sends `message` and returns the response as soon as its head has arrived.
///
/// While no server can be connected to, this is tried again for `retry_for`.
///
/// If the connection closes before the first byte of a response, the message is sent once more over
/// a new connection, to another server if there is one: a duplicate is better than a lost alert.
pub(crate) async fn send(
    upstream: &Upstream,
    message: &Message,
    retry_for: Duration,
) -> Result<UpstreamResponse, ExchangeError> {
    let connection = connect_within(retry_for, upstream, Tried::default(), true).await?;
    let failure = match attempt(connection, message).await {
        Ok(response) => return Ok(response),
        Err(failure) => failure,
    };
    let error = failure.error;
    let Some(server) = failure.unanswered_by else {
        return Err(error);
    };
    tracing::debug!(event = "upstream_retried", %upstream, %server, %error, "retrying on a new connection");
    let tried = Tried::broke(&server);
    let connection = connect_within(retry_for, upstream, tried, false).await?;
    let repeated = attempt(connection, message).await;
    repeated.map_err(|failure| failure.error)
}

async fn attempt(
    connection: UpstreamConnection,
    message: &Message,
) -> Result<UpstreamResponse, AttemptError> {
    let server = connection.server;
    let mut stream = connection.stream;
    let mut deadline = Deadline::after(server.response_timeout());
    // An application may respond and close before it has read everything: that response counts.
    let Ok(written) = deadline.wait(write(&mut stream, message)).await else {
        return Err(AttemptError::timeout("the request was not read in time"));
    };
    let mut reader = ResponseReader::new(stream, false);
    let Ok(head) = deadline.wait(reader.head()).await else {
        return Err(AttemptError::timeout("no response in time"));
    };
    let was_sent = written.is_ok();
    let head = head.map_err(|error| AttemptError {
        error: failure(written, &error),
        unanswered_by: reader.is_silent().then(|| server.clone()),
    })?;
    server.record_response(head.status());
    // The server closed the connection while it was idle: it has not read the request.
    if connection.is_pooled && head.is_idle_timeout() {
        return Err(AttemptError::idle_timeout(server));
    }
    Ok(UpstreamResponse {
        head,
        reader,
        server,
        was_sent,
    })
}

/// Writes `message` with one system call, if the socket takes that much.
async fn write(stream: &mut Stream, message: &Message) -> io::Result<()> {
    let mut bytes = message.encode(SystemTime::now());
    stream.write_all_buf(&mut bytes).await?;
    stream.flush().await
}

/// Returns the first of the two errors.
fn failure(written: io::Result<()>, error: &ResponseError) -> ExchangeError {
    match written {
        Ok(()) => ExchangeError::no_response(error),
        Err(error) => ExchangeError::cannot_send(&error),
    }
}

impl UpstreamResponse {
    /// Returns the server that responded.
    pub(crate) fn server(&self) -> &Arc<UpstreamServer> {
        &self.server
    }

    /// Returns the next part of the body, or `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        match timeout(self.server.response_timeout(), self.reader.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| ExchangeError::truncated(&error)),
            Err(_) => Err(ExchangeError::timeout("the response stalled")),
        }
    }

    /// Reads the rest of a response that nothing waits for, so that its connection can be used again.
    /// A long one is broken off.
    pub(crate) async fn discard(mut self) {
        let mut left = REMAINDER_MAX_BYTES;
        let rest = async {
            while let Ok(chunk) = self.chunk().await {
                let Some(chunk) = chunk else { return true };
                left = left.saturating_sub(chunk.len());
                if left == 0 {
                    break;
                }
            }
            false
        };
        if timeout(REMAINDER_TIMEOUT, rest).await == Ok(true) {
            self.finish();
        }
    }

    /// Keeps the connection for another request, if the upstream allows that. To be called at the
    /// end of the body.
    pub(crate) fn finish(self) {
        if let Some(stream) = self.reader.reuse().filter(|_| self.was_sent) {
            pool::put(&self.server, stream);
        }
    }
}
