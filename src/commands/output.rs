//! What a command prints: standard output may be full, and may have no reader any more.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// What was to be printed is not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct NotWritten(io::Error);

/// Writes a line.
///
/// # Errors
/// If it could not be written, and there is somebody who would have read it.
pub(crate) fn line(out: &mut impl Write, line: impl Display) -> Result<(), NotWritten> {
    unless_nobody_reads(writeln!(out, "{line}").and_then(|()| out.flush()))
}

/// Writes bytes as they are.
///
/// # Errors
/// As [`line()`].
pub(crate) fn bytes(out: &mut impl Write, bytes: &[u8]) -> Result<(), NotWritten> {
    unless_nobody_reads(out.write_all(bytes).and_then(|()| out.flush()))
}

/// A reader that went away, as `head` does, has seen enough. A file that is not whole is no
/// success.
pub(crate) fn unless_nobody_reads(written: io::Result<()>) -> Result<(), NotWritten> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(NotWritten(error)),
        _ => Ok(()),
    }
}
