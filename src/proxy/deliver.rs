//! Brings a verified notification to its application, and the application's answer back unchanged.

use super::origin::Origin;
use super::respond;
use super::session::{ClientGone, Session};
use super::transaction::Transaction;
use super::upstream_request::{RequestFraming, encode_head};
use super::verified::Verified;
use crate::http::timeout::timeout;
use crate::sanitize::clean;
use crate::telemetry::context::{Context, Outcome};
use crate::telemetry::repeated::Repeated;
use crate::upstream::Upstream;
use crate::upstream::exchange::{self, ExchangeError, Message, UpstreamResponse};
use bytes::{BufMut as _, Bytes, BytesMut};
use pingora::server::ShutdownWatch;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A response that arrives within this time is sent without the system call that checks whether the
/// client is still connected: no client gives up sooner.
const DISCONNECT_CHECK_AFTER: Duration = Duration::from_millis(100);

/// The largest body, in bytes, that is copied behind its head: a second write costs more than that.
const COPIED_BODY: usize = 16 * 1024;

/// How long the rest of an answer may take to come when its sender has left, and how many bytes it
/// may have.
const REMAINDER_TIMEOUT: Duration = Duration::from_secs(5);
const REMAINDER_MAX_BYTES: usize = 1024 * 1024;

/// Forwards `verified`, and answers the client with the response of the application, or with the
/// reason why there is none.
pub(super) async fn deliver<S: Session>(
    draining: &ShutdownWatch,
    transaction: &mut Transaction<'_, S>,
    verified: &Verified,
) {
    let started = Instant::now();
    let upstream = &verified.route.upstream;
    transaction.context.upstream = Some(verified.route.upstream_label.clone());
    let origin = Origin::of(&*transaction.session, &verified.policy);
    let message = encode(transaction, &origin, verified);
    match exchange::send(upstream, &message).await {
        Ok(answer) => {
            transaction.context.server = Some(answer.server().label().clone());
            if *draining.borrow() {
                // The client learns it now, instead of with its next request.
                transaction.session.close_after();
            }
            let outcome = respond_with(transaction, upstream, answer, started).await;
            transaction.context.outcome = Some(outcome);
        }
        Err(error) => {
            log_no_answer(transaction.context, upstream, &error);
            respond::reject(transaction, &error.rejection()).await;
        }
    }
    transaction.context.upstream_duration = Some(started.elapsed());
}

/// Encodes the message to the upstream.
fn encode<S>(
    transaction: &mut Transaction<'_, S>,
    origin: &Origin,
    verified: &Verified,
) -> Message {
    let body = &verified.body;
    let copied = if body.len() <= COPIED_BODY {
        body.len()
    } else {
        0
    };
    let mut head = BytesMut::with_capacity(4096 + copied);
    let framing = RequestFraming::Length(body.len() as u64);
    encode_head(&mut head, transaction, origin, verified.facts(), framing);
    head.put_slice(&body[..copied]);
    Message {
        head,
        body: body.slice(copied..),
    }
}

async fn respond_with<S: Session>(
    transaction: &mut Transaction<'_, S>,
    upstream: &Upstream,
    answer: UpstreamResponse,
    started: Instant,
) -> Outcome {
    // Writing to a connection that the client has closed loses the response, and does not fail.
    let has_left =
        started.elapsed() > DISCONNECT_CHECK_AFTER && transaction.session.has_left().await;
    match pass_back(transaction.session, answer).await {
        Ok(Outcome::Forwarded) if has_left => Outcome::ClientGone,
        Ok(outcome) => outcome,
        Err(error) => {
            log_no_answer(transaction.context, upstream, &error);
            Outcome::Refused(error.rejection().code())
        }
    }
}

/// Says why a request has no answer of its application's.
pub(super) fn log_no_answer(context: &Context, upstream: &Upstream, error: &ExchangeError) {
    if Repeated::NoAnswer.may_be_written() {
        let error = error.to_string();
        tracing::warn!(
            event = "upstream_failed",
            request_id = context.request_id,
            %upstream,
            server = context.server.as_deref(),
            error = %clean(&error),
            "no complete response from the upstream"
        );
    }
}

/// Streams the answer to the sender.
///
/// One that breaks off is broken off towards the sender, too, which must not take a part for the
/// whole. A sender that leaves changes nothing for the application, which has its notification.
async fn pass_back<S: Session>(
    session: &mut S,
    mut answer: UpstreamResponse,
) -> Result<Outcome, ExchangeError> {
    let mut sent = session.begin(&answer.head).await;
    while sent.is_ok() {
        match next_chunk(session, &mut answer, &mut sent).await {
            Ok(Some(chunk)) if sent.is_ok() => sent = session.write(chunk).await,
            Ok(Some(_)) => {}
            Ok(None) => {
                if sent.is_ok() {
                    sent = session.finish().await;
                }
                break;
            }
            Err(error) => {
                session.abort().await;
                return Err(error);
            }
        }
    }
    Ok(match sent {
        Ok(()) => {
            answer.finish();
            Outcome::Forwarded
        }
        Err(ClientGone) => {
            session.close_after();
            read_remainder(answer).await;
            Outcome::ClientGone
        }
    })
}

/// Reads the rest of an answer that no sender waits for, so that its connection can be used again:
/// but one that goes on and on is broken off.
async fn read_remainder(mut answer: UpstreamResponse) {
    let mut left = REMAINDER_MAX_BYTES;
    let rest = async {
        while let Ok(chunk) = answer.chunk().await {
            let Some(chunk) = chunk else { return true };
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
        false
    };
    if timeout(REMAINDER_TIMEOUT, rest).await == Ok(true) {
        answer.finish();
    }
}

/// The next part of the answer. Before it is waited for, the sender gets what there is so far.
async fn next_chunk<S: Session>(
    session: &mut S,
    answer: &mut UpstreamResponse,
    sent: &mut Result<(), ClientGone>,
) -> Result<Option<Bytes>, ExchangeError> {
    let mut chunk = pin!(answer.chunk());
    match futures_util::poll!(&mut chunk) {
        Poll::Ready(chunk) => chunk,
        Poll::Pending => {
            if sent.is_ok() {
                *sent = session.flush().await;
            }
            chunk.await
        }
    }
}
