//! The table of notifications, and the statements about it.

use super::super::{
    Counts, End, Fetched, Listed, NewNotification, ParkedCount, Parking, Reading, Rerouted, Seen,
    Settlement, Stored, StoredMessage, Totals, WaitingCount,
};
use crate::delivery::order::{Key, Place, Spot};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The version of the table, which `user_version` holds.
pub(super) const VERSION: i64 = 1;

const SHAPE: &str = "
create table notification (
  id           integer primary key autoincrement,
  route        text    not null,
  key          blob    not null,
  idempotency  text    not null,
  received     integer not null,
  attempts     integer not null default 0,
  last_error   text,
  next_try     integer,
  parked       text,
  about        text    not null,
  head         integer not null,
  message      blob    not null
) strict;
create index in_order on notification (route, key, received, id);
create index set_aside on notification (received, id) where parked is not null;
create table command (one integer primary key check (one = 1), count integer not null) strict;
insert into command values (1, 0);
pragma user_version = 1;
";

/// What a file holds.
pub(super) enum Found {
    /// The table of this version, or nothing yet: 0.
    Version(i64),
    /// Tables of something else.
    Other,
}

/// Returns what the file of a connection holds.
pub(super) fn found(connection: &Connection) -> rusqlite::Result<Found> {
    // One statement sees one state, whatever another process does.
    let select = "select user_version, (select count(*) from sqlite_schema),
        (select count(*) from sqlite_schema where name = 'notification') from pragma_user_version";
    connection.query_row(select, [], |row| {
        let (version, tables, ours): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let is_ours = match version {
            0 => tables == 0,
            VERSION => ours == 1,
            _ => version > VERSION,
        };
        Ok(match is_ours {
            true => Found::Version(version),
            false => Found::Other,
        })
    })
}

/// The columns of [`Listed`].
pub(super) const COLUMNS: &str = "id, route, received, attempts, last_error, next_try, parked, about, idempotency, length(message) - head";

/// Creates the table, unless it is there.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    let version = || connection.pragma_query_value(None, "user_version", |row| row.get(0));
    if version()? == VERSION {
        return Ok(());
    }
    connection.execute_batch("begin immediate")?;
    // Another process may have created it while this one waited.
    let created = match version()? {
        0 => connection.execute_batch(SHAPE),
        _ => Ok(()),
    };
    connection.execute_batch(if created.is_ok() {
        "commit"
    } else {
        "rollback"
    })?;
    created
}

/// Stores a notification, unless the newest one of its key that waits is the same.
pub(super) fn insert(connection: &Connection, new: &NewNotification) -> rusqlite::Result<Stored> {
    let newest = "select idempotency from notification
        where route = ?1 and key = ?2 and parked is null order by received desc, id desc limit 1";
    let newest: Option<String> = connection
        .prepare_cached(newest)?
        .query_row(params![&*new.route, new.key.0], |row| row.get(0))
        .optional()?;
    if newest.is_some_and(|newest| newest == new.idempotency) {
        return Ok(Stored::Duplicate);
    }
    let insert = "insert into notification
        (route, key, idempotency, received, attempts, last_error, next_try, about, head, message)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    connection
        .prepare_cached(insert)?
        .insert(params![
            &*new.route,
            new.key.0,
            new.idempotency,
            new.received,
            new.attempts,
            new.last_error,
            new.next_try,
            new.about,
            new.head.cast_signed(),
            &new.message[..],
        ])
        .map(|id| Stored::New(Place::by_receipt(new.received, id)))
}

/// Returns what has come since `after`, if another process has changed anything.
pub(super) fn read(connection: &Connection, after: Seen) -> rusqlite::Result<Reading> {
    // Asked for before the rest: what changes meanwhile is noticed next time.
    let mut seen = changes(connection, after.id)?;
    let spots = match seen == after {
        true => Vec::new(),
        false => waiting(connection, after.id)?,
    };
    seen.id = highest(&spots, after.id);
    Ok(Reading { seen, spots })
}

/// Returns everything that waits.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<(Reading, Totals)> {
    let mut seen = changes(connection, 0)?;
    let totals = Totals {
        latest: latest(connection)?,
        parked: parked(connection)?,
    };
    let spots = waiting(connection, 0)?;
    seen.id = highest(&spots, 0);
    Ok((Reading { seen, spots }, totals))
}

fn highest(spots: &[Spot], known: i64) -> i64 {
    let ids = spots.iter().map(|spot| spot.place.id);
    ids.fold(known, i64::max)
}

