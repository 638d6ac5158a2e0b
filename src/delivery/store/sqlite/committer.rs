//! The thread that owns the connection, and commits.

use super::super::{Listed, NewNotification, Observer, Rerouted, Settlement, StoreError, Stored};
use super::{Request, file, table};
use rusqlite::{Connection, ErrorCode};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// The number of requests that become one transaction.
const MAX_BATCH: usize = 256;

/// The reason why nothing is stored although the disk still has some room.
const NO_ROOM: &str = "less than 64 MiB of the disk are free";

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A change of the store.
pub(super) enum Write {
    Store(Box<NewNotification>, Answer<Stored>),
    Settle(Vec<Settlement>, Answer<Vec<Listed>>),
    Route(Vec<String>, Answer<Rerouted>),
}

/// The owner of the connection.
pub(super) struct Committer {
    path: PathBuf,
    connection: Option<Connection>,
    /// A write has failed, so that nothing may be acknowledged before the log is written back:
    /// what is committed next must not depend on pages of the log that the system has dropped.
    is_in_doubt: bool,
    /// The size of the store after the last commit; the highest number if it is not known.
    size: u64,
    max_size: Arc<AtomicU64>,
    observer: Arc<dyn Observer>,
}

/// A change that has been made, and is acknowledged once it is committed.
type Acknowledgement = Box<dyn FnOnce(Result<(), StoreError>)>;

impl Committer {
    pub(super) fn new(
        path: &Path,
        connection: Connection,
        max_size: Arc<AtomicU64>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            connection: Some(connection),
            is_in_doubt: false,
            size: u64::MAX,
            max_size,
            observer,
        }
    }

    /// Serves requests until all senders are gone.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while requests.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
            let mut writes = Vec::new();
            for request in batch.drain(..) {
                match request {
                    Request::Write(write) => writes.push(write),
                    Request::Read(read) => self.read(read),
                }
            }
            if !writes.is_empty() {
                self.write(writes);
            }
        }
    }

    /// Answers a question. Without a connection, the closure is dropped, which answers it as well.
    fn read(&mut self, read: Box<dyn FnOnce(&Connection) + Send>) {
        if let Ok(connection) = self.connection() {
            read(connection);
        }
    }

    /// Makes all changes in one transaction, and answers them after its commit.
    fn write(&mut self, writes: Vec<Write>) {
        let started = Instant::now();
        let mut acknowledgements = Vec::with_capacity(writes.len());
        let dropped = RefCell::default();
        let has_room = file::has_room(&self.path);
        let result = self.commit(writes, &mut acknowledgements, has_room, &dropped);
        if let Err(error) = &result {
            self.is_in_doubt |= !matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
            self.connection.take_if(|_| is_serious(error));
        }
        let problem = result.as_ref().err().map(ToString::to_string);
        let shortage = (!has_room).then_some(NO_ROOM);
        self.observer.writable(problem.as_deref().or(shortage));
        self.size = *result.as_ref().unwrap_or(&u64::MAX);
        if let Ok(size) = result {
            self.observer.committed(started.elapsed(), size);
            for dropped in dropped.into_inner() {
                self.observer.dropped(&dropped);
            }
        }
        for acknowledge in acknowledgements {
            acknowledge(
                problem
                    .clone()
                    .map_or(Ok(()), |problem| Err(StoreError::Failed(problem))),
            );
        }
    }

    /// Returns the size of the store after it.
    fn commit(
        &mut self,
        writes: Vec<Write>,
        acknowledgements: &mut Vec<Acknowledgement>,
        is_on_disk: bool,
        dropped: &Dropped,
    ) -> rusqlite::Result<u64> {
        let room = Room {
            is_on_disk,
            size: Cell::new(self.size),
            max_size: self.max_size.load(Ordering::Relaxed),
            dropped,
        };
        let begun = self.sound_connection().and_then(|connection| {
            run(connection, "begin immediate")?;
            Ok(&*connection)
        });
        let connection = match begun {
            Ok(connection) => connection,
            Err(error) => {
                refuse(writes, acknowledgements);
                return Err(error);
            }
        };
        let mut failure = None;
        for write in writes {
            match failure {
                None => failure = room.apply(connection, write, acknowledgements).err(),
                Some(_) => refuse(vec![write], acknowledgements),
            }
        }
        // Asked for within the transaction, which has the locks for it.
        let size = table::size(connection).unwrap_or_default();
        let committed = match failure {
            None => run(connection, "commit"),
            Some(error) => Err(error),
        };
        if committed.is_err() {
            // Ignore the error: either the transaction is over, or the connection is closed.
            let _ = run(connection, "rollback");
        }
        committed.map(|()| size)
    }

    /// Returns the connection, which is opened again after a serious error.
    fn connection(&mut self) -> rusqlite::Result<&mut Connection> {
        if self.connection.is_none() {
            let opened = file::open(&self.path);
            let opened = opened.map_err(|error| failed(&error.to_string()))?;
            self.connection = Some(opened);
        }
        self.connection.as_mut().ok_or_else(|| failed("closed"))
    }

    /// Returns the connection for writing: after a failure, once the log is written back.
    fn sound_connection(&mut self) -> rusqlite::Result<&mut Connection> {
        if self.is_in_doubt {
            write_back(self.connection()?)?;
            self.is_in_doubt = false;
        }
        self.connection()
    }
}

