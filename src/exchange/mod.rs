//! Exchanges a verified message for the upstream's answer.
//!
//! A webhook is a message, not a stream: it is whole before the upstream sees its first byte, so it leaves in one
//! write, and it can be sent again when a pooled connection turns out to be dead. Pingora connects and reads the answer.

mod pool;
pub mod relay;
mod shared;

use crate::rejection::Rejection;
use crate::upstream::{ConnectError, Server, Upstream};
use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType};
use std::sync::Arc;
use thiserror::Error as ThisError;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout, timeout_at};

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
    pub head: Box<ResponseHeader>,
    session: HttpSession,
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
    let mut session = HttpSession::new(stream);
    match (timeout_at(deadline, read_head(&mut session)).await, written) {
        (Ok(Ok(head)), written) => Ok(Answer { head, session, server, was_taken: written.is_ok() }),
        (Ok(Err(error)), Ok(())) => {
            let is_stale = is_pooled && closed_before_answer(&error);
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

/// The head of the answer proper; informational ones (RFC 9110 section 15.2) before it are read and dropped.
async fn read_head(session: &mut HttpSession) -> pingora::Result<Box<ResponseHeader>> {
    loop {
        let head = session.read_resp_header_parts().await?;
        if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
            return Error::e_explain(ErrorType::InvalidHTTPHeader, "switches protocols, which was not asked for");
        }
        if !head.status.is_informational() {
            return Ok(head);
        }
    }
}

/// Whether the connection was closed before a byte of the answer: it was dying as the message was on its way.
///
/// Pingora says how much it had read only in the error's words.
fn closed_before_answer(error: &Error) -> bool {
    matches!(error.etype, ErrorType::ConnectionClosed | ErrorType::ReadError)
        && error.context.as_ref().is_some_and(|context| context.as_str().ends_with("bytes already read: 0"))
}

impl Answer {
    /// Who gave it.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The next part of the body, or `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        match timeout(self.server.response_timeout(), self.session.read_body_bytes()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(unreachable(format!("the answer broke off: {error}"))),
            Err(_) => Err(late("the answer's body stopped coming")),
        }
    }

    /// Keeps the connection for the next message, if the upstream agrees. To be called at the end of the body.
    pub async fn finish(mut self) {
        self.session.respect_keepalive();
        if let Some(stream) = self.session.reuse().await
            && self.was_taken
        {
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
