//! Reads a certificate chain and its key, and checks that they belong together.

use super::files::{MAX_PEM, read_certificates, read_secretly};
use super::{UpstreamIdentity, empty_file, key_kind, pem};
use rustls::InconsistentKeys;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;

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

/// Reads the server's chain and its key, and checks that they belong together.
pub(super) fn server_certificate(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, KeyPairError> {
    let (chain, private_key) = key_pair(certificate, key)?;
    certify(certificate, chain, key, private_key, provider).map(Arc::new)
}

/// Reads the chain and the key that are presented to an upstream, and checks that they belong
/// together.
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
/// The problem with the file, without its contents.
pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read_secretly(path, MAX_PEM, "the key")?;
    empty_file::refuse(path, &pem, "the certificate's private key")?;
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
    let signing_key = provider.key_provider.load_private_key(private_key);
    let signing_key = signing_key.map_err(|_| unusable(key, kind.as_deref()))?;
    let certified = CertifiedKey::new(chain, signing_key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(mismatch(certificate, key, &certified)),
        Err(error) => {
            let certificate = certificate.display();
            let message = format!("{certificate} cannot be used: {error}");
            Err(KeyPairError::of_certificate(message))
        }
    }
}

fn unusable(key: &Path, kind: Option<&str>) -> KeyPairError {
    let kind = kind.unwrap_or("what is not a private key");
    let (key, usable) = (key.display(), key_kind::USABLE);
    KeyPairError::of_key(format!(
        "{key} holds {kind}, and that cannot be used: a key must be {usable}"
    ))
}

/// Explains that a key is not that of the first certificate: it may be that of a later one.
fn mismatch(certificate: &Path, key: &Path, certified: &CertifiedKey) -> KeyPairError {
    let (certificate, key) = (certificate.display(), key.display());
    let length = certified.cert.len();
    match place_of_certificate(certified) {
        Some(place) => KeyPairError::of_certificate(format!(
            "{certificate} has the certificate of {key} in place {place} of {length}, and must have it first: put the leaf \
             first, and each issuer after it"
        )),
        None => KeyPairError::of_key(format!(
            "{key} is not the key of {certificate}: name the key that its certificate was requested with"
        )),
    }
}

/// Returns the place of the key's certificate in the chain, from 1.
fn place_of_certificate(certified: &CertifiedKey) -> Option<usize> {
    let is_its_key = |der: &CertificateDer<'static>| {
        let pair = CertifiedKey::new(vec![der.clone()], certified.key.clone());
        pair.keys_match().is_ok()
    };
    let index = certified.cert.iter().position(is_its_key)?;
    Some(index + 1)
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
