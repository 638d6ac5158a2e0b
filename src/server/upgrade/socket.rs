//! Checks the directory of the upgrade socket: no other user may be able to create the socket in it.

use crate::config::is_own_directory;
use rustix::process::geteuid;
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

/// Creates the directory of `socket` if it does not exist, and checks it.
pub(super) fn create_directory(socket: &Path) -> io::Result<()> {
    if let Some(directory) = directory(socket) {
        // Ignore the error: creating the socket will fail, too.
        let _ = DirBuilder::new().mode(0o700).create(directory);
    }
    check(socket)
}

/// Checks that only this user can create files in the directory of `socket`, if it exists.
pub(super) fn check(socket: &Path) -> io::Result<()> {
    let Some(directory) = directory(socket) else {
        return Ok(());
    };
    let is_own = is_own_directory(directory);
    let found = match inspect(directory, is_own) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let (owner, user) = (found.uid(), geteuid().as_raw());
    judge(owner, found.mode(), found.is_dir(), is_own, user)
        .map_err(|fault| io::Error::other(format!("{} {fault}", directory.display())))
}

fn inspect(directory: &Path, is_own: bool) -> io::Result<Metadata> {
    // A link to a directory of this user is only as safe as the directory that contains the link.
    match is_own {
        true => fs::symlink_metadata(directory),
        false => fs::metadata(directory),
    }
}

fn directory(socket: &Path) -> Option<&Path> {
    socket
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
}

fn judge(owner: u32, mode: u32, is_directory: bool, is_own: bool, user: u32) -> Result<(), String> {
    if !is_directory {
        return Err("is not a directory".into());
    }
    // A directory of root is safe. One that this program creates belongs to its user.
    if owner != user && (is_own || owner != 0) {
        return Err(format!(
            "belongs to another user ({owner}): name another directory in server.upgrade_socket"
        ));
    }
    judge_mode(mode, is_own)
}

fn judge_mode(mode: u32, is_own: bool) -> Result<(), String> {
    let open = if is_own { mode & 0o077 } else { mode & 0o002 };
    match open {
        0 => Ok(()),
        _ => Err(format!(
            "can be used by other users (mode {:04o}): change that, or name another directory in server.upgrade_socket",
            mode & 0o7777
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_of_this_user_alone() {
        let check = |owner, mode, is_own, passes: bool| {
            assert_eq!(
                judge(owner, mode, true, is_own, 1000).is_ok(),
                passes,
                "{owner} {mode:o} {is_own}"
            );
        };
        check(1000, 0o40700, true, true);
        for mode in [0o40701, 0o40710, 0o40750, 0o40755, 0o41777] {
            check(1000, mode, true, false);
        }
        for owner in [0, 1001] {
            check(owner, 0o40700, true, false);
        }
        // Those that the configuration names.
        for (owner, mode) in [(0, 0o40755), (1000, 0o40775), (1000, 0o40755), (0, 0o40770)] {
            check(owner, mode, false, true);
        }
        for (owner, mode) in [(1001, 0o40700), (0, 0o41777), (1000, 0o40777)] {
            check(owner, mode, false, false);
        }
        assert!(judge(1000, 0o100_700, false, true, 1000).is_err());
    }
}
