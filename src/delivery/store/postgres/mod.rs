//! The store in a PostgreSQL database, which the replicas on several machines share.
//!
//! Each operation is one statement and one transaction: a replica that is stopped holds nothing, and
//! a pooler may be in between. A runtime of its own carries the connections: one stores, one
//! delivers, and one answers questions.

mod delivering;
#[cfg(feature = "cli")]
pub(in crate::delivery) mod operator;
mod rows;
mod statements;
mod storing;
mod surveying;

#[cfg(test)]
mod horizon;
#[cfg(test)]
mod tests;

use super::{
    Asked, Counts, Fetched, Holder, Listed, NewNotification, Observer, Reading, Rerouted, Seen,
    Settlement, Store, StoreError, Stored, Term, TermStep, Totals,
};
use crate::config::DatabaseSource;
use crate::database::{Database, Fault, Parameter, Session, get, process_name};
use crate::delivery::order::Spot;
use crate::delivery::survey::Survey;
use async_trait::async_trait;
use futures_util::future::join_all;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storing::Item;
use surveying::Horizon;
use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::types::Type;

/// The number of notifications that may wait for the statement before theirs.
const CAPACITY: usize = 4096;

/// The time for the question before a direct attempt.
const ASK: Duration = Duration::from_secs(1);

/// The time to read everything that waits.
const READ: Duration = Duration::from_secs(60);

/// The store in a database.
pub(crate) struct PostgresStore {
    shared: Arc<Shared>,
    items: mpsc::Sender<Item>,
    runtime: Option<Runtime>,
}

/// What the tasks of the store share.
struct Shared {
    /// Names this process in the row of the one that delivers.
    holder: String,
    storing: Session,
    delivering: Session,
    asking: Session,
    max_size: AtomicU64,
    /// The size of everything stored, as far as this process knows.
    bytes: AtomicI64,
    /// The change of the size that the row of the deliverer does not have yet.
    change: AtomicI64,
    observer: Arc<dyn Observer>,
    troubles: Mutex<Troubles>,
    /// What others compare to see whether they have the same routes.
    routes: Mutex<String>,
    horizon: Mutex<Horizon>,
}

/// The faults of what stores, of what keeps the term, and of what records the ends of attempts.
#[derive(Clone, Default, PartialEq, Eq)]
struct Troubles {
    storing: Option<String>,
    delivering: Option<String>,
    recording: Option<String>,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be waited for where others run.
            runtime.shutdown_background();
        }
    }
}

impl PostgresStore {
    /// Opens the store in the database of `source`. One that cannot be reached now is used once it
    /// can be.
    ///
    /// # Errors
    /// If the database must not be used.
    pub(crate) fn open(
        source: DatabaseSource,
        max_size: u64,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, String> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("queue")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let database = Arc::new(Database::new(source));
        let shared = Arc::new(Shared {
            holder: process_name(),
            storing: Session::new(&database, "store"),
            delivering: Session::new(&database, "deliver"),
            asking: Session::new(&database, "ask"),
            max_size: AtomicU64::new(max_size),
            bytes: AtomicI64::new(0),
            change: AtomicI64::new(0),
            observer,
            troubles: Mutex::default(),
            routes: Mutex::default(),
            horizon: Mutex::default(),
        });
        let (items, receiver) = mpsc::channel(CAPACITY);
        runtime.spawn(storing::run(shared.clone(), receiver));
        let store = Self {
            shared: shared.clone(),
            items,
            runtime: Some(runtime),
        };
        match store.wait(async move { shared.storing.link().await.map(drop) }) {
            Err(Fault::Unfit(why)) => return Err(why),
            Err(fault) => store.shared.note_storing(Some(&fault)),
            Ok(()) => {}
        }
        Ok(store)
    }

    /// Blocks the thread until a future of the runtime has its value.
    fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = std::sync::mpsc::channel();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // Ignore the error: nothing waits for the answer any longer.
                let _ = answer.send(future.await);
            });
        }
        let stopped = || Fault::Away("the queue has stopped".into());
        answered.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Runs `work` on the runtime of the connections.
    async fn run<T, W, F>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Shared>) -> F,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let stopped = || StoreError::Failed("the queue has stopped".into());
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        let done = runtime.spawn(work(self.shared.clone())).await;
        let result = done.map_err(|_| stopped())?;
        result.map_err(|fault| StoreError::Failed(fault.to_string()))
    }
}

