//! The C compiler, for what stands in front of the system's calls.

use super::skip;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a library that is preloaded, into `directory`. Returns `None` where that is not
/// possible.
pub(crate) fn preloadable(directory: &Path, source: &str) -> Option<PathBuf> {
    let (code, library) = (directory.join("shim.c"), directory.join("shim.so"));
    fs::write(&code, source).unwrap();
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-o"]);
    compiler.arg(&library).arg(&code).arg("-ldl");
    let can = cfg!(target_env = "gnu") && compiler.status().is_ok_and(|status| status.success());
    if !can {
        skip("a C compiler and glibc are needed to stand in for the system's calls");
    }
    can.then_some(library)
}
