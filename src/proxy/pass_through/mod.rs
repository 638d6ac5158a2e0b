//! Passes a request of a route of kind "proxy" through to its application as it arrives, and the
//! response back.
//!
//! A body whose length is declared is not held back: its next part is read when the previous one
//! has been sent. A body without a declared length is gathered first, up to a bound: many
//! applications ignore a body in chunks. The response may start before the request is complete, and
//! goes back at once.

mod request_body;

use super::body;
use super::deliver::trace_response;
use super::interrupt::Interrupt;
use super::origin::Origin;
use super::respond;
use super::session::Session;
use super::transaction::Transaction;
use super::upstream_request::{self, RequestFraming};
use super::verified::Authorized;
use crate::http::timeout::{Deadline, sleep};
use crate::rejection::Rejection;
use crate::sanitize::sanitize;
use crate::telemetry::context::{Context, Outcome};
use crate::telemetry::repeated::Repeated;
use crate::upstream::Upstream;
use crate::upstream::exchange::ExchangeError;
use crate::upstream::exchange::relay::{self, Relay, RelayFailure, ResponsePart};
use bytes::{Bytes, BytesMut};
use pingora::server::ShutdownWatch;
use request_body::RequestBody;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

/// Passes the request through, and answers the client with the response of the application, or with
/// the reason why there is none.
pub(super) async fn run<S: Session>(
    draining: &ShutdownWatch,
    transaction: &mut Transaction<'_, S>,
    authorized: &Authorized,
) {
    let mut pass_through = PassThrough::new(draining, transaction, authorized);
    let result = pass_through.run().await;
    let has_responded = pass_through.has_responded;
    let body_bytes = pass_through.body.received();
    transaction.context.body_bytes = body_bytes;
    match result {
        Ok(()) => {
            transaction.context.outcome = Some(Outcome::Forwarded);
            body::linger(transaction.session).await;
        }
        Err(Interrupt::ClientGone) => transaction.client_gone(),
        Err(Interrupt::Reject(rejection)) if has_responded => {
            break_off(transaction, &rejection).await;
        }
        Err(Interrupt::Reject(rejection)) => respond::reject(transaction, &rejection).await,
    }
}

/// Breaks a response off, of which a part has been sent that must not be taken for the whole.
async fn break_off<S: Session>(transaction: &mut Transaction<'_, S>, rejection: &Rejection) {
    transaction.context.outcome = Some(Outcome::Refused(rejection.code()));
    transaction.session.abort().await;
}

/// Logs why a request has no response from its application.
fn log_upstream_failure(context: &Context, upstream: &Upstream, error: &ExchangeError) {
    if Repeated::NoAnswer.may_be_written() {
        let error = error.to_string();
        tracing::warn!(
            event = "upstream_failed",
            request_id = context.request_id,
            %upstream,
            server = context.server.as_deref(),
            error = %sanitize(&error),
            "no complete response from the upstream"
        );
    }
}

/// A request that is being passed through.
struct PassThrough<'p, 't, S> {
    draining: &'p ShutdownWatch,
    transaction: &'p mut Transaction<'t, S>,
    authorized: &'p Authorized,
    body: RequestBody,
    /// The client waits for "100 Continue" before it sends its body.
    awaits_continue: bool,
    has_responded: bool,
    /// A part of the response has been written and not flushed.
    is_unflushed: bool,
}

impl<'p, 't, S: Session> PassThrough<'p, 't, S> {
    fn new(
        draining: &'p ShutdownWatch,
        transaction: &'p mut Transaction<'t, S>,
        authorized: &'p Authorized,
    ) -> Self {
        let head = transaction.head;
        Self {
            draining,
            body: RequestBody::new(transaction.session, head, authorized.route.max_body),
            awaits_continue: body::expects_continue(head),
            transaction,
            authorized,
            has_responded: false,
            is_unflushed: false,
        }
    }

    async fn run(&mut self) -> Result<(), Interrupt> {
        self.gather().await?;
        let started = Instant::now();
        let context = &mut *self.transaction.context;
        context.upstream = Some(self.authorized.route.upstream_label.clone());
        let result = self.exchange().await;
        self.transaction.context.upstream_duration = Some(started.elapsed());
        result
    }

