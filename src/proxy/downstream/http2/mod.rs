//! Serves an HTTP/2 connection, polling all of its requests in a single task to avoid wake-ups
//! across tasks.

mod allowance;
mod frames;
mod head;
mod header_block;
mod hpack;
mod huffman;
mod inbox;
mod reader;
mod request_builder;
mod session;

use crate::config::Limits;
use crate::http::timeout::sleep;
use crate::proxy::downstream::connection::Stream;
use crate::proxy::downstream::peer::Peer;
use crate::proxy::downstream::shutdown::{
    self, DRAIN_READ_TIMEOUT, KEEPALIVE_DRAIN_GRACE, after_shutdown,
};
use crate::proxy::gateway::Gateway;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use head::StreamHead;
use inbox::{Inbox, MAX_STREAMS};
use pingora::server::ShutdownWatch;
use reader::FrameReader;
use session::Http2;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time;

/// How long a client may take to acknowledge that no more requests are accepted. Requests that it
/// sends until then are served.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    /// No request has arrived yet.
    New,
    Open,
    /// A GOAWAY frame has asked the client to send no more requests.
    Leaving,
    /// The connection is being closed.
    Over,
}

/// Serves requests until the connection ends, or for as long as those in flight take once a drain
/// is signalled.
pub(super) async fn serve(
    gateway: &Gateway,
    stream: Stream,
    peer: Peer,
    mut shutdown: ShutdownWatch,
) {
    let limits = *gateway.gate.policy().limits();
    let inbox = Inbox::default();
    let peer = Arc::new(peer);
    let reader = FrameReader::new(stream, &limits, inbox.clone());
    let Some(connection) = handshake(reader, &limits, &mut shutdown).await else {
        return;
    };
    let mut connection = Http2Connection::new(connection, inbox.clone(), shutdown);
    loop {
        match connection.next_event(limits.idle_timeout).await {
            ConnectionEvent::Request(body, respond) => {
                let request = connection.accept(body, respond).into_iter();
                let answer =
                    |it: StreamRequest| it.answer(gateway, &peer, &inbox, limits.body_timeout);
                connection.in_flight.extend(request.map(answer));
            }
            ConnectionEvent::RequestFinished => {}
            ConnectionEvent::Unreadable(reason) => connection.abort(reason),
            ConnectionEvent::Draining => connection.leave(),
            ConnectionEvent::Idle => connection.end_idle(),
            ConnectionEvent::Ended => break,
        }
    }
    connection.finish().await;
}

/// Exchanges the prefaces (RFC 9113 section 3.4).
async fn handshake(
    reader: FrameReader,
    limits: &Limits,
    shutdown: &mut ShutdownWatch,
) -> Option<Connection<FrameReader, Bytes>> {
    tokio::select! {
        biased;
        connection = builder(limits).handshake(reader) => connection.ok(),
        () = after_shutdown(shutdown, DRAIN_READ_TIMEOUT) => None,
    }
}

fn builder(limits: &Limits) -> Builder {
    // Some clients do not send a head that exceeds the announced size. Announce more than is
    // accepted, so that the head is sent and the refusal says what is wrong.
    let header_list_size = u32::try_from(2 * limits.max_header_size).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder.max_concurrent_streams(MAX_STREAMS as u32);
    builder.max_header_list_size(header_list_size);
    builder
}

/// A connection and its requests in flight, whose futures are of type `F`.
struct Http2Connection<F> {
    connection: Connection<FrameReader, Bytes>,
    in_flight: FuturesUnordered<F>,
    inbox: Inbox,
    shutdown: ShutdownWatch,
    phase: Phase,
}

/// An event that the connection has to react to.
enum ConnectionEvent {
    /// A request has arrived, with this body.
    Request(RecvStream, SendResponse<Bytes>),
    RequestFinished,
    /// The client has sent something that ends the connection.
    Unreadable(Reason),
    /// The process is about to end.
    Draining,
    /// No request has been in flight for too long.
    Idle,
    /// The connection has ended, or is broken.
    Ended,
}

impl<F: Future<Output = ()>> Http2Connection<F> {
    fn new(
        connection: Connection<FrameReader, Bytes>,
        inbox: Inbox,
        shutdown: ShutdownWatch,
    ) -> Self {
        Self {
            connection,
            in_flight: FuturesUnordered::new(),
            inbox,
            shutdown,
            phase: Phase::New,
        }
    }

