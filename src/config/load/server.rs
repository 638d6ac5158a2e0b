//! `[server]`: threads, and the files that the process makes.

use super::Loader;
use crate::config::document::{Located, TableReader};
use crate::config::{ServerSettings, files, upgrade_socket};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

impl Loader<'_> {
    /// Reads the section.
    pub(super) fn server(&self, table: &mut TableReader<'_>) -> ServerSettings {
        let pid_file = path_named(table, "pid_file");
        let pid_file = pid_file.map(|path| self.path_to_make(table, &path));
        let shutdown_timeout = table.duration("shutdown_timeout");
        ServerSettings {
            upgrade_socket: self.upgrade_socket(table, pid_file.as_deref()),
            pid_file,
            threads: threads(table),
            shutdown_timeout: shutdown_timeout.unwrap_or(Duration::from_secs(30)),
        }
    }

    fn upgrade_socket(&self, table: &mut TableReader<'_>, pid_file: Option<&Path>) -> PathBuf {
        // `upgrade_sock` is Pingora's own name for this key.
        let named = table.string("upgrade_socket");
        let named = named.or(table.string("upgrade_sock"));
        let Some(named) = named.filter(|path| !path.value.is_empty()) else {
            return upgrade_socket::default_path(pid_file, self.file);
        };
        let path = self.path_to_make(table, &named);
        check_length(table, &named, &path);
        path
    }

    /// Returns the path of a file that this program creates. Unlike for an input file, a mistake in
    /// its name does not show when it is opened.
    pub(super) fn path_to_make(&self, table: &TableReader<'_>, named: &Located<String>) -> PathBuf {
        let path = self.path(&named.value);
        let untouched = files::untouched(&path);
        if !untouched.is_empty() {
            let message = format!("the name is taken as it is{untouched}");
            table.document.warn(&named.location, message);
        }
        path
    }
}

/// Reads a path, which may be absent or empty.
fn path_named(table: &mut TableReader<'_>, key: &'static str) -> Option<Located<String>> {
    table.string(key).filter(|path| !path.value.is_empty())
}

/// Reads the number of threads: one a core, unless another is named.
fn threads(table: &mut TableReader<'_>) -> usize {
    let threads = table.integer("threads").map_or(0, |threads| threads.value);
    if threads > 1024 {
        table.complain("threads", "must be at most 1024");
    }
    match threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads as usize,
    }
}

fn check_length(table: &TableReader<'_>, named: &Located<String>, socket: &Path) {
    const MAX: usize = upgrade_socket::MAX_LENGTH;
    if socket.as_os_str().len() > MAX {
        let message = format!("must have at most {MAX} bytes, as every socket's path");
        table.document.complain(&named.location, message);
    }
}
