//! Certificates that no client gets through with.
//!
//! | fault, and the kind it stands for | test |
//! |---|---|
//! | the key usage was never looked at: a certificate for encryption alone authenticated, and an authority that may issue none did | `key_usage_holds_along_the_path` |
//! | what was judged was what was sent, not the path that was found: a certificate beside it decided | `what_is_beside_the_path_decides_nothing` |

use super::{ALERT, Scene, VERSIONS};
use crate::support::{
    NETDATA, Pki, Sender, WEBHOOK, another_common_name, critical_unknown_extension, subject,
};
use netdata_webhook_proxy::internals::{CrlCoverage, Presented, Trust};
use netdata_webhook_proxy::{ClientTrust, Verify};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_RSA_SHA256, RsaKeySize,
    SanType,
};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

#[test]
fn forged_names_do_not_get_through() {
    let (pki, scene) = (Pki::shared(), Scene::new());
    let of = |attributes: Vec<(DnType, DnValue)>| {
        pki.leaf(|params| params.distinguished_name = subject(&attributes))
    };
    for name in [
        "app.netdata.cloud.evil.example",
        "appXnetdataYcloud",
        "app.netdata.cloud\0",
        "app.netdata.cloud\0.evil.example",
        "app.netdata.cloud ",
        "APP.netdata.cloud",
        "api.netdata.cloud",
        "evil",
    ] {
        scene.refuses_name(&pki.named(name));
    }
    let evil = || (DnType::CommonName, "evil".into());
    scene.refuses_name(&of(vec![
        (
            DnType::OrganizationalUnitName,
            "CN=app.netdata.cloud".into(),
        ),
        evil(),
    ]));
    scene.refuses_name(&of(vec![
        (DnType::OrganizationName, "x,CN=app.netdata.cloud".into()),
        evil(),
    ]));
    scene.refuses_name(&of(vec![(DnType::OrganizationName, NETDATA.into())]));
    scene.refuses_name(&of(vec![
        (DnType::CommonName, NETDATA.into()),
        (another_common_name(), "evil".into()),
    ]));
    scene.refuses_name(&of(vec![evil(), (another_common_name(), NETDATA.into())]));
    scene.origin.received_nothing();
}

#[test]
fn chains_that_are_not_trusted_do_not_get_through() {
    let (pki, scene) = (Pki::shared(), Scene::new());
    let now = OffsetDateTime::now_utc();
    scene.refuses_chain("a foreign authority", &Pki::of("Other Root CA").netdata());
    scene.refuses_chain("an authority of the same name", &pki.impostor());
    scene.refuses_chain("self-signed", &pki.self_signed());
    scene.refuses_chain(
        "expired",
        &pki.leaf(|params| params.not_after = now - Duration::minutes(1)),
    );
    scene.refuses_chain(
        "not yet valid",
        &pki.leaf(|params| params.not_before = now + Duration::hours(1)),
    );
    for (what, usage) in [
        ("server", ExtendedKeyUsagePurpose::ServerAuth),
        ("e-mail", ExtendedKeyUsagePurpose::EmailProtection),
    ] {
        scene.refuses_chain(
            what,
            &pki.leaf(|params| params.extended_key_usages = vec![usage]),
        );
    }
    scene.refuses_chain(
        "an authority's own",
        &pki.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
    );
    scene.cannot_read(
        "an unknown critical extension",
        &pki.leaf(|p| p.custom_extensions.push(critical_unknown_extension())),
    );
    scene.refuses_chain(
        "an intermediate that is none",
        &pki.below(1, |params| params.is_ca = IsCa::ExplicitNoCa),
    );
    let constrained =
        |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    scene.refuses_chain("a path that is too long", &pki.below(2, constrained));
    let elsewhere = |params: &mut CertificateParams| {
        let permitted_subtrees = vec![GeneralSubtree::DirectoryName(subject(&[(
            DnType::OrganizationName,
            "Other".into(),
        )]))];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees,
            excluded_subtrees: Vec::new(),
        });
    };
    scene.refuses_chain("a name that is not permitted", &pki.below(1, elsewhere));
    let mut missing = pki.below(2, |_| {});
    missing.chain.remove(1);
    scene.refuses_chain("a missing intermediate", &missing);
    scene.refuses_chain("a chain that is too deep", &pki.below(8, |_| {}));
    scene.origin.received_nothing();
}

