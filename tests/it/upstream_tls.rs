//! Servers that are reached over TLS: their certificates, and that of the proxy.

use crate::support::{Edit as _, Origin, Pki, Proxy, Sender, eventually};
use rcgen::CertificateParams;
use std::net::TcpListener;
use std::path::Path;

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

/// What an application serves, by an authority of its own: `app.internal`, unless `change` changes
/// it.
fn application(pki: &Pki, change: impl FnOnce(&mut CertificateParams)) -> Origin {
    Origin::spawn_tls(Pki::server_config(
        &pki.server("app.internal", change),
        None,
    ))
}

/// In front of a group of one, whose other keys are `group`; the authority is in `upstream-ca.pem`.
fn scene(pki: &Pki, origin: &Origin, group: &str) -> (Proxy, Sender) {
    let proxy = Proxy::spawn(pki, &Proxy::config_of_group(&[origin], group));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    (proxy, sender)
}

/// An authority whose clients are ours, beside one whose servers are the application's.
fn authorities() -> (Pki, Pki) {
    let (pki, theirs) = (Pki::new(), Pki::of("Their Root CA"));
    pki.write(
        "upstream-ca.pem",
        &std::fs::read_to_string(theirs.path().join("ca.pem")).unwrap(),
    );
    (pki, theirs)
}

const NAMED: &str = "ca = \"upstream-ca.pem\"\nserver_name = \"app.internal\"";

#[test]
fn a_server_is_verified_against_the_configured_authority_and_name() {
    let (pki, theirs) = authorities();
    let origin = application(&theirs, |_| {});
    let (_proxy, sender) = scene(&pki, &origin, NAMED);
    assert_eq!(sender.post(ALERT).status, 200);
    assert_eq!(
        origin.received_one().header("Host"),
        "localhost",
        "the name is for the handshake only"
    );
    assert!(
        origin.server_names().contains(&"app.internal".to_owned()),
        "{:?}",
        origin.server_names()
    );
}

#[test]
fn an_address_is_verified_like_a_name() {
    let (pki, theirs) = authorities();
    let origin = Origin::spawn_tls(Pki::server_config(
        &theirs.server("127.0.0.1", |_| {}),
        None,
    ));
    let (_proxy, sender) = scene(&pki, &origin, "ca = \"upstream-ca.pem\"");
    assert_eq!(sender.post(ALERT).status, 200);
}

#[test]
fn who_is_not_the_server_that_it_should_be_gets_nothing() {
    let (pki, theirs) = authorities();
    let expired = |params: &mut CertificateParams| {
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(2);
        params.not_after = time::OffsetDateTime::now_utc() - time::Duration::days(1);
    };
    let client_only = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    };
    let wrong_name = NAMED.edit("app.internal", "other.internal");
    for (origin, group, reason) in [
        (
            application(&theirs, |_| {}),
            wrong_name.as_str(),
            "not valid for name",
        ),
        (
            application(&theirs, |_| {}),
            "ca = \"upstream-ca.pem\"",
            "not valid for name",
        ),
        (
            application(&Pki::of("Their Root CA"), |_| {}),
            NAMED,
            "is not accepted: BadSignature",
        ),
        (
            application(&Pki::of("Nobody's Root CA"), |_| {}),
            NAMED,
            "was not issued by a trusted authority",
        ),
        (application(&theirs, expired), NAMED, "expired"),
        (
            application(&theirs, client_only),
            NAMED,
            "is not accepted: ",
        ),
    ] {
        let (proxy, sender) = scene(&pki, &origin, group);
        sender.post(ALERT).refuses(502, "upstream_unreachable");
        let line = proxy.wait_for_event("notification_not_delivered");
        for part in [reason, "upstream=\"app\""] {
            assert!(line.contains(part), "{part:?} in {line}");
        }
        // Whatever is wrong with a server stays wrong: it is not taken for unavailable because of a
        // check.
        sender.post(ALERT).refuses(502, "upstream_unreachable");
        origin.received_nothing();
    }
}

#[test]
fn a_check_of_a_path_verifies_the_server_too() {
    let (pki, theirs) = authorities();
    let checked = "health_check = { path = \"/healthz\", interval = \"50ms\" }";
    let good = application(&theirs, |_| {});
    let (_proxy, sender) = scene(&pki, &good, &format!("{NAMED}\n{checked}"));
    eventually("a few checks", || (good.checks() > 2).then_some(()));
    assert_eq!(sender.post(ALERT).status, 200);
    let bad = application(&Pki::of("Nobody's Root CA"), |_| {});
    let (proxy, sender) = scene(&pki, &bad, &format!("{NAMED}\n{checked}"));
    assert!(
        proxy
            .wait_for_event("upstream_check_failed")
            .contains("not issued by a trusted authority")
    );
    // It is tried all the same, and found to be no better than that.
    sender.post(ALERT).refuses(502, "upstream_unreachable");
    assert_eq!(bad.checks(), 0);
    bad.received_nothing();
}

