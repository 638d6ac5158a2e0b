//! A notification on its way through a request: tried directly, or stored.

use super::attempt::FailedAttempt;
use super::message::put_receipt_lines;
use super::order::{Place, Spot};
use super::store::{NewNotification, StoreError, Stored, Term};
use super::{Delivery, reports};
use crate::config::DeliveryMode;
use bytes::{Bytes, BytesMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The time within which the store must have committed.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The way of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It may be tried directly.
    Direct,
    /// It must be stored.
    Store(StoreReason),
}

/// The reason why a notification is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreReason {
    /// The application does not take notifications.
    Down,
    /// An earlier one of the same key waits, or may wait.
    Order,
    /// The application did not respond in time.
    Late,
    /// The route stores every notification.
    Queue,
}

impl StoreReason {
    pub(super) const ALL: [Self; 4] = [Self::Down, Self::Order, Self::Late, Self::Queue];

    /// Returns the value of the label in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Order => "order",
            Self::Late => "late",
            Self::Queue => "queue",
        }
    }
}

/// The notification as it is stored.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) idempotency: String,
    /// A description for people: a JSON object.
    pub(crate) about: String,
    /// The length of the head within the message.
    pub(crate) head: usize,
    pub(crate) message: Bytes,
}

/// A notification that has its place in the order until it is delivered or stored. Without either,
/// the place is given up when this is dropped.
pub(crate) struct Receipt {
    delivery: Arc<Delivery>,
    spot: Spot,
    way: Way,
    /// The number of attempts that have begun, and the error of the last one.
    attempts: u32,
    last_error: Option<String>,
    /// Names this receipt in the store.
    id: u128,
    /// The term in which a direct attempt is made, where machines share the store.
    term: Option<Term>,
    /// The store cannot be asked, so that a direct attempt may overtake another notification.
    is_unordered: bool,
    /// A direct attempt is made beside the order, which knows of another one of the same key.
    is_beside: bool,
    mode: DeliveryMode,
    /// The place that the store has given to a direct attempt.
    ticket: Option<i64>,
    /// A direct attempt that goes on while the notification is stored.
    under_way: Option<JoinHandle<Result<(), FailedAttempt>>>,
    is_settled: bool,
}

/// A notification is stored. Its delivery may begin when this is dropped: its client is to be answered
/// first.
pub(crate) struct StoredReceipt(Arc<Delivery>);

impl Drop for StoredReceipt {
    fn drop(&mut self) {
        self.0.desk.wake();
    }
}

/// A notification could not be stored. Without a receipt, the store is still at it.
pub(crate) struct NotStored {
    pub(crate) error: StoreError,
    pub(crate) receipt: Option<Box<Receipt>>,
}

impl Receipt {
    pub(super) fn new(delivery: Arc<Delivery>, spot: Spot, mode: DeliveryMode, way: Way) -> Self {
        Self {
            delivery,
            spot,
            attempts: u32::from(way == Way::Direct),
            way,
            last_error: None,
            id: rand::random(),
            term: None,
            is_unordered: false,
            is_beside: false,
            mode,
            ticket: None,
            under_way: None,
            is_settled: false,
        }
    }

    /// Returns the way that the notification takes. Before a direct attempt, a store that machines
    /// share is asked for what the others have stored.
    pub(crate) async fn ask(&mut self) -> Way {
        // Where no other machine stores, the order of this process knows everything.
        if self.way == Way::Direct && self.delivery.is_shared() {
            self.term = self.delivery.term();
            match self.delivery.store.ask(&self.spot).await {
                Ok(asked) if !asked.waits => self.keep(asked.ticket),
                Ok(_) => self.hold_back(),
                // The store will not take it either: it goes on at once, with a mark.
                Err(_) => {
                    self.is_unordered = true;
                    self.term = None;
                }
            }
        }
        self.way
    }

    /// Takes the place that the store has given to the attempt.
    fn keep(&mut self, ticket: Option<i64>) {
        self.ticket = ticket;
        if let Some(rank) = ticket {
            self.move_to(Place {
                rank,
                ..self.spot.place
            });
        }
    }

    fn hold_back(&mut self) {
        self.delivery.desk.postponed(&self.spot, Duration::ZERO);
        self.attempts = 0;
        self.way = Way::Store(StoreReason::Order);
    }

    fn move_to(&mut self, place: Place) {
        self.delivery.desk.moved(&self.spot, place);
        self.spot.place = place;
    }

    /// Returns `true` if a direct attempt may overtake another notification, which the application
    /// has to be told.
    pub(crate) fn is_unordered(&self) -> bool {
        self.is_unordered
    }

    /// Appends the header lines about this receipt and its first attempt.
    pub(crate) fn put_lines(&self, head: &mut BytesMut) {
        let term = self.term.and_then(|term| self.delivery.term_line(term));
        put_receipt_lines(head, self.received(), 1, term);
    }

    /// The time of receipt in nanoseconds since 1970.
    pub(crate) fn received(&self) -> i64 {
        self.spot.place.received
    }

    /// Records that the application has taken the notification directly.
    pub(crate) fn delivered(mut self) {
        self.is_settled = true;
        let recovery = match self.is_beside {
            true => {
                self.delivery.desk.gone(&self.spot);
                None
            }
            false => self.delivery.desk.delivered(&self.spot),
        };
        self.delivery.note_delivered(&self.spot, recovery);
    }

