//! The client certificate of a forger.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
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
        let key_der = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key_der)?;
        Ok(Arc::new(CertifiedKey::new(vec![leaf.der().clone()], key)))
    };
    forge().map_err(|error| format!("cannot make a throw-away certificate: {error}"))
}
