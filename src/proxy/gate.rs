//! Decides about a request, in the documented order of its checks, and answers requests that are
//! not forwarded.
//!
//! This is the middleware: [`Gate::admit`] works in any `request_filter`.

use super::body;
use super::interrupt::Interrupt;
use super::origin::Origin;
use super::pingora_session::PingoraSession;
use super::policy::{Policy, PolicyRoute};
use super::respond;
use super::session::Session;
use super::trace::traced;
use super::transaction::Transaction;
use super::verified::{Authorized, Decision, Verified};
use crate::auth::{Authenticated, Identified};
use crate::config::{Route, RouteKind, Tests, Verify};
use crate::http::forwarded::client_address;
use crate::http::request_head::RequestHead;
use crate::rejection::Rejection;
use crate::telemetry::context::{Context, Outcome, new_request_id, valid_request_id};
#[cfg(feature = "server")]
use crate::telemetry::metrics::Metrics;
use crate::telemetry::repeated::Repeated;
use crate::tls::install_crypto_provider;
use crate::webhook::challenge;
use crate::webhook::notification::{Kind, Notification};
use crate::webhook::request::WebhookRequest;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Method;
use pingora::protocols::http::ServerSession;
use std::pin::pin;
use std::sync::Arc;
use tracing::Instrument as _;

/// The gate that every request passes: it applies the current policy.
#[derive(Debug)]
pub struct Gate {
    /// Shared with the verifier of handshakes.
    pub(super) policy: Arc<ArcSwap<Policy>>,
    #[cfg(feature = "server")]
    pub(super) metrics: Option<Metrics>,
}

impl Gate {
    /// Creates a gate that applies `policy`.
    pub fn new(policy: Policy) -> Self {
        // Pingora brings ring as well, and rustls does not choose between the two in a server of the
        // service's own.
        install_crypto_provider();
        Self {
            policy: Arc::new(ArcSwap::from_pointee(policy)),
            #[cfg(feature = "server")]
            metrics: None,
        }
    }

    /// Replaces the policy. The next request is judged by the new one, on open connections as well.
    pub fn replace(&self, policy: Policy) {
        #[cfg(feature = "server")]
        if let Some(metrics) = &self.metrics {
            policy.count_in(metrics);
        }
        self.policy.store(Arc::new(policy));
    }

    /// Returns the current policy, which a reload replaces.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Checks the request of `session`: the certificate of its connection, its path, method and
    /// credentials, and its body.
    ///
    /// Acts on every request that is not to be forwarded: challenges and Test notifications are
    /// answered, and all others are refused. `context` records the outcome.
    pub async fn admit(&self, session: &mut ServerSession, context: &mut Context) -> Decision {
        let mut session = PingoraSession::new(session, self.policy().limits.body_timeout);
        let head = session.head();
        self.judge(&mut Transaction::new(&mut session, &head, context))
            .await
    }

    /// Does what [`admit`](Self::admit) does, for any kind of session.
    pub(super) async fn judge<S: Session>(&self, transaction: &mut Transaction<'_, S>) -> Decision {
        self.judge_by(&self.policy(), transaction).await
    }

    /// Does what [`judge`](Self::judge) does, by a policy that has been loaded already.
    pub(super) async fn judge_by<S: Session>(
        &self,
        policy: &Arc<Policy>,
        transaction: &mut Transaction<'_, S>,
    ) -> Decision {
        note_origin(policy, transaction);
        let span = transaction.open_span();
        let checked = {
            // Pinned first, because the span would move it.
            let check = pin!(check(policy, transaction));
            check.instrument(span).await
        };
        match checked {
            Ok(decision) => return decision,
            Err(Interrupt::Reject(rejection)) => respond::reject(transaction, &rejection).await,
            Err(Interrupt::ClientGone) => transaction.client_gone(),
        }
        Decision::Answered(())
    }

    /// Refuses a request whose head cannot be read.
    pub(super) async fn refuse<S: Session>(
        &self,
        transaction: &mut Transaction<'_, S>,
        rejection: &Rejection,
    ) {
        let policy = self.policy();
        note_origin(&policy, transaction);
        let presented = transaction.session.presented(&policy.trust);
        transaction.context.note_presented(&presented);
        respond::reject(transaction, rejection).await;
    }
}

/// The result of the checks that precede reading the body.
enum HeadDecision {
    /// A challenge, with the body of its response.
    Challenge(String),
    Notification(Arc<PolicyRoute>, Authenticated),
    PassThrough(Authorized),
}

