//! Takes a request from its head to its line in the log.

use super::deferred;
use super::deliver::deliver;
use super::gate::Gate;
use super::pass_through;
use super::respond;
use super::session::Session;
use super::transaction::Transaction;
use super::verified::{Decision, Verified};
use crate::config::DeliveryMode;
use crate::delivery::Delivery;
use crate::http::request_head::RequestHead;
use crate::rejection::Rejection;
use crate::telemetry::Monitor;
use crate::telemetry::access_log::{self, Answered};
use crate::telemetry::context::Context;
use crate::telemetry::lost;
use crate::webhook::notification::Kind;
use pingora::server::ShutdownWatch;
use std::pin::pin;
use std::sync::Arc;
use tracing::Instrument as _;

/// The way of every request, whichever connection it arrives on.
pub(super) struct Gateway {
    pub(super) gate: Arc<Gate>,
    /// Becomes `true` when the process is about to end.
    draining: ShutdownWatch,
    monitor: Arc<Monitor>,
    /// The queue, if there is one.
    delivery: Option<Arc<Delivery>>,
}

impl Gateway {
    pub(super) fn new(
        gate: Arc<Gate>,
        draining: ShutdownWatch,
        monitor: Arc<Monitor>,
        delivery: Option<Arc<Delivery>>,
    ) -> Self {
        Self {
            gate,
            draining,
            monitor,
            delivery,
        }
    }

    /// Returns the queue if the notification may be stored.
    fn queue_of(&self, verified: &Verified) -> Option<&Arc<Delivery>> {
        let is_stored = verified.route.delivery != DeliveryMode::Direct
            && verified.notification.kind != Kind::Test;
        self.delivery.as_ref().filter(|_| is_stored)
    }

    /// Answers the request with this `head`, and records it. `rejection` is the reason to refuse it
    /// that was found while its head was read.
    pub(super) async fn serve<S: Session>(
        &self,
        session: &mut S,
        head: &RequestHead,
        rejection: Option<Rejection>,
    ) {
        let mut in_flight = InFlight::new(&self.monitor);
        let mut transaction = Transaction::new(session, head, &mut in_flight.context);
        match &rejection {
            Some(rejection) => self.gate.refuse(&mut transaction, rejection).await,
            None => self.process(&mut transaction).await,
        }
        let answered = Answered {
            head,
            was_read: rejection.is_none(),
            tls: session.tls_version(),
            status: session.status(),
            bytes_sent: session.bytes_sent(),
        };
        self.record(&answered, &in_flight.context);
        in_flight.is_over = true;
    }

    fn record(&self, answered: &Answered<'_>, context: &Context) {
        access_log::write(answered, context);
        let lost = lost::report(context, answered.status);
        self.monitor.request(answered, context, lost);
    }

    async fn process<S: Session>(&self, transaction: &mut Transaction<'_, S>) {
        let decision = self.gate.judge(transaction).await;
        let span = transaction.context.span.clone();
        match decision {
            Decision::Deliver(verified) => {
                match self.queue_of(&verified) {
                    Some(queue) => {
                        let delivery = deferred::deliver(queue, transaction, &verified);
                        // Boxed because its future is large, and most routes have no queue.
                        Box::pin(delivery).instrument(span).await;
                    }
                    None => {
                        let delivery = pin!(deliver(&self.draining, transaction, &verified));
                        delivery.instrument(span).await;
                    }
                }
            }
            Decision::PassThrough(authorized) => {
                // Boxed because its future is large, and most requests take another branch.
                let passing = pass_through::run(&self.draining, transaction, &authorized);
                Box::pin(passing).instrument(span).await;
            }
            Decision::Answered(()) => {}
            Decision::Unrouted => respond::reject(transaction, &Rejection::NotFound).await,
        }
    }
}

/// A request that has not been answered completely.
struct InFlight<'m> {
    context: Context,
    monitor: &'m Monitor,
    is_over: bool,
}

impl<'m> InFlight<'m> {
    fn new(monitor: &'m Monitor) -> Self {
        Self {
            context: Context::new(),
            monitor,
            is_over: false,
        }
    }
}

/// A request is dropped early when the process ends: this line is then its only trace.
impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let context = &self.context;
        let notification = context.notification.as_deref();
        tracing::warn!(
            event = "request_aborted",
            request_id = context.request_id,
            remote_addr = context.remote_addr.map(tracing::field::display),
            route = context.route.as_deref(),
            transition_id =
                notification.and_then(|notification| notification.transition_id.as_deref()),
            upstream = context.upstream.as_deref(),
            "request aborted by the shutdown"
        );
        if let Some(lost) = lost::report(context, None) {
            self.monitor.lost(lost);
        }
    }
}
