//! A named pipe in the place of a file: it blocks its reader until the test has something
//! to say.

use super::{Pki, eventually};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Command;

/// The pipe.
pub(crate) struct Pipe(PathBuf);

impl Pipe {
    /// One in the directory of `pki`.
    pub(crate) fn new(pki: &Pki, name: &str) -> Self {
        let path = pki.path().join(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        Self(path)
    }

    /// Its other end, once it is read; the reader waits.
    pub(crate) fn open(&self) -> Reading {
        let flags = OFlags::NONBLOCK.bits().try_into().unwrap();
        Reading(eventually("a reader", || {
            File::options()
                .write(true)
                .custom_flags(flags)
                .open(&self.0)
                .ok()
        }))
    }
}

/// What is read at the moment.
pub(crate) struct Reading(File);

impl Reading {
    /// Lets the reader have `text`, and go on.
    pub(crate) fn write(mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }
}