#[test]
fn key_usage_holds_along_the_path() {
    use KeyUsagePurpose as Usage;

    let (pki, scene) = (Pki::shared(), Scene::new());
    let with = |usages: &[Usage]| pki.leaf(|params| params.key_usages = usages.to_vec());
    scene.accepts("signatures", &with(&[Usage::DigitalSignature]));
    scene.accepts(
        "signatures, and more",
        &with(&[Usage::KeyEncipherment, Usage::DigitalSignature]),
    );
    for usage in [
        Usage::ContentCommitment,
        Usage::KeyEncipherment,
        Usage::DataEncipherment,
        Usage::KeyAgreement,
        Usage::KeyCertSign,
        Usage::CrlSign,
        Usage::EncipherOnly,
        Usage::DecipherOnly,
    ] {
        scene.refuses_chain("a key for something else", &with(&[usage]));
    }
    let key = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let rsa = pki.leaf_with_key(key(), |params| {
        params.key_usages = vec![Usage::KeyEncipherment]
    });
    scene.refuses_chain("an RSA key for encryption alone", &rsa);
    let line = scene
        .require
        .wait_for_log("does not allow signatures (digitalSignature)");
    assert!(line.contains("certificate_key_usage"), "{line}");
    for depth in [1, 2] {
        scene.accepts(
            "an authority without a key usage",
            &pki.below(depth, |params| params.key_usages.clear()),
        );
        scene.accepts(
            "an authority that issues",
            &pki.below(depth, |params| params.key_usages = vec![Usage::KeyCertSign]),
        );
        for usages in [
            &[Usage::CrlSign][..],
            &[Usage::DigitalSignature],
            &[Usage::DigitalSignature, Usage::CrlSign],
        ] {
            let below = pki.below(depth, |params| params.key_usages = usages.to_vec());
            scene.refuses_chain("an authority that may not issue", &below);
        }
    }
    let line = scene
        .require
        .wait_for_log("does not allow it to issue certificates (keyCertSign)");
    assert!(
        line.contains("Intermediate 0") && line.contains("certificate_key_usage"),
        "{line}"
    );
    // What cannot be read allows nothing.
    let unreadable = |params: &mut CertificateParams| {
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(
                &[2, 5, 29, 15],
                vec![5, 0],
            ));
    };
    scene.refuses_chain("a key usage that cannot be read", &pki.leaf(unreadable));
}

#[test]
fn what_is_beside_the_path_decides_nothing() {
    let (pki, scene) = (Pki::shared(), Scene::new());
    // One authority, certified twice: once so that it may issue, and once not.
    let intermediate = Pki::new();
    let certify = |usages: &[KeyUsagePurpose]| {
        pki.cross_sign(&intermediate, |params| params.key_usages = usages.to_vec())
    };
    let (good, bad) = (
        certify(&[KeyUsagePurpose::KeyCertSign]),
        certify(&[KeyUsagePurpose::CrlSign]),
    );
    let expired = pki.cross_sign(&intermediate, |params| {
        params.not_after = OffsetDateTime::now_utc() - Duration::days(1)
    });
    let sent = |above: &[&CertificateDer<'static>]| {
        let mut leaf = intermediate.netdata();
        leaf.chain.extend(above.iter().map(|der| (*der).clone()));
        leaf
    };
    scene.accepts("the good one", &sent(&[&good]));
    scene.accepts("the bad one first", &sent(&[&bad, &good]));
    scene.accepts("an expired one first", &sent(&[&expired, &good]));
    scene.accepts("the bad ones last", &sent(&[&good, &bad, &expired]));
    scene.refuses_chain("the bad one", &sent(&[&bad]));
    scene.refuses_chain("the bad ones", &sent(&[&bad, &expired]));
}

/// The manual says so, too: what cannot be compared is not allowed.
#[test]
fn limits_on_names_that_cannot_be_compared_are_refused_and_named() {
    let (pki, scene) = (Pki::shared(), Scene::new());
    let limit = |subtree: fn() -> GeneralSubtree| {
        move |params: &mut CertificateParams| {
            let permitted_subtrees = vec![subtree()];
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees,
                excluded_subtrees: Vec::new(),
            });
        }
    };
    let named = |name: fn() -> SanType| {
        move |params: &mut CertificateParams| params.subject_alt_names = vec![name()]
    };
    let host = || SanType::DnsName("app.netdata.cloud".try_into().unwrap());
    let mail = || SanType::Rfc822Name("a@netdata.cloud".try_into().unwrap());
    let of_host = || GeneralSubtree::DnsName("netdata.cloud".into());
    let of_mail = || GeneralSubtree::Rfc822Name("netdata.cloud".into());
    scene.accepts(
        "a permitted host",
        &pki.issued_below(1, limit(of_host), named(host)),
    );
    scene.accepts(
        "a limit on what it has not",
        &pki.issued_below(1, limit(of_mail), named(host)),
    );
    scene.refuses_chain(
        "a permitted address",
        &pki.issued_below(1, limit(of_mail), named(mail)),
    );
    scene.require.wait_for_log(
        "limits names of a kind that cannot be compared here, such as e-mail addresses",
    );
}

