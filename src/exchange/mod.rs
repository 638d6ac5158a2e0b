//! Exchanges a verified message for the upstream's answer.
//!
//! A webhook is a message, not a stream: it is whole before the upstream sees its first byte, so it leaves in one
//! write, and it can be sent again when a pooled connection turns out to be dead. Pingora connects.

mod answer;
mod body;
mod pool;
pub mod relay;

use crate::answer_head::AnswerHead;
use crate::patience::timeout;
use crate::rejection::Rejection;
use crate::upstream::{ConnectError, Server, Upstream};
use answer::AnswerReader;
use bytes::Bytes;
use pingora::protocols::Stream;
use std::sync::Arc;
use thiserror::Error as ThisError;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};

/// Why there is no answer.
#[derive(Debug, ThisError)]
pub enum ExchangeError {
    /// The connection was refused or broken, or the answer is not HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
    /// No server is well.
    #[error("no server of the group is well")]
    Unavailable,
}

impl ExchangeError {
    /// What the sender is told.
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Unreachable(_) => Rejection::UpstreamUnreachable,
            Self::Timeout(_) => Rejection::UpstreamTimeout,
            Self::Unavailable => Rejection::UpstreamUnavailable,
        }
    }
}

impl From<ConnectError> for ExchangeError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused(message) => Self::Unreachable(message),
            ConnectError::Late(message) => Self::Timeout(message),
        }
    }
}

/// An upstream's answer: its head, and a body that is still to be read.
pub struct Answer {
    /// The head. Its status is never informational.
    pub head: AnswerHead,
    reader: AnswerReader<Stream>,
    server: Arc<Server>,
    /// Whether the upstream took the whole message before it answered.
    was_taken: bool,
}

/// An attempt that failed.
enum Failure {
    /// A pooled connection was closed before a byte of the answer: the upstream has not acted on the message, as far
    /// as can be known.
    Stale(ExchangeError),
    /// The upstream may have acted on it.
    Sent(ExchangeError),
}

/// A connection that is ready for a request.
struct Connection {
    server: Arc<Server>,
    stream: Stream,
    is_pooled: bool,
}

/// Sends `message`, a request with its body, and waits for the head of the answer.
///
/// One that went over a pooled connection that turned out to be closed is sent again once on a fresh one: a duplicate is
/// better than a lost alert.
pub async fn send(upstream: &Upstream, message: &[u8]) -> Result<Answer, ExchangeError> {
    match attempt(connect(upstream, true).await?, message).await {
        Ok(answer) => Ok(answer),
        Err(Failure::Sent(error)) => Err(error),
        Err(Failure::Stale(error)) => {
            tracing::debug!(%upstream, %error, "sending again on a fresh connection");
            let again = attempt(connect(upstream, false).await?, message).await;
            again.map_err(|(Failure::Stale(error) | Failure::Sent(error))| error)
        }
    }
}

/// A connection to the next server of `upstream`. One that cannot be connected to is passed over.
async fn connect(upstream: &Upstream, may_be_pooled: bool) -> Result<Connection, ExchangeError> {
    let server = upstream.choose(&[]).await.ok_or(ExchangeError::Unavailable)?;
    if may_be_pooled && let Some(stream) = pool::take(&server) {
        return Ok(Connection { server, stream, is_pooled: true });
    }
    // Most requests need not pay for the room that this takes.
    Box::pin(connect_anew(upstream, server)).await
}

async fn connect_anew(upstream: &Upstream, mut server: Arc<Server>) -> Result<Connection, ExchangeError> {
    let mut tried = Vec::new();
    loop {
        let error = match server.connect().await {
            Ok(stream) => {
                server.worked();
                return Ok(Connection { server, stream, is_pooled: false });
            }
            Err(error) => error,
        };
        server.failed(&error);
        tried.push(server.id());
        let Some(next) = upstream.choose(&tried).await else { return Err(error.into()) };
        tracing::debug!(%server, %next, %error, "trying the next server");
        server = next;
    }
}

async fn attempt(connection: Connection, message: &[u8]) -> Result<Answer, Failure> {
    let Connection { server, mut stream, is_pooled } = connection;
    let deadline = Instant::now() + server.response_timeout();
    let write = async {
        stream.write_all(message).await?;
        stream.flush().await
    };
    let written = match timeout_at(deadline, write).await {
        // An application may answer and close before it has taken everything: that answer counts.
        Ok(written) => written,
        Err(_) => return Err(Failure::Sent(late("the message was not taken in time"))),
    };
    let mut reader = AnswerReader::new(stream, false);
    match (timeout_at(deadline, reader.head()).await, written) {
        (Ok(Ok(head)), written) => Ok(Answer { head, reader, server, was_taken: written.is_ok() }),
        (Ok(Err(error)), Ok(())) => {
            let is_stale = is_pooled && reader.is_silent();
            let error = unreachable(format!("no answer: {error}"));
            Err(if is_stale { Failure::Stale(error) } else { Failure::Sent(error) })
        }
        (Ok(Err(_)), Err(error)) => {
            let error = unreachable(format!("cannot send: {error}"));
            Err(if is_pooled { Failure::Stale(error) } else { Failure::Sent(error) })
        }
        (Err(_), _) => Err(Failure::Sent(late("no answer in time"))),
    }
}

impl Answer {
    /// Who gave it.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The next part of the body, or `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        match timeout(self.server.response_timeout(), self.reader.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(unreachable(format!("the answer broke off: {error}"))),
            Err(_) => Err(late("the answer's body stopped coming")),
        }
    }

    /// Keeps the connection for the next message, if the upstream agrees. To be called at the end of the body.
    pub fn finish(self) {
        if let Some(stream) = self.reader.reuse().filter(|_| self.was_taken) {
            pool::put(&self.server, stream);
        }
    }
}

fn unreachable(message: String) -> ExchangeError {
    ExchangeError::Unreachable(message)
}

fn late(message: &str) -> ExchangeError {
    ExchangeError::Timeout(message.to_owned())
}