/// Reports a notification that the database does not take.
fn row_refused(new: &NewNotification, fault: &Fault) {
    let about: serde_json::Value = serde_json::from_str(&new.about).unwrap_or_default();
    let request_id = about["request_id"].as_str().unwrap_or_default();
    tracing::error!(
        event = "queue_row_refused",
        error = %fault,
        request_id,
        "the database does not take a notification"
    );
}

impl Shared {
    fn note_storing(&self, fault: Option<&Fault>) {
        self.note(|troubles| troubles.storing = fault.map(Fault::to_string));
    }

    fn note_delivering(&self, fault: Option<&Fault>) {
        self.note(|troubles| troubles.delivering = fault.map(Fault::to_string));
    }

    fn note_recording(&self, fault: Option<&Fault>) {
        self.note(|troubles| troubles.recording = fault.map(Fault::to_string));
    }

    fn note(&self, change: impl FnOnce(&mut Troubles)) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let before = troubles.clone();
        change(&mut troubles);
        let all = [&troubles.storing, &troubles.delivering, &troubles.recording];
        let problem = all.into_iter().find_map(Option::as_deref);
        let is_same = before == *troubles;
        if !is_same || problem.is_some() {
            self.observer.writable(problem);
        }
    }

    fn has_trouble_storing(&self) -> bool {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.storing.is_some()
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn is_shared(&self) -> bool {
        true
    }

    fn set_max_size(&self, max_size: u64) {
        self.shared.max_size.store(max_size, Ordering::Relaxed);
    }

    fn set_routes(&self, digest: String) {
        let routes = self.shared.routes.lock();
        *routes.unwrap_or_else(PoisonError::into_inner) = digest;
    }

    async fn store(&self, batch: Vec<NewNotification>) -> Vec<Result<Stored, StoreError>> {
        let stopped = || StoreError::Failed("the queue has stopped".into());
        let mut answers = Vec::with_capacity(batch.len());
        for new in batch {
            let (answer, answered) = oneshot::channel();
            // Ignore the error: the answer is dropped then, which says the same.
            let _ = self.items.send(Item::new(new, answer)).await;
            answers.push(async move { answered.await.unwrap_or_else(|_| Err(stopped())) });
        }
        join_all(answers).await
    }

    async fn ask(&self, spot: &Spot) -> Result<Asked, StoreError> {
        let key = spot.key.0;
        self.run(move |shared| async move {
            let key = &key[..];
            let parameters: [Parameter<'_>; _] = [(&key, Type::BYTEA)];
            let asked = shared
                .asking
                .query_within(ASK, statements::ASK_FOR, &parameters)
                .await;
            let (rows, _) = asked?;
            let row = rows
                .first()
                .ok_or_else(|| Fault::Unknown("no row".into()))?;
            Ok(Asked {
                ticket: Some(get(row, 0)?),
                waits: get(row, 1)?,
            })
        })
        .await
    }

    async fn term(&self, step: TermStep) -> Result<Holder, StoreError> {
        self.run(|shared| async move { shared.term(step).await })
            .await
    }

    async fn read(&self, after: Seen) -> Result<Reading, StoreError> {
        self.run(move |shared| async move {
            let (reading, bytes) = shared.read(after.id, READ).await?;
            shared.change_size(bytes);
            Ok(reading)
        })
        .await
    }

    async fn load(
        &self,
        term: Term,
        routes: Vec<String>,
    ) -> Result<(Reading, Totals, Rerouted), StoreError> {
        self.run(move |shared| async move { shared.load(term, routes).await })
            .await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.run(|shared| async move { shared.counts().await })
            .await
    }

    async fn survey(&self) -> Result<Option<Survey>, StoreError> {
        let survey = self.run(|shared| async move { shared.survey().await });
        survey.await.map(Some)
    }

    async fn present(&self, ids: Vec<i64>) -> Result<Vec<i64>, StoreError> {
        self.run(move |shared| async move { shared.present(ids).await })
            .await
    }

    async fn fetch(&self, term: Term, spot: Spot) -> Result<Fetched, StoreError> {
        self.run(move |shared| async move { shared.fetch(term, spot.place.id).await })
            .await
    }

    async fn settle(
        &self,
        term: Option<Term>,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Listed>, StoreError> {
        // No term is 0.
        let term = term.map_or(0, |term| term.0);
        let settled =
            self.run(move |shared| async move { shared.settle_all(term, settlements).await });
        match settled.await? {
            (parked, true) => Ok(parked),
            (_, false) => Err(StoreError::Fenced),
        }
    }
}
