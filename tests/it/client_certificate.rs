//! Which certificates a client gets through with, in every mode.
//!
//! | fault, and the kind it stands for | test |
//! |---|---|
//! | the key usage was never looked at: a certificate for encryption alone authenticated, and an authority that may issue none did | `key_usage_holds_along_the_path` |
//! | a chain that may be gone through in many ways was gone through for each request, before its path was looked at: work without end before authentication | `a_knot_of_certificates_costs_no_more_than_none`, `chains_have_bounds`, `what_has_no_route_or_comes_too_often_is_not_judged` |
//! | a client with an RSA key for RSASSA-PSS alone was told that it had no certificate: it was not asked for one | `an_rsa_key_for_pss_alone_is_a_key` |
//! | what was judged was what was sent, not the path that was found: a certificate beside it decided | `what_is_beside_the_path_decides_nothing` |

use crate::support::{
    Answer, Edit as _, Http2, Leaf, NETDATA, Origin, Pki, Proxy, Sender, WEBHOOK,
    another_common_name, critical_unknown_extension, eventually, subject,
};
use netdata_webhook_proxy::internals::CrlCoverage;
use netdata_webhook_proxy::internals::Presented;
use netdata_webhook_proxy::internals::Trust;
use netdata_webhook_proxy::{ClientTrust, Verify};
use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use time::{Duration, OffsetDateTime};

const ALERT: &str = "{\"alert\":\"x\"}";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// The same application behind both modes.
struct Scene {
    origin: Origin,
    require: Proxy,
    request: Proxy,
}

impl Scene {
    fn new() -> Self {
        let origin = Origin::spawn();
        let require = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
        let request = Proxy::in_front_of(&origin, Pki::shared(), "request", "");
        Self {
            origin,
            require,
            request,
        }
    }

    fn post(
        proxy: &Proxy,
        leaf: Option<&Leaf>,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<Answer> {
        Sender::with_versions(proxy, leaf, &[version]).send("POST", WEBHOOK, "", ALERT)
    }

    /// Passes in both modes, over both versions of TLS.
    #[track_caller]
    fn accepts(&self, what: &str, leaf: &Leaf) {
        for proxy in [&self.require, &self.request] {
            for version in VERSIONS {
                let answer = Self::post(proxy, Some(leaf), version)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(answer.status, 200, "{what} {version:?}: {answer:?}");
            }
        }
    }

    /// The chain is good and the name is not: 403 in both modes.
    #[track_caller]
    fn refuses_name(&self, leaf: &Leaf) {
        for proxy in [&self.require, &self.request] {
            for version in VERSIONS {
                Self::post(proxy, Some(leaf), version)
                    .unwrap()
                    .refuses(403, "common_name_mismatch");
            }
        }
    }

    /// No handshake in the one mode, and an explanation in the other.
    #[track_caller]
    fn refuses_chain(&self, what: &str, leaf: &Leaf) {
        for version in VERSIONS {
            let refused = Self::post(&self.require, Some(leaf), version);
            assert!(refused.is_err(), "{what} {version:?}: {refused:?}");
            match Self::post(&self.request, Some(leaf), version) {
                Ok(answer) => answer.refuses(403, "client_certificate_invalid"),
                // Where the certificate cannot be read, neither can its key be used: no proof, no
                // handshake.
                Err(error) => assert!(what.contains("critical"), "{what} {version:?}: {error}"),
            }
        }
    }
}

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
    scene.refuses_chain(
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

/// So many certificates of one name, each of which may have issued each, and a leaf below them.
fn knot(count: usize) -> Leaf {
    let params = || {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&[(DnType::CommonName, "Knot".into())]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let issuer = Issuer::new(params(), KeyPair::generate().unwrap());
    let mut leaf = Pki::shared().self_signed();
    leaf.chain = vec![
        CertificateParams::default()
            .signed_by(&leaf.public_key(), &issuer)
            .unwrap()
            .der()
            .clone(),
    ];
    for _ in 0..count {
        leaf.chain.push(
            params()
                .signed_by(&KeyPair::generate().unwrap(), &issuer)
                .unwrap()
                .der()
                .clone(),
        );
    }
    leaf
}

#[test]
fn chains_have_bounds() {
    let (pki, scene) = (Pki::shared(), Scene::new());
    let beside = knot(9).chain;
    let with = |above: &[CertificateDer<'static>]| {
        let mut leaf = pki.netdata();
        leaf.chain.extend_from_slice(above);
        leaf
    };
    scene.accepts("as many as there may be", &with(&beside[..9]));
    // Ed25519 signatures are all of one length, so that the certificate's is known.
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let padded = |bytes: usize| {
        let mut params = CertificateParams::default();
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(
                &[1, 3, 6, 1, 4, 1, 99999, 2],
                vec![0; bytes],
            ));
        params.serial_number = Some(7_u64.into());
        params.self_signed(&key).unwrap().der().clone()
    };
    let bare = padded(20_000).len() - 20_000;
    let of_size = |total: usize| {
        let mut leaf = pki.netdata();
        let left = total - leaf.chain[0].len() - bare;
        leaf.chain.push(padded(left));
        assert_eq!(leaf.chain.iter().map(|der| der.len()).sum::<usize>(), total);
        leaf
    };
    scene.accepts("as much as there may be", &of_size(32 * 1024));
    for (what, leaf) in [
        ("too many", with(&beside)),
        ("too much", of_size(32 * 1024 + 1)),
        ("a knot", knot(120)),
    ] {
        for proxy in [&scene.require, &scene.request] {
            let before = proxy
                .log()
                .iter()
                .filter(|line| line.contains("certificate_chain_too_long"))
                .count();
            for version in VERSIONS {
                assert!(
                    Scene::post(proxy, Some(&leaf), version).is_err(),
                    "{what} {version:?}"
                );
            }
            proxy.wait_for_logs("certificate_chain_too_long", before + 2);
        }
    }
}

/// What a process has taken of the processors, in hundredths of a second.
fn processor_time(proxy: &Proxy) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.id())).unwrap();
    // Behind the name, which is in parentheses and may be anything.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

