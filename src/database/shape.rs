//! The tables of the database, and whether it keeps what it acknowledges.

use super::{Fault, get};
use std::time::Duration;
use tokio::time::sleep;
use tokio_postgres::{Client, Row};

/// The version of the tables. Older processes go on beside it, see `min_reader`.
pub(super) const VERSION: i32 = 2;

/// The oldest server that this program was made for.
const OLDEST: i32 = 140_000;

/// The number of times that tables are asked for which another process may be making.
const ATTEMPTS: u32 = 20;

/// Makes the tables, or adds what this version has beside those of an older one, unless another process is at it. Statements wait behind one that waits for a
/// lock, so it does not wait for long.
const MAKE: &str = include_str!("shape.sql");

/// The settings of the server, and the tables as far as they are there.
const JUDGE: &str = "select current_setting('server_version_num')::integer,
    current_setting('server_encoding'), current_setting('fsync'),
    current_setting('full_page_writes'), pg_is_in_recovery(),
    current_setting('transaction_read_only'),
    case when pg_is_in_recovery() then null
      else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint end,
    (select relpersistence::text from pg_catalog.pg_class
      where oid = to_regclass('netdata_webhook_proxy.notification'))";

/// The versions of the tables.
const SHAPE: &str = "select version, min_reader from netdata_webhook_proxy.shape";

/// Judges the server, and makes the tables if they are missing, or older. Returns the timeline.
pub(crate) async fn judge(client: &Client) -> Result<i64, Fault> {
    for attempt in 0..ATTEMPTS {
        let (timeline, version) = look_with_timeline(client).await?;
        if version.is_some_and(|version| version >= VERSION) {
            return Ok(timeline);
        }
        make(client).await?;
        sleep(Duration::from_millis(u64::from(10 * attempt))).await;
    }
    Err(Fault::Away(
        "the tables are not those of this version: another process is making them".into(),
    ))
}

/// Judges the server and its tables, and changes nothing. Returns the timeline.
pub(super) async fn timeline(client: &Client) -> Result<i64, Fault> {
    let (timeline, _) = look_with_timeline(client).await?;
    Ok(timeline)
}

/// Judges the server and its tables, and changes nothing. Returns the version of the tables.
#[cfg(feature = "cli")]
pub(super) async fn look(client: &Client) -> Result<Option<i32>, Fault> {
    let (_, version) = look_with_timeline(client).await?;
    Ok(version)
}

async fn look_with_timeline(client: &Client) -> Result<(i64, Option<i32>), Fault> {
    let row = ask(client, JUDGE).await?.ok_or_else(silent)?;
    let timeline = fitness(&row)?;
    let version = match get::<Option<&str>>(&row, 7)? {
        Some("p") => Some(version(client).await?),
        Some(_) => return unfit("its tables are not logged, and are empty after a crash"),
        None => None,
    };
    Ok((timeline, version))
}

/// The fault of a server that answers without a row.
pub(super) fn silent() -> Fault {
    Fault::Away("the database has answered without a row".into())
}

async fn make(client: &Client) -> Result<(), Fault> {
    ask_all(client, MAKE).await.map(drop)
}

/// Runs a statement without parameters on a connection that is being made, or examined.
pub(super) async fn ask_all(client: &Client, statement: &str) -> Result<Vec<Row>, Fault> {
    let rows = client.query_typed(statement, &[]).await;
    rows.map_err(|error| Fault::of_connect(&error))
}

async fn ask(client: &Client, statement: &str) -> Result<Option<Row>, Fault> {
    Ok(ask_all(client, statement).await?.pop())
}

fn fitness(row: &Row) -> Result<i64, Fault> {
    let version: i32 = get(row, 0)?;
    let (encoding, fsync, pages): (String, String, String) =
        (get(row, 1)?, get(row, 2)?, get(row, 3)?);
    if version < OLDEST {
        return unfit("it is older than PostgreSQL 14");
    }
    if encoding != "UTF8" {
        return unfit("its encoding is not UTF8: create the database with ENCODING 'UTF8'");
    }
    if fsync != "on" {
        return unfit("its setting fsync is off, so that a crash loses what it has acknowledged");
    }
    if pages != "on" {
        return unfit("its setting full_page_writes is off, so that a crash may damage it");
    }
    let (is_standby, read_only): (bool, String) = (get(row, 4)?, get(row, 5)?);
    match get::<Option<i64>>(row, 6)? {
        Some(timeline) if !is_standby && read_only == "off" => Ok(timeline),
        _ => Err(Fault::Away(
            "the database cannot be written: it is a standby, or read-only".into(),
        )),
    }
}

/// Returns the version of the tables, unless only newer processes know them.
async fn version(client: &Client) -> Result<i32, Fault> {
    let row = ask(client, SHAPE).await?;
    let row = row.ok_or_else(|| Fault::Unfit("its tables have no version".into()))?;
    let (version, min_reader): (i32, i32) = (get(&row, 0)?, get(&row, 1)?);
    match min_reader > VERSION || version < 1 {
        true => unfit(
            "its tables were made by a newer version of this program: use that version for it",
        ),
        false => Ok(version),
    }
}

fn unfit<T>(why: &str) -> Result<T, Fault> {
    Err(Fault::Unfit(format!(
        "the database must not be used: {why}"
    )))
}
