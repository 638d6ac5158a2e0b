//! Serves an HTTP/2 connection: all of its requests in one task, which wakes nobody else.

use super::connection::{Downstream, digest, draining};
use super::http2_deadline::Http2Deadline;
use super::session::PingoraSession;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, HttpSession, default_h2_options, handshake};
use pingora::server::ShutdownWatch;
use std::sync::Arc;
use std::time::Duration;

/// How many malformed requests a connection may carry. Each is refused or reset; this bounds the work for them.
const MALFORMED: usize = 32;

/// Serves requests until the connection ends, or for as long as those in flight take once a drain is signalled.
pub(super) async fn serve(downstream: &Downstream, stream: Stream, mut shutdown: ShutdownWatch) {
    let limits = *downstream.gateway.gate.policy().limits();
    let mut options = default_h2_options();
    // What is beyond this is answered by h2, with a status and nothing else. So that a refusal says why, it has room.
    options.max_header_list_size(u32::try_from(2 * limits.max_header_size).unwrap_or(u32::MAX));
    let digest = Arc::new(digest(&stream));
    let stream = Box::new(Http2Deadline::new(stream, limits.header_timeout));
    let Ok(mut connection) = handshake(stream, Some(options)).await else { return };
    let mut in_flight = FuturesUnordered::new();
    let (mut malformed, mut is_draining) = (0, false);
    loop {
        let accepted = tokio::select! {
            biased;
            () = draining(&mut shutdown), if !is_draining => {
                // The sender learns which requests are still served, and sends the others elsewhere.
                connection.graceful_shutdown();
                is_draining = true;
                continue;
            }
            Some(()) = in_flight.next() => continue,
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => accepted,
            () = idle(limits.idle_timeout), if in_flight.is_empty() => return,
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => in_flight.push(answer(downstream, session, limits.body_timeout)),
            Ok(Some(H2Accept::Rejected)) if malformed < MALFORMED => malformed += 1,
            Ok(Some(H2Accept::Rejected)) => return,
            // The connection has ended or is broken.
            Ok(None) | Err(_) => break,
        }
    }
    // What is in flight finds out for itself, so that it is noted how it ended. An application that has been sent a
    // notification is not left in the middle of it.
    while in_flight.next().await.is_some() {}
}

async fn idle(limit: Duration) {
    tokio::time::sleep(limit).await;
}

async fn answer(downstream: &Downstream, session: HttpSession, write_timeout: Duration) {
    let mut session = ServerSession::new_http2(session);
    let mut session = PingoraSession::new(&mut session, write_timeout);
    let head = session.head();
    downstream.gateway.serve(&mut session, &head).await;
}