#[test]
fn a_knot_of_certificates_costs_no_more_than_none() {
    const CONNECTIONS: usize = 8;
    const REQUESTS: usize = 150;

    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "request", "") + "[log]\naccess = false\n";
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let knot = knot(9);
    // Of connections with this certificate, or without one, each of whose requests is refused.
    let attack = |leaf: Option<&Leaf>| {
        let before = processor_time(&proxy);
        let good = Sender::to(&proxy, Some(&Pki::shared().netdata()));
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut connection = Sender::to(&proxy, leaf).connect().unwrap();
                    for _ in 0..REQUESTS {
                        assert_eq!(connection.post(ALERT).unwrap().status, 403);
                        assert_eq!(
                            connection
                                .send("POST", "/nowhere", "", ALERT)
                                .unwrap()
                                .status,
                            404
                        );
                    }
                });
            }
            // Meanwhile, others are served.
            let mut connection = good.connect().unwrap();
            for _ in 0..20 {
                assert_eq!(
                    connection
                        .send("GET", &format!("{WEBHOOK}?crc_token=abc"), "", "")
                        .unwrap()
                        .status,
                    200
                );
            }
        });
        processor_time(&proxy) - before
    };
    // The first time, what is used for the first time takes its time.
    attack(None);
    let (without, with) = (attack(None), attack(Some(&knot)));
    assert!(
        with < without * 3 / 2 + 20,
        "{with} hundredths of a second, and {without} without"
    );
    origin.received_nothing();
}

/// Nothing is known of a certificate that has not been looked at; a line of the log says what is
/// known.
#[test]
fn what_has_no_route_or_comes_too_often_is_not_judged() {
    let origin = Origin::spawn();
    let config = |limit: &str| Proxy::config(&origin, "request", "") + limit;
    let name = "client_cn=\"app.netdata.cloud\"";
    let proxy = Proxy::spawn(Pki::shared(), &config(""));
    let mut connection = Sender::to(&proxy, Some(&Pki::shared().netdata()))
        .connect()
        .unwrap();
    connection
        .send("POST", "/nowhere", "X-Request-Id: first\r\n", ALERT)
        .unwrap()
        .refuses(404, "not_found");
    assert!(!proxy.wait_for_log("request_id=\"first\"").contains(name));
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    connection
        .send("POST", "/nowhere", "X-Request-Id: second\r\n", ALERT)
        .unwrap()
        .refuses(404, "not_found");
    assert!(proxy.wait_for_log("request_id=\"second\"").contains(name));

    let proxy = Proxy::spawn(
        Pki::shared(),
        &config("[limits]\nrequests_per_second = 1\n"),
    );
    let anyone = Sender::to(&proxy, None);
    let mut count = 0;
    // Each with a certificate of its own, for one that is let in is known from then on.
    let late = eventually("a request over the limit", || {
        count += 1;
        assert!([403, 429].contains(&anyone.post(ALERT).status));
        let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
        let id = format!("late-{count}");
        let answer = sender
            .send("POST", WEBHOOK, &format!("X-Request-Id: {id}\r\n"), ALERT)
            .unwrap();
        (answer.status == 429).then_some(id)
    });
    assert!(
        !proxy
            .wait_for_log(&format!("request_id=\"{late}\""))
            .contains(name)
    );
}

/// A key as RSASSA-PSS has it, in a client whose library knows nothing of that either.
#[derive(Debug)]
struct PssKey(Arc<dyn SigningKey>);

