//! The client certificates that are shown: a forger's, and one that the operator gave.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;

/// A certificate with an accepted name, of an authority that is called like `authority` and has another key.
pub(super) fn forged(authority: &CertificateDer<'_>, common_name: &str) -> Result<Arc<CertifiedKey>, String> {
    let forge = || -> Result<Arc<CertifiedKey>, Box<dyn std::error::Error>> {
        let issuer = Issuer::from_ca_cert_der(authority, KeyPair::generate()?)?;
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, common_name);
        params.distinguished_name = subject;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &issuer)?;
        Ok(certified(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?)
    };
    forge().map_err(|error| format!("cannot make a throw-away certificate: {error}"))
}

/// The operator's own.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, String> {
    let chain = certificates(certificate)?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let certified = certified(chain, key_der).map_err(|error| format!("{}: {error}", key.display()))?;
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(format!("{} is not the key of {}", key.display(), certificate.display()))
        }
        Err(error) => Err(format!("{}: {error}", certificate.display())),
    }
}

/// At least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let explain = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| explain(&error))?.collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(explain(&"holds no certificate in PEM")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(explain(&error)),
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}
