//! Reads the files of a configuration, of which each may include others: only regular ones, and
//! within bounds.

use glob::MatchOptions;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Maximum number of files of one configuration.
const MAX_FILES: usize = 1000;

/// Maximum size of all files together, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Maximum depth of files that include each other. A file that includes itself gets here.
pub(super) const MAX_DEPTH: usize = 32;

/// Maximum depth of nested blocks.
pub(super) const MAX_NESTING: usize = 64;

/// Maximum number of words in a configuration.
pub(super) const MAX_PARTS: usize = 1_000_000;

/// The rules of glob(3).
const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The number of files and bytes that have been read so far.
#[derive(Debug, Default)]
pub(super) struct SourceFiles {
    files: usize,
    bytes: u64,
}

impl SourceFiles {
    /// Returns the text of a file. Bytes that are not UTF-8 become replacement characters.
    pub(super) fn read(&mut self, path: &Path) -> Result<String, String> {
        let error = match self.read_bytes(path) {
            Ok(_) if self.files > MAX_FILES => format!("there are more than {MAX_FILES} files"),
            Ok(_) if self.bytes > MAX_BYTES => {
                format!("the configuration has more than {} MiB", MAX_BYTES >> 20)
            }
            Ok(bytes) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => error.to_string(),
        };
        Err(format!("cannot read {}: {error}", path.display()))
    }

    fn read_bytes(&mut self, path: &Path) -> std::io::Result<Vec<u8>> {
        // Reading from a pipe would block.
        if !fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::new();
        let limit = (MAX_BYTES + 1).saturating_sub(self.bytes);
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        self.files += 1;
        self.bytes += bytes.len() as u64;
        Ok(bytes)
    }

    /// Returns the files that an `include` names, in their order; `None` without a wildcard.
    pub(super) fn matching(&self, pattern: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        let text = pattern.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            return Ok(None);
        }
        // For glob(3), two asterisks are the same as one.
        let paths = glob::glob_with(&text.replace("**", "*"), GLOB)
            .map_err(|error| format!("\"{text}\" is not a pattern: {error}"))?;
        // The other server, started as this user, could not read unreadable directories either.
        let files = paths.filter_map(Result::ok).filter(|path| path.is_file());
        let mut files: Vec<_> = files.take(MAX_FILES + 1).collect();
        files.sort();
        Ok(Some(files))
    }
}