/// Records the address of the client and the id of the request.
fn note_origin<S: Session>(policy: &Policy, transaction: &mut Transaction<'_, S>) {
    let head = transaction.head;
    let origin = Origin::of(&*transaction.session, policy);
    let forwarded = head.all("x-forwarded-for").filter(|_| origin.is_believed);
    transaction.context.remote_addr = origin
        .peer
        .map(|peer| client_address(peer, forwarded, &policy.trusted_proxies));
    let id = head.first("x-request-id").and_then(valid_request_id);
    transaction.context.request_id = id.map_or_else(new_request_id, str::to_owned);
}

async fn check<S: Session>(
    policy: &Arc<Policy>,
    transaction: &mut Transaction<'_, S>,
) -> Result<Decision, Interrupt> {
    // The record shows the identity of a request that is refused before this is looked at, too.
    if let Some(presented) = transaction.session.presented_before(&policy.trust) {
        transaction.context.note_presented(&presented);
    }
    match check_head(policy, transaction)? {
        HeadDecision::Challenge(response) => {
            respond::answer(transaction, Outcome::Challenged, response.into()).await;
            Ok(Decision::Answered(()))
        }
        HeadDecision::Notification(route, authenticated) => {
            check_body(policy, transaction, route, authenticated).await
        }
        HeadDecision::PassThrough(authorized) => Ok(Decision::PassThrough(authorized)),
    }
}

/// Makes every check that does not need the body.
fn check_head<S: Session>(
    policy: &Arc<Policy>,
    transaction: &mut Transaction<'_, S>,
) -> Result<HeadDecision, Rejection> {
    let head = transaction.head;
    let route = traced("path", check_route(policy, head))?;
    transaction.context.note_route(&route.label);
    let remote_addr = transaction.context.remote_addr;
    traced("rate", policy.rate_limiter.check(remote_addr))?;
    let identified = check_certificate(policy, route, transaction);
    let identified = traced("client_certificate", identified)?;
    match route.kind {
        RouteKind::Proxy => check_proxy_head(policy, route, head, identified),
        RouteKind::Webhook => check_webhook_head(route, head, identified),
    }
}

fn check_route<'p>(
    policy: &'p Policy,
    head: &RequestHead,
) -> Result<&'p Arc<PolicyRoute>, Rejection> {
    if head.method() == b"CONNECT" {
        // The listeners of this program refuse it as they read it; those of others do not.
        return Err(Rejection::NoTunnel);
    }
    // No route has a path that is not ASCII.
    let path = std::str::from_utf8(head.path()).unwrap_or_default();
    policy.routes.find(path)
}

/// Validates the certificate, which may take building a path: requests that have no route or
/// exceed their rate must have been refused before.
fn check_certificate<S: Session>(
    policy: &Policy,
    route: &Route,
    transaction: &mut Transaction<'_, S>,
) -> Result<Identified, Rejection> {
    let presented = transaction.session.presented(&policy.trust);
    transaction.context.note_presented(&presented);
    let is_tls = transaction.session.tls_version().is_some();
    if is_tls && policy.trust.verify() == Verify::Require {
        // The handshake required a trusted certificate. Since then, it may have expired or the
        // trust changed.
        presented.check_trusted()?;
    }
    route
        .requirements
        .identify(&presented, policy.trust.common_names())
}

fn check_proxy_head(
    policy: &Arc<Policy>,
    route: &Arc<PolicyRoute>,
    head: &RequestHead,
    identified: Identified,
) -> Result<HeadDecision, Rejection> {
    let authenticated = check_authorization(route, head, identified)?;
    traced("content_length", check_declared_length(route, head))?;
    Ok(HeadDecision::PassThrough(Authorized {
        authenticated,
        route: route.clone(),
        policy: policy.clone(),
    }))
}

fn check_webhook_head(
    route: &Arc<PolicyRoute>,
    head: &RequestHead,
    identified: Identified,
) -> Result<HeadDecision, Rejection> {
    let method = Method::from_bytes(head.method()).map_err(|_| Rejection::MethodNotAllowed)?;
    let challenge_enabled = route.challenge_secret.is_some();
    let request = WebhookRequest::classify(&method, head.query(), challenge_enabled);
    match traced("method", request)? {
        WebhookRequest::Challenge { crc_token } => {
            answer_challenge(route, head, identified, &crc_token)
        }
        WebhookRequest::Notification => {
            let authenticated = check_authorization(route, head, identified)?;
            traced("content", check_content(head))?;
            Ok(HeadDecision::Notification(route.clone(), authenticated))
        }
    }
}

fn answer_challenge(
    route: &Route,
    head: &RequestHead,
    identified: Identified,
    crc_token: &str,
) -> Result<HeadDecision, Rejection> {
    if route.challenge_requires_authorization {
        check_authorization(route, head, identified)?;
    }
    let secret = route
        .challenge_secret
        .as_ref()
        .ok_or(Rejection::ChallengeDisabled)?;
    let response = challenge::answer(secret, crc_token);
    Ok(HeadDecision::Challenge(response))
}

