//! A disk that fails on demand: a library in front of the system's calls lets single ones of them
//! fail, for the file of a queue.

use super::{number, set_aside};
use crate::support::preloadable;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The number of calls of a kind of which each fails once; more of them by this variable.
const FAULTS: usize = 8;
const FAULTS_VARIABLE: &str = "NWP_WRITE_FAULTS";

pub(super) fn faults() -> usize {
    number(FAULTS_VARIABLE, FAULTS)
}

/// A directory for the file of a queue.
pub(super) struct FaultyDisk {
    directory: TempDir,
    shim: PathBuf,
}

impl FaultyDisk {
    /// Returns `None` where nothing can stand in for the system's calls.
    pub(super) fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let shim = preloadable(directory.path(), include_str!("faults.c"))?;
        Some(Self { directory, shim })
    }

    /// The file of the queue.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    /// Returns a command that runs a program for which it fails.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env("LD_PRELOAD", &self.shim);
        command.env("FAULT_DIRECTORY", self.directory.path());
        command
    }

    /// Lets the `at`th call of a kind fail from now on, or every one if that is 0.
    pub(super) fn arm(&self, kind: &str, at: usize) {
        self.arm_several(kind, at, 1);
    }

    /// Likewise, with `count` calls in a row.
    pub(super) fn arm_several(&self, kind: &str, at: usize, count: usize) {
        let next = self.directory.path().join("next");
        fs::write(&next, format!("{kind} {at} {count}")).unwrap();
        fs::rename(next, self.armed()).unwrap();
    }

    /// Lets nothing fail any longer.
    pub(super) fn disarm(&self) {
        // An error says that what was to fail has failed.
        let _ = fs::remove_file(self.armed());
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.armed().exists()
    }

    fn armed(&self) -> PathBuf {
        self.directory.path().join("armed")
    }

    #[track_caller]
    pub(super) fn nothing_is_set_aside(&self) {
        assert!(set_aside(self.directory.path()).is_empty());
    }
}