/// Runs a statement that is prepared once: nothing is parsed while a notification waits for its commit.
fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

/// Writes the whole log back into the database, and empties it.
fn write_back(connection: &Connection) -> rusqlite::Result<()> {
    let is_busy = connection.query_row("pragma wal_checkpoint(truncate)", [], |row| {
        row.get::<_, bool>(0)
    })?;
    if is_busy {
        return Err(failed(
            "another process reads the queue, and its log cannot be written back",
        ));
    }
    Ok(())
}

fn failed(message: &str) -> rusqlite::Error {
    let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    rusqlite::Error::SqliteFailure(error, Some(message.to_owned()))
}

/// Returns `true` if the connection must not be used again.
fn is_serious(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
    )
}

/// Returns `true` if an error concerns one statement, and leaves its transaction intact.
fn is_limited(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)
    )
}

/// Makes the error of the transaction the answer to each of `writes`.
fn refuse(writes: Vec<Write>, acknowledgements: &mut Vec<Acknowledgement>) {
    for write in writes {
        match write {
            Write::Store(_, answer) => acknowledgements.push(unmade(answer)),
            Write::Settle(_, answer) => acknowledgements.push(unmade(answer)),
            Write::Route(_, answer) => acknowledgements.push(unmade(answer)),
        }
    }
}

fn unmade<T: 'static>(answer: Answer<T>) -> Acknowledgement {
    Box::new(|result| {
        let error = result
            .err()
            .unwrap_or(StoreError::Failed("not written".into()));
        // Ignore the error: nothing waits for the answer any longer.
        let _ = answer.send(Err(error));
    })
}

fn made<T: 'static>(answer: Answer<T>, value: T) -> Acknowledgement {
    Box::new(|result| {
        // Ignore the error: nothing waits for the answer any longer.
        let _ = answer.send(result.map(|()| value));
    })
}

fn refused<T: 'static>(answer: Answer<T>, error: StoreError) -> Acknowledgement {
    Box::new(|_| {
        // Ignore the error: nothing waits for the answer any longer.
        let _ = answer.send(Err(error));
    })
}

/// The parked notifications that were deleted to make room.
type Dropped = RefCell<Vec<Listed>>;

/// The room that there is for notifications.
struct Room<'d> {
    is_on_disk: bool,
    /// The size of the store, as far as it is known: another process may have stored or dropped some.
    size: Cell<u64>,
    max_size: u64,
    dropped: &'d Dropped,
}

impl Room<'_> {
    fn apply(
        &self,
        connection: &Connection,
        write: Write,
        acknowledgements: &mut Vec<Acknowledgement>,
    ) -> rusqlite::Result<()> {
        match write {
            Write::Store(new, answer) => match self.store(connection, &new) {
                Ok(Ok(stored)) => acknowledgements.push(made(answer, stored)),
                Ok(Err(error)) => acknowledgements.push(refused(answer, error)),
                Err(error) if is_limited(&error) => {
                    acknowledgements.push(refused(answer, StoreError::Failed(error.to_string())));
                }
                Err(error) => {
                    acknowledgements.push(unmade(answer));
                    return Err(error);
                }
            },
            Write::Settle(settlements, answer) => {
                let settled = table::settle_all(connection, &settlements);
                return conclude(settled, answer, acknowledgements);
            }
            Write::Route(routes, answer) => {
                return conclude(table::route(connection, &routes), answer, acknowledgements);
            }
        }
        Ok(())
    }

    fn store(
        &self,
        connection: &Connection,
        new: &NewNotification,
    ) -> rusqlite::Result<Result<Stored, StoreError>> {
        if !self.is_on_disk {
            return Ok(Err(StoreError::Failed(NO_ROOM.into())));
        }
        if !self.make_room(connection, new.message.len() as u64)? {
            return Ok(Err(StoreError::Full));
        }
        table::insert(connection, new).map(Ok)
    }

    /// Makes room for a message of this length. Returns `false` if there is none. The size is asked for
    /// only if it matters: SQLite prepares that question anew each time.
    fn make_room(&self, connection: &Connection, needed: u64) -> rusqlite::Result<bool> {
        let size = || self.size.get().saturating_add(needed);
        while size() > self.max_size {
            self.size.set(table::size(connection)?);
            if size() > self.max_size {
                let Some(dropped) = table::drop_oldest_parked(connection)? else {
                    return Ok(false);
                };
                self.dropped.borrow_mut().push(dropped);
            }
        }
        self.size.set(size());
        Ok(true)
    }
}

fn conclude<T: 'static>(
    result: rusqlite::Result<T>,
    answer: Answer<T>,
    acknowledgements: &mut Vec<Acknowledgement>,
) -> rusqlite::Result<()> {
    match result {
        Ok(value) => acknowledgements.push(made(answer, value)),
        Err(error) => {
            acknowledgements.push(unmade(answer));
            return Err(error);
        }
    }
    Ok(())
}
