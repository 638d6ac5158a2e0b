//! Standard output, which may be full, or closed by its reader.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Error of a write to standard output.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct OutputError(io::Error);

/// Writes a line.
///
/// # Errors
/// If the write failed for another reason than a reader that has closed the pipe.
pub(crate) fn line(out: &mut impl Write, line: impl Display) -> Result<(), OutputError> {
    ignore_broken_pipe(writeln!(out, "{line}").and_then(|()| out.flush()))
}

/// Writes bytes as they are.
///
/// # Errors
/// As those of [`line()`].
pub(crate) fn bytes(out: &mut impl Write, bytes: &[u8]) -> Result<(), OutputError> {
    ignore_broken_pipe(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Treats a closed pipe as success: a reader such as `head` has read what it needs. A file that is
/// incomplete is an error.
pub(crate) fn ignore_broken_pipe(written: io::Result<()>) -> Result<(), OutputError> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(OutputError(error)),
        _ => Ok(()),
    }
}

/// Quotes a path, if need be, so that a shell reads it as one word.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word() {
        for (path, word) in [
            ("/tmp/demo-x/a.pem", "/tmp/demo-x/a.pem"),
            ("/tmp/it's here", "'/tmp/it'\\''s here'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