/// rcgen makes nothing weak, so these were made with OpenSSL, by an authority whose key is gone.
#[test]
fn weak_signatures_and_old_certificates_are_not_trusted() {
    let read = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let trust = Trust::new(&ClientTrust {
        verify: Verify::Request,
        authorities: vec![read(include_str!("../support/weak/ca.pem"))],
        revocation_lists: Vec::new(),
        crl_coverage: CrlCoverage::All,
        common_names: vec![NETDATA.into()],
    });
    let trust = trust.unwrap();
    let good = trust.judge(&[read(include_str!("../support/weak/good.pem"))]);
    assert!(matches!(good, Presented::Trusted(_)), "{good:?}");
    for weak in [
        include_str!("../support/weak/sha1.pem"),
        include_str!("../support/weak/md5.pem"),
        include_str!("../support/weak/version1.pem"),
    ] {
        let verdict = trust.judge(&[read(weak)]);
        assert!(matches!(verdict, Presented::Untrusted(_)), "{verdict:?}");
    }
}

#[test]
fn without_a_certificate_nobody_gets_through() {
    let scene = Scene::new();
    for version in VERSIONS {
        assert!(Scene::post(&scene.require, None, version).is_err());
        Scene::post(&scene.request, None, version)
            .unwrap()
            .refuses(403, "client_certificate_missing");
    }
    Sender::to(&scene.request, None)
        .get("?crc_token=abc")
        .refuses(403, "client_certificate_missing");
    scene.origin.received_nothing();
}

#[test]
fn a_refused_handshake_is_one_line_with_everything_in_it() {
    let scene = Scene::new();
    let stranger = Pki::new().leaf(|params| params.serial_number = Some(0x1234_5678_u64.into()));
    assert!(Scene::post(&scene.require, Some(&stranger), &rustls::version::TLS13).is_err());
    let line = scene.require.wait_for_event("handshake_refused");
    for part in [
        "remote_addr=127.0.0.1",
        "reason=\"The certificate names a trusted authority as its issuer, but has the signature of another key.\"",
        "subject=\"O=Netdata, Inc., CN=app.netdata.cloud\"",
        "issuer=\"O=Test, CN=Test Root CA\"",
        "serial=\"12345678\"",
        "fingerprint=\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(Scene::post(&scene.require, None, &rustls::version::TLS13).is_err());
    scene
        .require
        .wait_for_log("No client certificate was presented.");
}

/// Netdata's certificate is no secret; its key is.
#[test]
fn a_certificate_without_its_key_is_worth_nothing() {
    #[derive(Debug)]
    struct Stolen(Arc<CertifiedKey>);

    impl ResolvesClientCert for Stolen {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    let scene = Scene::new();
    let (netdata, thief) = (Pki::shared().netdata(), Pki::shared().netdata());
    let key = any_supported_type(&thief.key()).unwrap();
    let stolen = Arc::new(Stolen(Arc::new(CertifiedKey::new(netdata.chain, key))));
    for proxy in [&scene.require, &scene.request] {
        for version in VERSIONS {
            let mut sender = Sender::with_versions(proxy, None, &[version]);
            Arc::get_mut(&mut sender.config)
                .unwrap()
                .client_auth_cert_resolver = stolen.clone();
            assert!(
                sender.send("POST", WEBHOOK, "", ALERT).is_err(),
                "{version:?}"
            );
            let line = proxy.wait_for_log("does not prove that it holds the certificate's key");
            assert!(
                line.contains("subject=\"O=Netdata, Inc., CN=app.netdata.cloud\""),
                "{line}"
            );
        }
    }
    scene.origin.received_nothing();
}

#[test]
fn a_refused_client_sees_the_alert() {
    let scene = Scene::new();
    let refused = Scene::post(&scene.require, None, &rustls::version::TLS13).unwrap_err();
    assert!(
        refused.to_string().contains("CertificateRequired"),
        "{refused}"
    );
}
