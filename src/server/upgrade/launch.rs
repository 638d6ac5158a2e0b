//! Starts the program that is to succeed this one.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use tracing::{info, warn};

/// How this process was started, so that its successor can be started in the same way.
#[derive(Clone, Debug)]
pub struct Launch {
    /// By its path, where a newer version may lie by now.
    pub program: PathBuf,
    /// What tells it to run, and to take the sockets over.
    pub arguments: Vec<OsString>,
}

impl Launch {
    /// Starts the successor in the same session, with the same standard streams and environment.
    pub(in crate::server) fn start(&self) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        // The successor is to give the signs of life that systemd asked the first process for.
        command.args(&self.arguments).env_remove("WATCHDOG_PID");
        let mut successor = command.spawn()?;
        info!(event = "upgrade_started", successor = successor.id(), program = %self.program.display(), "SIGUSR2 received, started a successor");
        thread::spawn(move || {
            // It outlives this process, unless it fails.
            if let Ok(status) = successor.wait() {
                warn!(event = "upgrade_successor_exited", %status, "the successor exited");
            }
        });
        Ok(())
    }
}
