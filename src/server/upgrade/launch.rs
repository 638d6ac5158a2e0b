//! Starts the successor of this process.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use tracing::{info, warn};

/// The command that started this process, by which its successor is started as well.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The path of the program, where a newer version may have been installed.
    pub program: PathBuf,
    /// The arguments, including the option to take the sockets over.
    pub arguments: Vec<OsString>,
}

impl Launch {
    /// Starts the successor in the same session, with the same standard streams and environment.
    pub(in crate::server) fn start(&self) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        // The successor must feed the watchdog that systemd set up for the first process.
        command.args(&self.arguments).env_remove("WATCHDOG_PID");
        let mut successor = command.spawn()?;
        info!(event = "upgrade_started", successor = successor.id(), program = %self.program.display(), "SIGUSR2 received, started a successor");
        thread::spawn(move || {
            // The successor outlives this process, unless it fails.
            if let Ok(status) = successor.wait() {
                warn!(event = "upgrade_successor_exited", %status, "the successor exited");
            }
        });
        Ok(())
    }
}
