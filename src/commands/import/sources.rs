//! Reads the files of a configuration and those that they include: regular ones, within bounds.

use super::directive::{Directive, ImportError, SourceLocation};
use super::report::Ledger;
use glob::MatchOptions;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Maximum number of files of one configuration.
const MAX_FILES: usize = 1000;

/// Maximum size of all files together, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Maximum depth of blocks and of files. One that includes itself gets here.
const MAX_DEPTH: usize = 64;

/// Maximum number of directives.
const MAX_DIRECTIVES: usize = 1_000_000;

/// The rules of glob(3).
const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

pub(super) type Parsed<T> = Result<T, ImportError>;

/// The files of a configuration, and what has been read so far.
#[derive(Debug, Default)]
pub(super) struct SourceFiles {
    /// The directory to which the names of files are relative, in whichever file they appear.
    pub(super) root: PathBuf,
    pub(super) ledger: Rc<Ledger>,
    files: usize,
    bytes: u64,
    directives: usize,
    /// The number of files and blocks that are open.
    depth: usize,
}

/// A reader of one server's syntax.
pub(super) trait TreeReader {
    fn sources(&mut self) -> &mut SourceFiles;

    /// Reads the text of a file.
    fn text(&mut self, path: &Path, text: &str) -> Parsed<Vec<Directive>>;

    /// Reads a file that is named at `named`.
    fn file(&mut self, path: &Path, named: &SourceLocation) -> Parsed<Vec<Directive>> {
        let read = self.sources().read(path);
        let error = |error| named.error(format!("cannot read {}: {error}", path.display()));
        let text = read.map_err(error)?;
        self.nested(named, |reader| reader.text(path, &text))
    }

    /// Reads a file or a block that is opened at `place`.
    fn nested<T>(
        &mut self,
        place: &SourceLocation,
        read: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        self.sources().depth += 1;
        if self.sources().depth > MAX_DEPTH {
            let message = "files and blocks are nested too deep: does a file include itself?";
            return Err(place.error(message));
        }
        let result = read(self)?;
        self.sources().depth -= 1;
        Ok(result)
    }

    /// Reads the files that an `include` at `place` names; `None` if the only one is missing.
    fn included(&mut self, name: &Path, place: &SourceLocation) -> Parsed<Option<Vec<Directive>>> {
        let Some(paths) = self.sources().matching(name, place)? else {
            return Ok(None);
        };
        let files = paths.iter().map(|path| self.file(path, place));
        let files = files.collect::<Parsed<Vec<_>>>()?;
        Ok(Some(files.into_iter().flatten().collect()))
    }
}

impl SourceFiles {
    /// Returns a directive with an id of its own.
    pub(super) fn directive(&mut self, name: String, place: SourceLocation) -> Parsed<Directive> {
        self.directives += 1;
        if self.directives > MAX_DIRECTIVES {
            return Err(place.error("the configuration has too many directives"));
        }
        Ok(Directive {
            name,
            arguments: Vec::new(),
            block: None,
            place,
            id: self.directives,
            ledger: Rc::clone(&self.ledger),
        })
    }

    /// Returns the text of a file. Bytes that are not UTF-8 become replacement characters.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<String> {
        // Reading from a pipe would block.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::new();
        let limit = (MAX_BYTES + 1).saturating_sub(self.bytes);
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        self.files += 1;
        self.bytes += bytes.len() as u64;
        if self.files > MAX_FILES || self.bytes > MAX_BYTES {
            let message = "there are more than 1000 files, or more than 16 MiB";
            return Err(io::Error::other(message));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn matching(&self, pattern: &Path, place: &SourceLocation) -> Parsed<Option<Vec<PathBuf>>> {
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