#[test]
fn a_server_that_wants_a_client_certificate_gets_it() {
    let (pki, theirs) = authorities();
    pki.server("proxy.internal", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let leaf = theirs.server("app.internal", |_| {});
    let presented =
        "client_certificate = \"proxy.internal.pem\"\nclient_private_key = \"proxy.internal.key\"";
    for (group, status) in [
        (format!("{NAMED}\n{presented}"), 200),
        (NAMED.to_owned(), 502),
    ] {
        let origin = Origin::spawn_tls(Pki::server_config(&leaf, Some(&pki)));
        let (_proxy, sender) = scene(&pki, &origin, &group);
        assert_eq!(sender.post(ALERT).status, status, "{group}");
        assert_eq!(origin.received().len(), usize::from(status == 200));
    }
}

#[test]
fn connections_over_tls_are_used_again() {
    let (pki, theirs) = authorities();
    let origin = application(&theirs, |_| {});
    let config = Proxy::config_of_group(&[&origin], NAMED).edit("threads = 2", "threads = 1");
    let proxy = Proxy::spawn(&pki, &config);
    let mut connection = Sender::to(&proxy, Some(&pki.netdata())).connect().unwrap();
    for _ in 0..5 {
        assert_eq!(connection.post(ALERT).unwrap().status, 200);
    }
    assert_eq!((origin.received().len(), origin.connections()), (5, 1));
}

#[test]
fn a_handshake_has_the_time_of_a_connection() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (pki, _) = authorities();
    let origin = Origin::spawn();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let timeouts = "connect_timeout = \"300ms\"\nretry_for = \"0s\"";
    let config = Proxy::config_of_group(&[&origin], &format!("{NAMED}\n{timeouts}"));
    let proxy = Proxy::spawn(&pki, &config.edit(&origin.url, &url));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    sender.post(ALERT).refuses(504, "upstream_timeout");
}

#[test]
fn a_url_in_a_route_is_verified_against_the_systems_authorities() {
    let (pki, theirs) = authorities();
    let origin = Origin::spawn_tls(Pki::server_config(
        &theirs.server("localhost", |_| {}),
        None,
    ));
    let config =
        Proxy::config(&origin, "require", "").edit("https://127.0.0.1:", "https://localhost:");
    // Neither from the machine that the test runs on.
    std::fs::create_dir(pki.path().join("empty")).unwrap();
    let system = |file: &Path| {
        let directory = pki.path().join("empty");
        [
            ("SSL_CERT_FILE", file.to_owned()),
            ("SSL_CERT_DIR", directory),
        ]
    };
    for (authorities, status) in [
        (theirs.path().join("ca.pem"), 200),
        (pki.path().join("ca.pem"), 502),
    ] {
        let proxy = Proxy::spawn_with(&pki, &config, &system(&authorities));
        let answer = Sender::to(&proxy, Some(&pki.netdata())).post(ALERT);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(origin.received().len(), 1);
    // A system without authorities is an error, and does not trust every server.
    for nobody in [pki.write("nobody.pem", ""), pki.path().join("missing.pem")] {
        let mut proxy = Proxy::start_with(&pki, &config, &system(&nobody));
        assert_eq!(proxy.wait().code(), Some(2));
        assert!(
            proxy
                .wait_for_log("none are found")
                .contains("routes[0].upstream")
        );
    }
}

#[test]
fn a_changed_authority_is_noticed_and_ends_what_it_vouched_for() {
    let (pki, theirs) = authorities();
    let origin = application(&theirs, |_| {});
    let (proxy, sender) = scene(&pki, &origin, NAMED);
    assert_eq!(sender.post(ALERT).status, 200);
    pki.write(
        "upstream-ca.pem",
        &std::fs::read_to_string(Pki::new().path().join("ca.pem")).unwrap(),
    );
    proxy.wait_for_event("config_reloaded");
    // The idle connection was made under the old one, so it is not used any more.
    sender.post(ALERT).refuses(502, "upstream_unreachable");
    pki.write("upstream-ca.pem", "no certificate");
    assert!(
        proxy
            .wait_for_event("config_reload_failed")
            .contains("upstreams.app.ca")
    );
    pki.write(
        "upstream-ca.pem",
        &std::fs::read_to_string(theirs.path().join("ca.pem")).unwrap(),
    );
    proxy.wait_for_events("config_reloaded", 2);
    assert_eq!(sender.post(ALERT).status, 200);
    assert_eq!(origin.received().len(), 2);
}
