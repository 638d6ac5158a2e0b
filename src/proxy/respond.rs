//! Responses of this program itself: refusals, the challenge, Test notifications.

use super::body;
use super::session::Session;
use super::transaction::Transaction;
use crate::http::response_head::ResponseHead;
use crate::rejection::Rejection;
use crate::telemetry::context::{Context, Outcome};
use bytes::Bytes;
use http::StatusCode;
use pingora::protocols::http::date::get_cached_date;

/// The media type of refusals (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// Refuses a request, and records the outcome.
pub(super) async fn reject<S: Session>(
    transaction: &mut Transaction<'_, S>,
    rejection: &Rejection,
) {
    let Transaction {
        session,
        head,
        context,
    } = transaction;
    context.outcome = Some(Outcome::Refused(rejection.code()));
    context.rejection = Some(rejection.clone());
    match rejection {
        // Respond at once, without waiting for the rest of the body: it may never come.
        Rejection::MalformedRequest(_) | Rejection::Timeout(_) => session.close_after(),
        _ => body::drain(*session, head).await,
    }
    let response = LocalResponse::refusing(rejection, &context.request_id);
    response.send(*session, context).await;
    body::linger(*session).await;
}

/// Responds with status 200 and a JSON body.
pub(super) async fn answer<S: Session>(
    transaction: &mut Transaction<'_, S>,
    outcome: Outcome,
    body: Bytes,
) {
    succeed(transaction, StatusCode::OK, outcome, body).await;
}

/// Responds with status 202 to a notification that is stored.
#[cfg(feature = "server")]
pub(super) async fn queued<S: Session>(transaction: &mut Transaction<'_, S>) {
    let request_id = &transaction.context.request_id;
    let body = serde_json::json!({ "queued": true, "request_id": request_id });
    let body = body.to_string().into();
    succeed(transaction, StatusCode::ACCEPTED, Outcome::Queued, body).await;
}

async fn succeed<S: Session>(
    transaction: &mut Transaction<'_, S>,
    status: StatusCode,
    outcome: Outcome,
    body: Bytes,
) {
    let Transaction {
        session,
        head,
        context,
    } = transaction;
    context.outcome = Some(outcome);
    body::drain(*session, head).await;
    let response = LocalResponse::json(status, body);
    response.send(*session, context).await;
}

struct LocalResponse<'r> {
    status: StatusCode,
    media_type: &'static str,
    rejection: Option<&'r Rejection>,
    body: Bytes,
}

impl<'r> LocalResponse<'r> {
    fn json(status: StatusCode, body: Bytes) -> Self {
        Self {
            status,
            media_type: "application/json",
            rejection: None,
            body,
        }
    }

    fn refusing(rejection: &'r Rejection, request_id: &str) -> Self {
        Self {
            status: rejection.status(),
            media_type: PROBLEM,
            rejection: Some(rejection),
            body: problem(rejection, request_id).into(),
        }
    }
}

impl LocalResponse<'_> {
    async fn send<S: Session>(self, session: &mut S, context: &mut Context) {
        let sent = async {
            session.begin(&self.head(&context.request_id)).await?;
            session.write(self.body).await?;
            session.finish().await
        };
        if sent.await.is_err() {
            // The client is gone: nothing can be reported to it.
            session.close_after();
        }
    }

    fn head(&self, request_id: &str) -> ResponseHead {
        let mut head = ResponseHead::new(self.status);
        head.push(b"Date", get_cached_date().as_bytes());
        for (name, value) in fields(self.media_type, self.rejection) {
            head.push(name.as_bytes(), value.as_bytes());
        }
        if let Some(seconds) = self.rejection.and_then(Rejection::retry_after) {
            head.push(b"Retry-After", seconds.to_string().as_bytes());
        }
        head.push(b"X-Request-Id", request_id.as_bytes());
        head.push(b"Content-Length", self.body.len().to_string().as_bytes());
        head
    }
}

/// Returns the fields that do not depend on the request.
fn fields(
    media_type: &'static str,
    rejection: Option<&Rejection>,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let www_authenticate = rejection.and_then(Rejection::www_authenticate);
    [("Content-Type", media_type), ("Cache-Control", "no-store")]
        .into_iter()
        .chain(allow(rejection).map(|value| ("Allow", value)))
        .chain(www_authenticate.map(|value| ("WWW-Authenticate", value)))
}

/// Returns the methods that are allowed in place of one that is not (RFC 9110 section 15.5.6).
fn allow(rejection: Option<&Rejection>) -> Option<&'static str> {
    match rejection? {
        Rejection::MethodNotAllowed => Some("GET, POST"),
        // Nothing is where a tunnel was to lead to.
        Rejection::NoTunnel => Some(""),
        _ => None,
    }
}

/// Returns the problem document (RFC 9457 section 3).
fn problem(rejection: &Rejection, request_id: &str) -> String {
    serde_json::json!({
        "type": format!("urn:netdata-webhook-proxy:{}", rejection.code()),
        "title": rejection.title(),
        "status": rejection.status().as_u16(),
        "detail": rejection.detail(),
        "code": rejection.code(),
        "request_id": request_id,
    })
    .to_string()
}
