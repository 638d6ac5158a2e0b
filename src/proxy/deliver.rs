//! Delivers a verified notification to its application, and passes the response back unchanged.

use super::origin::Origin;
use super::respond;
use super::session::{ClientGone, Session};
use super::transaction::Transaction;
use super::upstream_request::{ReceiptHead, RequestFraming, encode_head};
use super::verified::Verified;
use crate::telemetry::context::Outcome;
use crate::upstream::exchange::{self, ExchangeError, Message, Signing, UpstreamResponse};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::StatusCode;
use pingora::server::ShutdownWatch;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A response that arrives within this time is sent without the system call that checks whether the
/// client is still connected: no client gives up sooner.
const DISCONNECT_CHECK_AFTER: Duration = Duration::from_millis(100);

/// A body up to this size is copied behind its head, into one part of the write to the upstream. Both
/// leave in one write in any case; to copy 16 KiB takes 310 ns.
const COPIED_BODY_MAX_BYTES: usize = 4 * 1024;

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
    let message = encode(transaction, &origin, verified, None);
    match exchange::send(upstream, &message, upstream.retry_for()).await {
        Ok(response) => {
            note_response(transaction, &response);
            if *draining.borrow() {
                // The client learns it now, instead of with its next request.
                transaction.session.close_after();
            }
            pass_back(transaction, response, started).await;
        }
        Err(error) => {
            transaction.context.failure = Some(error.sentence());
            respond::reject(transaction, &error.rejection()).await;
            transaction.context.upstream_duration = Some(started.elapsed());
        }
    }
}

/// Encodes the message to the upstream, with `receipt` on routes that store notifications.
pub(super) fn encode<S>(
    transaction: &mut Transaction<'_, S>,
    origin: &Origin,
    verified: &Verified,
    receipt: Option<ReceiptHead<'_>>,
) -> Message {
    let body = &verified.body;
    let is_copied = body.len() <= COPIED_BODY_MAX_BYTES;
    let copied = if is_copied { body.len() } else { 0 };
    let mut head = BytesMut::with_capacity(4096 + copied);
    let framing = RequestFraming::Length(body.len() as u64);
    let mut facts = verified.facts();
    facts.receipt = receipt;
    encode_head(&mut head, transaction, origin, facts, framing);
    let fields_end = head.len() - b"\r\n".len();
    head.put_slice(&body[..copied]);
    Message {
        head,
        body: body.slice(copied..),
        signing: verified.route.signer.clone().map(|signer| Signing {
            signer,
            id: receipt
                .map_or(&*verified.notification.idempotency_key, |it| {
                    it.idempotency_key
                })
                .to_owned(),
            body: body.clone(),
            fields_end,
        }),
    }
}

fn note_response<S>(transaction: &mut Transaction<'_, S>, response: &UpstreamResponse) {
    let server = response.server().label();
    trace_response(server, response.head.status());
    transaction.context.server = Some(server.clone());
}

/// Records which server responded.
pub(super) fn trace_response(server: &str, status: StatusCode) {
    let status = status.as_u16();
    tracing::debug!(
        event = "upstream_responded",
        server,
        status,
        "upstream responded"
    );
}

/// Passes the response back, and records how the request ended.
pub(super) async fn pass_back<S: Session>(
    transaction: &mut Transaction<'_, S>,
    response: UpstreamResponse,
    started: Instant,
) {
    let server = response.server().label().clone();
    trace_response(&server, response.head.status());
    transaction.context.server = Some(server);
    // Writing to a connection that the client has closed loses the response, and does not fail.
    let has_left =
        started.elapsed() > DISCONNECT_CHECK_AFTER && transaction.session.has_left().await;
    let outcome = match stream(transaction.session, response).await {
        Ok(Outcome::Forwarded) if has_left => Outcome::ClientGone,
        Ok(outcome) => outcome,
        Err(error) => {
            transaction.context.failure = Some(error.sentence());
            Outcome::Refused(error.rejection().code())
        }
    };
    transaction.context.outcome = Some(outcome);
    transaction.context.upstream_duration = Some(started.elapsed());
}

/// Streams the response to the client.
///
/// If the response breaks off, so does the response to the client, which must not take a part for
/// the whole. A client that leaves changes nothing for the application, which has its notification.
async fn stream<S: Session>(
    session: &mut S,
    mut response: UpstreamResponse,
) -> Result<Outcome, ExchangeError> {
    match copy(session, &mut response).await {
        Ok(()) => {
            response.finish();
            Ok(Outcome::Forwarded)
        }
        Err(Broken::ByClient) => {
            session.close_after();
            response.discard().await;
            Ok(Outcome::ClientGone)
        }
        Err(Broken::ByUpstream(error)) => {
            session.abort().await;
            Err(error)
        }
    }
}

/// The side that broke a response off.
enum Broken {
    ByClient,
    ByUpstream(ExchangeError),
}

impl From<ClientGone> for Broken {
    fn from(ClientGone: ClientGone) -> Self {
        Self::ByClient
    }
}

impl From<ExchangeError> for Broken {
    fn from(error: ExchangeError) -> Self {
        Self::ByUpstream(error)
    }
}

/// Sends a response to the client while it arrives, up to its end.
async fn copy<S: Session>(session: &mut S, response: &mut UpstreamResponse) -> Result<(), Broken> {
    session.begin(&response.head).await?;
    while let Some(chunk) = next_chunk(session, response).await? {
        session.write(chunk).await?;
    }
    Ok(session.finish().await?)
}

/// Reads the next part of the response. Flushes before waiting, so that the client gets what has
/// arrived so far.
async fn next_chunk<S: Session>(
    session: &mut S,
    response: &mut UpstreamResponse,
) -> Result<Option<Bytes>, Broken> {
    let mut chunk = pin!(response.chunk());
    if let Poll::Ready(chunk) = futures_util::poll!(&mut chunk) {
        return Ok(chunk?);
    }
    // Cancelling the wait for a chunk loses nothing of the response.
    session.flush().await?;
    Ok(chunk.await?)
}
