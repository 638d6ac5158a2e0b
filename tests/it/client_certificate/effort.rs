//! How much work a chain may cause before it is trusted.
//!
//! | fault, and the kind it stands for | test |
//! |---|---|
//! | a chain that may be gone through in many ways was gone through for each request, before its path was looked at: work without end before authentication | `a_knot_of_certificates_costs_no_more_than_none`, `chains_have_bounds`, `what_has_no_route_or_comes_too_often_is_not_judged` |

use super::{ALERT, Scene, VERSIONS};
use crate::support::{Leaf, Origin, Pki, Proxy, Sender, WEBHOOK, eventually, subject};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_ED25519,
};
use rustls::pki_types::CertificateDer;

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
        let before = proxy.processor_time();
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
        proxy.processor_time() - before
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
    // Each with a certificate of its own, for one that is let in is known from then on. The request
    // before it takes what may come in this second; on a slow machine there may be more by then.
    let late = eventually("a request over the limit", || {
        count += 1;
        anyone.post(ALERT);
        let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
        let id = format!("late-{count}");
        let headers = format!("X-Request-Id: {id}\r\n");
        let answer = sender.send("POST", WEBHOOK, &headers, ALERT).unwrap();
        (answer.code() == "rate_limited").then_some(id)
    });
    assert!(
        !proxy
            .wait_for_log(&format!("request_id=\"{late}\""))
            .contains(name)
    );
}
