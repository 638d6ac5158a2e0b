//! Passes a request of a route of kind "proxy" on to its application as it comes, and the answer
//! back.
//!
//! A body whose length is declared is not held back: a part of it is read when the one before it
//! has left. One that declares none is gathered first, up to a bound: many applications take
//! nothing from a body in chunks. The answer may come before the whole request has, and goes back
//! at once.

use super::body::{self, BodyError};
use super::deliver::log_no_answer;
use super::gate::Authorized;
use super::respond;
use super::session::{SenderGone, Session};
use super::upstream_request::{self, Framing, Origin};
use crate::http::buffers::Overloaded;
use crate::http::request_head::Head;
use crate::http::timeout::{Deadline, sleep};
use crate::rejection::Rejection;
use crate::telemetry::context::{Context, Outcome};
use crate::upstream::exchange::ExchangeError;
use crate::upstream::exchange::relay::{self, NoAnswer, Part, Relay, RequestSide};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use pingora::server::ShutdownWatch;
use std::collections::VecDeque;
use std::io::Write as _;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

/// Passes the request on, and answers the sender with what the application says, or with why it
/// says nothing.
pub(super) async fn pass_on<S: Session>(
    draining: &ShutdownWatch,
    session: &mut S,
    head: &Head,
    context: &mut Context,
    authorized: &Authorized,
) {
    let mut passage = Passage {
        draining,
        upload: Upload::new(session, head, authorized.route.max_body),
        awaits_invitation: body::expects_continue(head),
        session,
        head,
        authorized,
        has_answered: false,
        is_unflushed: false,
    };
    let end = match passage.gather().await {
        Ok(()) => {
            let started = Instant::now();
            context.upstream = Some(authorized.route.upstream_label.clone());
            let end = passage.run(context).await;
            context.upstream_duration = Some(started.elapsed());
            end
        }
        Err(broken) => Err(broken),
    };
    let has_answered = passage.has_answered;
    context.body_bytes = passage.upload.received;
    match end {
        Ok(()) => {
            context.outcome = Some(Outcome::Forwarded);
            body::linger(session).await;
        }
        Err(Broken::SenderGone) => {
            context.outcome = Some(Outcome::SenderGone);
            session.close_after();
        }
        Err(Broken::Refused(rejection)) if has_answered => {
            // What has been sent of an answer cannot be taken back, and must not be taken for the
            // whole.
            context.outcome = Some(Outcome::Refused(rejection.code()));
            session.abort().await;
        }
        Err(Broken::Refused(rejection)) => {
            respond::reject(session, head, context, &rejection).await
        }
    }
}

/// Why a request did not get its whole answer.
enum Broken {
    Refused(Rejection),
    SenderGone,
}

impl From<Overloaded> for Broken {
    fn from(Overloaded: Overloaded) -> Self {
        Self::Refused(Rejection::Overloaded)
    }
}

impl From<BodyError> for Broken {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Refused(rejection) => Self::Refused(rejection),
            BodyError::SenderGone => Self::SenderGone,
        }
    }
}

/// A request on its way.
struct Passage<'p, S> {
    draining: &'p ShutdownWatch,
    session: &'p mut S,
    head: &'p Head,
    authorized: &'p Authorized,
    upload: Upload,
    /// The client sends its body when it is told to continue.
    awaits_invitation: bool,
    has_answered: bool,
    /// Some of the answer has not been seen by the sender yet.
    is_unflushed: bool,
}

