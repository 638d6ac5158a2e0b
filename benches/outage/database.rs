//! A database of several replicas, and what the notifications take of it.

use crate::Failure;
use crate::postgres::{Server, sql};
use crate::verdict::mib;

/// A database on a server of its own, which ends with this.
pub(crate) struct Database {
    /// Ends the server.
    _server: Server,
    pub(crate) url: String,
}

impl Database {
    pub(crate) fn start() -> Result<Self, Failure> {
        let server = Server::start().ok_or("PostgreSQL is not installed")?;
        let url = server.create_database("UTF8");
        Ok(Self {
            _server: server,
            url,
        })
    }

    /// The place in the log up to which it is written.
    pub(crate) fn place(&self) -> String {
        sql(&self.url, "select pg_current_wal_lsn()")
    }

    /// Says what `count` notifications take, which have come since the log was at `place`.
    pub(crate) fn report(&self, place: &str, count: u32) -> Result<(), Failure> {
        let number = |query: &str| -> Result<u64, Failure> { Ok(sql(&self.url, query).parse()?) };
        let table = "pg_total_relation_size('netdata_webhook_proxy.notification')";
        let disk = number(&format!("select {table}"))?;
        let log = format!("select pg_wal_lsn_diff(pg_current_wal_lsn(), '{place}')::bigint");
        let log = number(&log)?;
        let each = |bytes: u64| bytes / u64::from(count.max(1));
        println!(
            "database: {} on disk, {} bytes for each; {} of log, {} bytes for each",
            mib(disk),
            each(disk),
            mib(log),
            each(log)
        );
        Ok(())
    }
}
