//! The store in a PostgreSQL database, which the replicas on several machines share.
//!
//! Each operation is one statement and one transaction: a replica that is stopped holds nothing, and
//! a pooler may be in between. A runtime of its own carries the connections: one stores, one
//! delivers, and one answers questions.

mod fault;
#[cfg(feature = "cli")]
pub(in crate::delivery) mod operator;
mod rows;
mod session;
mod shape;
mod storing;
mod tls;

#[cfg(test)]
mod tests;

use super::{
    Asked, Beat, Counts, End, Fetched, Holder, Listed, NewNotification, Observer, ParkedCount,
    Reading, Rerouted, Seen, Settlement, Store, StoreError, Stored, StoredMessage, Term, TermStep,
    Totals, WaitingCount,
};
use crate::config::DatabaseSource;
use crate::delivery::order::{Key, Place, Spot};
use async_trait::async_trait;
use bytes::Bytes;
use fault::Fault;
use futures_util::future::join_all;
use rows::get;
use session::{Database, Parameter, Session};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storing::Item;
use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The number of notifications that may wait for the statement before theirs.
const CAPACITY: usize = 4096;

/// The time for the question before a direct attempt.
const ASK: Duration = Duration::from_secs(1);

/// The time to read everything that waits.
const READ: Duration = Duration::from_secs(60);

/// A notification may be tried directly by the process that has the term, if none of its key waits.
const ASK_FOR: &str = "select nextval('netdata_webhook_proxy.notification_id_seq'),
    exists (select from netdata_webhook_proxy.notification where key = $1 and parked is null)";

/// The clock of the database makes the term rise even if a failover has lost some.
const TAKE: &str = "with taken as (
    update netdata_webhook_proxy.deliverer set holder = $1, beat = 0, term = greatest(term + 1,
      (extract(epoch from clock_timestamp()) * 1000)::bigint)
    where holder is null or (term = $2 and beat = $3) returning term)
  select true, term, 0::bigint from taken
  union all select false, term, beat from netdata_webhook_proxy.deliverer
    where not exists (select from taken)";

const BEAT: &str = "with beaten as (
    update netdata_webhook_proxy.deliverer set beat = beat + 1, bytes = bytes + $2
    where term = $1 and holder is not null returning term)
  select true, term, 0::bigint from beaten
  union all select false, term, beat from netdata_webhook_proxy.deliverer
    where not exists (select from beaten)";

const RESIGN: &str = "update netdata_webhook_proxy.deliverer set holder = null where term = $1 returning false, term, beat";

/// What has come, with the number of commands, whether anything has come or not.
const READ_AFTER: &str = "select c.count, n.id, coalesce(n.place, n.id), n.received, n.route, n.key, n.size
  from netdata_webhook_proxy.command as c
  left join netdata_webhook_proxy.notification as n on n.id > $1 and n.parked is null order by n.id";

/// Parks what has no route, and forgets attempts at what is not there any longer.
const REROUTE: &str = "with mine as (
    select from netdata_webhook_proxy.deliverer where term = $1 and holder is not null
  ), gone as (
    update netdata_webhook_proxy.notification set parked = 'no_route'
    where parked is null and route <> all($2) and exists (select from mine) returning route
  ), back as (
    update netdata_webhook_proxy.notification set parked = null
    where parked = 'no_route' and route = any($2) and exists (select from mine) returning route
  ), over as (
    delete from netdata_webhook_proxy.under_way as u where exists (select from mine)
      and not exists (select from netdata_webhook_proxy.notification as n where n.id = u.id)
  ), counted as (
    update netdata_webhook_proxy.deliverer
    set bytes = (select coalesce(sum(size), 0) from netdata_webhook_proxy.notification)
    where exists (select from mine)
  )
  select exists (select from mine),
    (select coalesce(sum(size), 0)::bigint from netdata_webhook_proxy.notification),
    array(select route from gone), array(select route from back)";

const WAITING: &str = "select route, count(*), min(received)
  from netdata_webhook_proxy.notification where parked is null group by 1";

const PRESENT: &str = "select id from netdata_webhook_proxy.notification where id = any($1)";

const PARKED: &str = "select route, parked, count(*) from netdata_webhook_proxy.notification
  where parked is not null group by 1, 2";

