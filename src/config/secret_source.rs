//! Reads secrets from files, environment variables and credentials of systemd.

use super::{empty_file, files, secret_form};
use crate::auth::secret::{Secret, SecretDigest};
use std::mem;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest size of a file with a secret, in bytes.
const MAX_SECRET: u64 = 1 << 20;

/// The place where a secret is kept.
pub(super) enum SecretSource {
    File(PathBuf),
    Environment(String),
    /// Passed by systemd (`LoadCredential=`): a file in `$CREDENTIALS_DIRECTORY`.
    Credential(PathBuf),
    /// Not the secret, but its SHA-256.
    Digest(SecretDigest),
}

/// Reads a secret; not from [`SecretSource::Digest`].
///
/// From a file, exactly one trailing newline is dropped, so that `echo secret > file` works.
pub(super) fn secret(source: &SecretSource) -> Result<Secret, String> {
    let (mut bytes, place) = read(source)?;
    if let Some(fault) = secret_form::fault(&bytes) {
        return Err(format!("{place} {fault}"));
    }
    if !matches!(source, SecretSource::Environment(_)) {
        drop_newline(&mut bytes);
    }
    if bytes.is_empty() {
        return Err(match source {
            SecretSource::File(path) | SecretSource::Credential(path) => {
                empty_file::explain(path, "the secret")
            }
            _ => format!("{place} is empty: set it to the secret"),
        });
    }
    Ok(Secret::new(mem::take(&mut *bytes)))
}

/// Returns the contents of a source, and its name for messages.
fn read(source: &SecretSource) -> Result<(Zeroizing<Vec<u8>>, String), String> {
    match source {
        SecretSource::File(path) => read_file(path, "the secret"),
        SecretSource::Credential(path) => read_file(path, "the credential"),
        SecretSource::Environment(name) => {
            let place = variable(name);
            let value = std::env::var_os(name).ok_or_else(|| format!("{place} is not set"))?;
            Ok((Zeroizing::new(value.into_encoded_bytes()), place))
        }
        SecretSource::Digest(_) => {
            Err("a digest cannot be used here; the secret itself is needed".into())
        }
    }
}

fn read_file(path: &Path, what: &str) -> Result<(Zeroizing<Vec<u8>>, String), String> {
    let bytes = files::read_secretly(path, MAX_SECRET, what)?;
    Ok((bytes, path.display().to_string()))
}

fn drop_newline(bytes: &mut Vec<u8>) {
    if bytes.pop_if(|last| *last == b'\n').is_some() {
        bytes.pop_if(|last| *last == b'\r');
    }
}

/// Describes an environment variable in a message: by its name, if that is in capitals as names
/// are. Any other text may be the secret itself.
fn variable(name: &str) -> String {
    let is_capital = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    match name.contains('_') && name.bytes().all(is_capital) {
        true => format!("the environment variable {name}"),
        false => "the environment variable of the name that is given".into(),
    }
}

/// Reads a secret from a file, for commands that take one.
///
/// # Errors
/// The problem with the file, without its contents.
pub(crate) fn read_secret_file(path: &Path) -> Result<Secret, String> {
    secret(&SecretSource::File(path.to_owned()))
}

/// Reads a secret from an environment variable, for commands that take one.
///
/// # Errors
/// If there is none.
pub(crate) fn read_secret_variable(name: &str) -> Result<Secret, String> {
    secret(&SecretSource::Environment(name.to_owned()))
}
