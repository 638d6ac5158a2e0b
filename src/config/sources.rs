//! The origin of a configuration: reads it, and reads it again when it or a file that it names has
//! changed.

use super::document::Document;
use super::error::Problem;
use super::load;
use super::stamp::Stamp;
use super::{ConfigError, Loaded};
use std::fmt;
use std::path::{Path, PathBuf};

impl Loaded {
    /// Reads the configuration in `file`, and systemd's credentials in `credentials`; by default,
    /// those that this process was started with.
    pub(super) fn read(file: &Path, credentials: Option<&Path>) -> Result<Self, ConfigError> {
        Self::parse(file, load::read(file)?, credentials)
    }

    /// Reads a configuration with this text, as if it were in `file`.
    pub(super) fn parse(
        file: &Path,
        text: String,
        credentials: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let parsed = load::parse(file, &text, credentials)?;
        Ok(Self {
            config: parsed.config,
            errors: parsed.errors,
            warnings: parsed.warnings,
            sources: Sources::new(file, text, parsed.stamps),
        })
    }
}

/// The origin of a configuration, from which it can be read again.
#[derive(Clone)]
pub struct Sources {
    file: PathBuf,
    text: String,
    /// The certificates, keys, authorities, revocation lists and secrets that it names.
    pub files: Vec<PathBuf>,
    /// The state of each file before it was read.
    stamps: Vec<Stamp>,
}

impl Sources {
    fn new(file: &Path, text: String, stamps: Vec<Stamp>) -> Self {
        let files = stamps.iter().map(|stamp| stamp.path.clone()).collect();
        Self {
            file: file.to_owned(),
            text,
            files,
            stamps,
        }
    }

    /// Returns a problem with what is at `path` of the configuration: keys, and indexes of arrays. If
    /// it is absent there, the line is that of the last part that is not.
    pub(crate) fn problem_at(&self, path: &[&str], message: String) -> Problem {
        let document = Document::new(&self.file, self.text.clone());
        let located = document.read(|root| document.problem(&root.locate(path), message.clone()));
        located.unwrap_or_else(|| Problem {
            file: self.file.clone(),
            place: None,
            key: path.join("."),
            message,
        })
    }

    /// Reads the configuration and every file it names again.
    ///
    /// # Errors
    /// Contains all problems that were found.
    pub fn reload(&self) -> Result<Loaded, ConfigError> {
        Loaded::read(&self.file, None)
    }

    /// Reads the files that the configuration names again, and the configuration as it was: it may
    /// be half edited.
    ///
    /// # Errors
    /// Contains all problems that were found.
    pub fn reload_files(&self) -> Result<Loaded, ConfigError> {
        Loaded::parse(&self.file, self.text.clone(), None)
    }

    /// Returns `true` if one of the named files has changed since it was read.
    pub fn files_changed(&mut self) -> bool {
        // Check every file, so that each stamp can drop its digest in time.
        self.stamps
            .iter_mut()
            .fold(false, |changed, stamp| stamp.has_changed() | changed)
    }

    /// Returns `true` if the configuration itself has changed, or cannot be read any more.
    pub fn text_changed(&self) -> bool {
        !load::read(&self.file).is_ok_and(|text| text == self.text)
    }

    /// Returns a copy with new stamps: the files as they are now count as read.
    #[must_use]
    pub fn stamped_now(&self) -> Self {
        Self::new(
            &self.file,
            self.text.clone(),
            self.files.iter().map(|file| Stamp::of(file)).collect(),
        )
    }
}

impl fmt::Debug for Sources {
    /// Omits the text, which may contain secrets for the application.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
