//! Brings a verified notification to its application, and the application's answer back unchanged.

use super::admit::Verified;
use super::forward::{self, Origin};
use super::respond;
use super::session::{SenderGone, Session};
use crate::exchange::{self, Answer, ExchangeError};
use crate::head::Head;
use crate::rejection::Rejection;
use crate::telemetry::context::{Context, Outcome};
use bytes::Bytes;
use pingora::server::ShutdownWatch;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Nobody gives up sooner than this, so that it takes no system call to find out.
const BRIEF: Duration = Duration::from_millis(100);

/// Forwards `verified`, and answers the sender with what the application says, or with why it says nothing.
pub(super) async fn forward<S: Session>(
    draining: &ShutdownWatch,
    session: &mut S,
    head: &Head,
    context: &mut Context,
    verified: &Verified,
) {
    let started = Instant::now();
    let upstream = &verified.route.upstream;
    context.upstream = Some(verified.route.upstream_label.clone());
    let origin = Origin::of(session);
    let message = forward::wire(head, &origin, context, verified);
    match exchange::send(upstream, &message).await {
        Ok(answer) => {
            context.server = Some(answer.server().label().clone());
            if *draining.borrow() {
                // The sender is told, instead of finding out with its next request.
                session.close_after();
            }
            // What is written to a connection that was closed is lost, and does not fail.
            let has_left = started.elapsed() > BRIEF && session.has_left().await;
            context.outcome = Some(match pass_back(session, answer).await {
                Outcome::Forwarded if has_left => Outcome::SenderGone,
                outcome => outcome,
            });
        }
        Err(error) => {
            tracing::warn!(request_id = context.request_id, %upstream, %error, "the application did not answer");
            respond::reject(session, head, context, &error.rejection()).await;
        }
    }
    context.upstream_duration = Some(started.elapsed());
}

/// Streams the answer to the sender.
///
/// One that breaks off is broken off towards the sender, too, who must not take a part for the whole. A sender that
/// leaves changes nothing for the application, which has its notification.
async fn pass_back<S: Session>(session: &mut S, mut answer: Answer) -> Outcome {
    let mut sent = session.begin(&answer.head).await;
    loop {
        match next_chunk(session, &mut answer, &mut sent).await {
            Ok(Some(chunk)) if sent.is_ok() => sent = session.write(chunk).await,
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "the application's answer broke off");
                session.abort().await;
                return Outcome::Refused(Rejection::UpstreamUnreachable.code());
            }
        }
    }
    if sent.is_ok() {
        sent = session.finish().await;
    }
    answer.finish();
    match sent {
        Ok(()) => Outcome::Forwarded,
        Err(SenderGone) => {
            session.close_after();
            Outcome::SenderGone
        }
    }
}

/// The next part of the answer. Before it is waited for, the sender gets what there is so far.
async fn next_chunk<S: Session>(
    session: &mut S,
    answer: &mut Answer,
    sent: &mut Result<(), SenderGone>,
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
