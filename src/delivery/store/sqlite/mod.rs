//! The store in one SQLite file.
//!
//! One thread owns the connection. Everything that waits for it becomes one transaction, and is
//! answered after its commit: no request does I/O on its own thread.

mod committer;
pub(crate) mod file;
#[cfg(feature = "cli")]
pub(crate) mod operator;
mod table;

#[cfg(test)]
mod tests;

use super::{
    Asked, Counts, End, Fetched, Holder, Listed, NewNotification, Observer, Reading, Rerouted,
    Seen, Settlement, Store, StoreError, Stored, Term, TermStep, Totals,
};
use crate::delivery::lock::Lock;
use crate::delivery::order::Spot;
use async_trait::async_trait;
use committer::{Committer, Write};
use file::OpenError;
use futures_util::future::join_all;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::sync::{mpsc, oneshot};

/// The number of requests to the thread that may wait for it.
const CAPACITY: usize = 4096;

/// The term of the process that has the lock: the kernel sees to it that there is one.
const TERM: Term = Term(0);

/// The store in one SQLite file.
pub(crate) struct SqliteStore {
    path: PathBuf,
    lock: Mutex<Option<Lock>>,
    max_size: Arc<AtomicU64>,
    requests: mpsc::Sender<Request>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A request to the thread that owns the connection.
enum Request {
    Write(Write),
    Read(Box<dyn FnOnce(&Connection) + Send>),
}

/// A store that has been opened.
pub(crate) struct Opened {
    pub(crate) store: SqliteStore,
    /// The path of a damaged file that was set aside, and its problem.
    pub(crate) damaged: Option<(PathBuf, String)>,
}

impl SqliteStore {
    /// Opens the store at `path`, verifies it, and starts its thread. A damaged file is set aside.
    pub(crate) fn open(
        path: &Path,
        max_size: u64,
        observer: Arc<dyn Observer>,
    ) -> Result<Opened, OpenError> {
        let fail = |error: std::io::Error| OpenError::Failed {
            path: path.to_owned(),
            error: error.to_string(),
        };
        let lock = Lock::take(&lock_path(path)).map_err(fail)?;
        let (connection, damaged) = match file::open_verified(path) {
            // Another process may still use the file.
            Err(OpenError::Damaged { error, .. }) if lock.is_some() => {
                let aside = file::set_aside(path).map_err(fail)?;
                (file::open_verified(path)?, Some((aside, error)))
            }
            opened => (opened?, None),
        };
        let max_size = Arc::new(AtomicU64::new(max_size));
        let (requests, receiver) = mpsc::channel(CAPACITY);
        let committer = Committer::new(path, connection, max_size.clone(), observer);
        thread::Builder::new()
            .name("queue".into())
            .spawn(move || committer.run(receiver))
            .map_err(fail)?;
        let store = Self {
            path: path.to_owned(),
            lock: Mutex::new(lock),
            max_size,
            requests,
        };
        Ok(Opened { store, damaged })
    }

    async fn write<T>(
        &self,
        write: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Write,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(Request::Write(write(answer))).await;
        sent.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let read = Request::Read(Box::new(move |connection| {
            // Ignore the error: nothing waits for the answer any longer.
            let _ = answer.send(read(connection));
        }));
        self.requests.send(read).await.map_err(|_| stopped())?;
        let result = answered.await.map_err(|_| stopped())?;
        result.map_err(|error| StoreError::Failed(error.to_string()))
    }
}

/// Returns the path of the lock of the process that delivers.
fn lock_path(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

fn stopped() -> StoreError {
    StoreError::Failed("the queue has stopped".into())
}

#[async_trait]
impl Store for SqliteStore {
    fn is_shared(&self) -> bool {
        false
    }

    fn set_max_size(&self, max_size: u64) {
        self.max_size.store(max_size, Ordering::Relaxed);
    }

    async fn store(&self, batch: Vec<NewNotification>) -> Vec<Result<Stored, StoreError>> {
        let writes = batch
            .into_iter()
            .map(|new| self.write(|answer| Write::Store(Box::new(new), answer)));
        // All are in the queue of the thread before the first is answered, and so in one commit.
        join_all(writes).await
    }

    async fn ask(&self, _: &Spot) -> Result<Asked, StoreError> {
        // The one that has the lock knows what waits.
        Ok(Asked {
            ticket: None,
            waits: false,
        })
    }

    async fn term(&self, step: TermStep) -> Result<Holder, StoreError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            TermStep::Take { .. } if lock.is_none() => {
                let taken = Lock::take(&lock_path(&self.path));
                *lock = taken.map_err(|error| StoreError::Failed(error.to_string()))?;
            }
            TermStep::Take { .. } | TermStep::Beat(_) => {}
            TermStep::Resign(_) => *lock = None,
        }
        Ok(match *lock {
            Some(_) => Holder::Here(TERM),
            None => Holder::Elsewhere(None),
        })
    }

    async fn read(&self, after: Seen) -> Result<Reading, StoreError> {
        self.query(move |connection| table::read(connection, after))
            .await
    }

    async fn load(
        &self,
        _: Term,
        routes: Vec<String>,
    ) -> Result<(Reading, Totals, Rerouted), StoreError> {
        let rerouted = self.write(|answer| Write::Route(routes, answer)).await?;
        let (reading, totals) = self.query(table::load).await?;
        Ok((reading, totals, rerouted))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.query(table::counts).await
    }

    async fn present(&self, ids: Vec<i64>) -> Result<Vec<i64>, StoreError> {
        self.query(move |connection| table::present(connection, &ids))
            .await
    }

    async fn fetch(&self, _: Term, spot: Spot) -> Result<Fetched, StoreError> {
        self.query(move |connection| table::fetch(connection, &spot))
            .await
    }

    async fn settle(
        &self,
        _: Option<Term>,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Listed>, StoreError> {
        let is_holder = {
            let lock = self.lock.lock();
            lock.unwrap_or_else(PoisonError::into_inner).is_some()
        };
        let (allowed, fenced): (Vec<_>, Vec<_>) = settlements
            .into_iter()
            .partition(|settlement| is_holder || settlement.end == End::Delivered);
        let parked = self.write(|answer| Write::Settle(allowed, answer)).await?;
        match fenced.is_empty() {
            true => Ok(parked),
            false => Err(StoreError::Fenced),
        }
    }
}