/// An attempt begins, and is known to have begun even if this process ends. That need not wait for
/// the disk: if the database crashes as well, it is counted once less.
const FETCH: &str = "with mine as materialized (
    select set_config('synchronous_commit', 'off', true)
    from netdata_webhook_proxy.deliverer where term = $2 and holder is not null
  ), it as materialized (
    select n.id, n.receipt, n.received, n.attempts, n.head, n.message, n.idempotency
    from mine, netdata_webhook_proxy.notification as n where n.id = $1 and n.parked is null
  ), begun as (
    insert into netdata_webhook_proxy.under_way as u (id, term) select id, $2 from it
    on conflict (id) do update set term = excluded.term, begun = u.begun + 1 returning begun
  )
  select exists (select from mine), it.receipt, it.received, it.attempts + begun.begun - 1, it.head,
    it.message, it.idempotency
  from (select) as one left join it on true left join begun on true";

/// What is delivered is deleted. That need not wait for the disk: what a crash of the database brings
/// back is sent again, with the same key.
const DELIVERED: &str = "with over as (delete from netdata_webhook_proxy.under_way where id = $1),
  settled as (delete from netdata_webhook_proxy.notification where id = $1 and receipt = $2
    returning set_config('synchronous_commit', 'off', true), size)
  select size from settled";

const FAILED: &str = "with mine as materialized (
    select from netdata_webhook_proxy.deliverer where term = $3 and holder is not null
  ), over as (
    delete from netdata_webhook_proxy.under_way where id = $1 and exists (select from mine)
  ), settled as (
    update netdata_webhook_proxy.notification set attempts = $4, last_error = $5, next_try = $6
    where id = $1 and receipt = $2 and exists (select from mine)
    returning set_config('synchronous_commit', 'off', true)
  )
  select exists (select from mine), (select count(*) from settled)";

/// A notification that is to be parked becomes that, and is described.
fn parked_statement() -> String {
    let columns = rows::COLUMNS;
    format!(
        "with mine as materialized (
            select from netdata_webhook_proxy.deliverer where term = $3 and holder is not null
          ), over as (
            delete from netdata_webhook_proxy.under_way where id = $1 and exists (select from mine)
          ), settled as (
            update netdata_webhook_proxy.notification as n set parked = $4
            where id = $1 and receipt = $2 and parked is null and exists (select from mine)
            returning {columns}
          )
          select settled.*, exists (select from mine) from (select) as one left join settled on true"
    )
}

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
}

/// The faults of the connections that store and deliver.
#[derive(Default)]
struct Troubles {
    storing: Option<String>,
    delivering: Option<String>,
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
            holder: holder(),
            storing: Session::new(&database, "store"),
            delivering: Session::new(&database, "deliver"),
            asking: Session::new(&database, "ask"),
            max_size: AtomicU64::new(max_size),
            bytes: AtomicI64::new(0),
            change: AtomicI64::new(0),
            observer,
            troubles: Mutex::default(),
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

/// Names this process: the machine and the number of the process.
fn holder() -> String {
    let system = rustix::system::uname();
    let machine = system.nodename().to_string_lossy();
    format!("{machine} {}", std::process::id())
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

    fn note(&self, change: impl FnOnce(&mut Troubles)) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (troubles.storing.clone(), troubles.delivering.clone());
        change(&mut troubles);
        let problem = troubles
            .storing
            .as_deref()
            .or(troubles.delivering.as_deref());
        let is_same = before == (troubles.storing.clone(), troubles.delivering.clone());
        if !is_same || problem.is_some() {
            self.observer.writable(problem);
        }
    }

    fn has_trouble_storing(&self) -> bool {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.storing.is_some()
    }

