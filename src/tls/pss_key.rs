//! Verifies signatures by RSA keys restricted to RSASSA-PSS, which rustls does not support.
//!
//! The key of such a certificate has an identifier of its own (`id-RSASSA-PSS`), and so have its
//! signatures in TLS 1.3 (`rsa_pss_pss_*`, RFC 8446 section 4.2.3): a client presents no such
//! certificate to a server that does not offer them. What is signed, and how, is the same as with a
//! common RSA key.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use rustls::{CertificateError, Error, SignatureScheme};
use x509_parser::oid_registry::{
    OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512, OID_PKCS1_RSASSAPSS, Oid,
};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

struct PssScheme {
    /// The scheme with a key restricted to RSASSA-PSS.
    scheme: SignatureScheme,
    /// The equivalent scheme with an unrestricted RSA key.
    common: SignatureScheme,
    hash: Oid<'static>,
    /// The length of the hash and of the salt in bytes.
    length: u32,
}

static SCHEMES: [PssScheme; 3] = [
    PssScheme {
        scheme: SignatureScheme::Unknown(0x0809),
        common: SignatureScheme::RSA_PSS_SHA256,
        hash: OID_NIST_HASH_SHA256,
        length: 32,
    },
    PssScheme {
        scheme: SignatureScheme::Unknown(0x080a),
        common: SignatureScheme::RSA_PSS_SHA384,
        hash: OID_NIST_HASH_SHA384,
        length: 48,
    },
    PssScheme {
        scheme: SignatureScheme::Unknown(0x080b),
        common: SignatureScheme::RSA_PSS_SHA512,
        hash: OID_NIST_HASH_SHA512,
        length: 64,
    },
];

/// Returns the schemes to offer to clients for these keys.
pub(super) fn schemes() -> impl Iterator<Item = SignatureScheme> {
    SCHEMES.iter().map(|it| it.scheme)
}

/// Verifies a signature of `scheme` by the key of the certificate. Returns `None` if the scheme is
/// not one of these.
pub(super) fn verify(
    scheme: SignatureScheme,
    certificate: &CertificateDer<'_>,
    message: &[u8],
    signature: &[u8],
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<Result<(), Error>> {
    let scheme = SCHEMES.iter().find(|it| it.scheme == scheme)?;
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Some(Err(CertificateError::BadEncoding.into()));
    };
    let key = certificate.public_key();
    let is_by_key = |algorithm: &dyn SignatureVerificationAlgorithm| {
        let key = &key.subject_public_key.data;
        algorithm.verify_signature(key, message, signature).is_ok()
    };
    let is_verified =
        allows(&key.algorithm, scheme) && scheme.algorithm(algorithms).is_some_and(is_by_key);
    Some(match is_verified {
        true => Ok(()),
        false => Err(CertificateError::BadSignature.into()),
    })
}

impl PssScheme {
    fn fits(&self, parameters: &RsaSsaPssParams<'_>) -> bool {
        let mask = parameters.mask_gen_algorithm();
        *parameters.hash_algorithm_oid() == self.hash
            && mask.is_ok_and(|mask| mask.hash == self.hash)
            && parameters.salt_length() <= self.length
            && parameters.trailer_field() == 1
    }

    /// Returns the algorithm that verifies signatures of the scheme.
    fn algorithm(
        &self,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Option<&'static dyn SignatureVerificationAlgorithm> {
        let (_, algorithms) = algorithms
            .mapping
            .iter()
            .find(|(common, _)| *common == self.common)?;
        algorithms.first().copied()
    }
}

