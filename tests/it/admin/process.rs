//! The metrics of connections, reloads and certificates.

use super::{ADMIN, ALERT, Scene, handshakes, requests};
use crate::support::{Edit as _, Origin, Pki, Proxy, WEBHOOK, eventually};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use time::{Duration, OffsetDateTime};

#[test]
fn every_handshake_is_counted_by_its_end() {
    let pki = Pki::new();
    pki.write("crl.pem", &pki.revocation_list(&[7], Duration::days(1)));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"");
    let scene = Scene::spawn(
        &pki,
        &(config + ADMIN + "[limits]\nhandshake_timeout = \"500ms\"\n"),
        origin,
    );
    let expired =
        pki.leaf(|params| params.not_after = OffsetDateTime::now_utc() - Duration::days(1));
    let early =
        pki.leaf(|params| params.not_before = OffsetDateTime::now_utc() + Duration::days(1));
    let server = pki.leaf(|params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth]
    });
    let encryption =
        pki.leaf(|params| params.key_usages = vec![rcgen::KeyUsagePurpose::EncipherOnly]);
    for (leaf, reason) in [
        (None, "certificate_missing"),
        (Some(pki.impostor()), "certificate_untrusted"),
        (Some(expired), "certificate_expired"),
        (Some(early), "certificate_not_yet_valid"),
        (Some(server), "certificate_purpose"),
        (Some(encryption), "certificate_key_usage"),
        (
            Some(pki.leaf(|params| params.serial_number = Some(7_u64.into()))),
            "certificate_revoked",
        ),
        (Some(pki.below(1, |_| {})), "revocation_unknown"),
        (Some(pki.below(10, |_| {})), "certificate_chain_too_long"),
    ] {
        let sender = scene.sender(leaf.as_ref());
        scene.operator.moves(
            reason,
            || assert!(sender.send("POST", WEBHOOK, "", ALERT).is_err()),
            &[&handshakes("refused", reason)],
        );
        scene.proxy.wait_for_log(&format!("code=\"{reason}\""));
    }
    let connect = || TcpStream::connect(scene.proxy.address(0)).unwrap();
    let garbage = || {
        connect()
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap()
    };
    scene
        .operator
        .moves("no TLS", garbage, &[&handshakes("refused", "tls_error")]);
    let begun = || connect().write_all(b"\x16\x03").unwrap();
    scene.operator.moves(
        "a client that leaves",
        begun,
        &[&handshakes("refused", "closed")],
    );
    let silent = || assert!(connect().read(&mut [0]).is_ok());
    scene.operator.moves(
        "a client that says nothing",
        silent,
        &[&handshakes("refused", "timeout")],
    );
}

#[test]
fn connections_are_counted_while_they_last_and_when_they_are_refused() {
    let pki = Pki::shared();
    let scene = Scene::new(pki, "require", "[limits]\nmax_connections = 1\n");
    scene.operator.wait_for("connections", 0.0);
    let mut connection = scene.sender(Some(&pki.netdata())).connect().unwrap();
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    assert_eq!(scene.operator.metrics()["connections"], 1.0);
    scene
        .operator
        .wait_for(&requests(WEBHOOK, "forwarded", "ok"), 1.0);
    scene.operator.moves(
        "one connection too many",
        || {
            assert!(
                scene
                    .sender(Some(&pki.netdata()))
                    .send("POST", WEBHOOK, "", ALERT)
                    .is_err()
            )
        },
        &["connections_refused_total{reason=\"max_connections\"}"],
    );
    drop(connection);
    scene.operator.wait_for("connections", 0.0);
}

#[test]
fn reloads_are_counted_and_routes_that_are_gone_are_forgotten() {
    let pki = Pki::new();
    let scene = Scene::new(&pki, "require", "");
    assert_eq!(scene.sender(Some(&pki.netdata())).post(ALERT).status, 200);
    scene
        .operator
        .wait_for(&requests(WEBHOOK, "forwarded", "ok"), 1.0);
    let config = Proxy::config(&scene.origin, "require", "") + ADMIN;
    let reload = |outcome: &str| format!("reloads_total{{outcome=\"{outcome}\"}}");
    scene
        .operator
        .moves("a reload", || scene.proxy.reload(&config), &[&reload("ok")]);
    assert_eq!(
        scene.operator.metrics()[&requests(WEBHOOK, "forwarded", "ok")],
        1.0,
        "what goes on is kept"
    );
    scene.proxy.reload(&config.edit(ADMIN, ""));
    scene.proxy.wait_for_event("config_restart_required");
    scene.operator.moves(
        "a mistake",
        || drop(scene.proxy.refuses_to_reload("nonsense")),
        &[&reload("failed")],
    );
    scene.operator.moves(
        "a reload",
        || scene.proxy.reload(&config.edit(WEBHOOK, "/new")),
        &[&reload("ok")],
    );
    let metrics = scene.operator.metrics();
    assert!(
        !metrics.keys().any(|series| series.contains(WEBHOOK)),
        "{metrics:#?}"
    );
    assert_eq!(metrics[&requests("/new", "forwarded", "ok")], 0.0);
    assert_eq!(
        scene
            .sender(Some(&pki.netdata()))
            .send("POST", "/new", "", ALERT)
            .unwrap()
            .status,
        200
    );
    scene
        .operator
        .wait_for(&requests("/new", "forwarded", "ok"), 1.0);
}

#[test]
fn every_certificate_says_until_when_it_is_valid() {
    let pki = Pki::new();
    let due = OffsetDateTime::now_utc() + Duration::days(9);
    let leaf = pki.leaf(|params| params.not_after = due + Duration::days(1));
    pki.write("crl.pem", &pki.revocation_list(&[1], Duration::days(9)));
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[tls.client]", "[tls.client]\ncrl = \"crl.pem\"");
    let scene = Scene::spawn(&pki, &(config + ADMIN), origin);
    let until = |which: &str| {
        let series = format!("certificate_not_after_timestamp_seconds{{which=\"{which}\"}}");
        scene
            .operator
            .metrics()
            .get(&series)
            .map(|time| *time as i64)
    };
    let of_file = |name: &str| {
        let pem = std::fs::read(pki.path().join(name)).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        Some(certificate.validity().not_after.timestamp())
    };
    assert_eq!(until("server"), of_file("server.pem"));
    assert_eq!(until("ca"), of_file("ca.pem"));
    let crl = until("crl").unwrap();
    assert!((crl - due.unix_timestamp()).abs() < 60, "{crl}");
    assert_eq!(until("client_last_seen"), None, "nobody has been seen");
    assert_eq!(scene.sender(Some(&leaf)).post(ALERT).status, 200);
    let expected = (due + Duration::days(1)).unix_timestamp();
    eventually("the client's certificate", || {
        (until("client_last_seen") == Some(expected)).then_some(())
    });
}

#[test]
fn the_self_test_leaves_no_trace() {
    let scene = Scene::new(Pki::shared(), "request", "");
    let metrics = scene.operator.metrics();
    let counted = metrics
        .iter()
        .filter(|(series, _)| series.contains("_total") || series.contains("_count"))
        .filter(|(series, _)| !series.starts_with("process_"));
    for (series, value) in counted {
        assert_eq!(*value, 0.0, "{series}");
    }
}
