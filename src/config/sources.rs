//! Where a configuration comes from, and whether the files that it names are still those that were
//! read.
//!
//! Each file is stamped before it is read. What replaces it from then on, while it is read, too,
//! differs from its stamp, and is read at the next look: a certificate authority that is withdrawn
//! during a reload is not trusted for good.

use super::{Config, ConfigError, Loaded, files, load};
use crate::auth::digest;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long after a change another one may have the same time: file systems count in ticks, some in
/// seconds.
const TICK: Duration = Duration::from_secs(2);

/// Where a configuration comes from, to read it again.
#[derive(Clone)]
pub struct Sources {
    file: PathBuf,
    text: String,
    /// The certificates, keys, authorities, revocation lists and secrets that it names.
    pub files: Vec<PathBuf>,
    /// Of each of them, from before it was read.
    stamps: Vec<Stamp>,
}

impl Sources {
    pub(super) fn new(file: &Path, text: String, stamps: Vec<Stamp>) -> Self {
        let files = stamps.iter().map(|stamp| stamp.path.clone()).collect();
        Self {
            file: file.to_owned(),
            text,
            files,
            stamps,
        }
    }

    /// Reads the configuration and every file it names again.
    ///
    /// # Errors
    /// Holds every problem that was found, not only the first.
    pub fn reload(&self) -> Result<Loaded, ConfigError> {
        Config::load(&self.file)
    }

    /// Reads the files that the configuration names again, and the configuration as it was: it may
    /// be half edited.
    ///
    /// # Errors
    /// Holds every problem that was found, not only the first.
    pub fn reload_files(&self) -> Result<Loaded, ConfigError> {
        load::parse(&self.file, self.text.clone())
    }

    /// Whether one of the files that the configuration names has changed since it was read.
    pub fn files_changed(&mut self) -> bool {
        // Each is looked at, so that each can settle.
        self.stamps
            .iter_mut()
            .fold(false, |changed, stamp| stamp.has_changed() | changed)
    }

    /// Whether the configuration itself is another by now. One that cannot be read is.
    pub fn text_changed(&self) -> bool {
        !load::read(&self.file).is_ok_and(|text| text == self.text)
    }

    /// The same configuration, with the files as they are now taken for those that were read.
    #[must_use]
    pub fn stamped_now(&self) -> Self {
        Self::new(
            &self.file,
            self.text.clone(),
            self.files.iter().map(|file| Stamp::of(file)).collect(),
        )
    }
}

impl fmt::Debug for Sources {
    /// Without the text: what stands in it may be meant for the application alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// What tells one version of a file from the next.
#[derive(Clone)]
pub(super) struct Stamp {
    path: PathBuf,
    version: Option<Version>,
    /// The digest of what is in the file, as long as its times alone could hide a further change.
    content: Option<Option<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    content: Option<Content>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    size: u64,
    modified: (i64, i64),
    /// Changes with everything, whatever the other time is set to.
    changed: (i64, i64),
}

impl Version {
    /// Of what the path leads to now, links followed.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        // A pipe changes whenever it is read, and has nothing to compare.
        let content = file.is_file().then(|| Content {
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        });
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            content,
        })
    }

    /// Whether a further change could leave everything as it is here.
    fn is_fresh(&self) -> bool {
        let Some(content) = &self.content else {
            return false;
        };
        let changed = SystemTime::UNIX_EPOCH
            + Duration::from_secs(u64::try_from(content.changed.0).unwrap_or_default());
        // A time to come is that of another clock, of which nothing is known.
        SystemTime::now()
            .duration_since(changed)
            .is_ok_and(|age| age < TICK)
    }
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Self {
        let version = Version::of(path);
        let content = version
            .as_ref()
            .is_some_and(Version::is_fresh)
            .then(|| content(path));
        Self {
            path: path.to_owned(),
            version,
            content,
        }
    }

    fn has_changed(&mut self) -> bool {
        let settles =
            self.content.is_some() && !self.version.as_ref().is_some_and(Version::is_fresh);
        if Version::of(&self.path) != self.version {
            return true;
        }
        if self
            .content
            .as_ref()
            .is_some_and(|content_then| *content_then != content(&self.path))
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
