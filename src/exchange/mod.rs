//! Exchanges a verified message for the upstream's answer.
//!
//! A webhook is a message, not a stream: it is whole before the upstream sees its first byte, so it leaves in one
//! write, and it can be sent again when a pooled connection turns out to be dead. Pingora connects and reads the answer.

mod pool;

use crate::config::Upstream;
use bytes::Bytes;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error as ThisError;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout, timeout_at};

/// How long an upstream may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For each attempt to connect.
    pub connect: Duration,
    /// From the last byte of the request to the head of the answer, and between two parts of its body.
    pub response: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), response: Duration::from_secs(30) }
    }
}

/// Why there is no answer.
#[derive(Debug, ThisError)]
pub enum ExchangeError {
    /// The connection was refused or broken, or the answer is not HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
}

/// Sends messages, and keeps connections for the next ones.
pub struct Exchange {
    connector: TransportConnector,
    timeouts: Timeouts,
}

/// An upstream's answer: its head, and a body that is still to be read.
pub struct Answer {
    /// The head. Its status is never informational.
    pub head: Box<ResponseHeader>,
    session: HttpSession,
    upstream: Upstream,
    timeouts: Timeouts,
    /// Whether the upstream took the whole message before it answered.
    was_taken: bool,
}

/// An attempt that failed.
struct Failure {
    error: ExchangeError,
    /// Nothing was sent, or a pooled connection was closed before a byte of the answer: the upstream has not acted on
    /// the message, as far as can be known.
    may_repeat: bool,
}

impl Exchange {
    /// An exchange that has connected to nothing yet.
    pub fn new(timeouts: Timeouts) -> Self {
        // Pingora's own pool stays empty: see `pool`.
        Self { connector: TransportConnector::new(Some(ConnectorOptions::new(1))), timeouts }
    }

    /// Sends `message`, a request with its body, and waits for the head of the answer.
    ///
    /// A message that could not be delivered because the connection was refused, or was pooled and turned out to be
    /// closed, is sent again once on a fresh connection: a duplicate is better than a lost alert.
    pub async fn send(&self, upstream: &Upstream, message: &[u8]) -> Result<Answer, ExchangeError> {
        match self.attempt(upstream, pool::take(upstream), message).await {
            Ok(answer) => Ok(answer),
            Err(Failure { error, may_repeat: false }) => Err(error),
            Err(Failure { error, may_repeat: true }) => {
                tracing::debug!(%upstream, %error, "sending again on a fresh connection");
                self.attempt(upstream, None, message).await.map_err(|failure| failure.error)
            }
        }
    }

    async fn attempt(&self, upstream: &Upstream, pooled: Option<Stream>, message: &[u8]) -> Result<Answer, Failure> {
        let is_pooled = pooled.is_some();
        let mut stream = match pooled {
            Some(stream) => stream,
            None => self.connect(upstream).await.map_err(|error| Failure { error, may_repeat: true })?,
        };
        let deadline = Instant::now() + self.timeouts.response;
        let write = async {
            stream.write_all(message).await?;
            stream.flush().await
        };
        let written = match timeout_at(deadline, write).await {
            // An application may answer and close before it has taken everything: that answer counts.
            Ok(written) => written,
            Err(_) => return Err(Failure { error: late("the message was not taken in time"), may_repeat: false }),
        };
        let mut session = HttpSession::new(stream);
        match (timeout_at(deadline, read_head(&mut session)).await, written) {
            (Ok(Ok(head)), written) => {
                let (upstream, timeouts) = (upstream.clone(), self.timeouts);
                Ok(Answer { head, session, upstream, timeouts, was_taken: written.is_ok() })
            }
            (Ok(Err(error)), Ok(())) => {
                let may_repeat = is_pooled && closed_before_answer(&error);
                Err(Failure { error: unreachable(format!("no answer: {error}")), may_repeat })
            }
            (Ok(Err(_)), Err(error)) => {
                Err(Failure { error: unreachable(format!("cannot send: {error}")), may_repeat: is_pooled })
            }
            (Err(_), _) => Err(Failure { error: late("no answer in time"), may_repeat: false }),
        }
    }

    async fn connect(&self, upstream: &Upstream) -> Result<Stream, ExchangeError> {
        let connect = async {
            let peer = resolve(upstream).await?;
            let stream = self.connector.new_stream(&peer).await;
            stream.map_err(|error| unreachable(format!("cannot connect: {error}")))
        };
        timeout(self.timeouts.connect, connect).await.unwrap_or_else(|_| Err(late("no connection in time")))
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

async fn resolve(upstream: &Upstream) -> Result<HttpPeer, ExchangeError> {
    match upstream {
        Upstream::Tcp { host, port } => {
            let address = match host.parse() {
                Ok(address) => SocketAddr::new(address, *port),
                Err(_) => tokio::net::lookup_host((host.as_str(), *port))
                    .await
                    .map_err(|error| unreachable(format!("cannot resolve {host}: {error}")))?
                    .next()
                    .ok_or_else(|| unreachable(format!("{host} has no address")))?,
            };
            Ok(HttpPeer::new(address, false, String::new()))
        }
        Upstream::Unix(path) => HttpPeer::new_uds(&path.to_string_lossy(), false, String::new())
            .map_err(|error| unreachable(format!("{} is no path of a socket: {error}", path.display()))),
    }
}

impl Answer {
    /// The next part of the body, or `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        match timeout(self.timeouts.response, self.session.read_body_bytes()).await {
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
            pool::put(&self.upstream, stream);
        }
    }
}

fn unreachable(message: String) -> ExchangeError {
    ExchangeError::Unreachable(message)
}

fn late(message: &str) -> ExchangeError {
    ExchangeError::Timeout(message.to_owned())
}
