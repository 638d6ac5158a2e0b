//! The file that says which process serves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tracing::warn;

/// `server.pid_file`, if it is configured. After an upgrade it is the successor's.
#[derive(Clone, Debug)]
pub(super) struct PidFile(Option<PathBuf>);

impl PidFile {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Names this process.
    pub(super) fn write(&self) -> io::Result<()> {
        match &self.0 {
            Some(path) => fs::write(path, own()),
            None => Ok(()),
        }
    }

    /// Names this process again, if a successor that failed had named itself.
    pub(super) fn restore(&self) {
        if !self.is_own()
            && let Err(error) = self.write()
        {
            warn!(%error, "cannot write the pid file");
        }
    }

    /// Removes it, unless it names another process.
    pub(super) fn remove(&self) {
        if let Some(path) = &self.0
            && self.is_own()
            && let Err(error) = fs::remove_file(path)
        {
            warn!(path = %path.display(), %error, "cannot remove the pid file");
        }
    }

    fn is_own(&self) -> bool {
        self.0.as_ref().is_some_and(|path| fs::read_to_string(path).is_ok_and(|text| text == own()))
    }
}

fn own() -> String {
    format!("{}\n", std::process::id())
}
