//! Places where a queue cannot be: `check` and the start name the key and the remedy.

use super::{PROGRAM, config};
use crate::support::{Origin, finish, is_root, is_runnable, skip, skip_unless_required};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Runs `check` and the proxy itself, as `command` runs the program. Both end with a complaint that
/// contains each of `expected`.
#[track_caller]
fn is_refused(config: &Path, command: impl Fn() -> Command, expected: &[&str]) {
    for verb in ["check", "run"] {
        let mut command = command();
        command.args([verb, "--config"]).arg(config);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = finish(command.spawn().unwrap());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{verb}: {said}");
        for part in expected {
            assert!(said.contains(part), "{verb}, {part}: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }
}

fn program() -> Command {
    Command::new(PROGRAM)
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn config_for(file: &Path) -> PathBuf {
    config(&Origin::spawn(), file, "fallback")
}

/// Returns a command that runs what follows as a user without rights; `None` where that needs more
/// than this one has.
fn unprivileged() -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(program());
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    let works = command.arg("true").status().is_ok_and(|it| it.success());
    if !works {
        skip("setpriv is needed");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.arg(PROGRAM);
    Some(command)
}

#[test]
fn a_directory_that_is_missing() {
    let directory = directory();
    let config = config_for(&directory.path().join("missing/queue.db"));
    is_refused(
        &config,
        program,
        &["queue.path", "missing", "StateDirectory=", "volume"],
    );
    assert!(!directory.path().join("missing").exists());
}

#[test]
fn a_directory_that_is_a_file() {
    let directory = directory();
    fs::write(directory.path().join("file"), "").unwrap();
    let config = config_for(&directory.path().join("file/queue.db"));
    is_refused(&config, program, &["queue.path", "file", "StateDirectory="]);
}

#[test]
fn a_file_that_is_a_directory() {
    let directory = directory();
    fs::create_dir(directory.path().join("queue.db")).unwrap();
    let config = config_for(&directory.path().join("queue.db"));
    is_refused(&config, program, &["queue.path", "queue.db is not a file"]);
}

#[test]
fn a_file_system_that_is_read_only() {
    let directory = directory();
    let mount = format!(
        "mount -t tmpfs -o ro none {} && exec \"$@\"",
        directory.path().display()
    );
    let command = || {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", &mount, "sh"]);
        command
    };
    if !command().arg("true").status().is_ok_and(|it| it.success()) {
        return skip("mounting needs root");
    }
    let config = config_for(&directory.path().join("queue.db"));
    let command = || {
        let mut command = command();
        command.arg(PROGRAM);
        command
    };
    is_refused(
        &config,
        command,
        &["queue.path", "Read-only file system", "StateDirectory="],
    );
}

/// Shows a directory at another path through FUSE, and runs a command there. Both end with the
/// namespace of processes, whatever happens.
const THROUGH_FUSE: &str = "
bindfs -f \"$1\" \"$2\" &
until mountpoint -q \"$2\"; do kill -0 $!; sleep 0.01; done
shift 2
\"$@\"";

#[test]
fn a_file_system_of_another_program() {
    if !is_root() || !Path::new("/dev/fuse").exists() || !is_runnable("bindfs") {
        let missing =
            "a file system of FUSE needs root, /dev/fuse and bindfs (Debian package bindfs)";
        return skip_unless_required("NWP_REQUIRE_FUSE", missing);
    }
    let (source, mounted) = (directory(), directory());
    let config = config_for(&mounted.path().join("queue.db"));
    let command = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--pid", "--fork"]);
        command.args(["--kill-child", "sh", "-euc", THROUGH_FUSE, "sh"]);
        command.args([source.path(), mounted.path()]).arg(PROGRAM);
        command
    };
    is_refused(
        &config,
        command,
        &["queue.path", "FUSE", "a local directory"],
    );
    assert_eq!(fs::read_dir(source.path()).unwrap().count(), 0);
}

/// Of another user, or read-only.
#[test]
fn a_directory_of_others() {
    let directory = directory();
    let Some(_) = unprivileged() else {
        return;
    };
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let config = readable(&directory, &config_for(&state.join("queue.db")));
    fs::set_permissions(&state, fs::Permissions::from_mode(0o555)).unwrap();
    is_refused(
        &config,
        || unprivileged().unwrap(),
        &["queue.path", "Permission denied", "StateDirectory="],
    );
}

/// A directory in which a user may write, with a file in which that user may not: one that was
/// made by root.
#[test]
fn a_file_of_others() {
    let directory = directory();
    let Some(_) = unprivileged() else {
        return;
    };
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    let file = state.join("queue.db");
    fs::write(&file, "").unwrap();
    let config = readable(&directory, &config_for(&file));
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    is_refused(
        &config,
        || unprivileged().unwrap(),
        &["queue.path", "queue.db", "Permission denied"],
    );
}

/// Copies a configuration and everything beside it to where every user can read it.
fn readable(directory: &TempDir, config: &Path) -> PathBuf {
    let to = directory.path().join("etc");
    fs::create_dir(&to).unwrap();
    for place in [directory.path(), &to] {
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let names = ["server.pem", "server.key", "ca.pem", "challenge.secret"];
    for name in names.map(Path::new).into_iter().chain([config]) {
        let copy = to.join(name.file_name().unwrap());
        fs::copy(config.parent().unwrap().join(name), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o444)).unwrap();
    }
    to.join(config.file_name().unwrap())
}
