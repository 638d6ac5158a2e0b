//! Whether a database is fit for the queue, and what an operator should know of it. Nothing in it is
//! changed.

use super::session::{CONNECT, Database, Session};
use super::shape::ask_all;
use super::{Fault, get, shape};
use crate::config::DatabaseSource;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Client, Row};

/// The time for the statements of an examination.
const LIMIT: Duration = Duration::from_secs(3);

/// The time in which a pooler with one connection does not answer.
const POOLED: Duration = Duration::from_secs(1);

const VERSION: &str = "select split_part(current_setting('server_version'), ' ', 1),
  current_setting('server_encoding'), current_setting('synchronous_standby_names') = '',
  (select count(*) from pg_catalog.pg_stat_replication
    where application_name not in ('pg_receivewal', 'pg_basebackup'))";

/// The rights that the statements need and the role does not have, once the tables are there.
const MISSING: &str = include_str!("missing_rights.sql");

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Examination {
    /// The server, if it has answered.
    pub(crate) server: Option<String>,
    /// Why the program does not start with it.
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Examination {
    fn note(&mut self, fault: &Fault) {
        match fault {
            Fault::Unfit(why) => self.errors.push(why.clone()),
            other => self
                .warnings
                .push(format!("the database cannot be used: {other}")),
        }
    }
}

/// Examines the database of `source`.
pub(crate) async fn examine(source: &DatabaseSource) -> Examination {
    let mut examination = Examination::default();
    let session = Session::new(&Arc::new(Database::new(source.clone())), "check");
    let link = match session.open().await {
        Ok(link) => link,
        Err(fault) => {
            examination.note(&fault);
            return examination;
        }
    };
    let looked = timeout(LIMIT, look(&link.client, &mut examination)).await;
    let late = || Err(Fault::Away("the database has not answered in time".into()));
    if let Err(fault) = looked.unwrap_or_else(|_| late()) {
        examination.note(&fault);
    }
    if is_pooled(&session, &link.client).await
        && let Some(server) = &mut examination.server
    {
        server.push_str(", behind a pooler");
    }
    examination
}

async fn look(client: &Client, examination: &mut Examination) -> Result<(), Fault> {
    let rows = ask_all(client, VERSION).await?;
    let row = rows.first().ok_or_else(shape::silent)?;
    let (version, encoding): (&str, &str) = (get(row, 0)?, get(row, 1)?);
    examination.server = Some(format!("PostgreSQL {version}, {encoding}"));
    examination.warnings.extend(asynchronous(row)?);
    let missing = ask_all(client, MISSING).await?;
    for row in &missing {
        let right: &str = get(row, 0)?;
        let error = format!("the role of the database lacks a right: {right}");
        examination.errors.push(error);
    }
    if !missing.is_empty() {
        // The tables cannot be looked at without.
        return Ok(());
    }
    let found = shape::look(client).await?;
    let state = match found {
        None => "the tables are not there yet, and are made at the start",
        Some(found) if found < shape::VERSION => {
            "its tables are of an older version, and are changed at the start"
        }
        Some(_) => "",
    };
    if let (Some(server), false) = (&mut examination.server, state.is_empty()) {
        server.push_str("; ");
        server.push_str(state);
    }
    Ok(())
}

fn asynchronous(row: &Row) -> Result<Option<String>, Fault> {
    let (is_unset, standbys): (bool, i64) = (get(row, 2)?, get(row, 3)?);
    Ok((is_unset && standbys > 0).then(|| {
        format!("asynchronous standbys of the database: {standbys}. A failover loses acknowledged notifications: set synchronous_standby_names")
    }))
}

/// Returns `true` if connections do not have processes of their own: one that is in a transaction
/// takes that of another one away.
async fn is_pooled(session: &Session, client: &Client) -> bool {
    let found = timeout(POOLED + CONNECT, async {
        let before = process(client).await?;
        let other = session.open().await?;
        let begun = timeout(POOLED, other.client.batch_execute("begin")).await;
        let after = timeout(POOLED, process(client)).await;
        Ok::<_, Fault>(begun.is_err() || !matches!(after, Ok(Ok(after)) if after == before))
    });
    found.await.is_ok_and(|found| found.unwrap_or(false))
}

async fn process(client: &Client) -> Result<i32, Fault> {
    let rows = ask_all(client, "select pg_backend_pid()").await?;
    get(rows.first().ok_or_else(shape::silent)?, 0)
}
