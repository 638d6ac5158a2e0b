//! Reads the body of a request: whole, within bounds of size and time, or just out of the way if
//! the request is refused.

use super::interrupt::Interrupt;
use super::policy::Policy;
use super::session::Session;
use super::transaction::Transaction;
use crate::http::request_head::{HttpVersion, RequestHead};
use crate::http::timeout::Deadline;
use crate::rejection::Rejection;
use bytes::Bytes;
use pingora::{Error, ErrorType};
use std::time::Duration;

/// The largest body of a refused request that is read so that its connection can be used again.
const DRAIN_MAX_BYTES: u64 = 64 * 1024;

/// How much of the body of a refused request is read, and for how long, so that the client sees the
/// refusal before the connection is closed.
const LINGER_MAX_BYTES: u64 = 16 * 1024 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the whole body, at most `limit` bytes, in the time and the memory that `policy` allows.
pub(super) async fn read_whole<S: Session>(
    transaction: &mut Transaction<'_, S>,
    policy: &Policy,
    limit: u64,
) -> Result<Bytes, Interrupt> {
    let head = transaction.head;
    let session = &mut *transaction.session;
    let declared = head.content_length();
    check_length(declared.unwrap_or_default(), limit)?;
    // A client that waits for an invitation is invited only if there is room for its body.
    let mut body = policy.budget().buffer(declared.unwrap_or_default()).await?;
    if expects_continue(head) {
        session.write_continue().await?;
    }
    let mut deadline = Deadline::after(policy.limits.body_timeout);
    while let Some(part) = next(session, &mut deadline).await? {
        // Most webhooks arrive with their head, in one piece, which then is the body as it is.
        if body.len() == 0 && declared == Some(part.len() as u64) {
            return Ok(body.whole(part));
        }
        check_length((body.len() + part.len()) as u64, limit)?;
        body.push(&part).await?;
    }
    Ok(body.freeze())
}

fn check_length(length: u64, limit: u64) -> Result<(), Rejection> {
    match length > limit {
        true => Err(Rejection::BodyTooLarge(limit)),
        false => Ok(()),
    }
}

/// Reads the rest of a refused request's body if that is small, so that the next request can
/// follow.
///
/// Otherwise the response closes the connection, and [`linger`] is to be called after it.
pub(super) async fn drain<S: Session>(session: &mut S, head: &RequestHead) {
    if !session.is_body_done() && is_little(head) && !expects_continue(head) {
        discard(session, DRAIN_MAX_BYTES).await;
    }
}

fn is_little(head: &RequestHead) -> bool {
    let length = head.content_length();
    length.is_some_and(|length| length <= DRAIN_MAX_BYTES)
}

/// Reads on for a while after the response: closing with unread data resets the connection, and the
/// client might never see why its request was refused.
pub(super) async fn linger<S: Session>(session: &mut S) {
    if !session.is_body_done() {
        discard(session, LINGER_MAX_BYTES).await;
    }
}

async fn discard<S: Session>(session: &mut S, limit: u64) {
    let mut deadline = Deadline::after(LINGER_TIMEOUT);
    let mut read = 0;
    while let Ok(Some(chunk)) = next(session, &mut deadline).await {
        read += chunk.len() as u64;
        if read > limit {
            return;
        }
    }
}

/// Reads the next part; returns `None` at the end of the body.
pub(super) async fn next<S: Session>(
    session: &mut S,
    deadline: &mut Deadline,
) -> Result<Option<Bytes>, Interrupt> {
    match deadline.wait(session.read_body()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) => Err(Rejection::Timeout("body").into()),
    }
}

/// Distinguishes a client that left from one that sends a malformed body.
pub(super) fn broken(error: &Error) -> Interrupt {
    match error.etype {
        ErrorType::ReadError | ErrorType::ConnectionClosed | ErrorType::H2Error => {
            Interrupt::ClientGone
        }
        ErrorType::ReadTimedout => Rejection::Timeout("body").into(),
        _ => Rejection::MalformedRequest("The body's framing is broken.").into(),
    }
}

/// Returns `true` if the client waits for an invitation to send its body (RFC 9110 section 10.1.1).
pub(super) fn expects_continue(head: &RequestHead) -> bool {
    head.version() == HttpVersion::Http11 && head.has_token("expect", "100-continue")
}
