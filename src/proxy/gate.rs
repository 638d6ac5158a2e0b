//! Decides about a request, in the order in which its checks are promised, and answers what is not
//! to be forwarded.
//!
//! This is the middleware: [`Gate::admit`] works in any `request_filter`.

use super::body::{self, BodyError};
use super::rate_limit::Rate;
use super::respond;
use super::session::{PingoraSession, Session};
use super::upstream_request::{Findings, Origin};
use crate::auth::{Authenticated, Identified};
use crate::config::{Config, Limits, Route, RouteKind, Tests, Verify};
use crate::http::buffers::{Budget, Buffers};
use crate::http::forwarded::client_address;
use crate::http::path::{self, Ask, Guarded, PathPattern, Routes};
use crate::http::request_head::Head;
use crate::rejection::Rejection;
use crate::telemetry::context::{Context, Outcome, new_request_id, valid_request_id};
use crate::telemetry::repeated::Repeated;
use crate::tls::{self, Trust};
use crate::upstream::{Upstream, Upstreams};
use crate::webhook::challenge;
use crate::webhook::notification::{Kind, Notification};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Method;
use ipnet::IpNet;
use pingora::protocols::Digest;
use pingora::protocols::http::ServerSession;
use std::ops::Deref;
use std::sync::Arc;

/// What requests are judged by: one configuration's routes, trust and limits.
#[derive(Debug)]
pub struct Policy {
    routes: Routes<Arc<Served>>,
    upstreams: Arc<Upstreams>,
    pub(super) trust: Arc<Trust>,
    pub(super) limits: Limits,
    pub(super) trusted_proxies: Vec<IpNet>,
    rate: Rate,
    buffers: Arc<Buffers>,
}

impl Policy {
    /// What `config` says.
    ///
    /// # Errors
    /// If its authorities cannot be used.
    pub fn new(config: &Config) -> Result<Self, String> {
        Self::after(config, &Upstreams::default(), Arc::default())
    }

    /// What `config` says, when it comes after this policy: what is known of upstreams that stay is
    /// kept.
    ///
    /// # Errors
    /// If its authorities cannot be used.
    pub fn successor(&self, config: &Config) -> Result<Self, String> {
        Self::after(config, &self.upstreams, self.buffers.clone())
    }

    fn after(config: &Config, previous: &Upstreams, buffers: Arc<Buffers>) -> Result<Self, String> {
        let upstreams = Upstreams::new(config, previous);
        let routes = config.routes.iter().map(|route| {
            let upstream = upstreams
                .of(&route.upstream)
                .ok_or_else(|| format!("there is no {}", route.upstream))?;
            let (label, upstream_label) = (route.path.to_string().into(), upstream.name().into());
            Ok(Arc::new(Served {
                route: route.clone(),
                upstream,
                label,
                upstream_label,
            }))
        });
        let routes = Routes::new(routes.collect::<Result<_, String>>()?);
        let trust = match &config.tls {
            Some(tls) => Trust::new(&tls.client)?,
            None => Trust::nobody(),
        };
        Ok(Self {
            routes,
            upstreams: Arc::new(upstreams),
            trust: Arc::new(trust),
            limits: config.limits,
            trusted_proxies: config.listen.trusted_proxies.clone(),
            rate: Rate::new(&config.limits),
            buffers,
        })
    }

    /// What all bodies may take in memory.
    pub(super) fn budget(&self) -> Budget<'_> {
        Budget {
            buffers: &self.buffers,
            limit: self.limits.max_buffered,
        }
    }

    /// How much memory bodies have.
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// Who is trusted.
    pub fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }

    /// Where requests go.
    pub fn upstreams(&self) -> &Arc<Upstreams> {
        &self.upstreams
    }

    /// What senders may take.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// A route, and where its requests go.
#[derive(Debug)]
pub(super) struct Served {
    route: Route,
    pub(super) upstream: Upstream,
    /// The path, for what is noted about a request.
    label: Arc<str>,
    /// Likewise, of the upstream.
    pub(super) upstream_label: Arc<str>,
}

impl Deref for Served {
    type Target = Route;

    fn deref(&self) -> &Route {
        &self.route
    }
}

impl Guarded for Served {
    fn path(&self) -> &PathPattern {
        &self.route.path
    }

    fn demands_at_least(&self, other: &Self) -> bool {
        self.route.demands_at_least(&other.route)
    }
}

/// Lets nothing through but what the policy of the moment allows.
#[derive(Debug)]
pub struct Gate {
    policy: ArcSwap<Policy>,
}

/// A notification that passed every check, with proof of it: only [`Gate::admit`] makes one.
#[derive(Debug)]
pub struct Verified {
    /// What it says.
    pub notification: Arc<Notification>,
    /// Its body, byte for byte.
    pub body: Bytes,
    pub(super) authenticated: Authenticated,
    pub(super) route: Arc<Served>,
    pub(super) policy: Arc<Policy>,
}

