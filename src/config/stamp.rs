//! Detects whether a file has changed since it was read.
//!
//! A file is stamped before it is read. A replacement from then on, even while it is read, differs
//! from the stamp, and is noticed at the next check: a certificate authority that is withdrawn during
//! a reload does not stay trusted.

use super::files;
use crate::auth::digest;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Time within which two changes may have the same timestamp: file systems count in ticks, some of
/// them in seconds.
const TICK: Duration = Duration::from_secs(2);

/// The state of a file at the time of a check.
#[derive(Clone)]
pub(super) struct Stamp {
    pub(super) path: PathBuf,
    version: Option<FileVersion>,
    /// The digest of its contents, as long as a further change could leave its times as they are.
    content: Option<Option<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    content: Option<Content>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    size: u64,
    modified: (i64, i64),
    /// Unlike `modified`, it cannot be set.
    changed: (i64, i64),
}

impl Content {
    fn of(file: &fs::Metadata) -> Self {
        Self {
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    fn is_fresh(&self) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // A time in the future was set by another clock.
        let age = SystemTime::now().duration_since(changed);
        age.is_ok_and(|age| age < TICK)
    }
}

impl FileVersion {
    /// Reads the metadata of the file at `path`, following links.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            // A pipe changes whenever it is read, and its contents cannot be compared.
            content: file.is_file().then(|| Content::of(&file)),
        })
    }

    /// Returns `true` if a further change could leave all metadata as it is.
    fn is_fresh(&self) -> bool {
        self.content.as_ref().is_some_and(Content::is_fresh)
    }
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Self {
        let version = FileVersion::of(path);
        let is_fresh = version.as_ref().is_some_and(FileVersion::is_fresh);
        Self {
            path: path.to_owned(),
            version,
            content: is_fresh.then(|| content(path)),
        }
    }

    pub(super) fn has_changed(&mut self) -> bool {
        let settles =
            self.content.is_some() && !self.version.as_ref().is_some_and(FileVersion::is_fresh);
        let has_other_content = |then: &Option<String>| *then != content(&self.path);
        if FileVersion::of(&self.path) != self.version
            || self.content.as_ref().is_some_and(has_other_content)
        {
            return true;
        }
        if settles {
            self.content = None;
        }
        false
    }
}

fn content(path: &Path) -> Option<String> {
    files::read_within(path, files::MAX_LIST)
        .ok()
        .map(|bytes| digest::sha256_hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn every_change_is_told_from_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let (other, moved) = (
            directory.path().join("other.pem"),
            directory.path().join("moved.pem"),
        );
        fs::write(&path, "one").unwrap();
        let times = fs::metadata(&path).unwrap().modified().unwrap();
        let check = |change: &dyn Fn(), expected: bool| {
            let mut stamp = Stamp::of(&path);
            change();
            assert_eq!(stamp.has_changed(), expected);
            assert!(!Stamp::of(&path).has_changed());
        };
        check(&|| {}, false);
        // Within a tick of the clock, and as long as before.
        check(&|| fs::write(&path, "two").unwrap(), true);
        check(
            &|| {
                fs::write(&path, "six").unwrap();
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_modified(times)
                    .unwrap();
            },
            true,
        );
        check(
            &|| {
                fs::write(&other, "ten").unwrap();
                fs::rename(&other, &path).unwrap();
            },
            true,
        );
        check(&|| fs::rename(&path, &moved).unwrap(), true);
        check(&|| std::os::unix::fs::symlink(&moved, &path).unwrap(), true);
    }
}