impl<S: Session> Passage<'_, S> {
    async fn run(&mut self, context: &mut Context) -> Result<(), Broken> {
        let message = self.message(context);
        let mut is_repeated = false;
        loop {
            let mut relay = self.open(&message, is_repeated, context).await?;
            self.invite().await?;
            match self.relay(&mut relay, is_repeated).await {
                Ok(()) => {
                    if self.upload.is_done() {
                        relay.finish();
                    }
                    return Ok(());
                }
                Err(Trouble::Stale(error)) if !is_repeated && self.may_repeat() => {
                    is_repeated = true;
                    self.upload.start_again();
                    tracing::debug!(request_id = context.request_id, %error, "sending again on a fresh connection");
                }
                Err(Trouble::Stale(error) | Trouble::Upstream(error)) => {
                    return Err(self.refuse(&error, context));
                }
                Err(Trouble::Broken(broken)) => return Err(broken),
            }
        }
    }

    /// Lets the client send its body, where it waits for that.
    async fn invite(&mut self) -> Result<(), Broken> {
        if std::mem::take(&mut self.awaits_invitation) {
            self.session
                .write_continue()
                .await
                .map_err(|SenderGone| Broken::SenderGone)?;
        }
        Ok(())
    }

    /// Reads a body that declares no length, up to the route's `buffer_body`, so that the
    /// application can be told its length. From WSGI servers, CGI and many others, a body in chunks
    /// gets an answer as if it were empty.
    async fn gather(&mut self) -> Result<(), Broken> {
        let bound = self.authorized.route.buffer_body;
        if self.upload.framing != Framing::Chunked || bound == 0 {
            return Ok(());
        }
        self.invite().await?;
        let body_timeout = self.authorized.policy.limits.body_timeout;
        let mut gathered = self.authorized.policy.budget().buffer(0).await?;
        while let Some(part) = body::next(self.session, &mut Deadline::after(body_timeout)).await? {
            self.upload.count(part.len())?;
            gathered.push(&part).await?;
            if gathered.len() as u64 > bound {
                self.upload.begin_with(gathered.freeze());
                return Ok(());
            }
        }
        self.upload.set_whole(gathered.freeze());
        Ok(())
    }

    /// The head as the application gets it.
    fn message(&self, context: &mut Context) -> BytesMut {
        let origin = Origin::of(&*self.session, &self.authorized.policy);
        let mut message = BytesMut::with_capacity(4096);
        let findings = self.authorized.findings();
        upstream_request::push_head(
            &mut message,
            self.head,
            &origin,
            context,
            findings,
            self.upload.framing,
        );
        message
    }

    async fn open(
        &self,
        message: &[u8],
        fresh: bool,
        context: &mut Context,
    ) -> Result<Relay, Broken> {
        let is_head = self.head.method() == b"HEAD";
        match relay::open(&self.authorized.route.upstream, message, is_head, fresh).await {
            Ok(relay) => {
                context.server = Some(relay.server().label().clone());
                Ok(relay)
            }
            Err(error) => Err(self.refuse(&error, context)),
        }
    }

    /// Whether a request that went over a connection that was just being closed can be sent again:
    /// its body is still here, or nothing of it has been read, and it does no harm if it arrives
    /// twice (RFC 9110 section 9.2.2).
    fn may_repeat(&self) -> bool {
        let is_idempotent = matches!(
            self.head.method(),
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
        );
        is_idempotent && (self.upload.received == 0 || self.upload.whole.is_some())
    }

    fn refuse(&self, error: &ExchangeError, context: &Context) -> Broken {
        let upstream = &self.authorized.route.upstream;
        log_no_answer(context, upstream, error);
        Broken::Refused(error.rejection())
    }

    /// Sends the body and passes the answer back, until that is complete.
    async fn relay(&mut self, relay: &mut Relay, is_repeated: bool) -> Result<(), Trouble> {
        let body_timeout = self.authorized.policy.limits.body_timeout;
        let response_timeout = relay.server().response_timeout();
        let Relay {
            request, answer, ..
        } = relay;
        loop {
            if self.is_unflushed {
                // Before more is waited for, the sender gets what there is so far.
                match futures_util::poll!(pin!(answer.next(false))) {
                    Poll::Pending => self.flush().await?,
                    Poll::Ready(part) => {
                        if self.pass_back(part?).await? {
                            return Ok(());
                        }
                    }
                }
                continue;
            }
            let awaits_sender = self.upload.awaits_sender();
            let limit = if awaits_sender {
                body_timeout
            } else {
                response_timeout
            };
            let may_repeat = !is_repeated && self.may_repeat();
            tokio::select! {
                part = answer.next(may_repeat) => if self.pass_back(part?).await? {
                    return Ok(());
                },
                step = self.upload.step(self.session, request) => step?,
                () = sleep(limit) => return Err(if awaits_sender { Trouble::late_sender() } else { Trouble::late_server() }),
            }
        }
    }

    /// Whether the answer is complete with this part.
    async fn pass_back(&mut self, part: Part) -> Result<bool, Broken> {
        let sent = match part {
            Part::Head(head) => {
                self.has_answered = true;
                // It will not be sent again.
                self.upload.whole = None;
                if *self.draining.borrow() {
                    // The sender is told, instead of finding out with its next request.
                    self.session.close_after();
                }
                self.session.begin(&head).await
            }
            Part::Body(part) => self.session.write(part).await,
            Part::End => {
                self.session
                    .finish()
                    .await
                    .map_err(|SenderGone| Broken::SenderGone)?;
                return Ok(true);
            }
        };
        self.is_unflushed = true;
        sent.map(|()| false)
            .map_err(|SenderGone| Broken::SenderGone)
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        self.is_unflushed = false;
        self.session
            .flush()
            .await
            .map_err(|SenderGone| Broken::SenderGone)
    }
}

