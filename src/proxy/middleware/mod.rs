//! The hooks of a Pingora proxy that has routes and upstreams of its own, and puts the gate in front
//! of the webhook's path.
//!
//! # Facts about Pingora 0.9.1
//!
//! - A body that `request_filter` reads is gone, and the upstream waits for it until a timeout. Only
//!   the retry buffer brings it back: it must be enabled before the first read, and then the proxy
//!   sends it first, on each attempt.
//! - The buffer holds 64 KiB ([`MAX_BODY`]). A longer body leaves it empty, and the upstream waits
//!   again. So a longer body is refused here with 413 before anything is read.
//! - `Content-Length` beside `Transfer-Encoding` is removed before any filter runs. The raw head
//!   still has both, and is what is checked here.

mod build_error;
mod builder;
mod decide;
mod listener;

pub use build_error::BuildError;
pub use builder::{GateBuilder, WebhookRoute};

use super::gate::Gate;
use super::origin::Origin;
use super::pingora_session::{self, PingoraSession};
use super::policy::Policy;
use super::session::Session;
use super::transaction::Transaction;
use super::upstream_request::{RequestFraming, encode_head};
use super::verified::{Authorized, Decision, RequestFacts, Verified};
use crate::http::framing;
use crate::http::request_head::RequestHead;
use crate::rejection::Rejection;
use crate::telemetry::access_log::{self, Answered};
use crate::telemetry::context::{Context, Outcome};
#[cfg(feature = "server")]
use crate::telemetry::metrics::{Ended, Metrics};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType};
use std::sync::Arc;
use std::time::SystemTime;

/// The largest body of a webhook, in bytes: what Pingora keeps of a request for its upstream.
pub const MAX_BODY: u64 = 64 * 1024;

/// The gate's part of a `ProxyHttp::CTX`: one request, and what is known about it.
#[derive(Debug, Default)]
pub struct WebhookContext {
    /// The record of the request, for the log and the metrics.
    context: Context,
    /// Present once the request is the gate's.
    request: Option<Admitted>,
}

/// A request on a route of the gate.
#[derive(Debug)]
struct Admitted {
    head: RequestHead,
    origin: Origin,
    was_read: bool,
    passed: Option<Passed>,
}

impl Admitted {
    /// Describes the request and its response, for the log.
    fn answered<'r>(&'r self, session: &'r ServerSession) -> Answered<'r> {
        let digest = session.digest();
        let tls = digest.and_then(|digest| digest.ssl_digest.as_ref());
        let response = session.response_written();
        Answered {
            head: &self.head,
            was_read: self.was_read,
            tls: tls.map(|tls| tls.version.as_ref()),
            status: response.map(|head| head.status.as_u16()),
            bytes_sent: session.body_bytes_sent() as u64,
        }
    }
}

/// The proof that a request may go on to its upstream.
#[derive(Debug)]
enum Passed {
    Verified(Verified),
    Authorized(Authorized),
}

impl Passed {
    /// Returns the proof in a decision, unless the request was answered.
    fn by(decision: Decision) -> Option<Self> {
        match decision {
            Decision::Deliver(verified) => Some(Self::Verified(verified)),
            Decision::PassThrough(authorized) => Some(Self::Authorized(authorized)),
            Decision::Answered(()) | Decision::Unrouted => None,
        }
    }

    fn facts(&self) -> RequestFacts<'_> {
        match self {
            Self::Verified(verified) => verified.facts(),
            Self::Authorized(authorized) => authorized.facts(),
        }
    }
}

impl WebhookContext {
    /// Returns the notification that passed, once [`Gate::request_filter`] has returned `false`.
    pub fn verified(&self) -> Option<&Verified> {
        match self.request.as_ref()?.passed.as_ref()? {
            Passed::Verified(verified) => Some(verified),
            Passed::Authorized(_) => None,
        }
    }

    /// Returns the record of the request.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Returns `true` if the path is one of the gate's. Other requests are the service's alone.
    pub fn is_webhook(&self) -> bool {
        self.request.is_some()
    }
}

impl Gate {
    /// Starts to build a gate in code.
    pub fn builder() -> GateBuilder {
        GateBuilder::default()
    }

