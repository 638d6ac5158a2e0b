//! Reads the files and variables that a configuration names: certificates, keys and secrets.
//!
//! A file or variable that cannot be read as what it should be is an error. There is no fallback: a
//! proxy that trusted the system's authorities because its own file was missing would let any
//! client in.

use super::pem::{self, Fault};
use super::{RevocationList, UpstreamIdentity, authorities, key_kind, secret_form};
use crate::auth::secret::{Secret, SecretDigest};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The Netdata Root CA, as Netdata's documentation of the webhook integration publishes it.
pub const NETDATA_ROOT_CA: &str = include_str!("../../conf/netdata-root-ca.pem");

/// Bytes of a file in PEM: it is kept in memory.
const MAX_PEM: u64 = 16 << 20;

/// Bytes of a revocation list, which has an entry for each certificate that was revoked.
pub(super) const MAX_LIST: u64 = 64 << 20;

/// Bytes of a file with a secret.
const MAX_SECRET: u64 = 1 << 20;

/// Reads a file whole, unless it has more bytes than `limit`, as what has no end does.
pub(super) fn read_within(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // All of it at once: what moved to a larger place would leave a secret behind.
    let length = file.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::other(format!(
            "it has more than {} MiB",
            limit >> 20
        ))),
        false => Ok(bytes),
    }
}

/// Names what shells and other programs do with the name of a file, and what is not done here: the
/// hint for a file that is not there.
pub(super) fn untouched(path: &Path) -> &'static str {
    let name = path.to_string_lossy();
    if name.contains("file:/") {
        "; a file is named by its path, not by a URL"
    } else if name.starts_with('~') || name.contains("/~") {
        "; ~ does not stand for a home directory here: write the whole path"
    } else if name.contains('$') {
        "; variables are not replaced in the names of files"
    } else {
        ""
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let is_pasted = |path: &Path| path.as_os_str().as_encoded_bytes().contains(&b'\n');
    read_within(path, limit).map_err(|error| match is_pasted(path) {
        true => {
            format!("cannot read it: {error}; it must be the name of a file, not what is in one")
        }
        false => format!("cannot read {}: {error}{}", path.display(), untouched(path)),
    })
}

/// Reads a file with a key or a secret.
///
/// The name of one that is not there is not repeated: it may be the secret itself, written where
/// its file belongs.
fn read_secretly(path: &Path, limit: u64, what: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    read_within(path, limit).map(Zeroizing::new).map_err(|error| {
        let is_there = match fs::symlink_metadata(path) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        };
        match is_there {
            true => format!("cannot read {}: {error}", path.display()),
            false => {
                let untouched = untouched(path);
                format!("cannot read the file with {what}, by the name that is given: {error}{untouched}")
            }
        }
    })
}

/// Reads trusted authorities from a PEM file. Each certificate in it must be one that can issue.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    authorities::read(&read(path, MAX_PEM)?).map_err(|fault| fault.in_file(path))
}

/// Returns the built-in authority of Netdata Cloud.
pub(super) fn builtin_authorities() -> Vec<CertificateDer<'static>> {
    authorities::read(NETDATA_ROOT_CA.as_bytes()).expect("the built-in certificate is valid")
}

/// Returns the authorities that the system trusts. One that cannot be read is left out: systems
/// come with exotic ones.
///
/// # Errors
/// Says that there are none, and what to do.
pub(crate) fn system_authorities() -> Result<Arc<[CertificateDer<'static>]>, String> {
    let found = rustls_native_certs::load_native_certs();
    let can_be_used = |certificate: &CertificateDer<'static>| {
        x509_parser::parse_x509_certificate(certificate).is_ok()
            && RootCertStore::empty().add(certificate.clone()).is_ok()
    };
    let authorities: Arc<[_]> = found.certs.into_iter().filter(can_be_used).collect();
    if authorities.is_empty() {
        let reasons: String = found
            .errors
            .iter()
            .map(|error| format!(" ({})", why_unread(&error.kind)))
            .collect();
        return Err(format!(
            "needs the authorities that the system trusts, and none are found{reasons}: install ca-certificates, or set \
             SSL_CERT_FILE"
        ));
    }
    Ok(authorities)
}

