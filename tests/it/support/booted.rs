//! This machine, booted once more: systemd as the first process of a container whose disk is that
//! of the machine until something is written to it, and whose network has only a loopback interface.

use super::{eventually, succeed};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A copy-on-write view of the machine's disk becomes the container's.
const BOOT: &str = "
mount -t tmpfs tmpfs \"$1\" && cd \"$1\" && mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
exec systemd-nspawn --quiet --directory=root --machine=\"booted-$$\" --boot --register=no --keep-unit \
    --link-journal=no --private-network --bind=\"$2\":/mnt -- --unit=basic.target";

/// The container, which ends with this.
pub(crate) struct Booted {
    container: Child,
    /// Its first process.
    init: String,
    _place: tempfile::TempDir,
}

impl Booted {
    /// Boots it, with `directory` as its `/mnt`. Returns what is missing here for that.
    pub(crate) fn with(directory: &Path) -> Result<Self, &'static str> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can boot a container");
        }
        if Command::new("systemd-nspawn")
            .arg("--version")
            .output()
            .is_err()
        {
            return Err("systemd-nspawn (Debian package systemd-container) is not installed");
        }
        let place = tempfile::tempdir().unwrap();
        let container = Command::new("unshare")
            .args(["--mount", "sh", "-euc", BOOT, "boot"])
            .args([place.path(), directory])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut booted = Self {
            container,
            init: String::new(),
            _place: place,
        };
        let has_ended = eventually("systemd", || {
            let has_ended = booted.container.try_wait().unwrap().is_some();
            (has_ended || booted.is_up()).then_some(has_ended)
        });
        match has_ended {
            true => Err("systemd-nspawn cannot start a container here"),
            false => Ok(booted),
        }
    }

    /// Finds its first process, and returns `true` once that has started everything.
    fn is_up(&mut self) -> bool {
        // At first, there are others that prepare it: what is run must never be run outside of it.
        let Some(init) = self.children().into_iter().find(|child| is_apart(child)) else {
            return false;
        };
        self.init = init;
        let state = self.says("timeout 60 systemctl is-system-running --wait");
        ["running", "degraded"].contains(&&*state)
    }

    fn children(&self) -> Vec<String> {
        let children = format!("/proc/{0}/task/{0}/children", self.container.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// A command line of its own.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--all", "--target", &self.init, "env", "-i"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["DEBIAN_FRONTEND=noninteractive", "sh", "-euc", line])
            .stdin(Stdio::null());
        command
    }

    fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs it, and it succeeds.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) {
        succeed(&mut self.command(line));
    }

    /// What it prints, whether it succeeds or not.
    pub(crate) fn says(&self, line: &str) -> String {
        let output = self.output(&format!("{{ {line}; }} 2>&1"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Returns `true` if a process is in another namespace of processes than this one.
fn is_apart(process: &str) -> bool {
    let namespace = |process| fs::read_link(format!("/proc/{process}/ns/pid"));
    namespace(process).is_ok_and(|theirs| theirs != namespace("self").unwrap())
}

impl Drop for Booted {
    fn drop(&mut self) {
        // All others end with its first process. An error says that it has ended by itself.
        let _ = Command::new("kill")
            .arg("-KILL")
            .args(self.children())
            .stderr(Stdio::null())
            .status();
        let _ = self.container.wait();
    }
}