/// What ends an exchange before it is complete.
enum Trouble {
    /// The connection was being closed as it was used.
    Stale(ExchangeError),
    /// The server is to blame.
    Upstream(ExchangeError),
    /// The sender is.
    Broken(Broken),
}

impl Trouble {
    fn late_sender() -> Self {
        Self::Broken(Broken::Refused(Rejection::Timeout("body")))
    }

    fn late_server() -> Self {
        Self::Upstream(ExchangeError::Timeout("no answer in time".into()))
    }
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<NoAnswer> for Trouble {
    fn from(NoAnswer { error, is_stale }: NoAnswer) -> Self {
        match is_stale {
            true => Self::Stale(error),
            false => Self::Upstream(error),
        }
    }
}

/// The body of a request on its way from the sender to the server, one part at a time.
struct Upload {
    framing: Framing,
    /// What has been read, and not yet sent.
    pending: Bytes,
    /// What comes after that.
    queued: VecDeque<Bytes>,
    /// All of it, where it was gathered.
    whole: Option<Bytes>,
    is_unflushed: bool,
    has_ended: bool,
    /// The server takes no more of it. It may have answered all the same.
    is_broken: bool,
    received: u64,
    /// 0 is no limit.
    limit: u64,
}

impl Upload {
    fn new<S: Session>(session: &mut S, head: &Head, limit: u64) -> Self {
        let has_ended = session.is_body_done();
        let framing = match head.content_length() {
            Some(length) => Framing::Length(length),
            // Where a body is to be expected, some servers demand a length even if there is none
            // (RFC 9110 section 8.6).
            None if has_ended && matches!(head.method(), b"POST" | b"PUT" | b"PATCH") => {
                Framing::Length(0)
            }
            None if has_ended => Framing::NoBody,
            None => Framing::Chunked,
        };
        Self {
            framing,
            pending: Bytes::new(),
            queued: VecDeque::new(),
            whole: None,
            is_unflushed: false,
            has_ended,
            is_broken: false,
            received: 0,
            limit,
        }
    }

    /// Takes all of the body, which was gathered.
    fn set_whole(&mut self, body: Bytes) {
        self.framing = Framing::Length(body.len() as u64);
        self.has_ended = true;
        self.is_unflushed = !body.is_empty();
        self.pending = body.clone();
        self.whole = Some(body);
    }

