//! The file with the notifications that are not delivered.
//!
//! It is replaced as a whole, and only while its directory is locked: two processes that change it
//! at once both have their changes in it.

use super::KEPT;
use crate::telemetry::lost::LostNotification;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The name of the file.
const NAME: &str = "undelivered.json";

/// The maximum length of the file: that of its longest entries, each with a dozen strings that are
/// cut where they are too long.
const MAX_LENGTH: u64 = KEPT as u64 * 16 * 1024;

/// The file in a directory.
pub(super) struct Store {
    directory: PathBuf,
    path: PathBuf,
}

/// The state of a file, by which a change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    changed: (i64, i64),
}

/// The contents of the file.
#[derive(Serialize, Deserialize)]
struct Contents {
    not_delivered: VecDeque<LostNotification>,
}

/// The notifications in the file, and the state that it has.
type Stored = (VecDeque<LostNotification>, Option<Stamp>);

impl Store {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            path: directory.join(NAME),
        }
    }

    /// Returns the state of the file, if it exists.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some(Stamp {
            inode: metadata.ino(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    /// Reads the file. Without one, there are no notifications.
    pub(super) fn read(&self) -> io::Result<Stored> {
        // Taken first: if the file changes meanwhile, it is read again.
        let stamp = self.stamp();
        let text = match self.text() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
            text => text?,
        };
        let contents: Contents = serde_json::from_slice(&text)?;
        Ok((contents.not_delivered, stamp))
    }

    fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let file = File::open(&self.path)?;
        file.take(MAX_LENGTH).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Reads the file. One that cannot be understood has no notifications.
    fn read_if_readable(&self) -> io::Result<VecDeque<LostNotification>> {
        match self.read() {
            Ok((open, _)) => Ok(open),
            Err(error) if is_unreadable(&error) => Ok(VecDeque::new()),
            Err(error) => Err(error),
        }
    }

    /// Changes the file. One that cannot be understood is replaced.
    pub(super) fn update(
        &self,
        change: impl FnOnce(&mut VecDeque<LostNotification>),
    ) -> io::Result<Stored> {
        let directory = File::open(&self.directory)?;
        flock(&directory, FlockOperation::LockExclusive)?;
        let mut contents = Contents {
            not_delivered: self.read_if_readable()?,
        };
        change(&mut contents.not_delivered);
        self.replace(&serde_json::to_vec(&contents)?)?;
        Ok((contents.not_delivered, self.stamp()))
    }

    /// Writes a file for this user alone (mode 0600), and puts it in the place of the old one.
    fn replace(&self, text: &[u8]) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.directory)?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

fn is_unreadable(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::lost;
    use super::*;

    #[test]
    fn the_file_is_whole_private_and_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        assert_eq!(store.read().unwrap(), (VecDeque::new(), None));
        let (open, stamp) = store.update(|open| open.push_back(lost("a", 1))).unwrap();
        assert_eq!(store.read().unwrap(), (open, stamp));
        assert_eq!(fs::metadata(&store.path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let (_, changed) = store.update(|open| open.push_back(lost("b", 1))).unwrap();
        assert_ne!(changed, stamp);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_an_error_and_is_replaced() {
        for text in ["", "{", "[]", "{\"not_delivered\":[{}]}", "\u{fffd}"] {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::new(directory.path());
            fs::write(&store.path, text).unwrap();
            assert!(store.read().is_err(), "{text}");
            let (open, _) = store.update(|open| open.push_back(lost("a", 1))).unwrap();
            assert_eq!(open.len(), 1, "{text}");
        }
    }
}
