//! Brings a verified notification to its application, and the application's answer back unchanged.

use super::admit::Verified;
use super::forward::{self, Origin};
use super::respond;
use crate::exchange::{Answer, Exchange, ExchangeError};
use crate::rejection::Rejection;
use crate::telemetry::context::{Context, Outcome};
use http::{Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use std::time::Instant;

/// Ends at this hop (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// Forwards `verified`, and answers the sender with what the application says, or with why it says nothing.
pub(super) async fn forward(
    exchange: &Exchange,
    draining: &ShutdownWatch,
    session: &mut ServerSession,
    context: &mut Context,
    verified: &Verified,
) {
    let started = Instant::now();
    let upstream = &verified.route.upstream;
    context.upstream = Some(upstream.to_string());
    let peer = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
    let is_tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let head = forward::head(session.req_header(), &Origin { peer, is_tls }, context, verified);
    match exchange.send(upstream, &head, &verified.body).await {
        Ok(answer) => {
            if *draining.borrow() {
                // The sender is told, instead of finding out with its next request.
                session.set_keepalive(None);
            }
            context.outcome = Some(pass_back(session, answer).await);
        }
        Err(error) => {
            tracing::warn!(request_id = context.request_id, %upstream, %error, "the application did not answer");
            let rejection = match error {
                ExchangeError::Unreachable(_) => Rejection::UpstreamUnreachable,
                ExchangeError::Timeout(_) => Rejection::UpstreamTimeout,
            };
            respond::reject(session, context, &rejection).await;
        }
    }
    context.upstream_duration = Some(started.elapsed());
}

/// Streams the answer to the sender.
///
/// One that breaks off is broken off towards the sender, too, who must not take a part for the whole. A sender that
/// leaves changes nothing for the application, which has its notification.
async fn pass_back(session: &mut ServerSession, mut answer: Answer) -> Outcome {
    let head = downstream_head(&answer.head, session.req_header().version);
    let mut is_sender_there = session.write_response_header(Box::new(head)).await.is_ok();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => {
                is_sender_there = is_sender_there && session.write_response_body(chunk, false).await.is_ok();
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "the application's answer broke off");
                session.set_keepalive(None);
                session.shutdown().await;
                return Outcome::Refused(Rejection::UpstreamUnreachable.code());
            }
        }
    }
    is_sender_there = is_sender_there && session.finish_body().await.is_ok();
    answer.finish().await;
    if !is_sender_there {
        session.set_keepalive(None);
        return Outcome::SenderGone;
    }
    Outcome::Forwarded
}

/// The answer's head without what ends at this hop, framed for the sender's version of HTTP.
fn downstream_head(answer: &ResponseHeader, version: Version) -> ResponseHeader {
    let mut head = answer.clone();
    let nominated: Vec<String> = answer
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(nominated.iter().map(String::as_str)) {
        head.remove_header(name);
    }
    let has_body = !matches!(head.status.as_u16(), 204 | 304);
    if version == Version::HTTP_11 && has_body && !head.headers.contains_key(header::CONTENT_LENGTH) {
        // This is a well-formed header, so inserting it cannot fail.
        let _ = head.insert_header(header::TRANSFER_ENCODING, "chunked");
    }
    head.set_version(Version::HTTP_11);
    head
}
