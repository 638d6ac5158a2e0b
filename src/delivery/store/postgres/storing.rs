//! Stores notifications: everything that waits becomes one statement, under a lock that all replicas
//! share, so that the order of ids is the order of commits.
//!
//! A statement whose outcome is not known is repeated, with the same receipts, until the senders
//! give up: what was committed is found, and not stored twice.

use super::super::{Listed, NewNotification, StoreError, Stored};
use super::Shared;
use super::rows;
use crate::database::{Fault, Parameter, get};
use crate::delivery::order::{Key, Place};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The number of notifications in one statement.
const MAX_BATCH: usize = 256;

/// The time for which the sender of a notification waits.
const PATIENCE: Duration = Duration::from_millis(4800);

/// The pause before a statement is repeated.
const AGAIN: Duration = Duration::from_millis(100);

/// What a row takes beside its message, about.
const ROW: i64 = 200;

/// The lock comes first, so that ids are given in the order of commits. What is there already may
/// have been committed while its wait for a standby was ended by force: something is written for it
/// as well, so that this commit waits for the standby, which has both then.
const STORE: &str = include_str!("store.sql");

const MAKE_ROOM: &str = include_str!("make_room.sql");

/// A notification that is to be stored, until it is answered.
pub(super) struct Item {
    pub(super) new: NewNotification,
    pub(super) answer: oneshot::Sender<Result<Stored, StoreError>>,
    deadline: Instant,
    /// It may have been stored already.
    is_unknown: bool,
}

impl Item {
    pub(super) fn new(
        new: NewNotification,
        answer: oneshot::Sender<Result<Stored, StoreError>>,
    ) -> Self {
        Self {
            new,
            answer,
            deadline: Instant::now() + PATIENCE,
            is_unknown: false,
        }
    }

    fn conclude(self, result: Result<Stored, StoreError>) {
        // Ignore the error: nothing waits for the answer any longer.
        let _ = self.answer.send(result);
    }
}

/// What a statement has done with one notification.
enum Outcome {
    Stored(Place),
    /// The newest one of its key is the same.
    Repeats,
    NoRoom,
    /// Another statement with its receipt is under way.
    Unknown,
}

/// Stores what comes, until the store is closed.
pub(super) async fn run(shared: Arc<Shared>, mut items: mpsc::Receiver<Item>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        if batch.is_empty() {
            if items.recv_many(&mut batch, MAX_BATCH).await == 0 {
                return;
            }
        } else {
            sleep(AGAIN).await;
            while batch.len() < MAX_BATCH
                && let Ok(item) = items.try_recv()
            {
                batch.push(item);
            }
        }
        batch = store(&shared, batch).await;
    }
}

/// Stores a batch. Returns those that are to be tried again.
async fn store(shared: &Shared, batch: Vec<Item>) -> Vec<Item> {
    let started = Instant::now();
    let batch = expire(batch);
    match insert(shared, &batch).await {
        Ok(outcomes) => {
            let left = conclude(shared, batch, outcomes).await;
            let size = shared.bytes.load(Ordering::Relaxed).max(0).cast_unsigned();
            shared.observer.committed(started.elapsed(), size);
            shared.note_storing(None);
            left
        }
        Err(fault) if fault.is_of_row() && batch.len() > 1 => {
            let mut left = Vec::new();
            for item in batch {
                left.extend(Box::pin(store(shared, vec![item])).await);
            }
            left
        }
        Err(fault) => {
            if !fault.is_of_row() {
                shared.note_storing(Some(&fault));
            }
            refuse(batch, &fault)
        }
    }
}

/// Answers those whose senders do not wait any longer. Returns the others.
fn expire(batch: Vec<Item>) -> Vec<Item> {
    let now = Instant::now();
    let (late, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(|item| item.deadline <= now);
    for item in late {
        item.conclude(Err(StoreError::Failed(
            "the database has not answered in time".into(),
        )));
    }
    batch
}

/// Answers what is known not to be stored. Returns the others.
fn refuse(batch: Vec<Item>, fault: &Fault) -> Vec<Item> {
    let is_unknown = matches!(fault, Fault::Unknown(_));
    let mut left = Vec::new();
    for mut item in batch {
        item.is_unknown |= is_unknown;
        if item.is_unknown && !fault.is_of_row() {
            left.push(item);
            continue;
        }
        if fault.is_of_row() {
            super::row_refused(&item.new, fault);
        }
        item.conclude(Err(StoreError::Failed(fault.to_string())));
    }
    left
}

async fn conclude(shared: &Shared, batch: Vec<Item>, outcomes: Vec<Outcome>) -> Vec<Item> {
    let mut left = Vec::new();
    let mut has_made_room = None;
    for (mut item, outcome) in batch.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Stored(place) => item.conclude(Ok(Stored::New(place))),
            Outcome::Repeats => item.conclude(Ok(Stored::Duplicate)),
            Outcome::Unknown => {
                item.is_unknown = true;
                left.push(item);
            }
            Outcome::NoRoom => {
                let has_room = match has_made_room {
                    Some(has_room) => has_room,
                    None => make_room(shared, size(&item.new)).await,
                };
                has_made_room = Some(has_room);
                match has_room {
                    true => left.push(item),
                    false => item.conclude(Err(StoreError::Full)),
                }
            }
        }
    }
    left
}

fn size(new: &NewNotification) -> i64 {
    i64::try_from(new.message.len()).unwrap_or(i64::MAX) + ROW
}

