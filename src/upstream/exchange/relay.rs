//! An exchange of which neither side waits for the other to finish: the request's body is sent as
//! it arrives, and the answer may come at any time.

use super::response_reader::AnswerReader;
use super::{ExchangeError, IDLE_TIMEOUT, connect, late, pool, unreachable};
use crate::http::response_head::ResponseHead;
use crate::http::timeout::timeout;
use crate::upstream::{Server, Tried, Upstream};
use bytes::Bytes;
use pingora::protocols::Stream;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf, split};

/// A connection over which a request's head has been sent.
pub struct Relay {
    /// Where the rest of the request goes.
    pub request: RequestSide,
    /// Where the answer comes from.
    pub answer: AnswerSide,
    server: Arc<Server>,
}

/// Takes the request.
pub struct RequestSide(WriteHalf<Stream>);

/// Gives the answer.
pub struct AnswerSide {
    reader: AnswerReader<ReadHalf<Stream>>,
    server: Arc<Server>,
    is_pooled: bool,
    has_head: bool,
}

/// What comes from the server.
pub enum Part {
    /// The head of the answer. Its status is never informational.
    Head(ResponseHead),
    /// A part of its body.
    Body(Bytes),
    /// Its end.
    End,
}

/// Why no answer comes.
pub struct NoAnswer {
    /// What happened.
    pub error: ExchangeError,
    /// Whether a pooled connection was closed before a byte of the answer, or with an answer that
    /// says no more than that: the server was about to close it anyway.
    pub is_stale: bool,
}

/// Connects to a server of `upstream`, and sends `head`. `fresh` takes no connection that was used
/// before.
pub async fn open(
    upstream: &Upstream,
    head: &[u8],
    is_head: bool,
    fresh: bool,
) -> Result<Relay, ExchangeError> {
    let connection = connect(upstream, Tried::default(), !fresh).await?;
    let (server, is_pooled) = (connection.server, connection.is_pooled);
    // One task uses both halves, so neither ever waits for the other.
    let (read_half, write_half) = split(connection.stream);
    let mut request = RequestSide(write_half);
    let write = async {
        request.0.write_all(head).await?;
        request.0.flush().await
    };
    // A server that has gone is noticed when its answer is read, which says more.
    let written = timeout(server.response_timeout(), write).await;
    if written.is_err() {
        return Err(late("the head was not taken in time"));
    }
    let reader = AnswerReader::new(read_half, is_head);
    let answer = AnswerSide {
        reader,
        server: server.clone(),
        is_pooled,
        has_head: false,
    };
    Ok(Relay {
        request,
        answer,
        server,
    })
}

impl Relay {
    /// Who answers.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Keeps the connection for another request, if the server agrees. To be called when both sides
    /// are done.
    pub fn finish(self) {
        let Self {
            request,
            answer,
            server,
        } = self;
        if let Some(read_half) = answer.reader.reuse() {
            pool::put(&server, read_half.unsplit(request.0));
        }
    }
}

impl RequestSide {
    /// Sends some of `bytes`, and returns how many. Nothing is lost if this is cancelled.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes).await {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            sent => sent,
        }
    }

    /// Makes sure that what was sent is on its way.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }
}

impl AnswerSide {
    /// What comes next. Nothing is lost if this is cancelled.
    ///
    /// With `may_repeat`, the request can be sent again, so that an answer which says that an idle
    /// connection was closed is none.
    pub async fn next(&mut self, may_repeat: bool) -> Result<Part, NoAnswer> {
        if !self.has_head {
            return match self.reader.head().await {
                Ok(head) if may_repeat && self.is_pooled && head.is_idle_timeout() => {
                    Err(NoAnswer {
                        error: unreachable(IDLE_TIMEOUT.to_owned()),
                        is_stale: true,
                    })
                }
                Ok(head) => {
                    self.server.answered(head.status());
                    self.has_head = true;
                    Ok(Part::Head(head))
                }
                Err(error) => {
                    let is_stale = self.is_pooled && self.reader.is_silent();
                    Err(NoAnswer {
                        error: unreachable(format!("no answer: {error}")),
                        is_stale,
                    })
                }
            };
        }
        match self.reader.chunk().await {
            Ok(Some(part)) => Ok(Part::Body(part)),
            Ok(None) => Ok(Part::End),
            Err(error) => {
                let error = unreachable(format!("the answer broke off: {error}"));
                Err(NoAnswer {
                    error,
                    is_stale: false,
                })
            }
        }
    }
}