/// Returns one that waits, and those before it.
pub(super) fn fetch(connection: &Connection, spot: &Spot) -> rusqlite::Result<Fetched> {
    Ok(Fetched {
        earlier: earlier(connection, spot)?,
        message: message(connection, spot.place.id)?,
    })
}

/// Returns the notifications that wait, of those with a higher id than `after`.
fn waiting(connection: &Connection, after: i64) -> rusqlite::Result<Vec<Spot>> {
    let select = "select id, route, key, received from notification where id > ?1 and parked is null order by id";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([after])?;
    let (mut routes, mut spots) = (HashSet::<Arc<str>>::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let route = &*text(row, 1)?;
        let known = routes.get(route).cloned();
        let route = known.unwrap_or_else(|| {
            let route = Arc::<str>::from(route);
            routes.insert(route.clone());
            route
        });
        let place = Place::by_receipt(row.get(3)?, row.get(0)?);
        // A key that was damaged stops no other: its row is ordered by itself.
        let key = row
            .get(2)
            .unwrap_or(u128::from(place.id.cast_unsigned()).to_be_bytes());
        let key = Key(key);
        spots.push(Spot { route, key, place });
    }
    Ok(spots)
}

/// Returns a text, whatever has become of it.
pub(super) fn text<'r>(row: &'r Row<'_>, index: usize) -> rusqlite::Result<Cow<'r, str>> {
    Ok(String::from_utf8_lossy(row.get_ref(index)?.as_bytes()?))
}

/// Returns the notifications of the same key that wait and were received before this one.
fn earlier(connection: &Connection, spot: &Spot) -> rusqlite::Result<Vec<Spot>> {
    let select = "select id, received from notification where route = ?1 and key = ?2
        and parked is null and (received, id) < (?3, ?4) order by received, id";
    let read = |row: &Row<'_>| {
        let place = Place::by_receipt(row.get(1)?, row.get(0)?);
        Ok(Spot {
            place,
            ..spot.clone()
        })
    };
    let Place { received, id, .. } = spot.place;
    connection
        .prepare_cached(select)?
        .query_map(params![&*spot.route, spot.key.0, received, id], read)?
        .collect()
}

/// Returns one that waits.
fn message(connection: &Connection, id: i64) -> rusqlite::Result<Option<StoredMessage>> {
    let select = "select received, attempts, head, message, idempotency from notification where id = ?1 and parked is null";
    let read = |row: &Row<'_>| {
        Ok(StoredMessage {
            // No id is used twice.
            receipt: 0,
            received: row.get(0)?,
            attempts: row.get(1)?,
            head: row.get::<_, u32>(2)? as usize,
            message: Bytes::from(row.get::<_, Vec<u8>>(3)?),
            idempotency: row.get(4)?,
        })
    };
    connection
        .prepare_cached(select)?
        .query_row([id], read)
        .optional()
}

/// Records the ends of attempts. Returns those that are parked.
pub(super) fn settle_all(
    connection: &Connection,
    settlements: &[Settlement],
) -> rusqlite::Result<Vec<Listed>> {
    let mut parked = Vec::new();
    for settlement in settlements {
        let changed = settle(connection, settlement)?;
        if changed > 0 && matches!(settlement.end, End::Parked(_)) {
            parked.extend(describe(connection, settlement.id)?);
        }
    }
    Ok(parked)
}

/// Records the end of an attempt. One that an operator has parked or dropped meanwhile stays so,
/// unless it is delivered.
fn settle(connection: &Connection, settlement: &Settlement) -> rusqlite::Result<usize> {
    let id = settlement.id;
    match &settlement.end {
        End::Delivered => connection
            .prepare_cached("delete from notification where id = ?1")?
            .execute([id]),
        End::Failed {
            attempts,
            error,
            next_try,
        } => connection
            .prepare_cached(
                "update notification set attempts = ?2, last_error = ?3, next_try = ?4 where id = ?1",
            )?
            .execute(params![id, attempts, error, next_try]),
        End::Parked(reason) => connection
            .prepare_cached("update notification set parked = ?2 where id = ?1 and parked is null")?
            .execute(params![id, reason.as_str()]),
    }
}

/// Parks what waits for a route that is not one of `routes`, and unparks what has its route again.
pub(super) fn route(connection: &Connection, routes: &[String]) -> rusqlite::Result<Rerouted> {
    let no_route = Parking::NoRoute.as_str();
    let distinct = "select distinct route from notification where parked is null or parked = ?1";
    // As bytes: a damaged text is the route of nothing.
    let stored: Vec<Vec<u8>> = connection
        .prepare(distinct)?
        .query_map([no_route], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec()))?
        .collect::<Result<_, _>>()?;
    let mut rerouted = Rerouted::default();
    for stored in stored {
        if routes.iter().any(|route| route.as_bytes() == stored) {
            let unpark = "update notification set parked = null where route = cast(?1 as text) and parked = ?2";
            let unparked = connection.execute(unpark, params![stored, no_route])?;
            note(&mut rerouted.unparked, &stored, unparked);
        } else {
            let park = "update notification set parked = ?2 where route = cast(?1 as text) and parked is null";
            let parked = connection.execute(park, params![stored, no_route])?;
            note(&mut rerouted.parked, &stored, parked);
        }
    }
    Ok(rerouted)
}