    /// Checks a request, for `ProxyHttp::request_filter`.
    ///
    /// Returns `true` if the request has been answered: it was a challenge, a Test notification, or
    /// it was refused. Returns `false` if Pingora is to go on: a notification was verified, with its
    /// whole body, which Pingora will send to the upstream; or the path is not one of the gate's,
    /// and nothing of the request was touched.
    ///
    /// # Errors
    /// Never, so far.
    pub async fn request_filter(
        &self,
        session: &mut ServerSession,
        webhook: &mut WebhookContext,
    ) -> pingora::Result<bool> {
        let policy = self.policy();
        if !policy.is_responsible_for(session.req_header().raw_path()) {
            return Ok(false);
        }
        // Before the body is read: Pingora takes it from there for the upstream.
        session.enable_retry_buffering();
        let (head, rejection) = match strict_head(session) {
            Ok(head) => (head, None),
            Err(rejection) => (pingora_session::head(session.req_header()), Some(rejection)),
        };
        let mut session =
            PingoraSession::new(session, policy.limits().body_timeout).with_max_body(MAX_BODY);
        webhook.context = Context::new();
        let origin = Origin::of(&session, &policy);
        let mut transaction = Transaction::new(&mut session, &head, &mut webhook.context);
        let decision = self.judge_or_refuse(&policy, &mut transaction, rejection.as_ref());
        let passed = Passed::by(decision.await);
        let is_answered = passed.is_none();
        webhook.request = Some(Admitted {
            head,
            origin,
            was_read: rejection.is_none(),
            passed,
        });
        Ok(is_answered)
    }

    /// Judges a request, unless there is a reason to refuse it already.
    async fn judge_or_refuse<S: Session>(
        &self,
        policy: &Arc<Policy>,
        transaction: &mut Transaction<'_, S>,
        rejection: Option<&Rejection>,
    ) -> Decision {
        match rejection {
            None => self.judge_by(policy, transaction).await,
            Some(rejection) => {
                self.refuse(transaction, rejection).await;
                Decision::Answered(())
            }
        }
    }

    /// Makes the request to the upstream the one that the program would send, for
    /// `ProxyHttp::upstream_request_filter`: forged headers and credentials are removed, and the
    /// identity headers are set. A request that is not the gate's stays as it is.
    ///
    /// # Errors
    /// If a header cannot be represented by Pingora.
    pub fn upstream_request_filter(
        &self,
        upstream_request: &mut RequestHeader,
        webhook: &mut WebhookContext,
    ) -> pingora::Result<()> {
        let Some(request) = &webhook.request else {
            return Ok(());
        };
        let Some(passed) = &request.passed else {
            return Error::e_explain(ErrorType::InternalError, "the gate has not let this pass");
        };
        let mut encoded = decoded(&encode(request, passed, &mut webhook.context))?;
        encoded.set_version(upstream_request.version);
        match passed {
            Passed::Verified(verified) => sign(verified, &mut encoded)?,
            Passed::Authorized(_) => copy_framing(upstream_request, &mut encoded)?,
        }
        *upstream_request = encoded;
        Ok(())
    }

    /// Writes the program's access line for a request of the gate's, for `ProxyHttp::logging`.
    pub fn logging(
        &self,
        session: &ServerSession,
        error: Option<&Error>,
        webhook: &mut WebhookContext,
    ) {
        let Some(request) = &webhook.request else {
            return;
        };
        let outcome = || upstream_outcome(error);
        webhook.context.outcome.get_or_insert_with(outcome);
        let answered = request.answered(session);
        access_log::write(&answered, &webhook.context);
        #[cfg(feature = "server")]
        self.count(&answered, &webhook.context);
    }

    /// Counts requests from now on, as the program does. [`logging`](Self::logging) counts them, and
    /// [`metrics`](Self::metrics) shows them.
    #[cfg(feature = "server")]
    #[must_use]
    pub fn with_metrics(mut self) -> Self {
        let metrics = Metrics::new();
        self.policy().count_in(&metrics);
        self.metrics = Some(metrics);
        self
    }

    /// Returns the metrics in the text format of Prometheus, if they are counted.
    #[cfg(feature = "server")]
    pub fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(Metrics::expose)
    }

    #[cfg(feature = "server")]
    fn count(&self, answered: &Answered<'_>, context: &Context) {
        if let Some(metrics) = &self.metrics {
            metrics.request(Ended {
                context,
                is_challenge: answered.head.method() == b"GET",
                duration: answered.was_read.then(|| context.started.elapsed()),
            });
        }
    }
}

