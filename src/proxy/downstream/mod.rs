//! Serves one connection: reads each HTTP/1.1 head whole, judges its framing, and has the request
//! answered.
//!
//! Pingora's own reading of a head has no deadline, allows a megabyte, and repairs what it should
//! refuse. Here a head arrives in time and in bounds and can be read in one way only, before
//! anybody acts on it.

mod chunked;
mod http1;
mod http2;

use crate::http::framing;
use crate::http::read::read;
use crate::http::request_head::{Head, Version};
use crate::http::timeout::{Deadline, timeout};
use crate::proxy::session::{Peer, Session as _};
use crate::proxy::{Gate, Gateway};
use crate::rejection::Rejection;
use crate::telemetry::Monitor;
use bytes::BytesMut;
use http1::Http1;
use pingora::protocols::{ALPN, Digest, Stream};
use pingora::server::ShutdownWatch;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

/// How long a connection without a request is kept when the process is to end. What has been sent
/// just now arrives and is answered, with word that the connection closes; closing at once would
/// lose it.
pub(crate) const LAST_CALL: Duration = Duration::from_secs(1);

/// How long what has begun may then take to become a request, and how long a body may keep the
/// process waiting for its next part.
pub(crate) const LAST_PART: Duration = Duration::from_millis(1500);

/// For how much longer than promised a connection is kept. A client that uses it as long as it may
/// be idle is answered: a request that meets the end of its connection on the way is lost.
const GRACE: Duration = Duration::from_millis(500);

/// How long a refused sender may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// The same, when the process is to end.
const LAST_FAREWELL: Duration = Duration::from_millis(500);

/// What every downstream connection is served by.
pub struct Downstream {
    pub(super) gateway: Gateway,
}

/// Why there is no head.
enum NoHead {
    /// The sender closed the connection, or was silent for too long, between requests.
    Idle,
    /// It is refused; what is known of it is made a head of.
    Refused(Head, Rejection),
}

impl Downstream {
    /// Serves requests through `gate`, of which `monitor` is told.
    pub fn new(gate: Arc<Gate>, draining: ShutdownWatch, monitor: Arc<Monitor>) -> Self {
        Self {
            gateway: Gateway::new(gate, draining, monitor),
        }
    }