fn note(counts: &mut BTreeMap<String, u64>, route: &[u8], count: usize) {
    if count > 0 {
        let route = String::from_utf8_lossy(route).into_owned();
        *counts.entry(route).or_default() += count as u64;
    }
}

/// Deletes the oldest parked notification, and returns it.
pub(super) fn drop_oldest_parked(connection: &Connection) -> rusqlite::Result<Option<Listed>> {
    let delete = format!(
        "delete from notification where id =
        (select id from notification where parked is not null order by received, id limit 1)
        returning {COLUMNS}"
    );
    connection
        .prepare_cached(&delete)?
        .query_row([], listed)
        .optional()
}

/// Returns one notification without its message.
pub(super) fn describe(connection: &Connection, id: i64) -> rusqlite::Result<Option<Listed>> {
    let select = format!("select {COLUMNS} from notification where id = ?1");
    connection
        .prepare_cached(&select)?
        .query_row([id], listed)
        .optional()
}

/// Returns the size of what is stored, in bytes: pages that are in use.
pub(super) fn size(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |statement| {
        let mut statement = connection.prepare_cached(statement)?;
        statement.query_row([], |row| row.get::<_, i64>(0))
    };
    let pages = pragma("pragma page_count")? - pragma("pragma freelist_count")?;
    Ok((pages * pragma("pragma page_size")?).cast_unsigned())
}

/// Returns what shows the changes of other processes.
fn changes(connection: &Connection, id: i64) -> rusqlite::Result<Seen> {
    let commands = "select count from command";
    Ok(Seen {
        id,
        commits: connection.pragma_query_value(None, "data_version", |row| row.get(0))?,
        commands: connection
            .prepare_cached(commands)?
            .query_row([], |row| row.get(0))?,
    })
}

/// Returns the numbers of notifications.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    Ok(Counts {
        waiting: waiting_counts(connection)?,
        parked: parked(connection)?,
    })
}

/// Returns the numbers of those that wait. Only indexes are read: the rows are large.
fn waiting_counts(connection: &Connection) -> rusqlite::Result<Vec<WaitingCount>> {
    let select = "select route, count(*), min(received) from notification indexed by in_order
        where id not in (select id from notification indexed by set_aside where parked is not null)
        group by route";
    let read = |row: &Row<'_>| {
        Ok(WaitingCount {
            route: text(row, 0)?.into_owned(),
            count: row.get::<_, i64>(1)?.try_into().unwrap_or_default(),
            oldest: row.get(2)?,
        })
    };
    connection
        .prepare_cached(select)?
        .query_map([], read)?
        .collect()
}

/// Returns those of `ids` that are there.
pub(super) fn present(connection: &Connection, ids: &[i64]) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached("select 1 from notification where id = ?1")?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        if select.exists([id])? {
            found.push(*id);
        }
    }
    Ok(found)
}

/// Returns the numbers of parked notifications.
fn parked(connection: &Connection) -> rusqlite::Result<Vec<ParkedCount>> {
    let select =
        "select route, parked, count(*) from notification where parked is not null group by 1, 2";
    let read = |row: &Row<'_>| {
        Ok(ParkedCount {
            route: text(row, 0)?.into_owned(),
            reason: text(row, 1)?.into_owned(),
            count: row.get::<_, i64>(2)?.cast_unsigned(),
        })
    };
    connection
        .prepare_cached(select)?
        .query_map([], read)?
        .collect()
}

/// Returns the latest time of receipt, or 0.
fn latest(connection: &Connection) -> rusqlite::Result<i64> {
    let select = "select coalesce(max(received), 0) from notification";
    connection.query_row(select, [], |row| row.get(0))
}

/// Reads a row of [`COLUMNS`].
pub(super) fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    Ok(Listed {
        id: row.get(0)?,
        route: row.get(1)?,
        received: row.get(2)?,
        attempts: row.get(3)?,
        last_error: row.get(4)?,
        next_try: row.get(5)?,
        parked: row.get(6)?,
        after: None,
        about: row.get(7)?,
        idempotency: row.get(8)?,
        body_bytes: row.get(9)?,
    })
}
