//! Files that are named by their paths, or as credentials, which systemd passes to a service in a
//! directory of its own (`LoadCredential=`).

use super::{Loader, required};
use crate::config::document::{Located, TableReader};
use std::path::{Path, PathBuf};

/// The variable that systemd sets.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// The form of a file's name that is no string.
const FORM: &str = "the path of a file, { file = \"…\" } or { credential = \"…\" }";

/// Returns the directory with the credentials: `given`, or that of this process.
pub(super) fn directory(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(service_credentials)
}

/// Returns the directory with the credentials of this process, if systemd has passed it any.
pub(in crate::config) fn service_credentials() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

impl Loader<'_> {
    /// Reads `key`, which must name a file, and stamps the file.
    pub(super) fn required_file(
        &self,
        table: &mut TableReader<'_>,
        key: &'static str,
        what: &str,
    ) -> Option<Located<PathBuf>> {
        if !table.is_table(key) {
            let named = required(table, key, what)?;
            return Some(Located {
                value: self.file(&named.value),
                location: named.location,
            });
        }
        let location = table.location_of(key);
        let value = table.table(key, |table| self.file_in(table))?;
        Some(Located { value, location })
    }

    /// Reads the name of a file from a table, and stamps the file.
    fn file_in(&self, table: &mut TableReader<'_>) -> Option<PathBuf> {
        table.be_discreet();
        if table.is_empty() {
            let form = format!("must be {FORM}");
            table.document.complain(&table.location(), form);
        }
        let file = table.string("file").map(|file| self.file(&file.value));
        self.credential(table).or(file)
    }

    /// Reads `credential`, and returns the path of its file, which is stamped.
    pub(super) fn credential(&self, table: &mut TableReader<'_>) -> Option<PathBuf> {
        let name = table.string("credential")?;
        if name.value.is_empty() || name.value.contains('/') || name.value == ".." {
            let message = "must be the name of a credential, without \"/\"";
            table.document.complain(&name.location, message);
            return None;
        }
        let directory = self.credentials_directory(table)?;
        let path = std::path::absolute(directory.join(&name.value)).ok()?;
        Some(self.file(&path.to_string_lossy()))
    }

    fn credentials_directory(&self, table: &TableReader<'_>) -> Option<&Path> {
        if self.credentials.is_none() {
            let message = format!(
                "{VARIABLE} is not set, as systemd sets it for its services: before the first start, check with \
                 --credentials DIR"
            );
            table.document.complain(&table.location(), message);
        }
        self.credentials.as_deref()
    }
}
