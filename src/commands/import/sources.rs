//! Reads the files of a configuration, of which each may include others: only regular ones, and
//! within bounds.

use glob::MatchOptions;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// How many files one configuration may consist of.
const MAX_FILES: usize = 1000;

/// How many bytes all of them may have.
const MAX_BYTES: u64 = 16 << 20;

/// How deep files may include each other. A file that includes itself gets here.
pub(super) const MAX_DEPTH: usize = 32;

/// How deep blocks may be nested.
pub(super) const MAX_NESTING: usize = 64;

/// How many words it may have.
pub(super) const MAX_PARTS: usize = 1_000_000;

/// What may still be read.
#[derive(Debug)]
pub(super) struct SourceFiles {
    files: usize,
    bytes: u64,
}

impl Default for SourceFiles {
    fn default() -> Self {
        Self {
            files: MAX_FILES,
            bytes: MAX_BYTES,
        }
    }
}

impl SourceFiles {
    /// The text of a file. What is not UTF-8 in it becomes a replacement character.
    pub(super) fn read(&mut self, path: &Path) -> Result<String, String> {
        let cannot = |why: String| format!("cannot read {}: {why}", path.display());
        // A pipe would be waited for.
        let is_file = fs::metadata(path)
            .map_err(|error| cannot(error.to_string()))?
            .is_file();
        if !is_file {
            return Err(cannot("it is not a file".into()));
        }
        self.files = self
            .files
            .checked_sub(1)
            .ok_or_else(|| cannot(format!("there are more than {MAX_FILES} files")))?;
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| cannot(error.to_string()))?;
        file.take(self.bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| cannot(error.to_string()))?;
        let too_much = || {
            cannot(format!(
                "the configuration has more than {} MiB",
                MAX_BYTES >> 20
            ))
        };
        self.bytes = self
            .bytes
            .checked_sub(bytes.len() as u64)
            .ok_or_else(too_much)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The files that an `include` names, in their order. `None` where it has no wildcard.
    pub(super) fn matching(&self, pattern: &Path) -> Result<Option<Vec<PathBuf>>, String> {
        let text = pattern.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            return Ok(None);
        }
        // As glob(3) has it, two asterisks are no more than one, and files that begin with a dot
        // are left out.
        let text = text.replace("**", "*");
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let paths = glob::glob_with(&text, options)
            .map_err(|error| format!("\"{text}\" is no pattern: {error}"))?;
        // A directory that must not be read has no files for the server, either, that would be
        // started as this user.
        let mut paths: Vec<_> = paths
            .filter_map(Result::ok)
            .filter(|path| path.is_file())
            .take(MAX_FILES + 1)
            .collect();
        paths.sort();
        Ok(Some(paths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_not_without_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.conf");
        fs::write(&path, "a\u{e9}\n").unwrap();
        assert_eq!(SourceFiles::default().read(&path).unwrap(), "a\u{e9}\n");
        assert!(
            SourceFiles::default()
                .read(directory.path())
                .unwrap_err()
                .contains("is not a file")
        );
        assert!(
            SourceFiles::default()
                .read(Path::new("/dev/zero"))
                .unwrap_err()
                .contains("is not a file")
        );
        assert!(
            SourceFiles {
                files: 0,
                bytes: 10
            }
            .read(&path)
            .unwrap_err()
            .contains("more than 1000 files")
        );
        assert!(
            SourceFiles { files: 1, bytes: 3 }
                .read(&path)
                .unwrap_err()
                .contains("more than 16 MiB")
        );
        assert!(SourceFiles { files: 1, bytes: 4 }.read(&path).is_ok());
    }

    #[test]
    fn wildcards_find_files_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", "c.txt", ".hidden.conf"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        fs::create_dir(directory.path().join("d.conf")).unwrap();
        fs::write(directory.path().join("d.conf/e.conf"), "").unwrap();
        let found = SourceFiles::default()
            .matching(&directory.path().join("*.conf"))
            .unwrap()
            .unwrap();
        assert_eq!(
            found,
            ["a.conf", "b.conf"].map(|name| directory.path().join(name))
        );
        assert_eq!(
            SourceFiles::default()
                .matching(&directory.path().join("**.conf"))
                .unwrap()
                .unwrap(),
            found
        );
        assert_eq!(
            SourceFiles::default()
                .matching(&directory.path().join("a.conf"))
                .unwrap(),
            None
        );
    }
}
