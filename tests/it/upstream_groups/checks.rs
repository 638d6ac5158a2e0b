//! What a health check asks, and what it takes for an answer.

use super::{OFTEN, post_all, scene, shares};
use crate::support::{Edit as _, Origin, Pki, Proxy, eventually};
use std::net::TcpListener;

#[test]
fn a_path_is_asked_for_and_its_status_decides() {
    let (origin, other) = (Origin::spawn(), Origin::spawn());
    other.answers_checks_with(204);
    let (proxy, mut connection) = scene(
        &[&origin, &other],
        "health_check = { path = \"/healthz\", interval = \"50ms\" }",
    );
    for (round, status) in [500, 404].into_iter().enumerate() {
        origin.answers_checks_with(status);
        let line = proxy.wait_for_events("upstream_check_failed", round + 1);
        assert!(
            line.contains(&format!("/healthz returned status {status}")),
            "{line}"
        );
        let before = shares(&[&origin, &other]);
        post_all(&mut connection, 4);
        assert_eq!(
            shares(&[&origin, &other]),
            [before[0], before[1] + 4],
            "{status}"
        );
        origin.answers_checks_with(302);
        proxy.wait_for_events("upstream_recovered", round + 1);
        post_all(&mut connection, 4);
        assert_eq!(
            shares(&[&origin, &other]),
            [before[0] + 2, before[1] + 6],
            "{status}"
        );
    }
    assert!(
        origin.checks() > 2 && other.checks() > 2,
        "{} {}",
        origin.checks(),
        other.checks()
    );
}

#[test]
fn without_a_path_a_check_only_connects() {
    let origin = Origin::spawn();
    let (_proxy, _connection) = scene(&[&origin], OFTEN);
    eventually("a few checks", || (origin.connections() > 3).then_some(()));
    assert_eq!(origin.checks(), 0);
    origin.received_nothing();
}

#[test]
fn a_check_that_hangs_has_failed() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = Origin::spawn();
    let config = Proxy::config_of_group(
        &[&origin],
        "health_check = { path = \"/healthz\", interval = \"50ms\" }",
    );
    let config = config.edit(
        "servers = [",
        &format!("servers = [\"http://{}\", ", silent.local_addr().unwrap()),
    );
    let proxy = Proxy::spawn(Pki::shared(), &config);
    assert!(
        proxy
            .wait_for_event("upstream_check_failed")
            .contains("no response within 1s")
    );
}
