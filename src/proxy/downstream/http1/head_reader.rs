//! Reads the head of an HTTP/1.1 request.
//!
//! Pingora's own reader of heads has no deadline, allows a megabyte, and repairs what it should
//! refuse. Here a head arrives in time and in bounds and can be read in one way only, before
//! anything acts on it.

use crate::config::Limits;
use crate::http::framing;
use crate::http::read::read;
use crate::http::request_head::{HttpVersion, RequestHead};
use crate::http::timeout::{Deadline, timeout};
use crate::proxy::downstream::connection::Stream;
use crate::proxy::downstream::shutdown::{
    DRAIN_READ_TIMEOUT, KEEPALIVE_DRAIN_GRACE, after_shutdown,
};
use crate::rejection::Rejection;
use bytes::BytesMut;
use pingora::server::ShutdownWatch;
use std::time::Duration;

/// How much longer than promised an idle connection is kept. A client that uses it until the last
/// moment is answered: a request that meets the end of its connection on the way is lost.
const IDLE_GRACE: Duration = Duration::from_millis(500);

/// The reason why there is no head to act on.
pub(super) enum NoHead {
    /// The client closed the connection, or was silent for too long, between requests.
    Idle,
    /// The request is refused. The head contains as much as is known of it.
    Refused(RequestHead, Rejection),
}

impl NoHead {
    /// Keeps the method and the target of the head in `bytes`, as far as they can be read.
    fn refused(bytes: &[u8], rejection: Rejection) -> Self {
        let (method, target) = framing::glimpse(bytes).unwrap_or_default();
        let method = std::str::from_utf8(method).unwrap_or_default();
        let head = RequestHead::from_parts(HttpVersion::Http11, method, target, std::iter::empty());
        Self::Refused(head, rejection)
    }
}

/// Reads until a head is complete. Bytes of the same read that follow it stay in `input`.
pub(super) async fn read_head(
    stream: &mut Stream,
    input: &mut BytesMut,
    limits: &Limits,
    shutdown: &mut ShutdownWatch,
) -> Result<RequestHead, NoHead> {
    if input.is_empty() {
        // An idle connection, as most are, does not keep the memory of its last request.
        *input = BytesMut::new();
        wait_for_request(stream, input, limits, shutdown).await?;
    }
    let mut deadline = None;
    loop {
        if let Some(head) = take_head(input, limits)? {
            return Ok(head);
        }
        let deadline = deadline.get_or_insert_with(|| Deadline::after(limits.header_timeout));
        read_more(stream, input, deadline, shutdown).await?;
    }
}

/// Waits for the first bytes of a request on an idle connection.
async fn wait_for_request(
    stream: &mut Stream,
    input: &mut BytesMut,
    limits: &Limits,
    shutdown: &mut ShutdownWatch,
) -> Result<(), NoHead> {
    let first = tokio::select! {
        biased;
        first = timeout(limits.idle_timeout + IDLE_GRACE, read(stream, input)) => first,
        () = after_shutdown(shutdown, KEEPALIVE_DRAIN_GRACE) => return Err(NoHead::Idle),
    };
    match first {
        Ok(Ok(1..)) => Ok(()),
        _ => Err(NoHead::Idle),
    }
}

/// Reads more of a head that has begun. A drain waits for it, but not until its deadline.
async fn read_more(
    stream: &mut Stream,
    input: &mut BytesMut,
    deadline: &mut Deadline,
    shutdown: &mut ShutdownWatch,
) -> Result<(), NoHead> {
    let more = tokio::select! {
        biased;
        more = deadline.wait(read(stream, input)) => more,
        () = after_shutdown(shutdown, DRAIN_READ_TIMEOUT) => return Err(NoHead::Idle),
    };
    match more {
        Ok(Ok(1..)) => Ok(()),
        Ok(_) => Err(NoHead::Idle),
        Err(_) => Err(NoHead::refused(input, Rejection::Timeout("head"))),
    }
}

/// Takes a complete head from the beginning of `input`; returns `None` if it has not arrived yet.
fn take_head(input: &mut BytesMut, limits: &Limits) -> Result<Option<RequestHead>, NoHead> {
    // An empty line before the request line is to be ignored (RFC 9112 section 2.2).
    while input.starts_with(b"\r\n") {
        let _ = input.split_to(2);
    }
    let length = framing::head_length(input);
    if length.unwrap_or(input.len()) > limits.max_header_size {
        let rejection = Rejection::HeaderTooLarge(limits.max_header_size);
        return Err(NoHead::refused(input, rejection));
    }
    let Some(length) = length else {
        let checked = framing::check_unfinished(input);
        return checked
            .map(|()| None)
            .map_err(|rejection| NoHead::refused(input, rejection));
    };
    let head = input.split_to(length).freeze();
    framing::parse(head.clone())
        .map(Some)
        .map_err(|rejection| NoHead::refused(&head, rejection))
}
