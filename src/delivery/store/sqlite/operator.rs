//! What an operator does with the file of the queue, beside a running proxy or without one.
//!
//! Each command that changes something is counted in the file, so that the process that delivers
//! reads everything again.

use super::super::{Listed, Parking};
use super::file::{self, OpenError};
use super::table::{COLUMNS, listed};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, TransactionBehavior, params};
use std::path::Path;

/// The file of the queue, opened by an operator.
pub(crate) struct OperatorStore(Connection);

/// The notifications that a command is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) is_parked: bool,
    pub(crate) route: Option<String>,
}

impl OperatorStore {
    /// Opens the file at `path`, which must exist.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        match path.try_exists() {
            Ok(true) => file::open(path).map(Self),
            missing => Err(OpenError::Failed {
                path: path.to_owned(),
                error: missing
                    .err()
                    .map_or_else(|| "there is no such file".into(), |error| error.to_string()),
            }),
        }
    }

    /// Passes each notification to `see`, the oldest first.
    pub(crate) fn each<E: From<rusqlite::Error>>(
        &self,
        filter: &Filter,
        mut see: impl FnMut(Listed) -> Result<(), E>,
    ) -> Result<(), E> {
        let select = format!(
            "select {COLUMNS} from notification where (?1 is null or route = ?1)
            and (not ?2 or parked is not null) order by received, id"
        );
        let mut statement = self.0.prepare(&select)?;
        let mut rows = statement.query(params![filter.route, filter.is_parked])?;
        while let Some(row) = rows.next()? {
            see(listed(row)?)?;
        }
        Ok(())
    }

    /// Returns one notification with its head and its body.
    pub(crate) fn find(&self, id: i64) -> rusqlite::Result<Option<(Listed, Vec<u8>, Vec<u8>)>> {
        let select = format!("select {COLUMNS}, head, message from notification where id = ?1");
        let read = |row: &Row<'_>| {
            let mut head: Vec<u8> = row.get("message")?;
            let length: u32 = row.get("head")?;
            let body = head.split_off(head.len().min(length as usize));
            Ok((listed(row)?, head, body))
        };
        self.0.query_row(&select, [id], read).optional()
    }

    /// Lets notifications be sent, now: `ids`, or all that are parked. Returns their number.
    pub(crate) fn retry(&mut self, ids: Option<&[i64]>) -> rusqlite::Result<usize> {
        let change = "update notification set parked = null, attempts = attempts";
        match ids {
            Some(ids) => self.change_each(&format!("{change} where id = ?1"), ids, &[]),
            None => self.change(|connection| {
                connection.execute(&format!("{change} where parked is not null"), [])
            }),
        }
    }

    /// Parks notifications that wait. Returns their number.
    pub(crate) fn park(&mut self, ids: &[i64]) -> rusqlite::Result<usize> {
        let reason = Parking::Operator.as_str();
        let change = "update notification set parked = ?2 where id = ?1 and parked is null";
        self.change_each(change, ids, &[&reason])
    }

    /// Deletes notifications. Returns their number.
    pub(crate) fn drop(&mut self, ids: &[i64]) -> rusqlite::Result<usize> {
        self.change_each("delete from notification where id = ?1", ids, &[])
    }

    fn change_each(
        &mut self,
        statement: &str,
        ids: &[i64],
        more: &[&dyn ToSql],
    ) -> rusqlite::Result<usize> {
        self.change(|connection| {
            let mut statement = connection.prepare(statement)?;
            let mut count = 0;
            for id in ids {
                let parameters: Vec<&dyn ToSql> = [id as &dyn ToSql]
                    .into_iter()
                    .chain(more.iter().copied())
                    .collect();
                count += statement.execute(&*parameters)?;
            }
            Ok(count)
        })
    }

    fn change(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<usize>,
    ) -> rusqlite::Result<usize> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.0.transaction_with_behavior(behavior)?;
        let count = change(&transaction)?;
        transaction.execute("update command set count = count + 1", [])?;
        transaction.commit()?;
        Ok(count)
    }
}
