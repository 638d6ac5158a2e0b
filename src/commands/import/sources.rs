//! Reads the files of a configuration, of which each may include others: only regular ones, and
//! within bounds.

use super::directive::{Directive, ImportError, SourceLocation};
use glob::MatchOptions;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Maximum number of files of one configuration.
const MAX_FILES: usize = 1000;

/// Maximum size of all files together, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Maximum depth of files that include each other. A file that includes itself gets here.
const MAX_DEPTH: usize = 32;

/// Maximum depth of nested blocks.
const MAX_NESTING: usize = 64;

/// Maximum number of directives.
const MAX_DIRECTIVES: usize = 1_000_000;

/// The rules of glob(3).
const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files of a configuration, and what has been read so far.
#[derive(Debug, Default)]
pub(super) struct SourceFiles {
    /// The directory to which the names of files are relative, in whichever file they appear.
    pub(super) root: PathBuf,
    files: usize,
    bytes: u64,
    directives: usize,
    /// The number of files that are open.
    depth: usize,
    /// The number of blocks that are open, in all files.
    nesting: usize,
}

impl SourceFiles {
    pub(super) fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            ..Self::default()
        }
    }

    /// Opens a file that is named at `named`, and returns its text.
    pub(super) fn open(
        &mut self,
        path: &Path,
        named: &SourceLocation,
    ) -> Result<String, ImportError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH + 1 {
            let message = format!("files include each other deeper than {MAX_DEPTH}");
            let message = message + ": does one include itself?";
            return Err(named.error(message));
        }
        self.read(path).map_err(|message| named.error(message))
    }

    /// Closes the file that was opened last.
    pub(super) fn close(&mut self) {
        self.depth -= 1;
    }

    /// Enters the block of a directive at `place`.
    pub(super) fn enter(&mut self, place: &SourceLocation) -> Result<(), ImportError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            let message = format!("blocks are nested deeper than {MAX_NESTING}");
            return Err(place.error(message));
        }
        Ok(())
    }

    /// Leaves the block that was entered last.
    pub(super) fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// Returns a directive with an id of its own.
    pub(super) fn directive(
        &mut self,
        name: String,
        arguments: Vec<String>,
        place: SourceLocation,
    ) -> Result<Directive, ImportError> {
        self.directives += 1;
        if self.directives > MAX_DIRECTIVES {
            let message = format!("the configuration has more than {MAX_DIRECTIVES} directives");
            return Err(place.error(message));
        }
        Ok(Directive {
            name,
            arguments,
            block: None,
            place,
            id: self.directives,
        })
    }

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

    /// Returns the files that an `include` at `place` names, in their order; `None` if the only one
    /// is missing.
    pub(super) fn included(
        &self,
        pattern: &Path,
        place: &SourceLocation,
    ) -> Result<Option<Vec<PathBuf>>, ImportError> {
        let path = self.root.join(pattern);
        let text = path.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            return Ok(path.exists().then(|| vec![path]));
        }
        // For glob(3), two asterisks are the same as one.
        let paths = glob::glob_with(&text.replace("**", "*"), GLOB)
            .map_err(|error| place.error(format!("\"{text}\": {error}")))?;
        // The other server, started as this user, could not read unreadable directories either.
        let files = paths.filter_map(Result::ok).filter(|path| path.is_file());
        let mut files: Vec<_> = files.take(MAX_FILES + 1).collect();
        files.sort();
        Ok(Some(files))
    }
}