/// Returns `true` if the key may be used with `scheme`: its parameters may restrict it to one hash
/// (RFC 4055 section 3.1).
fn allows(key: &AlgorithmIdentifier<'_>, scheme: &PssScheme) -> bool {
    if key.algorithm != OID_PKCS1_RSASSAPSS {
        return false;
    }
    let Some(parameters) = key.parameters() else {
        return true;
    };
    RsaSsaPssParams::try_from(parameters).is_ok_and(|parameters| scheme.fits(&parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use x509_parser::prelude::FromDer as _;

    const MESSAGE: &[u8] = b"what was said in the handshake";

    /// Signs with a key as it is said for, and judges that as it is said for.
    fn check(
        key: &str,
        common: SignatureScheme,
        certificate: &str,
        scheme: u16,
        expected: Option<bool>,
    ) {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let signature = key.choose_scheme(&[common]).unwrap().sign(MESSAGE).unwrap();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let judge = |message: &[u8]| {
            let verdict = verify(
                scheme.into(),
                &certificate,
                message,
                &signature,
                &algorithms,
            );
            verdict.map(|verdict| verdict.is_ok())
        };
        assert_eq!(judge(MESSAGE), expected, "{common:?} {scheme:#x}");
        assert_eq!(
            judge(b"something else"),
            expected.map(|_| false),
            "{common:?} {scheme:#x}"
        );
    }

    #[test]
    fn a_signature_is_of_the_key_and_of_what_the_key_is_for() {
        use SignatureScheme as S;

        let any = (
            include_str!("../../tests/it/support/pss/any.rsa.key"),
            include_str!("../../tests/it/support/pss/any.pem"),
        );
        let only = (
            include_str!("../../tests/it/support/pss/sha384.rsa.key"),
            include_str!("../../tests/it/support/pss/sha384.pem"),
        );
        let common = include_str!("../../tests/it/support/weak/good.pem");
        for (signed, scheme) in [
            (S::RSA_PSS_SHA256, 0x0809),
            (S::RSA_PSS_SHA384, 0x080a),
            (S::RSA_PSS_SHA512, 0x080b),
        ] {
            check(any.0, signed, any.1, scheme, Some(true));
            check(only.0, signed, only.1, scheme, Some(scheme == 0x080a));
            // Another key, another hash, a key that is for everything, and a scheme that rustls
            // knows.
            check(any.0, signed, only.1, scheme, Some(false));
            check(
                any.0,
                signed,
                any.1,
                if scheme == 0x0809 { 0x080b } else { 0x0809 },
                Some(false),
            );
            check(any.0, S::RSA_PKCS1_SHA256, any.1, scheme, Some(false));
            check(any.0, signed, common, scheme, Some(false));
            check(any.0, signed, any.1, scheme - 5, None);
        }
    }

    /// `tag length contents`; nothing here is long.
    fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
        let contents = contents.concat();
        [&[tag, u8::try_from(contents.len()).unwrap()], &contents[..]].concat()
    }

    /// The algorithm of a key that is for this hash, in its mask too, for a salt of this length, and
    /// with this trailer.
    fn key(digest: u8, mask: u8, salt: u8, trailer: u8) -> Vec<u8> {
        let hash = |last| {
            der(
                0x30,
                &[b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02", &[last]],
            )
        };
        let mask = der(
            0x30,
            &[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08", &hash(mask)],
        );
        let parameters = der(
            0x30,
            &[
                &der(0xa0, &[&hash(digest)]),
                &der(0xa1, &[&mask]),
                &der(0xa2, &[&[2, 1, salt]]),
                &der(0xa3, &[&[2, 1, trailer]]),
            ],
        );
        der(
            0x30,
            &[b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", &parameters],
        )
    }

    /// What a key is for, each part alone: 1 is SHA-256, 2 is SHA-384, 3 is SHA-512.
    #[test]
    fn each_parameter_of_a_key_counts() {
        for (scheme, (number, length)) in SCHEMES.iter().zip([(1, 32), (2, 48), (3, 64)]) {
            let another = number % 3 + 1;
            for (key, expected) in [
                (key(number, number, length, 1), true),
                (key(number, number, 0, 1), true),
                (key(number, number, length + 1, 1), false),
                (key(another, number, length, 1), false),
                (key(number, another, length, 1), false),
                (key(number, number, length, 2), false),
            ] {
                let (_, parsed) = AlgorithmIdentifier::from_der(&key).unwrap();
                assert_eq!(allows(&parsed, scheme), expected, "{number}: {key:x?}");
            }
        }
    }
}
