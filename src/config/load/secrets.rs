//! The secrets of routes: where they are kept, and what they are good for.

use super::Loader;
use crate::auth::secret::{Secret, SecretDigest};
use crate::config::database_source::DatabaseSource;
use crate::config::document::TableReader;
use crate::config::secret_form;
use crate::config::secret_source::{self, SecretSource};
use crate::webhook::signer::{self, Signer};

/// The places where a secret may be kept.
const SOURCES: &str = "{ file = \"…\" }, { env = \"…\" } or { credential = \"…\" }";

/// The places where a secret that is only compared may be kept.
const SOURCES_OR_DIGEST: &str =
    "{ file = \"…\" }, { env = \"…\" }, { credential = \"…\" } or { sha256 = \"<hex>\" }";

const SIGN: &str = "{ secret = { file = \"signing.secret\" } }";

/// Says what to write where a secret itself is written by mistake.
fn secret_form(forms: &str) -> String {
    format!("a table that says where the secret is kept, {forms}")
}

impl Loader<'_> {
    /// Reads a secret that only ever is compared.
    pub(super) fn secret_digest(
        &self,
        table: &mut TableReader<'_>,
        key: &'static str,
    ) -> Option<SecretDigest> {
        table.table_like(key, &secret_form(SOURCES_OR_DIGEST), |table| {
            let source = self.secret_source(table, true)?;
            if let SecretSource::Digest(digest) = source {
                return Some(digest);
            }
            let secret = read_secret(table, &source)?;
            Some(SecretDigest::of(secret.expose()))
        })
    }

    /// Reads `challenge_secret`.
    pub(super) fn challenge_secret(&self, table: &mut TableReader<'_>) -> Option<Secret> {
        table.table_like(
            "challenge_secret",
            &secret_form(SOURCES),
            |table| match table.is_present() {
                true => self.hmac_secret(table),
                false => None,
            },
        )
    }

    /// Reads the secret of the responses to challenges.
    fn hmac_secret(&self, table: &mut TableReader<'_>) -> Option<Secret> {
        let source = self.secret_source(table, false)?;
        let secret = read_secret(table, &source)?;
        warn(table, secret_form::weakness(secret.expose()));
        Some(secret)
    }

    /// Reads `sign`: the keys of signatures.
    pub(super) fn signer(&self, table: &mut TableReader<'_>) -> Option<Signer> {
        let keys = table.table_or_tables("sign", SIGN, |table| {
            table.be_discreet();
            table.table_like("secret", &secret_form(SOURCES), |table| {
                self.signing_key(table)
            })
        });
        Signer::new(keys.into_iter().flatten().collect())
    }

    fn signing_key(&self, table: &mut TableReader<'_>) -> Option<Secret> {
        let source = self.secret_source(table, false)?;
        let secret = read_secret(table, &source)?;
        let key = parsed_key(table, &secret)?;
        warn(table, secret_form::signing_weakness(key.expose()));
        Some(key)
    }

    /// Reads `url`: where the URL of a database is kept, which is read to see whether it is one.
    pub(super) fn database_source(&self, table: &mut TableReader<'_>) -> Option<DatabaseSource> {
        table.table_like("url", &secret_form(SOURCES), |table| {
            if !table.is_present() {
                return None;
            }
            let source = DatabaseSource::new(self.secret_source(table, false)?)?;
            if let Err(error) = source.read() {
                table.document.complain(&table.location(), error);
            }
            Some(source)
        })
    }

    pub(super) fn secret_source(
        &self,
        table: &mut TableReader<'_>,
        digest_too: bool,
    ) -> Option<SecretSource> {
        table.be_discreet();
        let mut sources = self.sources(table);
        let mut forms = SOURCES;
        if digest_too {
            forms = SOURCES_OR_DIGEST;
            sources.extend(digest(table));
        }
        only_one(table, sources, forms)
    }

    /// Returns the places that are named where the secret itself is kept.
    fn sources(&self, table: &mut TableReader<'_>) -> Vec<SecretSource> {
        let file = table.string("file");
        let file = file.map(|file| SecretSource::File(self.file(&file.value)));
        let variable = table.string("env");
        let variable = variable.map(|name| SecretSource::Environment(name.value));
        let credential = self.credential(table).map(SecretSource::Credential);
        file.into_iter().chain(variable).chain(credential).collect()
    }
}

fn digest(table: &mut TableReader<'_>) -> Option<SecretSource> {
    let hex = table.string("sha256")?;
    let digest = SecretDigest::from_hex(&hex.value);
    if digest.is_none() {
        let message = "must be a SHA-256: 64 hexadecimal digits";
        table.document.complain(&hex.location, message);
    }
    digest.map(SecretSource::Digest)
}

/// Complains unless one source is named, and returns it.
fn only_one(
    table: &TableReader<'_>,
    mut sources: Vec<SecretSource>,
    forms: &str,
) -> Option<SecretSource> {
    let complain = |message: String| table.document.complain(&table.location(), message);
    if sources.len() > 1 {
        complain(format!("names several sources; write one of {forms}"));
        return None;
    }
    if sources.is_empty() && !table.names_any(&["file", "env", "credential", "sha256"]) {
        // A secret never stands in the configuration itself.
        complain(format!("must be {forms}"));
    }
    sources.pop()
}

fn parsed_key(table: &TableReader<'_>, secret: &Secret) -> Option<Secret> {
    let complain = |error| {
        let message = format!("the secret {error}");
        table.document.complain(&table.location(), message);
    };
    signer::key(secret).map_err(complain).ok()
}

fn warn(table: &TableReader<'_>, weakness: Option<String>) {
    if let Some(message) = weakness {
        table.document.warn(&table.location(), message);
    }
}

/// Reads a secret, and reports what is wrong or unusual about it.
fn read_secret(table: &TableReader<'_>, source: &SecretSource) -> Option<Secret> {
    let location = table.location();
    let secret = secret_source::secret(source)
        .map_err(|message| table.document.complain(&location, message))
        .ok()?;
    for suspicion in secret_form::suspicions(secret.expose()) {
        table.document.warn(&location, suspicion);
    }
    Some(secret)
}
