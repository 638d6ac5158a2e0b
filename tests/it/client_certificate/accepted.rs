//! Certificates that a client gets through with, whatever their key, chain and encoding.

use super::{ALERT, Scene};
use crate::support::{Http2, NETDATA, Origin, Pki, Proxy, Sender, WEBHOOK, subject};
use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
use rcgen::{
    DnType, DnValue, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;

#[test]
fn every_kind_of_key_and_chain_is_accepted() {
    let (pki, scene) = (Pki::shared(), Scene::new());
    scene.accepts("ECDSA P-256", &pki.netdata());
    scene.accepts("RSA", &pki.rsa());
    scene.accepts(
        "ECDSA P-384",
        &pki.leaf_with_key(
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            |_| {},
        ),
    );
    scene.accepts(
        "Ed25519",
        &pki.leaf_with_key(KeyPair::generate_for(&PKCS_ED25519).unwrap(), |_| {}),
    );
    scene.accepts("one intermediate", &pki.below(1, |_| {}));
    scene.accepts("two intermediates", &pki.below(2, |_| {}));
    scene.accepts(
        "no extended key usage",
        &pki.leaf(|params| params.extended_key_usages.clear()),
    );
    let both = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    scene.accepts(
        "both usages",
        &pki.leaf(|params| params.extended_key_usages = both),
    );
}

#[test]
fn both_protocols_are_accepted() {
    let scene = Scene::new();
    for proxy in [&scene.require, &scene.request] {
        let sender = Sender::to(proxy, Some(&Pki::shared().netdata()));
        assert_eq!(
            Http2::connect(&sender).unwrap().post(ALERT).unwrap().status,
            200
        );
        let forger = Sender::to(proxy, Some(&Pki::shared().named("evil")));
        Http2::connect(&forger)
            .unwrap()
            .post(ALERT)
            .unwrap()
            .refuses(403, "common_name_mismatch");
    }
    assert_eq!(scene.origin.received().len(), 2);
}

#[test]
fn the_encoding_of_the_name_does_not_matter() {
    let scene = Scene::new();
    for value in [
        DnValue::PrintableString(PrintableString::try_from(NETDATA).unwrap()),
        DnValue::Ia5String(Ia5String::try_from(NETDATA).unwrap()),
        DnValue::TeletexString(TeletexString::try_from(NETDATA).unwrap()),
        DnValue::BmpString(BmpString::try_from(NETDATA).unwrap()),
        DnValue::UniversalString(UniversalString::try_from(NETDATA).unwrap()),
    ] {
        let leaf = Pki::shared()
            .leaf(|params| params.distinguished_name = subject(&[(DnType::CommonName, value)]));
        scene.accepts("an encoding", &leaf);
    }
}

/// A key as RSASSA-PSS has it, in a client whose library knows nothing of that either.
#[derive(Debug)]
struct PssKey(Arc<dyn SigningKey>);

impl SigningKey for PssKey {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        // rustls leaves out of what was offered what it does not know. This key may be for one hash
        // alone.
        let signer = self.0.choose_scheme(&[SignatureScheme::RSA_PSS_SHA384])?;
        Some(Box::new(PssSigner(signer, SignatureScheme::from(0x080a))))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

#[derive(Debug)]
struct PssSigner(Box<dyn Signer>, SignatureScheme);

impl Signer for PssSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.1
    }
}

#[test]
fn an_rsa_key_for_pss_alone_is_a_key() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    pki.write("ca.pem", include_str!("../support/pss/ca.pem"));
    let files = [
        (
            "any",
            include_str!("../support/pss/any.pem"),
            include_str!("../support/pss/any.rsa.key"),
        ),
        (
            "sha384",
            include_str!("../support/pss/sha384.pem"),
            include_str!("../support/pss/sha384.rsa.key"),
        ),
    ];
    for verify in ["require", "request"] {
        let proxy = Proxy::in_front_of(&origin, &pki, verify, "");
        let [any, sha384] = files.map(|(_, certificate, key)| {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let key = Arc::new(PssKey(any_supported_type(&key).unwrap()));
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            Arc::new(CertifiedKey::new(chain, key))
        });
        let post = |certified: &Arc<CertifiedKey>| {
            let mut sender = Sender::with_versions(&proxy, None, &[&rustls::version::TLS13]);
            Arc::get_mut(&mut sender.config)
                .unwrap()
                .client_auth_cert_resolver =
                Arc::new(SingleCertAndKey::from(CertifiedKey::clone(certified)));
            sender.send("POST", WEBHOOK, "", ALERT)
        };
        assert_eq!(post(&any).unwrap().status, 200);
        assert_eq!(post(&sha384).unwrap().status, 200);
        // With the certificate of one and the key of the other.
        let stolen = Arc::new(CertifiedKey::new(any.cert.clone(), sha384.key.clone()));
        assert!(post(&stolen).is_err());
        proxy.wait_for_log("does not prove that it holds the certificate's key");
    }
}