impl Verified {
    /// How and as whom the sender was authenticated.
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    pub(super) fn findings(&self) -> Findings<'_> {
        let Self {
            notification,
            authenticated,
            route,
            ..
        } = self;
        Findings {
            route,
            authenticated,
            notification: Some(notification),
        }
    }
}

/// A request on a route of kind "proxy" whose sender passed every check, with proof of it: only
/// [`Gate::admit`] makes one. Its body has not been looked at.
#[derive(Debug)]
pub struct Authorized {
    pub(super) authenticated: Authenticated,
    pub(super) route: Arc<Served>,
    pub(super) policy: Arc<Policy>,
}

impl Authorized {
    /// How and as whom the sender was authenticated.
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    pub(super) fn findings(&self) -> Findings<'_> {
        let Self {
            authenticated,
            route,
            ..
        } = self;
        Findings {
            route,
            authenticated,
            notification: None,
        }
    }
}

/// What may go on to an application.
#[derive(Debug)]
pub enum Admitted {
    /// What came on a webhook. Its body has been read from the session.
    Notification(Verified),
    /// What came on a route of kind "proxy", to be passed on as it is.
    Request(Authorized),
}

/// What is left to do about a request that was admitted.
enum Admission {
    Challenge {
        answer: String,
    },
    Notification {
        route: Arc<Served>,
        authenticated: Authenticated,
    },
    Request {
        route: Arc<Served>,
        authenticated: Authenticated,
    },
}

impl Gate {
    /// A gate that follows `policy`.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy: ArcSwap::from_pointee(policy),
        }
    }

    /// Follows another policy from the next request on, on open connections as well.
    pub fn replace(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// The policy of the moment.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Judges the request of `session`: its connection's certificate, its path, method and
    /// credentials, and its body.
    ///
    /// `Some` is to be acted on: a verified notification, or what came on a route of kind "proxy".
    /// `None` means that the request has been answered here: it was a challenge, a Test
    /// notification, or it was refused. What happened is in `context`.
    pub async fn admit(
        &self,
        session: &mut ServerSession,
        context: &mut Context,
    ) -> Option<Admitted> {
        let mut session = PingoraSession::new(session, self.policy().limits.body_timeout);
        let head = session.head();
        self.admit_over(&mut session, &head, context).await
    }

    /// The same, whatever carries the request.
    pub(super) async fn admit_over<S: Session>(
        &self,
        session: &mut S,
        head: &Head,
        context: &mut Context,
    ) -> Option<Admitted> {
        let policy = self.policy();
        policy.note_origin(session, head, context);
        match policy.judge(session, head, context).await {
            Ok(admitted) => admitted,
            Err(BodyError::Refused(rejection)) => {
                respond::reject(session, head, context, &rejection).await;
                None
            }
            Err(BodyError::SenderGone) => {
                context.outcome = Some(Outcome::SenderGone);
                session.close_after();
                None
            }
        }
    }

    /// Refuses a request that cannot be read.
    pub(super) async fn refuse<S: Session>(
        &self,
        session: &mut S,
        head: &Head,
        context: &mut Context,
        rejection: &Rejection,
    ) -> Option<Admitted> {
        let policy = self.policy();
        policy.note_origin(session, head, context);
        context.note_presented(&tls::presented(session.digest(), &policy.trust));
        respond::reject(session, head, context, rejection).await;
        None
    }
}

impl Policy {
    async fn judge<S: Session>(
        self: &Arc<Self>,
        session: &mut S,
        head: &Head,
        context: &mut Context,
    ) -> Result<Option<Admitted>, BodyError> {
        let is_tls = session.tls_version().is_some();
        if let Some(presented) = tls::presented_before(session.digest(), &self.trust) {
            context.note_presented(&presented);
        }
        match self.admit_head(head, session.digest(), is_tls, context)? {
            Admission::Challenge { answer } => {
                respond::answer(session, head, context, Outcome::Challenged, answer.into()).await;
                Ok(None)
            }
            Admission::Notification {
                route,
                authenticated,
            } => {
                let verified = self
                    .admit_body(session, head, context, route, authenticated)
                    .await?;
                Ok(verified.map(Admitted::Notification))
            }
            Admission::Request {
                route,
                authenticated,
            } => Ok(Some(Admitted::Request(Authorized {
                authenticated,
                route,
                policy: self.clone(),
            }))),
        }
    }