/// Reads the head of a request as strictly as the program does.
///
/// Over HTTP/1.1, that is the head as it arrived: Pingora has already removed a `Content-Length`
/// that came with a `Transfer-Encoding`, which is how requests are smuggled.
fn strict_head(session: &ServerSession) -> Result<RequestHead, Rejection> {
    match session.as_http1() {
        Some(session) => framing::parse(session.get_headers_raw_bytes()),
        None => checked_http2(session.req_header()),
    }
}

/// Refuses what Pingora leaves ambiguous in HTTP/2: two hosts, and two lengths.
fn checked_http2(request: &RequestHeader) -> Result<RequestHead, Rejection> {
    let head = pingora_session::head(request);
    if names_two_hosts(request, &head) {
        return Err(Rejection::MalformedRequest("The request names two hosts."));
    }
    if head.all("content-length").count() > 1 {
        return Err(Rejection::MalformedRequest("The request has two lengths."));
    }
    Ok(head)
}

fn names_two_hosts(request: &RequestHeader, head: &RequestHead) -> bool {
    let authority = request.uri.authority().map(|it| it.as_str().as_bytes());
    let is_another = |host| authority.is_some_and(|authority| authority != host);
    head.all("host").count() > 1 || head.all("host").any(is_another)
}

/// Encodes the head of the request that the program would send to its upstream.
fn encode(request: &Admitted, passed: &Passed, context: &mut Context) -> BytesMut {
    let mut transaction = Transaction {
        session: &mut (),
        head: &request.head,
        context,
    };
    let mut bytes = BytesMut::with_capacity(4096);
    let (facts, framing) = (passed.facts(), body_framing(passed));
    encode_head(
        &mut bytes,
        &mut transaction,
        &request.origin,
        facts,
        framing,
    );
    bytes
}

fn body_framing(passed: &Passed) -> RequestFraming {
    match passed {
        Passed::Verified(verified) => RequestFraming::Length(verified.body.len() as u64),
        // Pingora passes the body through, and its framing with it.
        Passed::Authorized(_) => RequestFraming::NoBody,
    }
}

/// Converts a head that was encoded here.
fn decoded(head: &[u8]) -> pingora::Result<RequestHeader> {
    let lines = head.split(|byte| *byte == b'\n');
    let mut lines = lines.map(<[u8]>::trim_ascii_end);
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    let (method, target) = (word(), word());
    let mut header = RequestHeader::build(method, target, None)?;
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = split_field(line);
        header.append_header(Bytes::copy_from_slice(name), value)?;
    }
    Ok(header)
}

/// Splits the line of a field that was encoded here, with `: ` behind its name.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    let (name, value) = line.split_at(colon);
    (name, value.get(2..).unwrap_or_default())
}

/// Signs one attempt, if the application expects a signature.
fn sign(verified: &Verified, request: &mut RequestHeader) -> pingora::Result<()> {
    let Some(signer) = &verified.route.signer else {
        return Ok(());
    };
    let id = &verified.notification.idempotency_key;
    for (name, value) in signer.headers(id, SystemTime::now(), &verified.body) {
        request.insert_header(name, value)?;
    }
    Ok(())
}

/// Copies the framing that Pingora chose for a body that passes through.
fn copy_framing(from: &RequestHeader, to: &mut RequestHeader) -> pingora::Result<()> {
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING] {
        if let Some(value) = from.headers.get(&name) {
            to.insert_header(name, value)?;
        }
    }
    Ok(())
}

/// The outcome of a request that Pingora has sent to the upstream.
fn upstream_outcome(error: Option<&Error>) -> Outcome {
    use ErrorType::{ConnectTimedout, ReadTimedout, WriteTimedout};

    let Some(error) = error else {
        return Outcome::Forwarded;
    };
    let rejection = match (error.esource(), &error.etype) {
        (ErrorSource::Downstream, _) => return Outcome::ClientGone,
        (_, ConnectTimedout | ReadTimedout | WriteTimedout) => Rejection::UpstreamTimeout,
        _ => Rejection::UpstreamUnreachable,
    };
    Outcome::Refused(rejection.code())
}