#[derive(Debug)]
struct PssSigner(Box<dyn Signer>, SignatureScheme);

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
    pki.write("ca.pem", include_str!("support/pss/ca.pem"));
    let files = [
        (
            "any",
            include_str!("support/pss/any.pem"),
            include_str!("support/pss/any.rsa.key"),
        ),
        (
            "sha384",
            include_str!("support/pss/sha384.pem"),
            include_str!("support/pss/sha384.rsa.key"),
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

/// rcgen makes nothing weak, so these were made with OpenSSL, by an authority whose key is gone.
#[test]
fn weak_signatures_and_old_certificates_are_not_trusted() {
    let read = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let trust = Trust::new(&ClientTrust {
        verify: Verify::Request,
        authorities: vec![read(include_str!("support/weak/ca.pem"))],
        revocation_lists: Vec::new(),
        crl_coverage: CrlCoverage::All,
        common_names: vec![NETDATA.into()],
    });
    let trust = trust.unwrap();
    let good = trust.judge(&[read(include_str!("support/weak/good.pem"))]);
    assert!(matches!(good, Presented::Trusted(_)), "{good:?}");
    for weak in [
        include_str!("support/weak/sha1.pem"),
        include_str!("support/weak/md5.pem"),
        include_str!("support/weak/version1.pem"),
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
        "reason=\"The certificate's signature is not its issuer's.\"",
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

#[test]
fn no_server_name_and_no_host_changes_the_verdict() {
    let scene = Scene::new();
    for enable_sni in [true, false] {
        for host in [
            "localhost",
            "LOCALHOST.",
            "127.0.0.1",
            "other.example",
            "[::1]:1",
        ] {
            let mut sender = Sender::to(&scene.request, Some(&Pki::shared().named("evil")));
            Arc::get_mut(&mut sender.config).unwrap().enable_sni = enable_sni;
            let request =
                format!("POST {WEBHOOK} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}");
            sender
                .raw(request.as_bytes())
                .unwrap()
                .refuses(403, "common_name_mismatch");
        }
    }
    scene.origin.received_nothing();
}

#[test]
fn nobody_is_asked_where_verification_is_off() {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "off", "auth = \"none\"");
    assert_eq!(Sender::to(&proxy, None).post(ALERT).status, 200);
    assert_eq!(origin.received_one().header("X-Netdata-Verified"), "");
    assert_eq!(asked(&proxy), None);
}

#[test]
fn exactly_the_configured_authorities_are_named() {
    let scene = Scene::new();
    let (_, authority) = x509_parser::parse_x509_certificate(Pki::shared().authority()).unwrap();
    let subject = authority.subject().as_raw().to_vec();
    for proxy in [&scene.require, &scene.request] {
        assert_eq!(asked(proxy), Some(vec![subject.clone()]));
    }
}

#[test]
fn netdatas_own_authority_is_built_in() {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "").edit("ca = \"ca.pem\"\n", "");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let names = asked(&proxy).unwrap();
    assert_eq!(names.len(), 1);
    assert!(String::from_utf8_lossy(&names[0]).contains("Netdata Root CA"));
    assert!(
        Scene::post(
            &proxy,
            Some(&Pki::shared().netdata()),
            &rustls::version::TLS13
        )
        .is_err()
    );
    origin.received_nothing();
}

#[test]
fn only_new_versions_are_spoken_where_that_is_said() {
    let origin = Origin::spawn();
    let config =
        Proxy::config(&origin, "require", "").edit("[tls]\n", "[tls]\nmin_version = \"1.3\"\n");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let leaf = Pki::shared().netdata();
    assert!(Scene::post(&proxy, Some(&leaf), &rustls::version::TLS12).is_err());
    assert_eq!(
        Scene::post(&proxy, Some(&leaf), &rustls::version::TLS13)
            .unwrap()
            .status,
        200
    );
}

#[test]
fn http2_is_not_offered_where_that_is_said() {
    let origin = Origin::spawn();
    let config =
        Proxy::config(&origin, "require", "").edit("[listen]\n", "[listen]\nhttp2 = false\n");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    assert!(Http2::connect(&sender).is_err());
    assert_eq!(sender.post(ALERT).status, 200);
}

/// The names of the authorities in the request for a certificate, if there is one.
fn asked(proxy: &Proxy) -> Option<Vec<Vec<u8>>> {
    #[derive(Debug, Default)]
    struct Asked(Mutex<Option<Vec<Vec<u8>>>>);

    impl ResolvesClientCert for Asked {
        fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            *self.0.lock().unwrap() = Some(hints.iter().map(|hint| hint.to_vec()).collect());
            None
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    let asked = Arc::new(Asked::default());
    let mut sender = Sender::to(proxy, None);
    Arc::get_mut(&mut sender.config)
        .unwrap()
        .client_auth_cert_resolver = asked.clone();
    let socket = eventually("a connection", || TcpStream::connect(sender.address).ok());
    // Whether the request is answered is another matter.
    let _ = sender.connect_to(socket).unwrap().post(ALERT);
    asked.0.lock().unwrap().take()
}