    async fn deliver(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<(Vec<Row>, i64), Fault> {
        self.delivering.query(statement, parameters).await
    }

    async fn term(&self, step: TermStep) -> Result<Holder, Fault> {
        let done = self.term_step(step).await;
        self.note_delivering(done.as_ref().err());
        if done.is_ok() && self.has_trouble_storing() {
            // Nothing else may be stored for long, and it would not show that it can be.
            let asked = self.storing.query("select", &[]).await;
            self.note_storing(asked.as_ref().err());
        }
        done
    }

    async fn term_step(&self, step: TermStep) -> Result<Holder, Fault> {
        let rows = match step {
            TermStep::Take { lapsed } => {
                let (term, beat) = (lapsed.map(|it| it.term.0), lapsed.map(|it| it.count));
                let parameters: [Parameter<'_>; _] = [
                    (&self.holder, Type::TEXT),
                    (&term, Type::INT8),
                    (&beat, Type::INT8),
                ];
                self.deliver(TAKE, &parameters).await?.0
            }
            TermStep::Beat(term) => {
                let change = self.change.swap(0, Ordering::AcqRel);
                let parameters: [Parameter<'_>; _] = [(&term.0, Type::INT8), (&change, Type::INT8)];
                let beaten = self.deliver(BEAT, &parameters).await;
                beaten
                    .inspect_err(|_| {
                        self.change.fetch_add(change, Ordering::AcqRel);
                    })?
                    .0
            }
            TermStep::Resign(term) => {
                let parameters: [Parameter<'_>; _] = [(&term.0, Type::INT8)];
                self.deliver(RESIGN, &parameters).await?.0
            }
        };
        let Some(row) = rows.first() else {
            return Ok(Holder::Elsewhere(None));
        };
        let (is_here, term, count): (bool, i64, i64) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let term = Term(term);
        Ok(match is_here {
            true => Holder::Here(term),
            false => Holder::Elsewhere(Some(Beat { term, count })),
        })
    }

    async fn read(&self, after: i64, limit: Duration) -> Result<(Reading, i64), Fault> {
        let parameters: [Parameter<'_>; _] = [(&after, Type::INT8)];
        let read = self.delivering.query_within(limit, READ_AFTER, &parameters);
        let (rows, connection) = read.await?;
        let first = rows.first().map(|row| get::<i64>(row, 0)).transpose()?;
        let mut seen = Seen {
            id: after,
            commits: 0,
            // Over another connection, it may be another database: everything is read anew.
            commands: first.unwrap_or_default().wrapping_add(connection << 40),
        };
        let (mut routes, mut spots, mut bytes) = (HashSet::new(), Vec::new(), 0);
        for row in &rows {
            let Some(id) = get::<Option<i64>>(row, 1)? else {
                continue;
            };
            seen.id = seen.id.max(id);
            bytes += i64::from(get::<i32>(row, 6)?);
            spots.push(spot(row, id, &mut routes)?);
        }
        Ok((Reading { seen, spots }, bytes))
    }

    async fn load(
        &self,
        term: Term,
        routes: Vec<String>,
    ) -> Result<(Reading, Totals, Rerouted), Fault> {
        let parameters: [Parameter<'_>; _] = [(&term.0, Type::INT8), (&routes, Type::TEXT_ARRAY)];
        let rerouted = self.delivering.query_within(READ, REROUTE, &parameters);
        let (rows, _) = rerouted.await?;
        let row = rows
            .first()
            .ok_or_else(|| Fault::Unknown("no row".into()))?;
        if !get::<bool>(row, 0)? {
            return Err(Fault::Away("another process delivers by now".into()));
        }
        self.bytes.store(get(row, 1)?, Ordering::Relaxed);
        let rerouted = Rerouted {
            parked: by_route(get(row, 2)?),
            unparked: by_route(get(row, 3)?),
        };
        self.change.store(0, Ordering::Relaxed);
        let totals = Totals {
            latest: 0,
            parked: self.parked().await?,
        };
        let (reading, _) = self.read(0, READ).await?;
        Ok((reading, totals, rerouted))
    }

    async fn parked(&self) -> Result<Vec<ParkedCount>, Fault> {
        let (rows, _) = self.deliver(PARKED, &[]).await?;
        let counts = rows.iter().map(|row| {
            Ok(ParkedCount {
                route: get(row, 0)?,
                reason: get(row, 1)?,
                count: get::<i64>(row, 2)?.cast_unsigned(),
            })
        });
        counts.collect()
    }

    async fn counts(&self) -> Result<Counts, Fault> {
        let waiting = self.delivering.query_within(READ, WAITING, &[]);
        let (rows, _) = waiting.await?;
        let counts = rows.iter().map(|row| {
            Ok(WaitingCount {
                route: get(row, 0)?,
                count: usize::try_from(get::<i64>(row, 1)?).unwrap_or_default(),
                oldest: get(row, 2)?,
            })
        });
        Ok(Counts {
            waiting: counts.collect::<Result<_, Fault>>()?,
            parked: self.parked().await?,
        })
    }

    /// Returns those of `ids` that are there, in their order.
    async fn present(&self, ids: Vec<i64>) -> Result<Vec<i64>, Fault> {
        let (rows, _) = self.deliver(PRESENT, &[(&ids, Type::INT8_ARRAY)]).await?;
        let found = rows.iter().map(|row| get::<i64>(row, 0));
        let found: HashSet<i64> = found.collect::<Result<_, Fault>>()?;
        Ok(ids.into_iter().filter(|id| found.contains(id)).collect())
    }

    async fn fetch(&self, term: Term, id: i64) -> Result<Fetched, Fault> {
        let parameters: [Parameter<'_>; _] = [(&id, Type::INT8), (&term.0, Type::INT8)];
        let (rows, _) = self.deliver(FETCH, &parameters).await?;
        let row = rows
            .first()
            .ok_or_else(|| Fault::Unknown("no row".into()))?;
        if !get::<bool>(row, 0)? {
            return Err(Fault::Away("another process delivers by now".into()));
        }
        let message = match get::<Option<Uuid>>(row, 1)? {
            None => None,
            Some(receipt) => Some(StoredMessage {
                receipt: receipt.as_u128(),
                received: get(row, 2)?,
                attempts: get::<i32>(row, 3)?.cast_unsigned(),
                head: usize::try_from(get::<i32>(row, 4)?).unwrap_or_default(),
                message: Bytes::copy_from_slice(get(row, 5)?),
                idempotency: get(row, 6)?,
            }),
        };
        Ok(Fetched {
            earlier: Vec::new(),
            message,
        })
    }

    /// Records the end of an attempt. Returns what is parked by it, and `false` if the term is over.
    async fn settle(
        &self,
        term: i64,
        settlement: &Settlement,
    ) -> Result<(Option<Listed>, bool), Fault> {
        let receipt = Uuid::from_u128(settlement.receipt);
        let it: [Parameter<'_>; _] = [
            (&settlement.id, Type::INT8),
            (&receipt, Type::UUID),
            (&term, Type::INT8),
        ];
        match &settlement.end {
            End::Delivered => {
                let (rows, _) = self.deliver(DELIVERED, &it[..2]).await?;
                let freed = rows.first().map(|row| get::<i32>(row, 0)).transpose()?;
                self.change_size(-i64::from(freed.unwrap_or_default()));
                Ok((None, true))
            }
            End::Failed {
                attempts,
                error,
                next_try,
            } => {
                let (attempts, error) = (attempts.cast_signed(), error.replace('\0', "\u{FFFD}"));
                let more: [Parameter<'_>; _] = [
                    (&attempts, Type::INT4),
                    (&error, Type::TEXT),
                    (next_try, Type::INT8),
                ];
                let parameters: Vec<Parameter<'_>> = it.into_iter().chain(more).collect();
                let (rows, _) = self.deliver(FAILED, &parameters).await?;
                let is_mine = rows.first().map(|row| get::<bool>(row, 0)).transpose()?;
                Ok((None, is_mine.unwrap_or(false)))
            }
            End::Parked(reason) => {
                let reason = reason.as_str();
                let more: [Parameter<'_>; _] = [(&reason, Type::TEXT)];
                let parameters: Vec<Parameter<'_>> = it.into_iter().chain(more).collect();
                let (rows, _) = self.deliver(&parked_statement(), &parameters).await?;
                let Some(row) = rows.first() else {
                    return Ok((None, false));
                };
                let is_parked = get::<Option<i64>>(row, 0)?.is_some();
                let parked = is_parked.then(|| rows::listed(row)).transpose()?;
                Ok((parked, get(row, 10)?))
            }
        }
    }

    fn change_size(&self, change: i64) {
        self.bytes.fetch_add(change, Ordering::Relaxed);
        self.change.fetch_add(change, Ordering::AcqRel);
    }

    async fn settle_all(
        &self,
        term: i64,
        settlements: Vec<Settlement>,
    ) -> Result<(Vec<Listed>, bool), Fault> {
        let (mut parked, mut is_mine) = (Vec::new(), true);
        for settlement in &settlements {
            let (listed, is_allowed) = self.settle(term, settlement).await?;
            parked.extend(listed);
            is_mine &= is_allowed;
        }
        Ok((parked, is_mine))
    }
}

/// Returns the number of times that each route occurs.
fn by_route(routes: Vec<String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for route in routes {
        *counts.entry(route).or_default() += 1;
    }
    counts
}

fn spot(row: &Row, id: i64, routes: &mut HashSet<Arc<str>>) -> Result<Spot, Fault> {
    let route: &str = get(row, 4)?;
    let known = routes.get(route).cloned();
    let route = known.unwrap_or_else(|| {
        let route = Arc::<str>::from(route);
        routes.insert(route.clone());
        route
    });
    let place = Place {
        rank: get(row, 2)?,
        id,
        received: get(row, 3)?,
    };
    // A key of another length stops no other: its row is ordered by itself.
    let key = <[u8; 16]>::try_from(get::<&[u8]>(row, 5)?)
        .unwrap_or(u128::from(id.cast_unsigned()).to_be_bytes());
    Ok(Spot {
        route,
        key: Key(key),
        place,
    })
}

#[async_trait]
impl Store for PostgresStore {
    fn is_shared(&self) -> bool {
        true
    }

    fn set_max_size(&self, max_size: u64) {
        self.shared.max_size.store(max_size, Ordering::Relaxed);
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
            let asked = shared.asking.query_within(ASK, ASK_FOR, &parameters).await;
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
