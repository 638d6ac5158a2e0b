//! The store of notifications that wait: what it does, whichever engine keeps it.
//!
//! An acknowledgement follows the commit. One process holds the term, and delivers; every process
//! may store.

pub(crate) mod postgres;
pub(crate) mod sqlite;

#[cfg(test)]
mod suite;

use super::order::{Key, Place, Spot};
use super::survey::Survey;
pub(crate) use crate::term::{Holder, Term, TermStep};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// A notification to be stored.
#[derive(Clone, Debug)]
pub(crate) struct NewNotification {
    /// Names this receipt: the same, however often it is stored.
    pub(crate) receipt: u128,
    pub(crate) route: Arc<str>,
    pub(crate) key: Key,
    pub(crate) idempotency: String,
    /// The time of receipt in nanoseconds since 1970.
    pub(crate) received: i64,
    /// The number of attempts that have begun, and the error of the last one.
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
    /// The earliest time of the next attempt, in nanoseconds since 1970, after a failed one.
    pub(crate) next_try: Option<i64>,
    /// Its place by a direct attempt, if it has one.
    pub(crate) ticket: Option<i64>,
    /// A description for people: a JSON object.
    pub(crate) about: String,
    /// The length of the head within the message.
    pub(crate) head: usize,
    pub(crate) message: Bytes,
}

/// The result of storing a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It has this place.
    New(Place),
    /// The newest one of its key that waits is the same.
    Duplicate,
}

/// The reason why nothing was stored or recorded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum StoreError {
    /// The limit of the size is reached, and nothing is parked that could make room.
    #[error("the queue has reached its max_size")]
    Full,
    /// The store cannot be written.
    #[error("{0}")]
    Failed(String),
    /// Another process delivers by now.
    #[error("another process delivers by now")]
    Fenced,
}

/// A stored notification, for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMessage {
    pub(crate) receipt: u128,
    pub(crate) idempotency: String,
    pub(crate) received: i64,
    pub(crate) attempts: u32,
    pub(crate) head: usize,
    pub(crate) message: Bytes,
}

/// The reason why a notification is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parking {
    /// Its application does not take it, although it takes others.
    Poison,
    /// It is older than `max_age`.
    TooOld,
    /// Its route is not in the configuration.
    NoRoute,
    /// An operator parked it.
    Operator,
}

impl Parking {
    /// Returns the word for it in the store, in metrics and in logs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Poison => "poison",
            Self::TooOld => "too_old",
            Self::NoRoute => "no_route",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Parking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A notification in the queue, as far as people need to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: i64,
    pub(crate) route: String,
    /// The time of receipt in nanoseconds since 1970.
    pub(crate) received: i64,
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
    /// The earliest time of the next attempt in nanoseconds since 1970, after a failed one.
    pub(crate) next_try: Option<i64>,
    /// The reason if it is parked.
    pub(crate) parked: Option<String>,
    /// The id of the one that must be delivered before, if there is any; only read for operators.
    pub(crate) after: Option<i64>,
    /// A description: a JSON object.
    pub(crate) about: String,
    pub(crate) idempotency: String,
    /// The length of its body, in bytes.
    pub(crate) body_bytes: i64,
}

/// The end of an attempt, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settlement {
    pub(crate) id: i64,
    /// The receipt of the notification, so that no other one with its id is meant.
    pub(crate) receipt: u128,
    pub(crate) end: End,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The notification is deleted.
    Delivered,
    /// It waits, with the number of attempts so far, until the earliest time of the next one.
    Failed {
        attempts: u32,
        error: String,
        next_try: Option<i64>,
    },
    /// It is set aside.
    Parked(Parking),
}

/// The answer to the question whether a notification may be tried directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The place that it has if it is stored after all; absent where the time of receipt decides.
    pub(crate) ticket: Option<i64>,
    /// One of the same key waits.
    pub(crate) waits: bool,
}

/// How far the store was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The highest id.
    pub(crate) id: i64,
    /// Changes with each commit of another process, where the store tells.
    pub(crate) commits: i64,
    /// Changes when an operator has changed something, and everything must be read again.
    pub(crate) commands: i64,
}

