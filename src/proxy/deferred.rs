//! Delivers a notification of a route with a queue: directly while the application takes
//! notifications, and through the queue otherwise.
//!
//! Its client gets a response within a few seconds: that of the application, if it has taken the
//! notification, or 202 once the notification is stored.

use super::deliver::{encode, pass_back, trace_response};
use super::origin::Origin;
use super::respond;
use super::session::Session;
use super::transaction::Transaction;
use super::upstream_request::ReceiptHead;
use super::verified::Verified;
use crate::delivery::{
    Content, Delivery, FailedAttempt, NotStored, Receipt, StoreError, StoreReason, Way,
    idempotency_key, judge, subject_key, unordered,
};
use crate::http::timeout::timeout;
use crate::rejection::Rejection;
use crate::telemetry::context::{Context, Outcome};
use crate::upstream::Upstream;
use crate::upstream::exchange::{self, ExchangeError, Message, UpstreamResponse};
use bytes::{BufMut as _, BytesMut};
use serde::Serialize;
use std::borrow::Cow;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time that a client waits for the application before its notification is stored.
const PATIENCE: Duration = Duration::from_secs(5);

/// The result of an exchange.
type Exchanged = Result<UpstreamResponse, ExchangeError>;

/// A direct attempt.
type Attempt = Pin<Box<dyn Future<Output = Exchanged> + Send>>;

/// A notification with its receipt, and the message that the application gets.
struct Deferred<'v> {
    verified: &'v Verified,
    message: Arc<Message>,
    idempotency: Cow<'v, str>,
}

/// A notification as it is described for people.
#[derive(Serialize)]
struct About<'n> {
    kind: &'static str,
    node: Option<&'n str>,
    remote_addr: Option<IpAddr>,
    request_id: &'n str,
    severity: Option<&'n str>,
    space: Option<&'n str>,
    title: Option<&'n str>,
    transition_id: Option<&'n str>,
}

/// Delivers `verified` directly or stores it, and answers the client.
pub(super) async fn deliver<S: Session>(
    delivery: &Arc<Delivery>,
    transaction: &mut Transaction<'_, S>,
    verified: &Verified,
) {
    let route = &verified.route;
    transaction.context.upstream = Some(route.upstream_label.clone());
    let key = subject_key(&route.label, &verified.notification.subject);
    let mut receipt = delivery.receive(&route.label, key, route.delivery);
    let way = receipt.ask().await;
    let deferred = Deferred::new(transaction, verified, &receipt);
    match way {
        Way::Direct => deferred.try_directly(transaction, receipt).await,
        // Boxed, here and below, so that a direct attempt does not move the memory of all the rest.
        Way::Store(reason) => Box::pin(deferred.store(transaction, receipt, reason)).await,
    }
}

impl<'v> Deferred<'v> {
    fn new<S: Session>(
        transaction: &mut Transaction<'_, S>,
        verified: &'v Verified,
        receipt: &Receipt,
    ) -> Self {
        let received = receipt.received();
        let notification = &verified.notification;
        let idempotency = match &notification.transition_id {
            Some(_) => Cow::Borrowed(&*notification.idempotency_key),
            None => Cow::Owned(idempotency_key(&verified.body, received)),
        };
        let head = ReceiptHead {
            put_lines: &|head| receipt.put_lines(head),
            idempotency_key: &idempotency,
        };
        let origin = Origin::of(&*transaction.session, &verified.policy);
        let message = encode(transaction, &origin, verified, Some(head));
        Self {
            verified,
            message: Arc::new(message),
            idempotency,
        }
    }

    fn upstream(&self) -> &Upstream {
        &self.verified.route.upstream
    }

    fn attempt(&self, receipt: &Receipt, retry_for: Duration) -> Attempt {
        let upstream = self.upstream().clone();
        let message = match receipt.is_unordered() {
            true => Arc::new(unordered(&self.message)),
            false => self.message.clone(),
        };
        let sent = Box::pin(async move { exchange::send(&upstream, &message, retry_for).await });
        receipt.within_term(sent, || Err(ended()))
    }

    /// Returns the notification as it is stored.
    fn content(&self, context: &Context) -> Content {
        let Message { head, body, .. } = &*self.message;
        let length = head.len() + body.len();
        let mut message = BytesMut::with_capacity(length);
        message.put_slice(head);
        message.put_slice(body);
        Content {
            idempotency: self.idempotency.to_string(),
            about: self.about(context),
            head: length - self.verified.body.len(),
            message: message.freeze(),
        }
    }