/// Drops the oldest parked notifications. Returns `true` if there were any.
async fn make_room(shared: &Shared, needed: i64) -> bool {
    let parameters: [Parameter<'_>; _] = [(&needed, Type::INT8)];
    match shared.storing.query(MAKE_ROOM, &parameters).await {
        Ok((rows, _)) => {
            let dropped: Vec<Listed> = rows
                .iter()
                .filter_map(|row| rows::listed(row).ok())
                .collect();
            dropped
                .iter()
                .for_each(|listed| shared.observer.dropped(listed));
            !rows.is_empty()
        }
        Err(fault) => {
            shared.note_storing(Some(&fault));
            false
        }
    }
}

/// Returns a text without the one character that the database does not take.
fn text(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Says of each notification whether it is the same as the one of its key before it, or else whether
/// the newest in the store may be.
fn repetitions(batch: &[Item]) -> Vec<(bool, bool)> {
    let mut newest = HashMap::<Key, &str>::new();
    let repetitions = batch.iter().map(|item| {
        let idempotency = &*item.new.idempotency;
        let before = newest.insert(item.new.key, idempotency);
        (before == Some(idempotency), before.is_none())
    });
    repetitions.collect()
}

/// Inserts a batch. Returns what has become of each.
async fn insert(shared: &Shared, batch: &[Item]) -> Result<Vec<Outcome>, Fault> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let repetitions = repetitions(batch);
    let sent: Vec<_> = batch
        .iter()
        .zip(&repetitions)
        .filter(|(_, (repeats, _))| !repeats)
        .map(|(item, (_, is_first))| (&item.new, *is_first))
        .collect();
    let all = || sent.iter().map(|(new, _)| *new);
    let receipts: Vec<_> = all().map(|new| Uuid::from_u128(new.receipt)).collect();
    let routes: Vec<_> = all().map(|new| text(&new.route)).collect();
    let keys: Vec<_> = all().map(|new| &new.key.0[..]).collect();
    let idempotency: Vec<_> = all().map(|new| text(&new.idempotency)).collect();
    let received: Vec<_> = all().map(|new| new.received).collect();
    let attempts: Vec<_> = all().map(|new| new.attempts.cast_signed()).collect();
    let errors: Vec<_> = all()
        .map(|new| new.last_error.as_deref().map(text))
        .collect();
    let next_tries: Vec<_> = all().map(|new| new.next_try).collect();
    let places: Vec<_> = all().map(|new| new.ticket).collect();
    let about: Vec<_> = all().map(|new| text(&new.about)).collect();
    let heads: Vec<_> = all()
        .map(|new| i32::try_from(new.head).unwrap_or(0))
        .collect();
    let messages: Vec<_> = all().map(|new| &new.message[..]).collect();
    let may_repeat: Vec<_> = sent.iter().map(|(_, is_first)| *is_first).collect();
    let needed: i64 = all().map(size).sum();
    let limit = i64::try_from(shared.max_size.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
    let parameters: [Parameter<'_>; _] = [
        (&receipts, Type::UUID_ARRAY),
        (&routes, Type::TEXT_ARRAY),
        (&keys, Type::BYTEA_ARRAY),
        (&idempotency, Type::TEXT_ARRAY),
        (&received, Type::INT8_ARRAY),
        (&attempts, Type::INT4_ARRAY),
        (&errors, Type::TEXT_ARRAY),
        (&next_tries, Type::INT8_ARRAY),
        (&places, Type::INT8_ARRAY),
        (&about, Type::TEXT_ARRAY),
        (&heads, Type::INT4_ARRAY),
        (&messages, Type::BYTEA_ARRAY),
        (&may_repeat, Type::BOOL_ARRAY),
        (&needed, Type::INT8),
        (&limit, Type::INT8),
    ];
    let (rows, _) = shared.storing.query(STORE, &parameters).await?;
    let received = all().map(|new| new.received);
    let outcomes = rows.iter().zip(received);
    let outcomes = outcomes.map(|(row, received)| outcome(row, received));
    outcomes_of_all(batch, &repetitions, outcomes)
}

/// Returns what a row says about a notification that was sent.
fn outcome(row: &Row, received: i64) -> Result<Outcome, Fault> {
    let (id, rank): (Option<i64>, Option<i64>) = (get(row, 0)?, get(row, 1)?);
    let (repeats, has_room): (bool, bool) = (get(row, 2)?, get(row, 3)?);
    Ok(match (id, rank) {
        (Some(id), Some(rank)) => Outcome::Stored(Place { rank, id, received }),
        _ if repeats => Outcome::Repeats,
        _ if !has_room => Outcome::NoRoom,
        _ => Outcome::Unknown,
    })
}

/// Returns what has become of each of a batch, of which those that repeat another were not sent.
fn outcomes_of_all(
    batch: &[Item],
    repetitions: &[(bool, bool)],
    mut outcomes: impl Iterator<Item = Result<Outcome, Fault>>,
) -> Result<Vec<Outcome>, Fault> {
    let mut last = HashMap::<Key, bool>::new();
    let mut result = Vec::with_capacity(batch.len());
    for (item, (repeats, _)) in batch.iter().zip(repetitions) {
        let key = item.new.key;
        let outcome = match repeats {
            // The one before it has to be there.
            true if last.get(&key) == Some(&true) => Outcome::Repeats,
            true => Outcome::Unknown,
            false => outcomes.next().unwrap_or(Ok(Outcome::Unknown))?,
        };
        last.insert(
            key,
            matches!(outcome, Outcome::Stored(_) | Outcome::Repeats),
        );
        result.push(outcome);
    }
    Ok(result)
}
