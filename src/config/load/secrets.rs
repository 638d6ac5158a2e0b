//! The secrets of routes: where they are kept, and what they are good for.

use super::Loader;
use crate::auth::secret::{Secret, SecretDigest};
use crate::config::document::TableReader;
use crate::config::files::{self, SecretSource};
use crate::config::secret_form;
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
        table.table_like("challenge_secret", &secret_form(SOURCES), |table| {
            if !table.is_present() {
                return None;
            }
            let source = self.secret_source(table, false)?;
            let secret = read_secret(table, &source)?;
            if let Some(message) = secret_form::weakness(secret.expose()) {
                table.document.warn(&table.location(), message);
            }
            Some(secret)
        })
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
        let key = signer::key(&secret)
            .map_err(|error| {
                let message = format!("the secret {error}");
                table.document.complain(&table.location(), message);
            })
            .ok()?;
        if let Some(message) = secret_form::signing_weakness(key.expose()) {
            table.document.warn(&table.location(), message);
        }
        Some(key)
    }

    fn secret_source(&self, table: &mut TableReader<'_>, digest_too: bool) -> Option<SecretSource> {
        table.be_discreet();
        let mut sources = Vec::new();
        sources.extend(
            table
                .string("file")
                .map(|file| SecretSource::File(self.file(&file.value))),
        );
        sources.extend(
            table
                .string("env")
                .map(|name| SecretSource::Environment(name.value)),
        );
        sources.extend(self.credential(table).map(SecretSource::Credential));
        let mut forms = SOURCES;
        if digest_too {
            forms = SOURCES_OR_DIGEST;
            sources.extend(table.string("sha256").and_then(|hex| {
                let digest = SecretDigest::from_hex(&hex.value);
                if digest.is_none() {
                    table
                        .document
                        .complain(&hex.location, "must be a SHA-256: 64 hexadecimal digits");
                }
                digest.map(SecretSource::Digest)
            }));
        }
        if sources.len() > 1 {
            table.document.complain(
                &table.location(),
                format!("names several sources; write one of {forms}"),
            );
            return None;
        } else if sources.is_empty() && !table.names_any(&["file", "env", "credential", "sha256"]) {
            // A secret never stands in the configuration itself.
            table
                .document
                .complain(&table.location(), format!("must be {forms}"));
        }
        sources.pop()
    }
}

/// Reads a secret, and reports what is wrong or unusual about it.
fn read_secret(table: &TableReader<'_>, source: &SecretSource) -> Option<Secret> {
    let location = table.location();
    let secret = files::secret(source)
        .map_err(|message| table.document.complain(&location, message))
        .ok()?;
    for suspicion in secret_form::suspicions(secret.expose()) {
        table.document.warn(&location, suspicion);
    }
    Some(secret)
}
