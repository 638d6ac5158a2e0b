//! What any replica sees of the database: which one delivers, and what endangers the rest.
//!
//! Nothing here needs more rights than the statements that store. What a role may not see of other
//! sessions, such as when they began, is observed instead.

use super::{ASK, Shared};
use crate::database::{Fault, get};
use crate::delivery::survey::{Deliverer, Hazard, Survey};
use crate::term::{self, Moment, Term};
use std::sync::PoisonError;
use std::time::Duration;
use tokio_postgres::Row;

/// The time for which the oldest snapshot may stay the same.
const HELD: Moment = 600_000;

/// The time for which a commit may wait for a standby.
const AWAY: Duration = Duration::from_secs(2);

/// The row of the one that delivers; the standbys, commits that wait for one, and what has the
/// oldest snapshot by which rows of this database are kept. A worker of autovacuum has no user, and
/// keeps none; the kinds of the sessions of other users are hidden.
const SURVEY: &str = "select d.holder, d.term, d.summary, d.bytes,
    current_setting('synchronous_standby_names') = '' and exists (
      select from pg_catalog.pg_stat_replication
      where application_name not in ('pg_receivewal', 'pg_basebackup')),
    (select max(extract(epoch from clock_timestamp() - query_start))::float8
      from pg_catalog.pg_stat_activity where wait_event = 'SyncRep'),
    h.by, h.xmin
  from netdata_webhook_proxy.deliverer as d left join (
    select by, xmin::text from (
      select 'pid ' || pid as by, coalesce(backend_xmin, backend_xid) as xmin
        from pg_catalog.pg_stat_activity
        where pid <> pg_backend_pid() and coalesce(datname, current_database()) = current_database()
          and usesysid is not null
      union all select 'replication slot ' || slot_name, xmin from pg_catalog.pg_replication_slots
      union all select 'prepared transaction ' || gid, transaction
        from pg_catalog.pg_prepared_xacts where database = current_database()
    ) as held where xmin is not null order by age(xmin) desc limit 1
  ) as h on true";

/// The oldest snapshot, and since when it has been that.
#[derive(Clone, Debug)]
pub(super) struct Horizon {
    seen: Option<(String, Moment)>,
    /// The time for which it may stay the same.
    pub(super) limit: Moment,
}

impl Default for Horizon {
    fn default() -> Self {
        Self {
            seen: None,
            limit: HELD,
        }
    }
}

impl Horizon {
    /// Records the oldest snapshot of now. Returns how long it has been the same, if that is long.
    fn note(&mut self, xmin: Option<&str>, now: Moment) -> Option<Duration> {
        let Some(xmin) = xmin else {
            self.seen = None;
            return None;
        };
        let known = self.seen.take().filter(|(known, _)| known == xmin);
        let (known, since) = known.unwrap_or((xmin.to_owned(), now));
        self.seen = Some((known, since));
        let held = now.saturating_sub(since);
        (held >= self.limit).then(|| Duration::from_millis(held))
    }
}

impl Shared {
    pub(super) async fn survey(&self) -> Result<Survey, Fault> {
        let (rows, _) = self.asking.query_within(ASK, SURVEY, &[]).await?;
        let row = rows
            .first()
            .ok_or_else(|| Fault::Unknown("no row".into()))?;
        let is_asynchronous: bool = get(row, 4)?;
        let hazards = [
            is_asynchronous.then_some(Hazard::Asynchronous),
            standby_away(row)?,
            self.held_horizon(row)?,
        ];
        Ok(Survey {
            deliverer: self.deliverer(row)?,
            bytes: get(row, 3)?,
            hazards: hazards.into_iter().flatten().collect(),
        })
    }

    fn deliverer(&self, row: &Row) -> Result<Option<Deliverer>, Fault> {
        let (term, summary): (i64, &str) = (get(row, 1)?, get(row, 2)?);
        let holder = get::<Option<String>>(row, 0)?;
        Ok(holder.map(|name| Deliverer {
            name,
            term: Term(term),
            is_configured_otherwise: self.differs(term, summary),
        }))
    }

    /// Returns what the row of the one that delivers says of its configuration.
    pub(super) fn summary(&self, term: i64) -> String {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{term} {routes}")
    }

    /// Returns `true` if the holder of `term` says that it has other routes. One of another version
    /// says nothing.
    fn differs(&self, term: i64, summary: &str) -> bool {
        summary.starts_with(&format!("{term} ")) && summary != self.summary(term)
    }

    fn held_horizon(&self, row: &Row) -> Result<Option<Hazard>, Fault> {
        let (by, xmin): (Option<&str>, Option<&str>) = (get(row, 6)?, get(row, 7)?);
        let mut horizon = self.horizon.lock().unwrap_or_else(PoisonError::into_inner);
        let held = horizon.note(xmin, term::now());
        Ok(held.map(|held| Hazard::HeldHorizon {
            by: by.unwrap_or_default().to_owned(),
            held,
        }))
    }
}

fn standby_away(row: &Row) -> Result<Option<Hazard>, Fault> {
    let seconds: Option<f64> = get(row, 5)?;
    let waited = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(waited
        .filter(|waited| *waited >= AWAY)
        .map(|waited| Hazard::StandbyAway { waited }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_held_once_it_has_been_the_oldest_for_ten_minutes() {
        let mut horizon = Horizon::default();
        let minutes = |minutes: Moment| minutes * 60_000;
        assert_eq!(horizon.note(Some("7"), 0), None);
        assert_eq!(horizon.note(Some("7"), minutes(9)), None);
        let held = horizon.note(Some("7"), minutes(10));
        assert_eq!(held, Some(Duration::from_secs(600)));
        assert_eq!(horizon.note(Some("8"), minutes(11)), None, "it goes on");
        assert_eq!(horizon.note(None, minutes(20)), None);
        assert_eq!(horizon.note(Some("8"), minutes(21)), None);
        assert!(horizon.note(Some("8"), minutes(40)).is_some());
    }
}
