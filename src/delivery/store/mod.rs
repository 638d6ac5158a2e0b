//! The store of notifications that wait: what it does, whichever engine keeps it.
//!
//! An acknowledgement follows the commit. One process holds the term, and delivers; every process
//! may store.

pub(crate) mod sqlite;

use super::order::{Key, Spot};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// A notification to be stored.
#[derive(Clone, Debug)]
pub(crate) struct NewNotification {
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
    /// A description for people: a JSON object.
    pub(crate) about: String,
    /// The length of the head within the message.
    pub(crate) head: usize,
    pub(crate) message: Bytes,
}

/// The result of storing a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It has this id.
    New(i64),
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
}

/// A stored notification, for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMessage {
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

/// The state of the store, as other processes may have changed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// Changes with each commit of another process.
    pub(crate) commits: i64,
    /// The number of commands of operators that changed something.
    pub(crate) commands: i64,
}

/// The parked notifications of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParkedCount {
    pub(crate) route: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// An engine that keeps notifications.
#[async_trait]
pub(crate) trait Store: Send + Sync + fmt::Debug {
    /// Sets the limit of the size, in bytes.
    fn set_max_size(&self, max_size: u64);

    /// Stores a notification durably.
    async fn store(&self, notification: NewNotification) -> Result<Stored, StoreError>;

    /// Returns `true` if this process delivers, which it does from then on until it ends.
    async fn term(&self) -> Result<bool, StoreError>;

    /// Returns the notifications that wait, of those with a higher id than `after`.
    async fn read(&self, after: i64) -> Result<Vec<Spot>, StoreError>;

    /// Returns one that waits, for an attempt.
    async fn message(&self, id: i64) -> Result<Option<StoredMessage>, StoreError>;

    /// Returns the notifications of the same key that wait and were received before this one.
    async fn earlier(&self, spot: Spot) -> Result<Vec<Spot>, StoreError>;

    /// Records the ends of attempts durably.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<(), StoreError>;

    /// Parks what waits for a route that is not one of `routes`, and unparks what was parked for
    /// that reason and has its route again. Returns the numbers of both.
    async fn route(&self, routes: Vec<String>) -> Result<(usize, usize), StoreError>;

    /// Returns what shows the changes of other processes.
    async fn version(&self) -> Result<Version, StoreError>;

    /// Returns the numbers of parked notifications.
    async fn parked(&self) -> Result<Vec<ParkedCount>, StoreError>;

    /// Returns a notification without its message.
    async fn describe(&self, id: i64) -> Result<Option<Listed>, StoreError>;

    /// Returns the latest time of receipt.
    async fn latest(&self) -> Result<i64, StoreError>;
}
