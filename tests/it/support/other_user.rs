//! Another user, as which root runs a program as a service manager does.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

/// The id of the user and of its group.
pub(crate) const OTHER_USER: u32 = 65_532;

/// Returns `true` if programs can be run as another user.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns a command for the program as the other user.
pub(crate) fn as_other_user(program: impl AsRef<Path>) -> Command {
    let id = OTHER_USER.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .arg(program.as_ref());
    command
}

/// Gives a directory with its files to the other user.
pub(crate) fn give(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        chown(entry.unwrap().path(), Some(OTHER_USER), Some(OTHER_USER)).unwrap();
    }
    chown(directory, Some(OTHER_USER), Some(OTHER_USER)).unwrap();
}
