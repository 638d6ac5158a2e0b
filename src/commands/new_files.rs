//! New files in a directory, of which none replaces another.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A file to write.
pub(super) struct NewFile {
    /// Path of the file in its directory.
    pub(super) name: String,
    /// Mode of the file, whatever the umask is.
    pub(super) mode: u32,
    pub(super) text: String,
}

impl NewFile {
    /// Returns a file that every user may read.
    pub(super) fn public(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            mode: 0o644,
            text: text.into(),
        }
    }

    /// Returns a file that only its owner may read.
    pub(super) fn private(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            mode: 0o600,
            ..Self::public(name, text)
        }
    }
}

/// Writes `files` into `directory`, and returns its absolute path.
///
/// # Errors
/// If one of them exists already, in which case none is written, or cannot be written.
pub(super) fn write_all(directory: &Path, files: &[NewFile]) -> Result<PathBuf, String> {
    let directory = std::path::absolute(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    for file in files {
        let path = directory.join(&file.name);
        if path.symlink_metadata().is_ok() {
            return Err(format!(
                "{} exists already: remove it, or use another directory",
                path.display()
            ));
        }
    }
    make_directory(&directory).map_err(|error| cannot_write(&directory, &error))?;
    for file in files {
        let path = directory.join(&file.name);
        write(&path, file).map_err(|error| cannot_write(&path, &error))?;
    }
    Ok(directory)
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// Creates a directory that the user of the proxy can read.
fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent() {
        make_directory(parent)?;
    }
    std::fs::create_dir(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o755))
}

fn write(path: &Path, file: &NewFile) -> io::Result<()> {
    path.parent().map_or(Ok(()), make_directory)?;
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(file.mode)
        .open(path)?;
    new.set_permissions(Permissions::from_mode(file.mode))?;
    new.write_all(file.text.as_bytes())
}