    /// Describes the notification for people.
    fn about(&self, context: &Context) -> String {
        let notification = &self.verified.notification;
        let space = notification.space.as_ref().and_then(|space| space.label());
        let about = About {
            kind: notification.kind.as_str(),
            node: notification.node.as_deref(),
            remote_addr: context.remote_addr,
            request_id: &context.request_id,
            severity: notification.severity.as_deref(),
            space,
            title: notification.title.as_deref(),
            transition_id: notification.transition_id.as_deref(),
        };
        serde_json::to_string(&about).unwrap_or_default()
    }

    /// Tries it directly, and stores it if that fails or takes too long.
    async fn try_directly<S: Session>(
        self,
        transaction: &mut Transaction<'_, S>,
        mut receipt: Receipt,
    ) {
        let started = Instant::now();
        let mut attempt = self.attempt(&receipt, Duration::ZERO);
        let Ok(result) = timeout(PATIENCE, &mut attempt).await else {
            receipt.let_go_on(async move { conclude(attempt.await).await });
            return Box::pin(self.store(transaction, receipt, StoreReason::Late)).await;
        };
        match judge(&result) {
            Ok(()) => {
                receipt.delivered();
                // One that was taken has a response.
                if let Ok(response) = result {
                    pass_back(transaction, response, started).await;
                }
            }
            Err(failed) => {
                transaction.context.upstream_duration = Some(started.elapsed());
                receipt.failed(&failed);
                if let Ok(response) = result {
                    trace_response(response.server().label(), response.head.status());
                    tokio::spawn(response.discard());
                }
                Box::pin(self.store(transaction, receipt, StoreReason::Down)).await;
            }
        }
    }

    /// Stores it, and answers 202.
    async fn store<S: Session>(
        &self,
        transaction: &mut Transaction<'_, S>,
        receipt: Receipt,
        reason: StoreReason,
    ) {
        let content = self.content(transaction.context);
        match receipt.store(content, reason).await {
            Ok(_stored) => respond::queued(transaction).await,
            Err(NotStored { error, receipt }) => match receipt {
                Some(receipt) => self.do_without_store(transaction, *receipt, &error).await,
                None => respond::reject(transaction, &rejection(&error)).await,
            },
        }
    }

    /// Delivers it directly although it was to be stored, if that does not change the order, or
    /// refuses it.
    async fn do_without_store<S: Session>(
        &self,
        transaction: &mut Transaction<'_, S>,
        mut receipt: Receipt,
        error: &StoreError,
    ) {
        if receipt.is_under_way() {
            return match receipt.finished().await {
                Ok(()) => {
                    receipt.delivered();
                    let response = "{\"delivered\":true}".into();
                    respond::answer(transaction, Outcome::Forwarded, response).await;
                }
                Err(_) => respond::reject(transaction, &rejection(error)).await,
            };
        }
        if !receipt.try_directly() {
            return respond::reject(transaction, &rejection(error)).await;
        }
        let started = Instant::now();
        let result = self.attempt(&receipt, self.upstream().retry_for()).await;
        match judge(&result) {
            Ok(()) => {
                receipt.delivered();
                if let Ok(response) = result {
                    pass_back(transaction, response, started).await;
                }
            }
            Err(failed) => {
                receipt.failed(&failed);
                let unreachable = result.err().map(|error| error.rejection());
                let rejection = unreachable.unwrap_or_else(|| rejection(error));
                respond::reject(transaction, &rejection).await;
            }
        }
    }
}

/// Returns the error of an attempt that another process is to make.
fn ended() -> ExchangeError {
    ExchangeError::Timeout("another process delivers by now".into())
}

/// Concludes an attempt for whose response no client waits.
async fn conclude(result: Exchanged) -> Result<(), FailedAttempt> {
    let judged = judge(&result);
    if let Ok(response) = result {
        response.discard().await;
    }
    judged
}

fn rejection(error: &StoreError) -> Rejection {
    match error {
        StoreError::Full => Rejection::QueueFull,
        StoreError::Failed(_) | StoreError::Fenced => Rejection::QueueFailed,
    }
}
