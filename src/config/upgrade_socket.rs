//! The default path of the upgrade socket, which a process and its successor find independently.

use crate::auth::digest;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The longest path of a unix socket (unix(7)).
pub(super) const MAX_LENGTH: usize = 107;

/// The name of the socket in a directory of its own.
const NAME: &str = "netdata-webhook-proxy.upgrade";

/// Returns a path next to the pid file, or where the system keeps such things.
pub(super) fn default_path(pid_file: Option<&Path>, config: &Path) -> PathBuf {
    if let Some(pid_file) = pid_file {
        return pid_file.with_extension("upgrade");
    }
    if let Some(directory) = runtime_directory() {
        return directory.join(NAME);
    }
    let shared = variable("XDG_RUNTIME_DIR").map_or_else(env::temp_dir, PathBuf::from);
    // In a directory that all users share, each has its own, and each configuration a socket.
    let user = rustix::process::geteuid().as_raw();
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let hash = digest::sha256_hex(config.as_os_str().as_encoded_bytes());
    let socket = format!("{}.upgrade", &hash[..16]);
    shared.join(own_directory(user)).join(socket)
}

/// Returns the directory that systemd makes for one service (`RuntimeDirectory=`), the first one if
/// there are several.
fn runtime_directory() -> Option<PathBuf> {
    env::split_paths(&variable("RUNTIME_DIRECTORY")?).next()
}

/// Returns an environment variable that is not empty.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn own_directory(user: u32) -> String {
    format!("netdata-webhook-proxy-{user}")
}

/// Returns `true` if this is a directory that this program makes for its user, among those of
/// others.
pub(crate) fn is_own_directory(directory: &Path) -> bool {
    directory
        .file_name()
        .is_some_and(|name| *name == *own_directory(rustix::process::geteuid().as_raw()))
}