    /// Serves requests until the connection ends. A drain that is signalled through `shutdown` lets
    /// the request in flight finish. `is_anonymous` says that a balancer is at the other end, and
    /// has not said for which client.
    pub async fn serve(&self, stream: Stream, is_anonymous: bool, shutdown: ShutdownWatch) {
        let peer = Peer {
            digest: digest(&stream),
            is_anonymous,
            shutdown: shutdown.clone(),
        };
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            // One of these lives as long as its connection, but most connections are not of this
            // kind.
            return Box::pin(http2::serve(self, stream, peer, shutdown)).await;
        }
        self.serve_http1(stream, &peer, shutdown).await;
    }

    async fn serve_http1(&self, mut stream: Stream, peer: &Peer, mut shutdown: ShutdownWatch) {
        let mut input = BytesMut::new();
        loop {
            let (head, rejection) =
                match self.read_head(&mut stream, &mut input, &mut shutdown).await {
                    Ok(head) => (head, None),
                    Err(NoHead::Idle) => return close(stream).await,
                    Err(NoHead::Refused(head, rejection)) => (head, Some(rejection)),
                };
            let limit = self.gateway.gate.policy().limits().body_timeout;
            let mut session = Http1::new(&mut stream, peer, &mut input, &head, limit);
            let is_refused = rejection.is_some();
            if is_refused || *shutdown.borrow() {
                session.close_after();
            }
            // What follows is large while it lasts, and most of the time a connection is idle.
            Box::pin(self.gateway.serve(&mut session, &head, rejection)).await;
            let has_rest = is_refused || !session.is_body_done();
            match session.is_reusable() {
                true => {}
                false if has_rest => return part(stream, &mut shutdown).await,
                false => return close(stream).await,
            }
        }
    }

    /// Reads until a head is complete; what follows it in the same read stays behind in `input`.
    async fn read_head(
        &self,
        stream: &mut Stream,
        input: &mut BytesMut,
        shutdown: &mut ShutdownWatch,
    ) -> Result<Head, NoHead> {
        let limits = *self.gateway.gate.policy().limits();
        if input.is_empty() {
            let first = tokio::select! {
                biased;
                first = timeout(limits.idle_timeout + GRACE, read(stream, input)) => first,
                () = over(shutdown, LAST_CALL) => return Err(NoHead::Idle),
            };
            if !matches!(first, Ok(Ok(1..))) {
                return Err(NoHead::Idle);
            }
        }
        // From here on a head is in flight, which a drain waits for, though not for as long.
        let mut deadline = None;
        loop {
            // An empty line before the request line is to be ignored (RFC 9112 section 2.2).
            while input.starts_with(b"\r\n") {
                let _ = input.split_to(2);
            }
            let length = framing::head_length(input);
            if length.unwrap_or(input.len()) > limits.max_header_size {
                return Err(NoHead::refused(
                    input,
                    Rejection::HeaderTooLarge(limits.max_header_size),
                ));
            }
            if let Some(length) = length {
                let head = input.split_to(length).freeze();
                return framing::parse(head.clone())
                    .map_err(|rejection| NoHead::refused(&head, rejection));
            }
            framing::check_unfinished(input)
                .map_err(|rejection| NoHead::refused(input, rejection))?;
            let deadline = deadline.get_or_insert_with(|| Deadline::after(limits.header_timeout));
            let more = tokio::select! {
                biased;
                more = deadline.wait(read(stream, input)) => more,
                () = over(shutdown, LAST_PART) => return Err(NoHead::Idle),
            };
            match more {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(NoHead::Idle),
                Err(_) => return Err(NoHead::refused(input, Rejection::Timeout("head"))),
            }
        }
    }
}

/// What is known about a connection.
fn digest(stream: &Stream) -> Digest {
    Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: Vec::new(),
        proxy_digest: None,
        socket_digest: stream.get_socket_digest(),
    }
}

/// Returns when the process is to end.
pub(super) async fn draining(shutdown: &mut ShutdownWatch) {
    // An error says that nobody can signal any more, which is as good as the signal.
    let _ = shutdown.wait_for(|draining| *draining).await;
}

/// Returns when it is, and another `grace` has passed.
pub(crate) async fn over(shutdown: &mut ShutdownWatch, grace: Duration) {
    draining(shutdown).await;
    sleep(grace).await;
}

impl NoHead {
    /// Of the `bytes` of a head, only what they ask for is of interest, as far as it can be told.
    fn refused(bytes: &[u8], rejection: Rejection) -> Self {
        let (method, target) = framing::glimpse(bytes).unwrap_or_default();
        let method = std::str::from_utf8(method).unwrap_or_default();
        Self::Refused(
            Head::from_parts(Version::Http11, method, target, std::iter::empty()),
            rejection,
        )
    }
}

/// Closes a connection on which there is something that has not been read. Closing with unread data
/// would reset it, and the sender might never see why it was refused.
async fn part(mut stream: Stream, shutdown: &mut ShutdownWatch) {
    let farewell = async {
        stream.shutdown().await?;
        let mut discarded = BytesMut::new();
        while read(&mut stream, &mut discarded).await? > 0 {
            discarded.clear();
        }
        Ok::<_, std::io::Error>(())
    };
    // Whether it was heard makes no difference.
    tokio::select! {
        _ = timeout(FAREWELL, farewell) => {}
        () = over(shutdown, LAST_FAREWELL) => {}
    }
}

async fn close(mut stream: Stream) {
    let _ = timeout(FAREWELL, AsyncWriteExt::shutdown(&mut stream)).await;
}