/// Says why a file with authorities of the system was not read. The library's own words for what is
/// wrong with it are the bytes of a line.
fn why_unread(error: &rustls_native_certs::ErrorKind) -> String {
    use rustls_native_certs::ErrorKind as E;
    match error {
        E::Io { inner, path } => format!("cannot read {}: {inner}", path.display()),
        E::Pem(_) => "a file with them is not whole in PEM".into(),
        E::Os(error) => error.to_string(),
        _ => "they cannot be read".into(),
    }
}

/// Reads revocation lists, one in DER or any number in PEM.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<RevocationList>, String> {
    let bytes = read(path, MAX_LIST)?;
    // A sequence of more than 127 bytes, which no text begins with.
    if matches!(*bytes, [0x30, 0x80..=0xff, ..]) {
        let list = RevocationList::from_der(path, bytes);
        return list
            .map(|list| vec![list])
            .map_err(|error| format!("{} {error}", path.display()));
    }
    let lists = pem::revocation_lists(&bytes).map_err(|fault| fault.in_file(path))?;
    let parse = |list: pem::AtLine<Vec<u8>>| {
        RevocationList::from_der(path, list.value)
            .map_err(|error| Fault::at(list.line, format!("the list {error}")).in_file(path))
    };
    lists.into_iter().map(parse).collect()
}

/// The reasons why a certificate and its key cannot be used, of which there is at least one.
#[derive(Default)]
pub(super) struct KeyPairError {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

impl KeyPairError {
    fn of_certificate(error: String) -> Self {
        Self {
            certificate: Some(error),
            key: None,
        }
    }

    fn of_key(error: String) -> Self {
        Self {
            certificate: None,
            key: Some(error),
        }
    }
}

/// Reads the server's chain and its key, and makes sure that they belong together.
pub(super) fn server_certificate(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, KeyPairError> {
    let (chain, private_key) = key_pair(certificate, key)?;
    certify(certificate, chain, key, private_key, provider).map(Arc::new)
}

/// Reads what is presented to an upstream, and makes sure that it belongs together.
pub(super) fn identity(certificate: &Path, key: &Path) -> Result<UpstreamIdentity, KeyPairError> {
    let (chain, private_key) = key_pair(certificate, key)?;
    certify(
        certificate,
        chain.clone(),
        key,
        private_key.clone_key(),
        &aws_lc_rs::default_provider(),
    )?;
    Ok(UpstreamIdentity {
        chain,
        key: private_key,
    })
}

fn key_pair(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), KeyPairError> {
    match (read_certificates(certificate), read_key(key)) {
        (Ok(chain), Ok(key)) => Ok((chain, key)),
        (chain, key) => Err(KeyPairError {
            certificate: chain.err(),
            key: key.err(),
        }),
    }
}

/// Reads the one private key in a PEM file.
///
/// # Errors
/// Says what is wrong with the file, and nothing of what is in it.
pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read_secretly(path, MAX_PEM, "the key")?;
    pem::private_key(&pem).map_err(|fault| fault.in_file(path))
}

fn certify(
    certificate: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: &Path,
    private_key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, KeyPairError> {
    let kind = key_kind::describe(&private_key);
    let signing_key = provider
        .key_provider
        .load_private_key(private_key)
        .map_err(|_| {
            let kind = kind.as_deref().unwrap_or("what is not a private key");
            let (key, usable) = (key.display(), key_kind::USABLE);
            KeyPairError::of_key(format!(
                "{key} holds {kind}, and that cannot be used: a key must be {usable}"
            ))
        })?;
    let certified = CertifiedKey::new(chain, signing_key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(mismatch(certificate, key, &certified)),
        Err(error) => Err(KeyPairError::of_certificate(format!(
            "{} cannot be used: {error}",
            certificate.display()
        ))),
    }
}

/// Explains that a key is not that of the first certificate: it may be that of a later one.
fn mismatch(certificate: &Path, key: &Path, certified: &CertifiedKey) -> KeyPairError {
    let is_its_key = |der: &CertificateDer<'static>| {
        let pair = CertifiedKey::new(vec![der.clone()], certified.key.clone());
        pair.keys_match().is_ok()
    };
    let (certificate, key) = (certificate.display(), key.display());
    match certified.cert.iter().position(is_its_key) {
        Some(index) => KeyPairError::of_certificate(format!(
            "{certificate} has the certificate of {key} in place {} of {}, and must have it first: put the leaf first, \
             and each issuer after it",
            index + 1,
            certified.cert.len()
        )),
        None => KeyPairError::of_key(format!(
            "{key} is not the key of {certificate}: name the key that its certificate was requested with"
        )),
    }
}

/// The place where a secret is kept.
pub(super) enum SecretSource {
    File(std::path::PathBuf),
    Environment(String),
    /// Passed by systemd (`LoadCredential=`): a file in `$CREDENTIALS_DIRECTORY`.
    Credential(std::path::PathBuf),
    /// Not the secret, but its SHA-256.
    Digest(SecretDigest),
}

/// Reads a secret; not from [`SecretSource::Digest`].
///
/// From a file, exactly one trailing newline is dropped, so that `echo secret > file` works.
pub(super) fn secret(source: &SecretSource) -> Result<Secret, String> {
    let (mut bytes, place) = match source {
        SecretSource::File(path) => (
            read_secretly(path, MAX_SECRET, "the secret")?,
            path.display().to_string(),
        ),
        SecretSource::Environment(name) => {
            let place = variable(name);
            let value = std::env::var_os(name).ok_or_else(|| format!("{place} is not set"))?;
            (Zeroizing::new(value.into_encoded_bytes()), place)
        }
        SecretSource::Credential(path) => (
            read_secretly(path, MAX_SECRET, "the credential")?,
            path.display().to_string(),
        ),
        SecretSource::Digest(_) => {
            return Err("a digest cannot be used here; the secret itself is needed".into());
        }
    };
    if let Some(fault) = secret_form::fault(&bytes) {
        return Err(format!("{place} {fault}"));
    }
    if !matches!(source, SecretSource::Environment(_)) && bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(format!("{place} is empty"));
    }
    Ok(Secret::new(mem::take(&mut *bytes)))
}

