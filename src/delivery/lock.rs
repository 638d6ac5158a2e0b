//! The lock of the one process that delivers.
//!
//! The kernel holds it for an open file, and frees it when the process ends, however that happens.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The lock, which is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing it frees the lock")] File);

impl Lock {
    /// Takes the lock of the file at `path`, which is created if it is missing. Returns `None` if
    /// another process holds it.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns `true` if a process holds the lock of the file at `path`. To find out, it is shared for
/// a moment.
#[cfg(any(feature = "cli", test))]
pub(crate) fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        assert!(is_held(&path));
        drop(lock);
        assert!(!is_held(&path));
        assert!(Lock::take(&path).unwrap().is_some());
        assert!(Lock::take(&directory.path().join("missing/queue.lock")).is_err());
    }
}
