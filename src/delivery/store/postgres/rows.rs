//! Reads rows of the database.

use super::super::Listed;
use super::fault::Fault;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// The columns of [`Listed`], of the table `n`.
pub(super) const COLUMNS: &str = "n.id, n.route, n.received, n.attempts, n.last_error, n.next_try, n.parked, n.about, n.idempotency, octet_length(n.message) - n.head";

/// Returns a column.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<T, Fault> {
    row.try_get(at).map_err(|error| Fault::of(&error))
}

/// Reads a row that begins with [`COLUMNS`].
pub(super) fn listed(row: &Row) -> Result<Listed, Fault> {
    Ok(Listed {
        id: get(row, 0)?,
        route: get(row, 1)?,
        received: get(row, 2)?,
        attempts: get::<i32>(row, 3)?.cast_unsigned(),
        last_error: get(row, 4)?,
        next_try: get(row, 5)?,
        parked: get(row, 6)?,
        after: None,
        about: get(row, 7)?,
        idempotency: get(row, 8)?,
        body_bytes: get::<i32>(row, 9)?.into(),
    })
}