/// Describes an environment variable in a message: by its name, if that is in capitals as names
/// are. Any other text may be the secret itself.
fn variable(name: &str) -> String {
    let is_usual = name.contains('_')
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    match is_usual {
        true => format!("the environment variable {name}"),
        false => "the environment variable of the name that is given".into(),
    }
}

/// Reads a secret from a file, for commands that take one.
///
/// # Errors
/// Says what is wrong with the file, and nothing of what is in it.
pub(crate) fn read_secret_file(path: &Path) -> Result<Secret, String> {
    secret(&SecretSource::File(path.to_owned()))
}

/// Reads a secret from an environment variable, for commands that take one.
///
/// # Errors
/// Says that there is none.
pub(crate) fn read_secret_variable(name: &str) -> Result<Secret, String> {
    secret(&SecretSource::Environment(name.to_owned()))
}

/// Reads the certificates in a PEM file, of which there is at least one, for commands that take
/// some.
///
/// # Errors
/// Says what the file holds instead.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates =
        pem::certificates(&read(path, MAX_PEM)?).map_err(|fault| fault.in_file(path))?;
    Ok(certificates
        .into_iter()
        .map(|certificate| certificate.value)
        .collect())
}

/// Returns the certificates of a file in PEM that has been read; `None` if there are none, or not
/// all of it can be read.
pub(crate) fn certificates_in(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    Some(
        pem::certificates(pem)
            .ok()?
            .into_iter()
            .map(|certificate| certificate.value)
            .collect(),
    )
}

/// Reads a client's chain and its key, for commands that take them, and makes sure that they belong
/// together.
///
/// # Errors
/// Says which of the files is wrong, and how.
pub fn read_identity(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, String> {
    server_certificate(certificate, key, &aws_lc_rs::default_provider()).map_err(|error| {
        let errors: Vec<_> = error.certificate.into_iter().chain(error.key).collect();
        errors.join("; ")
    })
}
