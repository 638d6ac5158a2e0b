//! What an operator does with the file of the queue, beside a running proxy or without one.
//!
//! Each command that changes something is counted in the file, so that the process that delivers
//! reads everything again. Nothing is read in one long transaction, however slowly it is printed:
//! SQLite could not write its log back meanwhile.

use super::super::{Listed, Parking};
use super::file::{self, OpenError};
use super::lock_path;
use super::table::{self, COLUMNS, listed};
use crate::delivery::lock;
use crate::delivery::operator::{Filter, Found, Operator, OperatorError, OperatorResult};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, TransactionBehavior, params};
use std::path::{Path, PathBuf};

/// The file of the queue, opened by an operator.
pub(in crate::delivery) struct SqliteOperator {
    connection: Connection,
    path: PathBuf,
}

/// The condition of [`Filter`].
const FILTER: &str = "(?1 is null or route = ?1) and (not ?2 or parked is not null)";

/// The one that must be delivered before another that waits.
const BEFORE: &str = "select first.id from notification as it, notification as first
    where it.id = ?1 and it.parked is null and first.route = it.route and first.key = it.key
    and first.parked is null and (first.received, first.id) < (it.received, it.id)
    order by first.received, first.id limit 1";

impl SqliteOperator {
    /// Opens the file at `path`, which must exist.
    pub(in crate::delivery) fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = file::open_existing(path)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    fn before(&self, id: i64) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.connection.prepare_cached(BEFORE)?;
        statement.query_row([id], |row| row.get(0)).optional()
    }

    fn change_each(
        &mut self,
        statement: &str,
        ids: &[i64],
        more: &[&dyn ToSql],
    ) -> rusqlite::Result<Vec<i64>> {
        self.change(|connection| {
            let mut statement = connection.prepare(statement)?;
            let mut changed = Vec::with_capacity(ids.len());
            for id in ids {
                let id_first = [id as &dyn ToSql].into_iter();
                let parameters: Vec<_> = id_first.chain(more.iter().copied()).collect();
                if statement.execute(&*parameters)? > 0 {
                    changed.push(*id);
                }
            }
            Ok(changed)
        })
    }

    fn change<T>(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        let changed = change(&transaction)?;
        transaction.execute("update command set count = count + 1", [])?;
        transaction.commit()?;
        Ok(changed)
    }
}

impl From<rusqlite::Error> for OperatorError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl Operator for SqliteOperator {
    fn is_served(&self) -> bool {
        lock::is_held(&lock_path(&self.path))
    }

    fn ids(&self, filter: &Filter) -> OperatorResult<Vec<i64>> {
        let select = format!("select id from notification where {FILTER} order by received, id");
        let mut statement = self.connection.prepare(&select)?;
        let rows =
            statement.query_map(params![filter.route, filter.is_parked], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn read(&self, id: i64) -> OperatorResult<Option<Listed>> {
        let listed = table::describe(&self.connection, id)?;
        let after = self.before(id)?;
        Ok(listed.map(|listed| Listed { after, ..listed }))
    }

    fn find(&self, id: i64) -> OperatorResult<Option<Found>> {
        let select = format!("select {COLUMNS}, head, message from notification where id = ?1");
        let mut statement = self.connection.prepare_cached(&select)?;
        let mut found = statement.query_row([id], found).optional()?;
        if let Some(found) = &mut found {
            found.listed.after = self.before(id)?;
        }
        Ok(found)
    }

    fn retry(&mut self, ids: &[i64]) -> OperatorResult<Vec<i64>> {
        let change = "update notification set parked = null, next_try = null where id = ?1";
        Ok(self.change_each(change, ids, &[])?)
    }

    fn retry_parked(&mut self, route: Option<&str>) -> OperatorResult<usize> {
        let change =
            format!("update notification set parked = null, next_try = null where {FILTER}");
        Ok(self.change(|connection| connection.execute(&change, params![route, true]))?)
    }

    fn count_parked(&self, route: Option<&str>, reason: &str) -> OperatorResult<usize> {
        let select =
            "select count(*) from notification where (?1 is null or route = ?1) and parked = ?2";
        let count = self
            .connection
            .query_row(select, params![route, reason], |row| row.get::<_, u32>(0))?;
        Ok(count as usize)
    }

    fn park(&mut self, ids: &[i64]) -> OperatorResult<Vec<i64>> {
        let reason = Parking::Operator.as_str();
        let change = "update notification set parked = ?2 where id = ?1 and parked is null";
        Ok(self.change_each(change, ids, &[&reason])?)
    }

    fn drop(&mut self, ids: &[i64]) -> OperatorResult<Vec<i64>> {
        Ok(self.change_each("delete from notification where id = ?1", ids, &[])?)
    }
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let mut head: Vec<u8> = row.get("message")?;
    let length: u32 = row.get("head")?;
    let body = head.split_off(head.len().min(length as usize));
    let listed = listed(row)?;
    Ok(Found { listed, head, body })
}
