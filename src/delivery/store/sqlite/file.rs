//! The file of the store: where it may be, how it is opened, and what happens to a damaged one.

use super::table::{self, Found};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use rustix::fs::statvfs;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// The space that must be free for a notification to be stored: when the disk is full, not even
/// deleting works.
const MIN_FREE: u64 = 64 << 20;

/// The time to wait while another process writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why a store cannot be opened.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// The file is not a database, or a damaged one.
    #[error("{} is damaged: {error}", path.display())]
    Damaged { path: PathBuf, error: String },
    /// A newer version of the program has written the file.
    #[error("{} was written by a newer version of this program (shape {found}, known is {known}): use that version for it", path.display())]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// The file belongs to something else.
    #[error("{} is not the file of a queue", path.display())]
    Foreign { path: PathBuf },
    /// The database must not be used, or cannot be.
    #[error("queue.url: {0}")]
    Database(String),
    /// Anything else.
    #[error("cannot open {}: {error}", path.display())]
    Failed { path: PathBuf, error: String },
}

/// Returns the directory of a file.
fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Returns `true` if there is room for more notifications on the disk.
pub(super) fn has_room(path: &Path) -> bool {
    // What cannot be asked will show when it is written.
    statvfs(directory(path)).is_ok_and(|disk| disk.f_bavail * disk.f_frsize >= MIN_FREE)
}

/// Opens the store at `path`, which is created if it is missing.
pub(crate) fn open(path: &Path) -> Result<Connection, OpenError> {
    let (connection, found) = connect(path)?;
    prepare(path, &connection, found)?;
    Ok(connection)
}

/// Opens the store at `path` as [`open`] does, once the whole file has been read and found sound.
/// Until then, nothing is written.
pub(super) fn open_verified(path: &Path) -> Result<Connection, OpenError> {
    let (connection, found) = connect(path)?;
    verify(path, &connection)?;
    prepare(path, &connection, found)?;
    Ok(connection)
}

/// Opens the store at `path`, which must exist.
#[cfg(feature = "cli")]
pub(super) fn open_existing(path: &Path) -> Result<Connection, OpenError> {
    fs::metadata(path).map_err(|error| OpenError::Failed {
        path: path.to_owned(),
        error: error.to_string(),
    })?;
    let (connection, found) = connect(path)?;
    if found != table::VERSION {
        let path = path.to_owned();
        return Err(OpenError::Foreign { path });
    }
    prepare(path, &connection, found)?;
    Ok(connection)
}

/// Connects to the file, and returns the version of its table. That of a newer program is left as
/// it is.
fn connect(path: &Path) -> Result<(Connection, i64), OpenError> {
    create(path).map_err(|error| OpenError::Failed {
        path: path.to_owned(),
        error: error.to_string(),
    })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let explain = |error| explain(path, &error);
    let connection = Connection::open_with_flags(path, flags).map_err(explain)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
    leave_log(&connection, true).map_err(explain)?;
    let found = table::found(&connection).map_err(explain)?;
    match found {
        Found::Version(found) if found > table::VERSION => Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: table::VERSION,
        }),
        Found::Version(found) => Ok((connection, found)),
        Found::Other => Err(OpenError::Foreign {
            path: path.to_owned(),
        }),
    }
}

/// Applies the settings of a connection, and creates the table if it is missing.
fn prepare(path: &Path, connection: &Connection, found: i64) -> Result<(), OpenError> {
    let prepared = set_up(connection)
        .and_then(|()| match found {
            table::VERSION => Ok(()),
            _ => table::create(connection),
        })
        .and_then(|()| leave_log(connection, false));
    prepared.map_err(|error| explain(path, &error))
}

/// Leaves the log as it is when this connection is closed, or else writes it back: not into a file
/// that may be damaged.
fn leave_log(connection: &Connection, is_left: bool) -> rusqlite::Result<()> {
    let setting = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(setting, is_left).map(drop)
}

/// Creates the file, readable by its owner only: SQLite gives its other files the same mode.
fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map(drop)
}

/// Applies the settings of a connection.
fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Each commit waits until the disk has it.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Otherwise a prepared statement is prepared again for other values, in search of a better plan: in
    // 142,000 of the 223,000 instructions that the store took for a notification.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)
}

/// Reads the whole file, and returns what is wrong with it.
fn verify(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let read = connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0));
    match read {
        Ok(verdict) if verdict == "ok" => Ok(()),
        // A disk that fails says nothing about the file.
        Ok(error) if is_unreadable(&error) => Err(OpenError::Failed {
            path: path.to_owned(),
            error,
        }),
        Ok(verdict) => Err(OpenError::Damaged {
            path: path.to_owned(),
            error: verdict,
        }),
        Err(error) => Err(explain(path, &error)),
    }
}

/// Returns `true` if a verdict of SQLite says that a page could not be read.
fn is_unreadable(verdict: &str) -> bool {
    let code = |rest: &str| rest.split_whitespace().next()?.parse::<i32>().ok();
    let mut codes = verdict.split("error code=").skip(1).filter_map(code);
    // The lowest byte is the kind, the others say more about it.
    codes.any(|code| code & 0xff == ffi::SQLITE_IOERR)
}

fn explain(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, text) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, error: text }
        }
        _ => OpenError::Failed { path, error: text },
    }
}

/// Sets a damaged store aside, and returns its new path. Nothing is deleted.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let aside = with_suffix(path, &format!(".damaged-{}", now.as_millis()));
    fs::rename(path, &aside)?;
    // What has been committed may be in there; without the -shm file, SQLite reads all of it.
    let log = with_suffix(path, "-wal");
    if log.exists() {
        fs::rename(&log, with_suffix(&aside, "-wal"))?;
    }
    match fs::remove_file(with_suffix(path, "-shm")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(aside),
    }
}

/// Returns a path with something added to its last part.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_cannot_be_read_is_no_damage() {
        for (verdict, expected) in [
            (
                "Tree 6 page 6: unable to get the page. error code=8458",
                true,
            ),
            (
                "Tree 2 page 9: unable to get the page. error code=10\nTree 3",
                true,
            ),
            (
                "Tree 2 page 9: unable to get the page. error code=11",
                false,
            ),
            (
                "Tree 2 page 2: btreeInitPage() returns error code 11",
                false,
            ),
            ("database disk image is malformed", false),
        ] {
            assert_eq!(is_unreadable(verdict), expected, "{verdict}");
        }
    }
}