    /// Sends the request and passes the response back, over a second connection if the first one
    /// was just being closed.
    async fn exchange(&mut self) -> Result<(), Interrupt> {
        let head = self.encode_head();
        let mut is_repeated = false;
        loop {
            let mut relay = self.open(&head, is_repeated).await?;
            self.send_continue().await?;
            match self.relay(&mut relay, is_repeated).await {
                Ok(()) if self.body.is_sent() => {
                    relay.finish();
                    return Ok(());
                }
                Ok(()) => return Ok(()),
                Err(RelayError::Stale(error)) if !is_repeated && self.may_repeat() => {
                    is_repeated = true;
                    self.body.start_again();
                    tracing::debug!(event = "upstream_retried", %error, "retrying on a new connection");
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn failed(&mut self, error: RelayError) -> Interrupt {
        match error {
            RelayError::Stale(error) | RelayError::Upstream(error) => self.upstream_failed(&error),
            RelayError::Interrupt(interrupt) => interrupt,
        }
    }

    /// Invites the client to send its body, if it waits for that.
    async fn send_continue(&mut self) -> Result<(), Interrupt> {
        if std::mem::take(&mut self.awaits_continue) {
            self.transaction.session.write_continue().await?;
        }
        Ok(())
    }

    /// Reads a body without a declared length, up to the `buffer_body` of the route, so that the
    /// request to the application can declare it. WSGI servers, CGI and many others treat a body in
    /// chunks as empty.
    async fn gather(&mut self) -> Result<(), Interrupt> {
        let bound = self.authorized.route.buffer_body;
        if self.body.framing() != RequestFraming::Chunked || bound == 0 {
            return Ok(());
        }
        self.send_continue().await?;
        let budget = self.authorized.policy.budget();
        let mut gathered = budget.buffer(0).await?;
        while let Some(part) = self.next_part().await? {
            self.body.count(part.len())?;
            gathered.push(&part).await?;
            if gathered.len() as u64 > bound {
                self.body.begin_with(gathered.freeze());
                return Ok(());
            }
        }
        self.body.set_whole(gathered.freeze());
        Ok(())
    }

    async fn next_part(&mut self) -> Result<Option<Bytes>, Interrupt> {
        let limits = self.authorized.policy.limits();
        let mut deadline = Deadline::after(limits.body_timeout);
        body::next(self.transaction.session, &mut deadline).await
    }

    /// Encodes the head of the request to the upstream.
    fn encode_head(&mut self) -> BytesMut {
        let origin = Origin::of(&*self.transaction.session, &self.authorized.policy);
        let mut head = BytesMut::with_capacity(4096);
        upstream_request::encode_head(
            &mut head,
            self.transaction,
            &origin,
            self.authorized.facts(),
            self.body.framing(),
        );
        head
    }

    async fn open(&mut self, head: &[u8], fresh: bool) -> Result<Relay, Interrupt> {
        let is_head = self.transaction.head.method() == b"HEAD";
        match relay::open(&self.authorized.route.upstream, head, is_head, fresh).await {
            Ok(relay) => {
                self.transaction.context.server = Some(relay.server().label().clone());
                Ok(relay)
            }
            Err(error) => Err(self.upstream_failed(&error)),
        }
    }

    /// Returns `true` if a request that was sent over a connection that was just being closed can
    /// be sent again: its body is still here, or nothing of it has been read, and it does no harm
    /// if it arrives twice (RFC 9110 section 9.2.2).
    fn may_repeat(&self) -> bool {
        let is_idempotent = matches!(
            self.transaction.head.method(),
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
        );
        is_idempotent && self.body.can_start_again()
    }

    fn upstream_failed(&mut self, error: &ExchangeError) -> Interrupt {
        let upstream = &self.authorized.route.upstream;
        log_upstream_failure(self.transaction.context, upstream, error);
        self.transaction.context.failure = Some(error.sentence());
        error.rejection().into()
    }

    /// Sends the body and passes the response back, until that is complete.
    async fn relay(&mut self, relay: &mut Relay, is_repeated: bool) -> Result<(), RelayError> {
        let body_timeout = self.authorized.policy.limits.body_timeout;
        let response_timeout = relay.server().response_timeout();
        let Relay {
            request, response, ..
        } = relay;
        loop {
            if self.is_unflushed {
                // Flush before waiting, so that the client gets what has arrived so far.
                match futures_util::poll!(pin!(response.next(false))) {
                    Poll::Pending => self.flush().await?,
                    Poll::Ready(part) => {
                        if self.pass_back(part?).await? {
                            return Ok(());
                        }
                    }
                }
                continue;
            }
            let awaits_client = self.body.awaits_client();
            let limit = match awaits_client {
                true => body_timeout,
                false => response_timeout,
            };
            let may_repeat = !is_repeated && self.may_repeat();
            tokio::select! {
                part = response.next(may_repeat) => if self.pass_back(part?).await? {
                    return Ok(());
                },
                step = self.body.step(self.transaction.session, request) => step?,
                () = sleep(limit) => return Err(RelayError::timeout(awaits_client)),
            }
        }
    }

    /// Passes a part of the response back. Returns `true` if the response is complete.
    async fn pass_back(&mut self, part: ResponsePart) -> Result<bool, Interrupt> {
        match part {
            ResponsePart::Head(head) => {
                self.begin_response();
                let server = self.transaction.context.server.as_deref();
                trace_response(server.unwrap_or_default(), head.status());
                self.transaction.session.begin(&head).await?;
            }
            ResponsePart::Body(part) => self.transaction.session.write(part).await?,
            ResponsePart::End => {
                self.transaction.session.finish().await?;
                return Ok(true);
            }
        }
        self.is_unflushed = true;
        Ok(false)
    }

    fn begin_response(&mut self) {
        self.has_responded = true;
        // The request will not be sent again.
        self.body.forget_whole();
        if *self.draining.borrow() {
            // The client learns it now, instead of with its next request.
            self.transaction.session.close_after();
        }
    }

    async fn flush(&mut self) -> Result<(), Interrupt> {
        self.is_unflushed = false;
        Ok(self.transaction.session.flush().await?)
    }
}

/// The reason why an exchange ended before it was complete.
enum RelayError {
    /// The connection to the server was being closed when it was used.
    Stale(ExchangeError),
    /// The server failed to respond, or to complete its response.
    Upstream(ExchangeError),
    /// The client left, or its request is refused.
    Interrupt(Interrupt),
}

impl RelayError {
    fn timeout(awaits_client: bool) -> Self {
        match awaits_client {
            true => Self::Interrupt(Rejection::Timeout("body").into()),
            false => Self::Upstream(ExchangeError::Timeout("no response in time".into())),
        }
    }
}

impl From<Interrupt> for RelayError {
    fn from(interrupt: Interrupt) -> Self {
        Self::Interrupt(interrupt)
    }
}

impl From<RelayFailure> for RelayError {
    fn from(RelayFailure { error, is_stale }: RelayFailure) -> Self {
        match is_stale {
            true => Self::Stale(error),
            false => Self::Upstream(error),
        }
    }
}