    /// Everything that is decided before the body is read.
    fn admit_head(
        &self,
        head: &Head,
        connection: Option<&Digest>,
        is_tls: bool,
        context: &mut Context,
    ) -> Result<Admission, Rejection> {
        if head.method() == b"CONNECT" {
            // This program's own connections have refused it as they read it.
            return Err(Rejection::NoTunnel);
        }
        let route = self.routes.find(path(head))?;
        context.route = Some(route.label.clone());
        self.rate.check(context.remote_addr)?;
        // Only now: what has no route, or comes too often, is worth no path building.
        let presented = tls::presented(connection, &self.trust);
        context.note_presented(&presented);
        if is_tls && self.trust.verify() == Verify::Require {
            // The handshake demanded as much. Since then, the certificate may have expired or the
            // trust changed.
            presented.check_trusted()?;
        }
        let identified = route
            .requirements
            .identify(&presented, self.trust.common_names())?;
        if route.kind == RouteKind::Proxy {
            let authenticated = authorize(route, head, identified)?;
            check_length(route, head)?;
            return Ok(Admission::Request {
                route: route.clone(),
                authenticated,
            });
        }
        let method = Method::from_bytes(head.method()).map_err(|_| Rejection::MethodNotAllowed)?;
        match path::classify(&method, head.query(), route.challenge_secret.is_some())? {
            Ask::Challenge { crc_token } => admit_challenge(route, head, identified, &crc_token),
            Ask::Notification => {
                let authenticated = authorize(route, head, identified)?;
                check_content(head)?;
                Ok(Admission::Notification {
                    route: route.clone(),
                    authenticated,
                })
            }
        }
    }

    async fn admit_body<S: Session>(
        self: &Arc<Self>,
        session: &mut S,
        head: &Head,
        context: &mut Context,
        route: Arc<Served>,
        authenticated: Authenticated,
    ) -> Result<Option<Verified>, BodyError> {
        let body = body::read_whole(
            session,
            head,
            route.max_body,
            self.limits.body_timeout,
            self.budget(),
        )
        .await?;
        context.body_bytes = body.len() as u64;
        let notification = Arc::new(Notification::verify(&body, route.schema, &route.spaces)?);
        if let Some(mismatch) = &notification.mismatch
            && Repeated::UnrecognisedBody.may_be_written()
        {
            let detail = mismatch.detail();
            tracing::warn!(request_id = context.request_id, %detail, "unrecognised body let through");
        }
        context.notification = Some(notification.clone());
        if notification.kind == Kind::Test {
            if route.tests == Tests::Answer {
                show_test_token(context, &notification);
                let received = "{\"received\":true}".into();
                respond::answer(session, head, context, Outcome::TestAnswered, received).await;
                return Ok(None);
            }
            // It names no space, and what is forwarded has to be from one of the accepted ones.
            if !route.spaces.is_empty() {
                return Err(Rejection::SpaceNotAllowed.into());
            }
        }
        Ok(Some(Verified {
            notification,
            body,
            authenticated,
            route,
            policy: self.clone(),
        }))
    }

    fn note_origin<S: Session>(&self, session: &S, head: &Head, context: &mut Context) {
        let origin = Origin::of(session, self);
        let forwarded = head.all("x-forwarded-for").filter(|_| origin.is_believed);
        context.remote_addr = origin
            .peer
            .map(|peer| client_address(peer, forwarded, &self.trusted_proxies));
        let id = head.first("x-request-id").and_then(valid_request_id);
        context.request_id = id.map_or_else(new_request_id, str::to_owned);
    }
}

/// No route has a path that is not ASCII.
fn path(head: &Head) -> &str {
    std::str::from_utf8(head.path()).unwrap_or_default()
}

fn admit_challenge(
    route: &Route,
    head: &Head,
    identified: Identified,
    crc_token: &str,
) -> Result<Admission, Rejection> {
    if route.challenge_requires_authorization {
        authorize(route, head, identified)?;
    }
    let secret = route
        .challenge_secret
        .as_ref()
        .ok_or(Rejection::ChallengeDisabled)?;
    Ok(Admission::Challenge {
        answer: challenge::answer(secret, crc_token),
    })
}

fn authorize(
    route: &Route,
    head: &Head,
    identified: Identified,
) -> Result<Authenticated, Rejection> {
    route
        .requirements
        .authorize(identified, head.all("authorization"))
}

fn check_length(route: &Route, head: &Head) -> Result<(), Rejection> {
    match head.content_length() {
        Some(length) if route.max_body > 0 && length > route.max_body => {
            Err(Rejection::BodyTooLarge(route.max_body))
        }
        _ => Ok(()),
    }
}

/// A body that is declared must be declared as JSON, and must not be compressed.
fn check_content(head: &Head) -> Result<(), Rejection> {
    for value in head.all("content-type") {
        let essence = value
            .split(|b| *b == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let structured =
            essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json");
        if !(essence.eq_ignore_ascii_case(b"application/json") || structured) {
            return Err(Rejection::UnsupportedMediaType);
        }
    }
    if head
        .all("content-encoding")
        .any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Rejection::UnsupportedEncoding);
    }
    Ok(())
}

/// The token is for the operator, who pastes it into Netdata's UI; nobody else gets to see it.
fn show_test_token(context: &Context, notification: &Notification) {
    let (request_id, route) = (&context.request_id, context.route.as_deref());
    match &notification.test_token {
        Some(token) => {
            tracing::info!(
                request_id,
                route,
                token,
                "Test notification: paste this token into Netdata's UI"
            )
        }
        None if Repeated::UnshownToken.may_be_written() => {
            tracing::warn!(
                request_id,
                route,
                "Test notification with a token that cannot be shown"
            );
        }
        None => {}
    }
}
