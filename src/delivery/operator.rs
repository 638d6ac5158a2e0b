//! The queue as an operator uses it, whichever engine keeps it.

use super::OpenError;
use super::store::Listed;
use super::store::postgres::operator::PostgresOperator;
use super::store::sqlite::operator::SqliteOperator;
use crate::config::QueuePlace;
use thiserror::Error;

/// A notification in the queue with its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) listed: Listed,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// The notifications that a command is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) is_parked: bool,
    pub(crate) route: Option<String>,
}

/// The reason why a command could not be done.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct OperatorError(pub(super) String);

pub(crate) type OperatorResult<T> = Result<T, OperatorError>;

/// The queue, opened by an operator.
pub(crate) trait Operator {
    /// Returns `true` if a running process delivers what is in the queue.
    fn is_served(&self) -> bool;

    /// Returns the ids of notifications, the oldest first.
    fn ids(&self, filter: &Filter) -> OperatorResult<Vec<i64>>;

    /// Returns one notification.
    fn read(&self, id: i64) -> OperatorResult<Option<Listed>>;

    /// Returns one notification with its message.
    fn find(&self, id: i64) -> OperatorResult<Option<Found>>;

    /// Lets notifications be sent now. Returns the ids of those that were there.
    fn retry(&mut self, ids: &[i64]) -> OperatorResult<Vec<i64>>;

    /// Lets all parked notifications that `route` selects be sent. Returns their number.
    fn retry_parked(&mut self, route: Option<&str>) -> OperatorResult<usize>;

    /// Returns the number of notifications that `route` selects and that are parked for this reason.
    fn count_parked(&self, route: Option<&str>, reason: &str) -> OperatorResult<usize>;

    /// Parks notifications that wait. Returns the ids of those that did.
    fn park(&mut self, ids: &[i64]) -> OperatorResult<Vec<i64>>;

    /// Deletes notifications. Returns the ids of those that were there.
    fn drop(&mut self, ids: &[i64]) -> OperatorResult<Vec<i64>>;
}

/// Opens the queue at `place`, which must exist.
pub(crate) fn open_queue(place: &QueuePlace) -> Result<Box<dyn Operator>, OpenError> {
    match place {
        QueuePlace::File(path) => Ok(Box::new(SqliteOperator::open(path)?)),
        QueuePlace::Database(source) => {
            let opened = PostgresOperator::open(source.clone());
            let opened = opened.map_err(|error| OpenError::Database(error.to_string()))?;
            Ok(Box::new(opened))
        }
    }
}
