//! Brings a verified notification to its application, and the application's answer back unchanged.

use super::gate::Verified;
use super::respond;
use super::session::{SenderGone, Session};
use super::upstream_request::{self, Origin};
use crate::http::request_head::Head;
use crate::http::timeout::timeout;
use crate::sanitize::clean;
use crate::telemetry::context::{Context, Outcome};
use crate::telemetry::repeated::Repeated;
use crate::upstream::Upstream;
use crate::upstream::exchange::{self, Answer, ExchangeError};
use bytes::Bytes;
use pingora::server::ShutdownWatch;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// No sender gives up sooner than this, so that it takes no system call to find out.
const BRIEF: Duration = Duration::from_millis(100);

/// How long the rest of an answer may take to come when its sender has left, and how many bytes it
/// may have.
const REST: Duration = Duration::from_secs(5);
const MAX_REST: usize = 1024 * 1024;

/// Forwards `verified`, and answers the sender with what the application says, or with why it says
/// nothing.
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
    let origin = Origin::of(session, &verified.policy);
    let message = upstream_request::wire(head, &origin, context, verified);
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
                Ok(Outcome::Forwarded) if has_left => Outcome::SenderGone,
                Ok(outcome) => outcome,
                Err(error) => {
                    log_no_answer(context, upstream, &error);
                    Outcome::Refused(error.rejection().code())
                }
            });
        }
        Err(error) => {
            log_no_answer(context, upstream, &error);
            respond::reject(session, head, context, &error.rejection()).await;
        }
    }
    context.upstream_duration = Some(started.elapsed());
}

/// Says why a request has no answer of its application's.
pub(super) fn log_no_answer(context: &Context, upstream: &Upstream, error: &ExchangeError) {
    if Repeated::NoAnswer.may_be_written() {
        let error = error.to_string();
        tracing::warn!(
            request_id = context.request_id,
            %upstream,
            server = context.server.as_deref(),
            error = %clean(&error),
            "the application did not answer"
        );
    }
}

/// Streams the answer to the sender.
///
/// One that breaks off is broken off towards the sender, too, which must not take a part for the
/// whole. A sender that leaves changes nothing for the application, which has its notification.
async fn pass_back<S: Session>(
    session: &mut S,
    mut answer: Answer,
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
        Err(SenderGone) => {
            session.close_after();
            read_out(answer).await;
            Outcome::SenderGone
        }
    })
}

/// Reads the rest of an answer that no sender waits for, so that its connection can be used again:
/// but one that goes on and on is broken off.
async fn read_out(mut answer: Answer) {
    let mut left = MAX_REST;
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
    if timeout(REST, rest).await == Ok(true) {
        answer.finish();
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
