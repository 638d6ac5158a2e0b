//! Serves an HTTP/1.1 connection: reads each head whole, judges its framing, and has the request
//! answered.

mod chunked;
mod head_reader;
mod session;

use super::connection::Stream;
use super::peer::Peer;
use super::shutdown::after_shutdown;
use crate::http::read::read;
use crate::http::timeout::timeout;
use crate::proxy::gateway::Gateway;
use crate::proxy::session::Session as _;
use bytes::BytesMut;
use head_reader::{NoHead, read_head};
use pingora::server::ShutdownWatch;
use session::Http1;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// How long a client may take to read a refusal and close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Replaces [`CLOSE_TIMEOUT`] once the process is about to end.
const DRAIN_CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Serves requests one after the other until the connection ends.
pub(super) async fn serve(
    gateway: &Gateway,
    mut stream: Stream,
    peer: &Peer,
    mut shutdown: ShutdownWatch,
) {
    let mut input = BytesMut::new();
    loop {
        let limits = *gateway.gate.policy().limits();
        let read = read_head(&mut stream, &mut input, &limits, &mut shutdown).await;
        let (head, rejection) = match read {
            Ok(head) => (head, None),
            Err(NoHead::Idle) => return close(stream).await,
            Err(NoHead::Refused(head, rejection)) => (head, Some(rejection)),
        };
        let write_timeout = gateway.gate.policy().limits().body_timeout;
        let mut session = Http1::new(&mut stream, peer, &mut input, &head, write_timeout);
        let is_refused = rejection.is_some();
        if is_refused || *shutdown.borrow() {
            session.close_after();
        }
        // Boxed so that a connection that is idle, as most are, does not keep its memory.
        Box::pin(gateway.serve(&mut session, &head, rejection)).await;
        let has_unread_input = is_refused || !session.is_body_done();
        if !session.is_reusable() {
            return end(stream, has_unread_input, &mut shutdown).await;
        }
    }
}

async fn end(stream: Stream, has_unread_input: bool, shutdown: &mut ShutdownWatch) {
    match has_unread_input {
        true => linger(stream, shutdown).await,
        false => close(stream).await,
    }
}

/// Closes a connection that has unread input. Closing it at once would reset it, and the client
/// might never see why its request was refused.
async fn linger(mut stream: Stream, shutdown: &mut ShutdownWatch) {
    let read_out = async {
        stream.shutdown().await?;
        let mut discarded = BytesMut::new();
        while read(&mut stream, &mut discarded).await? > 0 {
            discarded.clear();
        }
        Ok::<_, std::io::Error>(())
    };
    // Ignore the result: the connection is closed in any case.
    tokio::select! {
        _ = timeout(CLOSE_TIMEOUT, read_out) => {}
        () = after_shutdown(shutdown, DRAIN_CLOSE_TIMEOUT) => {}
    }
}

async fn close(mut stream: Stream) {
    // Ignore the error: the connection is gone in any case.
    let _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
}