fn check_authorization(
    route: &Route,
    head: &RequestHead,
    identified: Identified,
) -> Result<Authenticated, Rejection> {
    let credentials = head.all("authorization");
    let authenticated = route.requirements.authorize(identified, credentials);
    traced("authorization", authenticated)
}

fn check_declared_length(route: &Route, head: &RequestHead) -> Result<(), Rejection> {
    match head.content_length() {
        Some(length) if route.max_body > 0 && length > route.max_body => {
            Err(Rejection::BodyTooLarge(route.max_body))
        }
        _ => Ok(()),
    }
}

/// Checks that a body whose type is declared is declared as JSON, and that it is not compressed.
fn check_content(head: &RequestHead) -> Result<(), Rejection> {
    if !head.all("content-type").all(is_json) {
        return Err(Rejection::UnsupportedMediaType);
    }
    match head.all("content-encoding").all(is_identity_coding) {
        true => Ok(()),
        false => Err(Rejection::UnsupportedEncoding),
    }
}

fn is_identity_coding(coding: &[u8]) -> bool {
    coding.trim_ascii().eq_ignore_ascii_case(b"identity")
}

/// Returns `true` for `application/json` and for structured types such as
/// `application/problem+json`, whatever their parameters.
fn is_json(media_type: &[u8]) -> bool {
    const SUFFIX: &[u8] = b"+json";
    let essence = media_type.split(|b| *b == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    let suffix = essence.last_chunk::<{ SUFFIX.len() }>();
    let is_structured = suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(SUFFIX));
    (is_structured && essence.len() > SUFFIX.len())
        || essence.eq_ignore_ascii_case(b"application/json")
}

/// Reads and verifies the body of a notification.
async fn check_body<S: Session>(
    policy: &Arc<Policy>,
    transaction: &mut Transaction<'_, S>,
    route: Arc<PolicyRoute>,
    authenticated: Authenticated,
) -> Result<Decision, Interrupt> {
    let body = read_body(policy, transaction, &route).await?;
    let notification = Notification::verify(&body, route.schema, &route.spaces);
    let notification = Arc::new(traced("notification", notification)?);
    transaction.context.notification = Some(notification.clone());
    log_mismatch(transaction.context, &notification);
    if notification.kind == Kind::Test {
        if route.tests == Tests::Answer {
            answer_test(transaction, &notification).await;
            return Ok(Decision::Answered(()));
        }
        traced("space", check_test_space(&route))?;
    }
    Ok(Decision::Deliver(Verified {
        notification,
        body,
        authenticated,
        route,
        policy: policy.clone(),
    }))
}

async fn read_body<S: Session>(
    policy: &Policy,
    transaction: &mut Transaction<'_, S>,
    route: &Route,
) -> Result<Bytes, Interrupt> {
    let max_body = route.max_body.min(transaction.session.max_body());
    let body = body::read_whole(transaction, policy, max_body).await;
    let body = traced("body", body)?;
    transaction.context.body_bytes = body.len() as u64;
    Ok(body)
}

/// Refuses a Test notification on a route with `spaces`: it names no space, and whatever is forwarded has to be from an accepted one.
fn check_test_space(route: &Route) -> Result<(), Rejection> {
    match route.spaces.is_empty() {
        true => Ok(()),
        false => Err(Rejection::SpaceNotAllowed),
    }
}

fn log_mismatch(context: &Context, notification: &Notification) {
    if let Some(mismatch) = &notification.mismatch
        && Repeated::UnrecognisedBody.may_be_written()
    {
        let request_id = &context.request_id;
        let detail = mismatch.detail();
        tracing::warn!(event = "unrecognized_body", request_id, %detail, "accepted a notification of unknown shape");
    }
}

async fn answer_test<S: Session>(
    transaction: &mut Transaction<'_, S>,
    notification: &Notification,
) {
    show_test_token(transaction.context, notification);
    let response = "{\"received\":true}".into();
    respond::answer(transaction, Outcome::TestAnswered, response).await;
}

/// Logs the token for the operator, to be pasted into Netdata's UI. Nothing else shows it.
fn show_test_token(context: &Context, notification: &Notification) {
    let request_id = &context.request_id;
    let route = context.route.as_deref();
    match &notification.test_token {
        Some(token) if Repeated::ShownToken.may_be_written() => {
            tracing::info!(
                event = "test_token_received",
                request_id,
                route,
                token,
                "received a Test notification: paste its token into the Netdata UI"
            );
        }
        None if Repeated::UnshownToken.may_be_written() => {
            tracing::warn!(
                event = "test_token_invalid",
                request_id,
                route,
                "received a Test notification without a usable token"
            );
        }
        _ => {}
    }
}