    /// Waits for the next event, while the requests in flight make progress.
    async fn next_event(&mut self, idle_timeout: Duration) -> ConnectionEvent {
        let phase = self.phase;
        let is_idle = self.in_flight.is_empty() && phase != Phase::Over;
        let timeout = is_idle.then(|| self.patience(idle_timeout));
        let accepted = tokio::select! {
            biased;
            reason = unreadable(&self.inbox), if phase != Phase::Over => {
                return ConnectionEvent::Unreadable(reason);
            }
            () = draining(&mut self.shutdown, phase), if phase < Phase::Leaving => {
                return ConnectionEvent::Draining;
            }
            Some(()) = self.in_flight.next() => return ConnectionEvent::RequestFinished,
            accepted = self.connection.accept() => accepted,
            () = idle(timeout) => return ConnectionEvent::Idle,
        };
        let Some(Ok((request, respond))) = accepted else {
            return ConnectionEvent::Ended;
        };
        if phase == Phase::New {
            self.phase = Phase::Open;
        }
        ConnectionEvent::Request(request.into_body(), respond)
    }

    /// Returns how long the connection may be idle.
    fn patience(&self, idle_timeout: Duration) -> Duration {
        match self.phase {
            Phase::Leaving if *self.shutdown.borrow() => KEEPALIVE_DRAIN_GRACE,
            Phase::Leaving => GOAWAY_TIMEOUT,
            _ => idle_timeout,
        }
    }

    /// Returns a request that has arrived with its head, or refuses it if there are too many.
    fn accept(&self, body: RecvStream, mut respond: SendResponse<Bytes>) -> Option<StreamRequest> {
        let head = self.inbox.take(respond.stream_id().as_u32());
        // A request that the client has reset counts until it has been dropped here.
        let is_accepted = self.in_flight.len() < MAX_STREAMS;
        let Some(head) = head.filter(|_| is_accepted) else {
            respond.send_reset(Reason::REFUSED_STREAM);
            return None;
        };
        Some(StreamRequest {
            head,
            body,
            respond,
        })
    }

    /// Announces which requests are still served, so that the client sends the others elsewhere.
    fn leave(&mut self) {
        self.connection.graceful_shutdown();
        self.phase = Phase::Leaving;
    }

    fn abort(&mut self, reason: Reason) {
        self.connection.abrupt_shutdown(reason);
        self.phase = Phase::Over;
    }

    /// Ends an idle connection in two steps: closing it without an announcement would lose a
    /// request that is on its way.
    fn end_idle(&mut self) {
        match self.phase {
            Phase::Leaving => self.abort(Reason::NO_ERROR),
            _ => self.leave(),
        }
    }

    /// Waits for the requests in flight, which record how they end. An application that has been
    /// sent a notification is not abandoned in the middle of it.
    async fn finish(mut self) {
        // Only dropping the connection makes h2 report a failed write to the requests that wait to
        // write.
        drop(self.connection);
        while self.in_flight.next().await.is_some() {}
    }
}

/// Completes when the process is about to end. A connection that it has accepted is served its
/// first request.
async fn draining(shutdown: &mut ShutdownWatch, phase: Phase) {
    shutdown::signalled(shutdown).await;
    if phase == Phase::New {
        time::sleep(KEEPALIVE_DRAIN_GRACE).await;
    }
}

/// Completes after `timeout`, if there is one. Otherwise no timer is set up.
async fn idle(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => sleep(timeout).await,
        None => pending().await,
    }
}

/// Completes when the connection cannot continue. Its reader then wakes this task.
async fn unreadable(inbox: &Inbox) -> Reason {
    poll_fn(|_| inbox.end().map_or(Poll::Pending, Poll::Ready)).await
}

/// A request, and the stream that it arrived on.
struct StreamRequest {
    head: StreamHead,
    body: RecvStream,
    respond: SendResponse<Bytes>,
}

impl StreamRequest {
    async fn answer(
        self,
        gateway: &Gateway,
        peer: &Arc<Peer>,
        inbox: &Inbox,
        write_timeout: Duration,
    ) {
        let Self {
            head: StreamHead { head, rejection },
            body,
            respond,
        } = self;
        let mut session = Http2::new(
            peer.clone(),
            inbox.clone(),
            &head,
            body,
            respond,
            write_timeout,
        );
        gateway.serve(&mut session, &head, rejection).await;
    }
}
