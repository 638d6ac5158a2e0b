//! Exchanges a verified message for the upstream's answer.
//!
//! A webhook is a message, not a stream: it is whole before the upstream sees its first byte, so it
//! leaves in one write, and it can be sent again when the connection breaks before an answer.
//! Pingora connects.

mod pool;
pub mod relay;
mod response_body;
mod response_reader;

use crate::http::response_head::ResponseHead;
use crate::http::timeout::{Deadline, timeout};
use crate::rejection::Rejection;
use crate::upstream::{ConnectError, Server, Tried, Upstream};
use bytes::{Buf as _, Bytes, BytesMut};
use pingora::protocols::Stream;
use response_reader::AnswerReader;
use std::sync::Arc;
use thiserror::Error as ThisError;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

/// What a 408 on a connection that was idle says (RFC 9110 section 15.5.9).
const IDLE_TIMEOUT: &str = "no answer: the connection had been idle for too long";

/// Why there is no answer.
#[derive(Debug, ThisError)]
pub enum ExchangeError {
    /// The connection was refused or broken, or the answer is not HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
    /// There is no server to try: no address of any is known.
    #[error("no address of a server is known")]
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

/// A request: its head, and its body behind it.
#[derive(Debug)]
pub struct Message {
    /// The head, and a small body with it, so that both leave in one piece.
    pub head: BytesMut,
    /// What is left of the body, which is large and not copied for that.
    pub body: Bytes,
}

/// An upstream's answer: its head, and a body that is still to be read.
pub struct Answer {
    /// The head. Its status is never informational.
    pub head: ResponseHead,
    reader: AnswerReader<Stream>,
    server: Arc<Server>,
    /// Whether the upstream took the whole message before it answered.
    was_taken: bool,
}

/// An attempt that failed.
struct Failure {
    error: ExchangeError,
    /// The server, if it may be that it has not acted on the message: the connection broke before a
    /// byte of the answer. A server that is late may be at work.
    unanswered_by: Option<Arc<Server>>,
}

/// A connection that is ready for a request.
struct Connection {
    server: Arc<Server>,
    stream: Stream,
    is_pooled: bool,
}

/// Sends `message`, a request with its body, and waits for the head of the answer.
///
/// One whose connection broke before a byte of the answer is sent again once, over a fresh
/// connection, and to another server if there is one: a duplicate is better than a lost alert.
pub async fn send(upstream: &Upstream, message: &Message) -> Result<Answer, ExchangeError> {
    let connection = connect(upstream, Tried::default(), true).await?;
    let is_pooled = connection.is_pooled;
    let (server, error) = match attempt(connection, message).await {
        Ok(answer) if is_pooled && answer.head.is_idle_timeout() => {
            (answer.server, unreachable(IDLE_TIMEOUT.to_owned()))
        }
        Ok(answer) => return Ok(answer),
        Err(Failure {
            error,
            unanswered_by: None,
        }) => return Err(error),
        Err(Failure {
            error,
            unanswered_by: Some(server),
        }) => (server, error),
    };
    tracing::debug!(event = "upstream_retried", %upstream, %server, %error, "retrying on a new connection");
    let again = connect(upstream, Tried::broke(&server), false).await?;
    attempt(again, message)
        .await
        .map_err(|Failure { error, .. }| error)
}

/// A connection to the next server of `upstream`. One that cannot be connected to is passed over.
async fn connect(
    upstream: &Upstream,
    tried: Tried,
    may_be_pooled: bool,
) -> Result<Connection, ExchangeError> {
    let server = upstream
        .choose(&tried)
        .await
        .ok_or(ExchangeError::Unavailable)?;
    if may_be_pooled && let Some(stream) = pool::take(&server) {
        return Ok(Connection {
            server,
            stream,
            is_pooled: true,
        });
    }
    // Most requests need not pay for the room that this takes.
    Box::pin(connect_anew(upstream, server, tried)).await
}

async fn connect_anew(
    upstream: &Upstream,
    mut server: Arc<Server>,
    mut tried: Tried,
) -> Result<Connection, ExchangeError> {
    let started = Instant::now();
    loop {
        let error = match server.connect().await {
            Ok(stream) => {
                server.worked();
                return Ok(Connection {
                    server,
                    stream,
                    is_pooled: false,
                });
            }
            Err(error) => error,
        };
        server.failed(&error);
        tried.note_unreachable(&server, started.elapsed());
        let Some(next) = upstream.choose(&tried).await else {
            return Err(error.into());
        };
        tracing::debug!(event = "upstream_failover", %server, %next, %error, "trying the next upstream server");
        server = next;
    }
}

async fn attempt(connection: Connection, message: &Message) -> Result<Answer, Failure> {
    let Connection {
        server, mut stream, ..
    } = connection;
    let mut deadline = Deadline::after(server.response_timeout());
    let write = async {
        // One system call, where the connection takes so much.
        stream
            .write_all_buf(&mut (&message.head[..]).chain(&message.body[..]))
            .await?;
        stream.flush().await
    };
    // An application may answer and close before it has taken everything: that answer counts.
    let Ok(written) = deadline.wait(write).await else {
        return Err(Failure {
            error: late("the message was not taken in time"),
            unanswered_by: None,
        });
    };
    let mut reader = AnswerReader::new(stream, false);
    let error = match deadline.wait(reader.head()).await {
        Ok(Ok(head)) => {
            server.answered(head.status());
            return Ok(Answer {
                head,
                reader,
                server,
                was_taken: written.is_ok(),
            });
        }
        Ok(Err(error)) => error,
        Err(_) => {
            return Err(Failure {
                error: late("no answer in time"),
                unanswered_by: None,
            });
        }
    };
    let unanswered_by = reader.is_silent().then_some(server);
    let error = match written {
        Ok(()) => format!("no answer: {error}"),
        Err(error) => format!("cannot send: {error}"),
    };
    Err(Failure {
        error: unreachable(error),
        unanswered_by,
    })
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

    /// Keeps the connection for the next message, if the upstream agrees. To be called at the end
    /// of the body.
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
