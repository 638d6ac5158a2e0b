//! The state of ACME in a table of the database that replicas share: each value is a row.
//!
//! A lock is a lease with a term, as that of the replica that delivers: it is held for as long as
//! its holder says so in time, and each write makes sure that it still is. Nothing is held by a
//! connection, so that a pooler may be in between.

#[cfg(test)]
mod tests;

use super::{Database, Fault, Parameter, Session, get, holder, process_name};
use crate::config::{Acme, AcmeState, DatabaseSource};
use crate::term::{self, Holder, Tenure, Term, TermStep};
use crate::tls::acme::{Folder, Held, Lock, Store};
use async_trait::async_trait;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::types::Type;

/// The interval at which a lease is looked at.
const LOOK: Duration = Duration::from_millis(250);

const GET: &str = "select name, value from netdata_webhook_proxy.acme where name = any($1)";

/// Every lock of this process is still its own; they stay so until the statement is committed.
const MINE: &str = "mine as materialized (
    select from (select from netdata_webhook_proxy.acme_lock as l
      join unnest($1::text[], $2::bigint[]) as m(name, term) on l.name = m.name and l.term = m.term
      where l.holder is not null for share of l) as found
    having count(*) = cardinality($1)
  ), durable as materialized (select set_config('synchronous_commit', 'on', true) from mine)";

const PUT: &str = "put as (
    insert into netdata_webhook_proxy.acme (name, value) select $3, $4 from durable
    on conflict (name) do update set value = excluded.value)";

const REMOVE: &str = "removed as (
    delete from netdata_webhook_proxy.acme where name = $3 and exists (select from durable))";

/// The clock of the database makes the term rise even if a failover has lost some.
const TAKE: &str = "with taken as (
    insert into netdata_webhook_proxy.acme_lock as l (name, holder, term, beat)
    values ($1, $2, (extract(epoch from clock_timestamp()) * 1000)::bigint, 0)
    on conflict (name) do update
      set holder = excluded.holder, beat = 0, term = greatest(l.term + 1, excluded.term)
      where l.holder is null or (l.term = $3 and l.beat = $4)
    returning term)
  select true, term, 0::bigint from taken
  union all select false, term, beat from netdata_webhook_proxy.acme_lock
    where name = $1 and not exists (select from taken)";

const BEAT: &str = "with beaten as (
    update netdata_webhook_proxy.acme_lock set beat = beat + 1
    where name = $1 and term = $2 and holder is not null returning term)
  select true, term, 0::bigint from beaten
  union all select false, term, beat from netdata_webhook_proxy.acme_lock
    where name = $1 and not exists (select from beaten)";

const RESIGN: &str = "update netdata_webhook_proxy.acme_lock set holder = null
  where name = $1 and term = $2 returning false, term, beat";

/// Opens the store of these settings. Returns `true` with it if it does not outlive the container.
///
/// # Errors
/// If the folder cannot be made, or another user can use it.
pub(crate) fn open_acme(acme: &Acme) -> Result<(Arc<dyn Store>, bool), String> {
    match &acme.state {
        AcmeState::Folder(path) => {
            let folder = Folder::open(path)
                .map_err(|error| format!("the state of tls.acme cannot be kept: {error}"))?;
            let is_transient = folder.is_transient();
            Ok((Arc::new(folder), is_transient))
        }
        AcmeState::Database(source) => Ok((Arc::new(Table::new(source.clone())), false)),
    }
}

/// Opens the store of a process that runs by these settings, to look at it from another one.
///
/// # Errors
/// If there is none, or this user may not use it.
pub(crate) fn open_existing_acme(acme: &Acme) -> Result<Arc<dyn Store>, String> {
    let path = match &acme.state {
        AcmeState::Folder(path) => path,
        AcmeState::Database(source) => return Ok(Arc::new(Table::new(source.clone()))),
    };
    let folder = Folder::at(path);
    if let Some(fault) = folder.fault() {
        return Err(format!("{fault}; or run this as the user of the service"));
    }
    match folder.exists() {
        true => Ok(Arc::new(folder)),
        false => Err(format!(
            "the program has not run with {} yet",
            path.display()
        )),
    }
}

/// Values in a table.
struct Table(Arc<Shared>);

/// What the table shares with its leases.
struct Shared {
    holder: String,
    session: Session,
    leases: Mutex<Leases>,
}

/// The locks of this process, by name.
#[derive(Default)]
struct Leases {
    tenures: HashMap<String, Tenure>,
    /// Those that were handed out and are still in use, whether they are lost or not.
    given: HashMap<String, Term>,
}

impl Table {
    /// The table in the database of `source`, which need not be reachable yet.
    fn new(source: DatabaseSource) -> Self {
        Self(Arc::new(Shared {
            holder: process_name(),
            session: Session::new(&Arc::new(Database::new(source)), "acme"),
            leases: Mutex::default(),
        }))
    }

    /// Runs a change, unless a lock of this process is lost.
    async fn change(&self, change: &str, name: &str, value: Option<&[u8]>) -> io::Result<()> {
        let (names, terms): (Vec<String>, Vec<i64>) = self.0.given().into_iter().unzip();
        let statement = format!("with {MINE}, {change} select from mine");
        let mut parameters: Vec<Parameter<'_>> = vec![
            (&names, Type::TEXT_ARRAY),
            (&terms, Type::INT8_ARRAY),
            (&name, Type::TEXT),
        ];
        if let Some(value) = &value {
            parameters.push((value, Type::BYTEA));
        }
        match self.0.session.query(&statement, &parameters).await {
            Ok((rows, _)) if rows.is_empty() => {
                Err(io::Error::other("another process orders by now"))
            }
            Ok(_) => Ok(()),
            Err(fault) => Err(failed(&fault)),
        }
    }
}

