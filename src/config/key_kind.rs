//! Names the kinds of keys, so that one that cannot be used is named for what it is.

use rustls::pki_types::PrivateKeyDer;
use x509_parser::der_parser::der::{DerObject, DerObjectContent, parse_der};
use x509_parser::x509::SubjectPublicKeyInfo;

/// The kinds of keys that can be used.
pub(super) const USABLE: &str =
    "RSA with 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519";

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";

/// Other algorithms, by their object identifiers.
const ALGORITHMS: [(&str, &str); 6] = [
    ("1.3.101.112", "an Ed25519 key"),
    ("1.3.101.113", "an Ed448 key"),
    ("1.3.101.110", "an X25519 key, which cannot sign"),
    ("1.3.101.111", "an X448 key, which cannot sign"),
    ("1.2.840.10040.4.1", "a DSA key"),
    ("1.2.840.113549.1.1.10", "an RSASSA-PSS key"),
];

/// Curves by their object identifiers. The first three can be used.
const CURVES: [(&str, &str); 7] = [
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.33", "P-224"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
];

/// Describes a private key: its algorithm, and the size or the curve of it.
pub(super) fn describe(key: &PrivateKeyDer<'_>) -> Option<String> {
    match key {
        PrivateKeyDer::Pkcs1(key) => rsa(&sequence(key.secret_pkcs1_der())?),
        PrivateKeyDer::Sec1(key) => sec1(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
        _ => None,
    }
}

fn sec1(der: &[u8]) -> Option<String> {
    let items = sequence(der)?;
    let curve = items.iter().find_map(tagged)?;
    Some(on_curve(&curve))
}

fn pkcs8(der: &[u8]) -> Option<String> {
    let items = sequence(der)?;
    let [_, algorithm, contents, ..] = &items[..] else {
        return None;
    };
    of_algorithm(algorithm, contents.as_slice().ok()?)
}

/// Describes the key of a certificate with which no signature can be verified; `None` if it can.
pub(super) fn unverifiable(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let items = sequence(key.raw)?;
    let described = of_algorithm(items.first()?, &key.subject_public_key.data)?;
    (!is_usable(&described)).then_some(described)
}

fn is_usable(described: &str) -> bool {
    match bits_of_rsa(described) {
        Some(bits) => (2048..=8192).contains(&bits),
        None => {
            described == ALGORITHMS[0].1
                || described == ALGORITHMS[5].1
                || CURVES[..3].iter().any(|(id, _)| described == on_curve(id))
        }
    }
}

fn bits_of_rsa(described: &str) -> Option<u32> {
    let bits = described.strip_prefix("an RSA key of ")?;
    bits.strip_suffix(" bits")?.parse().ok()
}

/// Describes a key by its algorithm identifier, and its contents: of RSA, they have its size.
fn of_algorithm(algorithm: &DerObject<'_>, contents: &[u8]) -> Option<String> {
    let algorithm = algorithm.as_sequence().ok()?;
    let name = algorithm.first()?.as_oid().ok()?.to_id_string();
    match name.as_str() {
        RSA => rsa(&sequence(contents)?),
        EC => Some(on_named_curve(algorithm.get(1))),
        other => Some(of_another_algorithm(other)),
    }
}

fn on_named_curve(parameters: Option<&DerObject<'_>>) -> String {
    match parameters.and_then(|it| it.as_oid().ok()) {
        Some(curve) => on_curve(&curve.to_id_string()),
        None => "an ECDSA key on a curve without a name".into(),
    }
}

fn of_another_algorithm(id: &str) -> String {
    match ALGORITHMS.iter().find(|(known, _)| *known == id) {
        Some((_, words)) => (*words).into(),
        None => format!("a key of the algorithm {id}"),
    }
}

/// Describes an RSA key. Its modulus is the largest of the first two numbers, of which a private
/// key has its version first.
fn rsa(numbers: &[DerObject<'_>]) -> Option<String> {
    let numbers = numbers.iter().take(2);
    let numbers = numbers.filter_map(|number| number.as_slice().ok());
    let modulus = numbers.max_by_key(|bytes| bytes.len())?;
    let modulus = without_zeros(modulus);
    let bits = 8 * modulus.len() - modulus.first()?.leading_zeros() as usize;
    Some(format!("an RSA key of {bits} bits"))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn on_curve(id: &str) -> String {
    match CURVES.iter().find(|(curve, _)| *curve == id) {
        Some((_, name)) => format!("an ECDSA key on {name}"),
        None => format!("an ECDSA key on the curve {id}"),
    }
}

/// Returns the curve in the parameters of a key in the form of SEC 1: `[0] EXPLICIT`.
fn tagged(item: &DerObject<'_>) -> Option<String> {
    match &item.content {
        DerObjectContent::Unknown(any) if any.header.tag().0 == 0 => {
            let (_, inner) = parse_der(any.data).ok()?;
            Some(inner.as_oid().ok()?.to_id_string())
        }
        _ => None,
    }
}

fn sequence(der: &[u8]) -> Option<Vec<DerObject<'_>>> {
    let (_, object) = parse_der(der).ok()?;
    object.as_sequence().ok().cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
        PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
    };
    use rustls::pki_types::{PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

    fn described(key: &KeyPair) -> String {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        describe(&PrivateKeyDer::Pkcs8(key)).unwrap()
    }

    #[test]
    fn keys_that_can_be_used_are_known_as_such() {
        for (algorithm, expected) in [
            (&PKCS_ECDSA_P256_SHA256, "an ECDSA key on P-256"),
            (&PKCS_ECDSA_P384_SHA384, "an ECDSA key on P-384"),
            (&PKCS_ECDSA_P521_SHA512, "an ECDSA key on P-521"),
            (&PKCS_ED25519, "an Ed25519 key"),
        ] {
            let found = described(&KeyPair::generate_for(algorithm).unwrap());
            assert_eq!(found, expected);
            assert!(is_usable(&found));
        }
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        assert_eq!(described(&rsa), "an RSA key of 2048 bits");
        assert!(is_usable("an RSA key of 2048 bits"));
    }

    #[test]
    fn others_are_named_in_each_form() {
        // OBJECT IDENTIFIER secp256k1, as the parameters of a key.
        let curve = b"\x06\x05\x2b\x81\x04\x00\x0a";
        let sec1 = [b"\x30\x0f\x02\x01\x01\x04\x01\x01\xa0\x07", &curve[..]].concat();
        let ec = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
        let pkcs8 = [
            b"\x30\x18\x02\x01\x00\x30\x10",
            &ec[..],
            curve,
            b"\x04\x01\x00",
        ]
        .concat();
        let pkcs1 = b"\x30\x09\x02\x01\x00\x02\x04\x00\xff\x00\x01".to_vec();
        for (key, expected) in [
            (
                PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(sec1)),
                "an ECDSA key on secp256k1",
            ),
            (
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8)),
                "an ECDSA key on secp256k1",
            ),
            (
                PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(pkcs1)),
                "an RSA key of 24 bits",
            ),
        ] {
            assert_eq!(describe(&key).as_deref(), Some(expected));
            assert!(!is_usable(expected), "{expected}");
        }
    }
}
