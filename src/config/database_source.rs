//! Where the URL of a database is kept: it is read again for each connection, so that its password or
//! token can be renewed.

use super::database_url::DatabaseUrl;
use super::secret_source::{self, SecretSource};
use std::fmt;
use std::path::PathBuf;

/// The place where the URL of a database is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseSource(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Environment(String),
    Credential(PathBuf),
}

impl fmt::Debug for DatabaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of a variable may be the secret itself.
        f.write_str("DatabaseSource(..)")
    }
}

impl DatabaseSource {
    /// Returns the place that `source` names; a digest is none.
    pub(super) fn new(source: SecretSource) -> Option<Self> {
        match source {
            SecretSource::File(path) => Some(Self(Place::File(path))),
            SecretSource::Environment(name) => Some(Self(Place::Environment(name))),
            SecretSource::Credential(path) => Some(Self(Place::Credential(path))),
            SecretSource::Digest(_) => None,
        }
    }

    /// The place of a URL in a file.
    #[cfg(test)]
    pub(crate) fn file(path: PathBuf) -> Self {
        Self(Place::File(path))
    }

    /// Reads the URL.
    ///
    /// # Errors
    /// What is wrong with it or with its place, without a word of the URL.
    pub(crate) fn read(&self) -> Result<DatabaseUrl, String> {
        let source = match &self.0 {
            Place::File(path) => SecretSource::File(path.clone()),
            Place::Environment(name) => SecretSource::Environment(name.clone()),
            Place::Credential(path) => SecretSource::Credential(path.clone()),
        };
        let url = secret_source::secret(&source)?;
        let text = std::str::from_utf8(url.expose());
        let text = text.map_err(|_| "the URL is not UTF-8".to_owned())?;
        DatabaseUrl::parse(text.trim_end()).map_err(|error| format!("the URL {error}"))
    }
}
