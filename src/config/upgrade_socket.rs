//! The path at which a process and its successor meet, if the configuration names none: both find
//! it by themselves.

use crate::auth::digest;
use std::env;
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
    // systemd makes this one for one service (`RuntimeDirectory=`), and may list several.
    if let Some(directories) = env::var_os("RUNTIME_DIRECTORY").filter(|value| !value.is_empty())
        && let Some(first) = env::split_paths(&directories).next()
    {
        return first.join(NAME);
    }
    let shared = match env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None => env::temp_dir(),
    };
    // In a directory that all users share, each has its own, and each configuration a socket.
    let user = rustix::process::geteuid().as_raw();
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let hash = digest::sha256_hex(config.as_os_str().as_encoded_bytes());
    shared
        .join(own_directory(user))
        .join(format!("{}.upgrade", &hash[..16]))
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
