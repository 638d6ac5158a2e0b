//! Signatures of certificates and revocation lists.

use rustls::crypto::aws_lc_rs;
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;
use x509_parser::revocation_list::CertificateRevocationList;

/// A signature: its algorithm and its value.
#[derive(Debug)]
pub(crate) struct Signature {
    /// The beginning of the identifier of its algorithm.
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Signature {
    pub(crate) fn of_list(list: &CertificateRevocationList<'_>) -> Self {
        Self::new(
            list.signature_algorithm.algorithm.as_bytes(),
            &list.signature_value.data,
        )
    }

    pub(crate) fn of_certificate(certificate: &X509Certificate<'_>) -> Self {
        Self::new(
            certificate.signature_algorithm.algorithm.as_bytes(),
            &certificate.signature_value.data,
        )
    }

    fn new(algorithm: &[u8], signature: &[u8]) -> Self {
        // A longer one is no algorithm's, and with this length it does not look like one.
        let length = u8::try_from(algorithm.len()).unwrap_or_default();
        Self {
            algorithm: [&[0x06, length], algorithm].concat(),
            signature: signature.to_vec(),
        }
    }

    /// Returns `true` if the signature is that of `signed` by the key of `issuer`. With the same
    /// identifier there may be several algorithms, of which any does.
    pub(crate) fn is_by(&self, issuer: &EndEntityCert<'_>, signed: &[u8]) -> bool {
        let algorithms = aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .all;
        let mut candidates = algorithms
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().starts_with(&self.algorithm));
        candidates.any(|algorithm| {
            let verified = issuer.verify_signature(*algorithm, signed, &self.signature);
            verified.is_ok()
        })
    }
}