    /// Takes what was gathered of a body that goes on.
    fn begin_with(&mut self, gathered: Bytes) {
        // It is large, so a chunk is made around it instead of a copy.
        self.pending = format!("{:x}\r\n", gathered.len()).into();
        self.queued.extend([gathered, Bytes::from_static(b"\r\n")]);
        self.is_unflushed = true;
    }

    /// Sends all of it again, or nothing has been read of it.
    fn start_again(&mut self) {
        if let Some(body) = self.whole.clone() {
            self.is_broken = false;
            self.set_whole(body);
        }
    }

    fn count(&mut self, length: usize) -> Result<(), Broken> {
        self.received += length as u64;
        match self.limit > 0 && self.received > self.limit {
            true => Err(Broken::Refused(Rejection::BodyTooLarge(self.limit))),
            false => Ok(()),
        }
    }

    /// Whether there is something left to do.
    fn is_active(&self) -> bool {
        !self.is_broken && !self.is_done()
    }

    /// Whether the server has all of it.
    fn is_done(&self) -> bool {
        self.has_ended && self.pending.is_empty() && !self.is_unflushed && !self.is_broken
    }

    /// Whether it goes on when more arrives.
    fn awaits_sender(&self) -> bool {
        self.is_active() && self.pending.is_empty() && !self.is_unflushed
    }

    /// Gets a little further, or notices that the sender has given up. Nothing is lost if this is
    /// cancelled.
    async fn step<S: Session>(
        &mut self,
        session: &mut S,
        request: &mut RequestSide,
    ) -> Result<(), Broken> {
        if self.awaits_sender() {
            let part = session
                .read_body()
                .await
                .map_err(|error| body::broken(&error))?;
            return self.take(part);
        }
        tokio::select! {
            () = session.until_given_up() => Err(Broken::SenderGone),
            () = self.pass_on(request), if self.is_active() => Ok(()),
        }
    }

    /// Sends some of what is pending.
    async fn pass_on(&mut self, request: &mut RequestSide) {
        let sent = match self.pending.is_empty() {
            false => request.send(&self.pending).await.map(|sent| {
                self.pending.advance(sent);
                if self.pending.is_empty() {
                    // Even an empty part of it would keep its memory.
                    self.pending = self.queued.pop_front().unwrap_or_default();
                }
            }),
            true => request.flush().await.map(|()| self.is_unflushed = false),
        };
        self.is_broken = sent.is_err();
    }

    /// What the server takes for the next request must not be the rest of this one, whatever the
    /// sender's side makes of a length that is not true.
    fn check_length(&self, is_right: impl Fn(u64) -> bool) -> Result<(), Broken> {
        match self.framing {
            Framing::Length(length) if !is_right(length) => Err(Broken::Refused(
                Rejection::MalformedRequest("The body is not as long as was declared."),
            )),
            _ => Ok(()),
        }
    }

    fn take(&mut self, part: Option<Bytes>) -> Result<(), Broken> {
        self.is_unflushed = true;
        let is_chunked = self.framing == Framing::Chunked;
        let Some(part) = part else {
            self.has_ended = true;
            self.check_length(|length| self.received == length)?;
            self.pending = if is_chunked {
                Bytes::from_static(b"0\r\n\r\n")
            } else {
                Bytes::new()
            };
            return Ok(());
        };
        self.count(part.len())?;
        self.check_length(|length| self.received <= length)?;
        self.pending = if is_chunked && !part.is_empty() {
            chunk(&part)
        } else {
            part
        };
        Ok(())
    }
}

/// A chunk of the chunked coding (RFC 9112 section 7.1).
fn chunk(part: &[u8]) -> Bytes {
    let mut chunk = BytesMut::with_capacity(part.len() + 24);
    // Writing to memory cannot fail.
    let _ = write!((&mut chunk).writer(), "{:x}\r\n", part.len());
    chunk.put_slice(part);
    chunk.put_slice(b"\r\n");
    chunk.freeze()
}