fn failed(fault: &Fault) -> io::Error {
    io::Error::other(fault.to_string())
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn given(&self) -> HashMap<String, i64> {
        let leases = self.leases();
        let given = leases.given.iter();
        given.map(|(name, term)| (name.clone(), term.0)).collect()
    }

    /// Runs `act` with the tenure of a lock.
    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Tenure) -> T) -> T {
        let mut leases = self.leases();
        act(leases
            .tenures
            .entry(name.to_owned())
            .or_insert_with(|| Tenure::new(true)))
    }

    /// Takes a step with a lock, and records the answer.
    async fn step(&self, name: &str, step: TermStep) -> Result<Holder, Fault> {
        let asked = term::now();
        let holder = self.ask(name, &step).await?;
        self.with(name, |tenure| tenure.answered(&holder, asked, term::now()));
        Ok(holder)
    }

    async fn ask(&self, name: &str, step: &TermStep) -> Result<Holder, Fault> {
        let name: Parameter<'_> = (&name, Type::TEXT);
        let (rows, _) = match step {
            TermStep::Take { lapsed } => {
                let (term, beat) = (lapsed.map(|it| it.term.0), lapsed.map(|it| it.count));
                let parameters: [Parameter<'_>; _] = [
                    name,
                    (&self.holder, Type::TEXT),
                    (&term, Type::INT8),
                    (&beat, Type::INT8),
                ];
                self.session.query(TAKE, &parameters).await?
            }
            TermStep::Beat(term) => {
                let parameters: [Parameter<'_>; _] = [name, (&term.0, Type::INT8)];
                self.session.query(BEAT, &parameters).await?
            }
            TermStep::Resign(term) => {
                let parameters: [Parameter<'_>; _] = [name, (&term.0, Type::INT8)];
                self.session.query(RESIGN, &parameters).await?
            }
        };
        holder(rows.first())
    }

    /// Says that the lock is held until it is dropped or lost.
    async fn keep(self: Arc<Self>, name: String, term: Term, mut dropped: oneshot::Receiver<()>) {
        // The sender is dropped, and sends nothing.
        while timeout(LOOK, &mut dropped).await.is_err() {
            let now = term::now();
            let step = self.with(&name, |tenure| {
                if tenure.is_over(now) {
                    tenure.over();
                }
                tenure.term().and_then(|_| tenure.step(now))
            });
            if let Some(step) = step {
                // Ignore the error: the lease ends by itself if none of its beats arrives.
                let _ = self.step(&name, step).await;
            }
        }
        self.leases().given.remove(&name);
        self.with(&name, |tenure| tenure.ended(term::now(), 0));
        // Ignore the error: the lease ends by itself.
        let _ = self.ask(&name, &TermStep::Resign(term)).await;
    }
}

/// A lock for as long as its lease lasts.
struct Lease {
    shared: Arc<Shared>,
    name: String,
    term: Term,
    /// Its task releases it once this is dropped.
    _kept: oneshot::Sender<()>,
}

impl Held for Lease {
    fn is_lost(&self) -> bool {
        let now = term::now();
        self.shared
            .with(&self.name, |tenure| now >= tenure.deadline(self.term))
    }
}

#[async_trait]
impl Store for Table {
    async fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut values = self.get_all(&[name.to_owned()]).await?;
        Ok(values.pop().flatten())
    }

    async fn get_all(&self, names: &[String]) -> io::Result<Vec<Option<Vec<u8>>>> {
        let parameters: [Parameter<'_>; _] = [(&names, Type::TEXT_ARRAY)];
        let queried = self.0.session.query(GET, &parameters).await;
        let (rows, _) = queried.map_err(|fault| failed(&fault))?;
        let pairs = rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?)));
        let pairs: Result<HashMap<String, Vec<u8>>, Fault> = pairs.collect();
        let mut found = pairs.map_err(|fault| failed(&fault))?;
        Ok(names.iter().map(|name| found.remove(name)).collect())
    }

    async fn put(&self, name: &str, value: &[u8]) -> io::Result<()> {
        self.change(PUT, name, Some(value)).await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        self.change(REMOVE, name, None).await
    }

    async fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let shared = &self.0;
        let is_in_use = shared.leases().given.contains_key(name);
        let step = shared.with(name, |tenure| tenure.step(term::now()));
        let Some(step) = step.filter(|_| !is_in_use) else {
            return Ok(None);
        };
        let taken = shared.step(name, step).await;
        let Holder::Here(term) = taken.map_err(|fault| failed(&fault))? else {
            return Ok(None);
        };
        shared.leases().given.insert(name.to_owned(), term);
        let (kept, dropped) = oneshot::channel();
        let name = name.to_owned();
        tokio::spawn(shared.clone().keep(name.clone(), term, dropped));
        Ok(Some(Lock::of(Lease {
            shared: shared.clone(),
            name,
            term,
            _kept: kept,
        })))
    }
}
