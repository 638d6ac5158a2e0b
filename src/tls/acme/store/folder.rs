//! A folder of this user's own: each value is a file.

use super::{Held, Lock, Store};
use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock, statfs};
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The folder in that of the state. It is made by this program, with the rights that it needs: of a
/// volume, the top folder belongs to whatever made the volume.
const OWN: &str = "acme";

/// The types of file systems whose files are gone with the container or the machine's next start.
const TRANSIENT: [u32; 2] = [0x0102_1994, 0x794c_7630]; // tmpfs, overlayfs

/// Values in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens the folder in `state`, and makes it if it is missing.
    ///
    /// # Errors
    /// If it cannot be made, or another user can use it.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let folder = Self::at(state);
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true);
        builder.create(&folder.root).map_err(|error| {
            io::Error::other(format!("cannot make {}: {error}", folder.root.display()))
        })?;
        match folder.fault() {
            None => Ok(folder),
            Some(fault) => Err(io::Error::other(fault)),
        }
    }

    /// Returns the folder in `state`, which need not exist yet.
    pub(crate) fn at(state: &Path) -> Self {
        Self {
            root: state.join(OWN),
        }
    }

    /// Returns `true` if the folder has been made.
    pub(crate) fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// Returns why the folder, if it exists, is unfit for keys.
    pub(crate) fn fault(&self) -> Option<String> {
        let found = fs::metadata(&self.root).ok()?;
        let user = geteuid().as_raw();
        judge(found.uid(), found.mode(), found.is_dir(), user)
            .map(|fault| format!("{} {fault}", self.root.display()))
    }

    /// Returns `true` if the folder exists and does not outlive the container or the machine's next
    /// start.
    pub(crate) fn is_transient(&self) -> bool {
        let existing = self.root.ancestors().find(|path| path.exists());
        let found = existing.and_then(|path| statfs(path).ok());
        found.is_some_and(|found| {
            u32::try_from(found.f_type).is_ok_and(|kind| TRANSIENT.contains(&kind))
        })
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let is_plain =
            |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
        match name.split('/').all(is_plain) {
            true => Ok(self.root.join(name)),
            false => Err(io::Error::other(format!(
                "{name:?} cannot be the name of a file"
            ))),
        }
    }
}

/// Returns what is wrong with a folder.
fn judge(owner: u32, mode: u32, is_folder: bool, user: u32) -> Option<String> {
    if !is_folder {
        return Some("is not a folder".into());
    }
    if owner != user {
        return Some(format!(
            "belongs to another user ({owner}), as if it was once made by another one: chown -R {user} it"
        ));
    }
    (mode & 0o077 != 0).then(|| {
        format!(
            "is open to other users (mode {:04o}), and has private keys: chmod 700 it",
            mode & 0o7777
        )
    })
}

/// The kernel keeps the lock for as long as its file is open.
impl Held for File {
    fn is_lost(&self) -> bool {
        false
    }
}

#[async_trait]
impl Store for Folder {
    async fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)?) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, name: &str, value: &[u8]) -> io::Result<()> {
        let path = self.path(name)?;
        let folder = path.parent().unwrap_or(&self.root);
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(folder)?;
        // Only the holder of the lock writes, so that one name is enough.
        let mut new = path.clone().into_os_string();
        new.push(".new");
        // What a process left behind that ended while it wrote. Ignore the error: mostly, nothing.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(value)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let path = self.path(name)?;
        let folder = path.parent().unwrap_or(&self.root);
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(folder)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock::of(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn values_are_kept_for_this_user_alone() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::open(&state.path().join("new")).unwrap();
        assert_eq!(folder.get("a/b").await.unwrap(), None);
        for value in [&b"one"[..], b"two"] {
            folder.put("a/b", value).await.unwrap();
            assert_eq!(folder.get("a/b").await.unwrap().unwrap(), value);
        }
        // What a process left behind that ended while it wrote.
        fs::write(
            state.path().join("new/acme/a/b.new"),
            "half of a longer value",
        )
        .unwrap();
        folder.put("a/b", b"three").await.unwrap();
        assert_eq!(folder.get("a/b").await.unwrap().unwrap(), b"three");
        for (path, mode) in [("", 0o700), ("a", 0o700), ("a/b", 0o600)] {
            let found = fs::metadata(state.path().join("new/acme").join(path)).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, mode, "{path}");
        }
        folder.remove("a/b").await.unwrap();
        folder.remove("a/b").await.unwrap();
        assert_eq!(folder.get("a/b").await.unwrap(), None);
        for name in ["../a", "a/../../b", "/etc/passwd", "", "a//b", ".hidden"] {
            assert!(folder.put(name, b"").await.is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn one_at_a_time_has_the_lock() {
        let state = tempfile::tempdir().unwrap();
        let (one, other) = (
            Folder::open(state.path()).unwrap(),
            Folder::open(state.path()).unwrap(),
        );
        let lock = one.lock("a/lock").await.unwrap();
        assert!(lock.is_some());
        assert!(other.lock("a/lock").await.unwrap().is_none());
        assert!(other.lock("b/lock").await.unwrap().is_some());
        drop(lock);
        assert!(other.lock("a/lock").await.unwrap().is_some());
    }

    #[test]
    fn a_folder_that_others_can_use_is_refused() {
        assert_eq!(judge(1000, 0o40700, true, 1000), None);
        for (owner, mode, is_folder, text) in [
            (0, 0o40700, true, "chown -R 1000"),
            (1001, 0o40700, true, "belongs to another user (1001)"),
            (1000, 0o40750, true, "mode 0750"),
            (1000, 0o40701, true, "chmod 700"),
            (1000, 0o100_600, false, "is not a folder"),
        ] {
            let fault = judge(owner, mode, is_folder, 1000).unwrap_or_default();
            assert!(fault.contains(text), "{owner} {mode:o}: {fault}");
        }
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("acme")).unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(state.path().join("acme"), open).unwrap();
        let error = Folder::open(state.path()).unwrap_err().to_string();
        assert!(error.contains("is open to other users"), "{error}");
    }
}
