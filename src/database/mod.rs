//! A PostgreSQL database that several machines share: connections, tables, and what can go wrong.
//!
//! ```text
//!  session   a connection, made again when it is lost: each statement is a transaction
//!   ├ tls      … whose certificate must prove its name
//!   └ shape    the tables, and whether the database keeps what it acknowledges
//!  examination  … and what an operator should know
//!  acme      the state of ACME in it
//!  fault     what went wrong, without a word of the URL or of a row
//! ```

mod acme;
#[cfg(feature = "cli")]
mod examination;
mod fault;
mod session;
mod shape;
mod tls;

pub(crate) use acme::{open_acme, open_existing_acme};
#[cfg(feature = "cli")]
pub(crate) use examination::{Examination, examine};
pub(crate) use fault::Fault;
pub(crate) use session::{Database, Parameter, Session};

use crate::term::{Beat, Holder, Term};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// Names this process in rows that say what it does: the machine and the number of the process.
pub(crate) fn process_name() -> String {
    let system = rustix::system::uname();
    let machine = system.nodename().to_string_lossy();
    format!("{machine} {}", std::process::id())
}

/// Returns a column.
pub(crate) fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<T, Fault> {
    row.try_get(at).map_err(|error| Fault::of(&error))
}

/// Reads who holds a term: whether this process does, its number, and its beats. Without a row, nobody
/// does.
pub(crate) fn holder(row: Option<&Row>) -> Result<Holder, Fault> {
    let Some(row) = row else {
        return Ok(Holder::Elsewhere(None));
    };
    let (is_here, term, count): (bool, i64, i64) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
    let term = Term(term);
    Ok(match is_here {
        true => Holder::Here(term),
        false => Holder::Elsewhere(Some(Beat { term, count })),
    })
}
