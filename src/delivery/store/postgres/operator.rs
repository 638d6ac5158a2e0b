//! What an operator does with the queue in a database, beside running replicas or without one.

use super::rows::{self, COLUMNS};
use crate::config::DatabaseSource;
use crate::database::{Database, Fault, Parameter, Session, get};
use crate::delivery::operator::{Filter, Found, Operator, OperatorError};
use crate::delivery::store::{Listed, Parking};
use std::sync::Arc;
use tokio::runtime::{self, Runtime};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const IDS: &str = "select id from netdata_webhook_proxy.notification
  where ($1::text is null or route = $1) and (not $2 or parked is not null) order by received, id";

/// The one that must be delivered before another that waits.
const BEFORE: &str = "(select first.id from netdata_webhook_proxy.notification as first
  where n.parked is null and first.key = n.key and first.parked is null
    and (coalesce(first.place, first.id), first.id) < (coalesce(n.place, n.id), n.id)
  order by coalesce(first.place, first.id), first.id limit 1)";

/// A replica delivers: its row changes within this time.
const SERVED: &str = "select holder, term, beat from netdata_webhook_proxy.deliverer";
const SERVED_WITHIN: std::time::Duration = std::time::Duration::from_millis(1500);

const RETRY: &str = "update netdata_webhook_proxy.notification set parked = null, next_try = null
  where id = any($1) returning id";

const RETRY_PARKED: &str = "update netdata_webhook_proxy.notification
  set parked = null, next_try = null
  where ($1::text is null or route = $1) and parked is not null returning id";

const COUNT_PARKED: &str = "select count(*) from netdata_webhook_proxy.notification
  where ($1::text is null or route = $1) and parked = $2";

const PARK: &str = "update netdata_webhook_proxy.notification set parked = $2
  where id = any($1) and parked is null returning id";

const DROP: &str = "delete from netdata_webhook_proxy.notification where id = any($1) returning id";

/// The queue in a database, as an operator uses it.
pub(in crate::delivery) struct PostgresOperator {
    session: Session,
    runtime: Runtime,
}

impl From<Fault> for OperatorError {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

impl PostgresOperator {
    /// Connects to the database of `source`.
    pub(in crate::delivery) fn open(source: DatabaseSource) -> Result<Self, OperatorError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| OperatorError(error.to_string()))?;
        let session = Session::new(&Arc::new(Database::new(source)), "operator");
        runtime.block_on(session.link())?;
        Ok(Self { session, runtime })
    }

    fn query(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, OperatorError> {
        let queried = self.session.query(statement, parameters);
        Ok(self.runtime.block_on(queried)?.0)
    }

    /// Runs a statement that changes something, and counts it, so that the replica that delivers
    /// reads everything again. Returns the ids of what was changed.
    fn change(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<i64>, OperatorError> {
        let change = format!(
            "with changed as ({statement}),
               told as (update netdata_webhook_proxy.command set count = count + 1)
             select id from changed order by id"
        );
        ids(&self.query(&change, parameters)?)
    }

    fn beat(&self) -> Result<Option<(Option<String>, i64, i64)>, OperatorError> {
        let rows = self.query(SERVED, &[])?;
        let row = rows.first();
        let read = |row: &Row| Ok::<_, Fault>((get(row, 0)?, get(row, 1)?, get(row, 2)?));
        Ok(row.map(read).transpose()?)
    }
}

fn ids(rows: &[Row]) -> Result<Vec<i64>, OperatorError> {
    let ids = rows
        .iter()
        .map(|row| Ok::<i64, OperatorError>(get(row, 0)?));
    ids.collect()
}

fn listed(row: &Row) -> Result<Listed, Fault> {
    Ok(Listed {
        after: get(row, 10)?,
        ..rows::listed(row)?
    })
}

fn found(row: &Row) -> Result<Found, Fault> {
    let mut head: Vec<u8> = get(row, 12)?;
    let length = usize::try_from(get::<i32>(row, 11)?).unwrap_or_default();
    let body = head.split_off(head.len().min(length));
    Ok(Found {
        listed: listed(row)?,
        head,
        body,
    })
}

impl Operator for PostgresOperator {
    fn is_served(&self) -> bool {
        let Ok(Some(before)) = self.beat() else {
            return false;
        };
        if before.0.is_none() {
            return false;
        }
        std::thread::sleep(SERVED_WITHIN);
        self.beat().is_ok_and(|after| after != Some(before))
    }

    fn ids(&self, filter: &Filter) -> Result<Vec<i64>, OperatorError> {
        let parameters: [Parameter<'_>; _] =
            [(&filter.route, Type::TEXT), (&filter.is_parked, Type::BOOL)];
        ids(&self.query(IDS, &parameters)?)
    }

    fn read(&self, id: i64) -> Result<Option<Listed>, OperatorError> {
        let select = format!(
            "select {COLUMNS}, {BEFORE} from netdata_webhook_proxy.notification as n where n.id = $1"
        );
        let rows = self.query(&select, &[(&id, Type::INT8)])?;
        Ok(rows.first().map(listed).transpose()?)
    }

    fn find(&self, id: i64) -> Result<Option<Found>, OperatorError> {
        let select = format!(
            "select {COLUMNS}, {BEFORE}, n.head, n.message
             from netdata_webhook_proxy.notification as n where n.id = $1"
        );
        let rows = self.query(&select, &[(&id, Type::INT8)])?;
        Ok(rows.first().map(found).transpose()?)
    }

    fn retry(&mut self, ids: &[i64]) -> Result<Vec<i64>, OperatorError> {
        self.change(RETRY, &[(&ids, Type::INT8_ARRAY)])
    }

    fn retry_parked(&mut self, route: Option<&str>) -> Result<usize, OperatorError> {
        let changed = self.change(RETRY_PARKED, &[(&route, Type::TEXT)])?;
        Ok(changed.len())
    }

    fn count_parked(&self, route: Option<&str>, reason: &str) -> Result<usize, OperatorError> {
        let parameters: [Parameter<'_>; _] = [(&route, Type::TEXT), (&reason, Type::TEXT)];
        let rows = self.query(COUNT_PARKED, &parameters)?;
        let count = rows.first().map(|row| get::<i64>(row, 0)).transpose()?;
        Ok(usize::try_from(count.unwrap_or_default()).unwrap_or_default())
    }

    fn park(&mut self, ids: &[i64]) -> Result<Vec<i64>, OperatorError> {
        let reason = Parking::Operator.as_str();
        self.change(PARK, &[(&ids, Type::INT8_ARRAY), (&reason, Type::TEXT)])
    }

    fn drop(&mut self, ids: &[i64]) -> Result<Vec<i64>, OperatorError> {
        self.change(DROP, &[(&ids, Type::INT8_ARRAY)])
    }
}
