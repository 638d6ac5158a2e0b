//! Streams a request and its response at the same time: the body of the request is sent as it
//! arrives, and the response may arrive at any time.

use super::connection::{UpstreamConnection, connect};
use super::error::ExchangeError;
use super::pool;
use super::response_reader::ResponseReader;
use crate::http::response_head::ResponseHead;
use crate::http::timeout::timeout;
use crate::upstream::{Tried, Upstream, UpstreamServer};
use bytes::Bytes;
use pingora::protocols::Stream;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf, split};

/// A connection over which the head of a request has been sent.
pub(crate) struct Relay {
    /// The side that takes the rest of the request.
    pub request: RequestSide,
    /// The side that gives the response.
    pub response: ResponseSide,
    server: Arc<UpstreamServer>,
}

/// The side of a relay that takes the request.
pub(crate) struct RequestSide(WriteHalf<Stream>);

/// The side of a relay that gives the response.
pub(crate) struct ResponseSide {
    reader: ResponseReader<ReadHalf<Stream>>,
    server: Arc<UpstreamServer>,
    is_pooled: bool,
    has_head: bool,
}

/// A part of a response.
pub(crate) enum ResponsePart {
    /// The head. Its status is never informational.
    Head(ResponseHead),
    /// A part of the body.
    Body(Bytes),
    /// The end of the response.
    End,
}

/// The reason why a response is missing or incomplete.
pub(crate) struct RelayFailure {
    /// The error to answer and to log.
    pub error: ExchangeError,
    /// A pooled connection was closed before the first byte of a response, or with a response that
    /// says so: the server had closed it while it was idle.
    pub is_stale: bool,
}

impl RelayFailure {
    fn new(error: ExchangeError) -> Self {
        Self {
            error,
            is_stale: false,
        }
    }

    fn stale(error: ExchangeError) -> Self {
        Self {
            error,
            is_stale: true,
        }
    }
}

/// Connects to a server of `upstream` and sends `head`. With `fresh`, pooled connections are not
/// used. `is_head` says that the method is HEAD.
pub(crate) async fn open(
    upstream: &Upstream,
    head: &[u8],
    is_head: bool,
    fresh: bool,
) -> Result<Relay, ExchangeError> {
    let connection = connect(upstream, Tried::default(), !fresh).await?;
    let mut relay = Relay::new(connection, is_head);
    let limit = relay.server.response_timeout();
    // Ignore an error of the write: reading the response reports it more precisely.
    match timeout(limit, relay.request.send_head(head)).await {
        Ok(_) => Ok(relay),
        Err(_) => Err(ExchangeError::timeout("the request was not read in time")),
    }
}

impl Relay {
    fn new(connection: UpstreamConnection, is_head: bool) -> Self {
        let UpstreamConnection {
            server,
            stream,
            is_pooled,
        } = connection;
        // One task uses both halves, so neither ever waits for the other.
        let (read_half, write_half) = split(stream);
        let response = ResponseSide {
            reader: ResponseReader::new(read_half, is_head),
            server: server.clone(),
            is_pooled,
            has_head: false,
        };
        Self {
            request: RequestSide(write_half),
            response,
            server,
        }
    }

    /// Returns the server that the request was sent to.
    pub(crate) fn server(&self) -> &Arc<UpstreamServer> {
        &self.server
    }

    /// Keeps the connection for another request, if the server allows that. To be called when both
    /// sides are done.
    pub(crate) fn finish(self) {
        if let Some(read_half) = self.response.reader.reuse() {
            pool::put(&self.server, read_half.unsplit(self.request.0));
        }
    }
}

impl RequestSide {
    async fn send_head(&mut self, head: &[u8]) -> io::Result<()> {
        self.0.write_all(head).await?;
        self.flush().await
    }

    /// Sends some of `bytes` and returns their number. Cancel safe.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes).await {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            sent => sent,
        }
    }

    /// Flushes buffered bytes to the socket.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }
}

impl ResponseSide {
    /// Returns the next part. Cancel safe.
    ///
    /// With `may_repeat`, the request can be sent again: a 408 on a connection that had been idle
    /// is then a stale connection, and not a response.
    pub(crate) async fn next(&mut self, may_repeat: bool) -> Result<ResponsePart, RelayFailure> {
        if !self.has_head {
            return self.head(may_repeat).await.map(ResponsePart::Head);
        }
        match self.reader.chunk().await {
            Ok(Some(part)) => Ok(ResponsePart::Body(part)),
            Ok(None) => Ok(ResponsePart::End),
            Err(error) => Err(RelayFailure::new(ExchangeError::truncated(&error))),
        }
    }

    async fn head(&mut self, may_repeat: bool) -> Result<ResponseHead, RelayFailure> {
        match self.reader.head().await {
            Ok(head) if may_repeat && self.is_pooled && head.is_idle_timeout() => {
                Err(RelayFailure::stale(ExchangeError::idle_timeout()))
            }
            Ok(head) => {
                self.server.record_response(head.status());
                self.has_head = true;
                Ok(head)
            }
            Err(error) if self.is_pooled && self.reader.is_silent() => {
                Err(RelayFailure::stale(ExchangeError::no_response(&error)))
            }
            Err(error) => Err(RelayFailure::new(ExchangeError::no_response(&error))),
        }
    }
}
