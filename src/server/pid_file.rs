//! The file that says which process serves.

use rustix::fs::OFlags;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::warn;

/// `server.pid_file`, if it is configured. After an upgrade it is the successor's.
#[derive(Clone, Debug)]
pub(super) struct PidFile {
    path: Option<PathBuf>,
    /// Whether it has been this process's.
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

    /// Names this process, unless it names another one that runs. One that is a link is an error:
    /// what it leads to would be overwritten.
    pub(super) fn claim(&self) -> io::Result<()> {
        match self.path.as_deref().map(|path| (path, other_in(path))) {
            Some((path, Some(other))) => {
                warn!(event = "pid_file_in_use", path = %path.display(), other, "the pid file names another running process, leaving it unchanged");
                Ok(())
            }
            _ => self.write(),
        }
    }

    /// Names this process, in the place of the one that it succeeds.
    pub(super) fn write(&self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(flags)
            .open(path)?;
        self.is_held.store(true, Ordering::Relaxed);
        file.write_all(own().as_bytes())
    }

    /// Names this process again, if a successor that failed had named itself.
    pub(super) fn restore(&self) {
        if self.is_held.load(Ordering::Relaxed)
            && !self.is_own()
            && let Err(error) = self.write()
        {
            warn!(event = "pid_file_failed", %error, "cannot write the pid file");
        }
    }

    /// Removes it, unless it names another process.
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

/// The process that a pid file names, if that is another one of this program. After a crash, or a
/// restart of the machine, the number may be that of anything.
fn other_in(path: &Path) -> Option<u32> {
    let pid = fs::read_to_string(path)
        .ok()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid != std::process::id())?;
    let program = |pid: &dyn Display| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    (program(&pid)? == program(&"self")?).then_some(pid)
}

fn own() -> String {
    format!("{}\n", std::process::id())
}
