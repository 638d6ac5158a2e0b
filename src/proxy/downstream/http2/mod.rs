//! Serves an HTTP/2 connection: all of its requests in one task, which wakes no other.

mod head;
mod hpack;
mod huffman;
mod reader;
mod session;

use crate::http::timeout::sleep;
use crate::proxy::downstream::peer::Peer;
use crate::proxy::downstream::shutdown::{
    self, DRAIN_READ_TIMEOUT, KEEPALIVE_DRAIN_GRACE, after_shutdown,
};
use crate::proxy::gateway::Gateway;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use head::StreamHead;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use reader::{FrameReader, Inbox, MAX_STREAMS};
use session::Http2;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time;

/// How long a client may take to acknowledge that no more requests are served: what it has sent
/// until then is.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(5);

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request has come on it.
    New,
    Open,
    /// The client has been told that no more requests are served than those that it has sent.
    Leaving,
    /// It has been told that this is the end.
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
    let (inbox, peer) = (Inbox::default(), Arc::new(peer));
    let reader = FrameReader::new(stream, &limits, inbox.clone());
    let mut builder = Builder::new();
    builder.max_concurrent_streams(MAX_STREAMS as u32);
    // What is beyond this, some clients do not even send. So that a refusal says why, it has room.
    builder.max_header_list_size(u32::try_from(2 * limits.max_header_size).unwrap_or(u32::MAX));
    let handshake = builder.handshake::<_, Bytes>(reader);
    let connection = tokio::select! {
        biased;
        connection = handshake => connection,
        () = after_shutdown(&mut shutdown, DRAIN_READ_TIMEOUT) => return,
    };
    let Ok(mut connection) = connection else {
        return;
    };
    let mut in_flight = FuturesUnordered::new();
    let mut phase = Phase::New;
    loop {
        let patience = match phase {
            Phase::Leaving if *shutdown.borrow() => KEEPALIVE_DRAIN_GRACE,
            Phase::Leaving => GOAWAY_TIMEOUT,
            _ => limits.idle_timeout,
        };
        let is_idle = in_flight.is_empty() && phase != Phase::Over;
        let accepted = tokio::select! {
            biased;
            reason = cut_off(&inbox), if phase != Phase::Over => {
                connection.abrupt_shutdown(reason);
                phase = Phase::Over;
                continue;
            }
            () = call(&mut shutdown, phase), if matches!(phase, Phase::New | Phase::Open) => {
                // The sender learns which requests are still served, and sends the others
                // elsewhere.
                connection.graceful_shutdown();
                phase = Phase::Leaving;
                continue;
            }
            Some(()) = in_flight.next() => continue,
            accepted = connection.accept() => accepted,
            () = sleep(patience), if is_idle => {
                // Closing without a word would lose what is being sent just now.
                match phase {
                    Phase::Leaving => connection.abrupt_shutdown(Reason::NO_ERROR),
                    _ => connection.graceful_shutdown(),
                }
                phase = if phase == Phase::Leaving { Phase::Over } else { Phase::Leaving };
                continue;
            }
        };
        // None says that the connection has ended; an error, that it is broken.
        let Some(Ok((request, mut respond))) = accepted else {
            break;
        };
        if phase == Phase::New {
            phase = Phase::Open;
        }
        match inbox.take(respond.stream_id().as_u32()) {
            // One that the client has reset is in flight as long as it keeps something busy here.
            Some(received) if in_flight.len() < MAX_STREAMS => {
                let request = StreamRequest {
                    received,
                    body: request.into_body(),
                    respond,
                };
                in_flight.push(request.answer(gateway, &peer, &inbox, limits.body_timeout));
            }
            _ => respond.send_reset(Reason::REFUSED_STREAM),
        }
    }
    // Of an error in writing, h2 tells what waits to write only with this.
    drop(connection);
    // What is in flight finds out for itself, so that it is noted how it ended. An application that
    // has been sent a notification is not left in the middle of it.
    while in_flight.next().await.is_some() {}
}

/// Returns when the process is to end. A connection that it has accepted is served its first
/// request.
async fn call(shutdown: &mut ShutdownWatch, phase: Phase) {
    shutdown::signalled(shutdown).await;
    if phase == Phase::New {
        time::sleep(KEEPALIVE_DRAIN_GRACE).await;
    }
}

/// Returns when the connection cannot go on. What reads it wakes its task then.
async fn cut_off(inbox: &Inbox) -> Reason {
    poll_fn(|_| inbox.end().map_or(Poll::Pending, Poll::Ready)).await
}

/// A request, and the stream that it came on.
struct StreamRequest {
    received: StreamHead,
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
            received: StreamHead { head, rejection },
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