    /// Records that the direct attempt failed. The notification is to be stored next.
    pub(crate) fn failed(&mut self, failed: &FailedAttempt) {
        let has_begun = !self.is_beside && self.delivery.desk.failed(&self.spot, failed.trial).1;
        self.delivery
            .note_failed(&self.spot, self.attempts, failed, has_begun);
        self.last_error = Some(failed.error.clone());
    }

    /// Limits a direct attempt to the time for which this process may deliver, if that ends by itself.
    /// Once it is `over`, that is the result.
    pub(crate) fn within_term<T: Send + 'static>(
        &self,
        attempt: Pin<Box<dyn Future<Output = T> + Send>>,
        over: fn() -> T,
    ) -> Pin<Box<dyn Future<Output = T> + Send>> {
        let Some(term) = self.term else {
            return attempt;
        };
        let delivery = self.delivery.clone();
        Box::pin(async move {
            let result = delivery.within_term(term, attempt).await;
            result.unwrap_or_else(over)
        })
    }

    /// Lets a direct attempt go on beside the request.
    pub(crate) fn let_go_on(
        &mut self,
        attempt: impl Future<Output = Result<(), FailedAttempt>> + Send + 'static,
    ) {
        self.under_way = Some(self.delivery.tasks.spawn(attempt));
    }

    /// Returns `true` if an attempt goes on beside the request.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Waits for the attempt that was [let go on](Self::let_go_on).
    pub(crate) async fn finished(&mut self) -> Result<(), FailedAttempt> {
        match self.under_way.take() {
            Some(attempt) => attempt
                .await
                .unwrap_or_else(|_| Err(FailedAttempt::given_up())),
            None => Err(FailedAttempt::given_up()),
        }
    }

    /// Stores the notification. It is then delivered from the store, once a direct attempt that goes
    /// on has failed.
    pub(crate) async fn store(
        self,
        content: Content,
        reason: StoreReason,
    ) -> Result<StoredReceipt, NotStored> {
        let tasks = self.delivery.tasks.clone();
        let mut commit = Box::pin(self.commit(content, reason));
        // Polled before anything else, so that the store is at it while the rest is set up.
        if let Poll::Ready(result) = futures_util::poll!(&mut commit) {
            return result;
        }
        // A task of its own: a request that ends early must not leave its place to nothing.
        let task = tasks.spawn(commit);
        match timeout(COMMIT_TIMEOUT, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(NotStored::failed(&error)),
            Err(late) => Err(NotStored::failed(&late)),
        }
    }

    async fn commit(
        mut self,
        content: Content,
        reason: StoreReason,
    ) -> Result<StoredReceipt, NotStored> {
        let delivery = self.delivery.clone();
        let mut results = delivery.store.store(vec![self.notification(content)]).await;
        let missing = || Err(StoreError::Failed("the store has not answered".into()));
        match results.pop().unwrap_or_else(missing) {
            Ok(Stored::New(place)) => {
                let is_placed = self.ticket.is_some() || self.under_way.is_some();
                match delivery.is_shared() && !is_placed {
                    // Another replica may have stored one before it that is not read yet.
                    true => delivery.desk.left_to_reading(&self.spot),
                    false => self.move_to(place),
                }
                self.is_settled = true;
                delivery.figures.note_stored(&self.spot.route, reason);
                if self.under_way.is_some() {
                    delivery.tasks.spawn(self.conclude());
                }
                Ok(StoredReceipt(delivery))
            }
            Ok(Stored::Duplicate) => {
                // It is there already: dropping this gives up the second place.
                reports::duplicate(&self.spot);
                Ok(StoredReceipt(delivery))
            }
            Err(error) => Err(NotStored {
                error,
                receipt: Some(Box::new(self)),
            }),
        }
    }

    fn notification(&self, content: Content) -> NewNotification {
        let has_failed = self.last_error.is_some();
        NewNotification {
            receipt: self.id,
            route: self.spot.route.clone(),
            key: self.spot.key,
            idempotency: content.idempotency,
            received: self.spot.place.received,
            attempts: self.attempts,
            last_error: self.last_error.clone(),
            next_try: has_failed
                .then(|| self.delivery.desk.next_try(&self.spot))
                .flatten(),
            ticket: self.ticket,
            about: content.about,
            head: content.head,
            message: content.message,
        }
    }

    /// Makes this a direct attempt although it was to be stored, because it could not be. Returns
    /// `false` if that could overtake another one, and the application is not to be told.
    pub(crate) fn try_directly(&mut self) -> bool {
        if self.is_unordered {
            // It has been tried so, in vain.
            return false;
        }
        let is_marked = self.delivery.is_shared() && self.mode == DeliveryMode::Fallback;
        match self.way {
            Way::Direct => {}
            Way::Store(StoreReason::Down) => self.delivery.desk.begin_unstored(&self.spot),
            Way::Store(_) if is_marked => self.is_beside = true,
            Way::Store(_) => return false,
        }
        if self.way != Way::Direct {
            self.attempts = 1;
            self.way = Way::Direct;
        }
        self.is_unordered = is_marked;
        self.term = None;
        true
    }

    /// Records the end of a direct attempt of a notification that has been stored meanwhile.
    async fn conclude(mut self) {
        let result = self.finished().await;
        self.delivery
            .clone()
            .conclude(&self.spot, self.id, self.attempts, result)
            .await;
    }
}

impl NotStored {
    fn failed(error: &dyn std::fmt::Display) -> Self {
        Self {
            error: StoreError::Failed(format!("the store has not answered: {error}")),
            receipt: None,
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.is_settled {
            self.delivery.desk.gone(&self.spot);
        }
    }
}