/// What was read of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) seen: Seen,
    /// The notifications that wait.
    pub(crate) spots: Vec<Spot>,
}

/// What is known of the rest of the store once all of it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// The latest time of receipt, or 0.
    pub(crate) latest: i64,
    pub(crate) parked: Vec<ParkedCount>,
}

/// A notification that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Those of the same key that wait and come before it, as far as the store has to be asked.
    pub(crate) earlier: Vec<Spot>,
    /// Absent if it does not wait any longer.
    pub(crate) message: Option<StoredMessage>,
}

/// The numbers of notifications that were parked because their route has gone, and of those that
/// wait again because it is back, by route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rerouted {
    pub(crate) parked: BTreeMap<String, u64>,
    pub(crate) unparked: BTreeMap<String, u64>,
}

/// The notifications of one route that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingCount {
    pub(crate) route: String,
    pub(crate) count: usize,
    /// The time of receipt of the oldest, in nanoseconds since 1970.
    pub(crate) oldest: i64,
}

/// The numbers of notifications in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) waiting: Vec<WaitingCount>,
    pub(crate) parked: Vec<ParkedCount>,
}

/// The parked notifications of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParkedCount {
    pub(crate) route: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

impl ParkedCount {
    /// Returns `true` if they are parked because their route is not in the configuration.
    pub(crate) fn has_no_route(&self) -> bool {
        self.reason == Parking::NoRoute.as_str()
    }
}

/// The reports of a store about itself.
pub(crate) trait Observer: Send + Sync {
    /// A commit took so long; the store has this size after it.
    fn committed(&self, duration: Duration, size: u64);
    /// The store can be written again, or cannot be for this reason.
    fn writable(&self, problem: Option<&str>);
    /// A parked notification was deleted to make room.
    fn dropped(&self, notification: &Listed);
}

/// An engine that keeps notifications. Each operation is one transaction.
#[async_trait]
pub(crate) trait Store: Send + Sync + fmt::Debug {
    /// Returns `true` if other machines may use it at the same time: a term ends by itself then, and
    /// the store decides the order.
    fn is_shared(&self) -> bool;

    /// Sets the limit of the size, in bytes.
    fn set_max_size(&self, max_size: u64);

    /// Sets what other processes compare to see whether they have the same routes.
    fn set_routes(&self, _: String) {}

    /// Stores notifications durably. Returns the result of each.
    async fn store(&self, batch: Vec<NewNotification>) -> Vec<Result<Stored, StoreError>>;

    /// Asks whether a notification may be tried directly, as far as other machines are concerned.
    /// Only a [shared](Self::is_shared) store needs to be asked, as each direct attempt would wait for it.
    async fn ask(&self, spot: &Spot) -> Result<Asked, StoreError>;

    /// Takes, keeps or gives up the term. Returns the process that has it then.
    async fn term(&self, step: TermStep) -> Result<Holder, StoreError>;

    /// Returns what waits and has come since `after`, or nothing if nothing has changed.
    async fn read(&self, after: Seen) -> Result<Reading, StoreError>;

    /// Returns everything that waits, once each is parked whose route is not one of `routes`, and
    /// what was parked for that reason waits again if its route is.
    async fn load(
        &self,
        term: Term,
        routes: Vec<String>,
    ) -> Result<(Reading, Totals, Rerouted), StoreError>;

    /// Returns the numbers of notifications, for a process that does not deliver them.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Looks at what any process may know, where machines share the store.
    async fn survey(&self) -> Result<Option<Survey>, StoreError> {
        Ok(None)
    }

    /// Returns those of `ids` that are in the store.
    async fn present(&self, ids: Vec<i64>) -> Result<Vec<i64>, StoreError>;

    /// Returns one that waits, for an attempt, which begins.
    async fn fetch(&self, term: Term, spot: Spot) -> Result<Fetched, StoreError>;

    /// Records the ends of attempts durably. What is delivered is deleted even if the term is over,
    /// the rest is refused then. Returns those that are parked.
    async fn settle(
        &self,
        term: Option<Term>,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Listed>, StoreError>;
}
