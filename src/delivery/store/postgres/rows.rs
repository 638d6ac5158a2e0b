//! Reads rows of the database.

use super::super::Listed;
use crate::database::{Fault, get};
use tokio_postgres::Row;

/// The columns of [`Listed`], of the table `n`.
pub(super) const COLUMNS: &str = "n.id, n.route, n.received, n.attempts, n.last_error, n.next_try, n.parked, n.about, n.idempotency, octet_length(n.message) - n.head";

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
