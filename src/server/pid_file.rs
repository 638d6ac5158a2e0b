//! The pid file, which names the process that serves.

use rustix::fs::OFlags;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::warn;

/// The file at `server.pid_file`, if it is configured. After an upgrade it names the successor.
#[derive(Clone, Debug)]
pub(super) struct PidFile {
    path: Option<PathBuf>,
    /// `true` once this process has written it.
    is_held: Arc<AtomicBool>,
}

impl PidFile {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            is_held: Arc::default(),
        }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Writes the id of this process, unless the file names another one that runs. A symbolic link
    /// is an error: its target would be overwritten.
    pub(super) fn claim(&self) -> io::Result<()> {
        let path = self.path.as_deref();
        match path.and_then(|path| Some((path, other_in(path)?))) {
            Some((path, other)) => {
                log_in_use(path, other);
                Ok(())
            }
            None => self.write(),
        }
    }

    /// Writes the id of this process, replacing that of its predecessor.
    pub(super) fn write(&self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let mut file = open(path)?;
            self.is_held.store(true, Ordering::Relaxed);
            file.write_all(own().as_bytes())?;
        }
        Ok(())
    }

    /// Writes the id of this process again after a failed successor has written its own.
    pub(super) fn restore(&self) {
        if self.is_held.load(Ordering::Relaxed)
            && !self.is_own()
            && let Err(error) = self.write()
        {
            warn!(event = "pid_file_failed", %error, "cannot write the pid file");
        }
    }

    /// Removes the file, unless it names another process.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.path
            && self.is_own()
            && let Err(error) = fs::remove_file(path)
        {
            warn!(event = "pid_file_failed", path = %path.display(), %error, "cannot remove the pid file");
        }
    }

    fn is_own(&self) -> bool {
        self.path
            .as_ref()
            .is_some_and(|path| fs::read_to_string(path).is_ok_and(|text| text == own()))
    }
}

/// Opens a pid file to be written anew, unless it is a symbolic link.
fn open(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

fn log_in_use(path: &Path, other: u32) {
    warn!(event = "pid_file_in_use", path = %path.display(), other, "the pid file names another running process, leaving it unchanged");
}

/// Returns the process that a pid file names, if it is another process of this program. After a
/// crash or a reboot, the number may belong to any process.
fn other_in(path: &Path) -> Option<u32> {
    let text = fs::read_to_string(path).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    let is_other = pid != std::process::id() && program(pid)? == program("self")?;
    is_other.then_some(pid)
}

/// Returns the name of the program that a process runs.
fn program(pid: impl Display) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok()
}

fn own() -> String {
    format!("{}\n", std::process::id())
}
