//! What may be a server of a group: sockets, and names with several addresses.

use super::{ALERT, SELDOM, post_all, scene, shares};
use crate::support::{Edit as _, Origin, Pki, Proxy, Sender, eventually};

#[test]
fn sockets_are_servers_like_others() {
    let pki = Pki::shared();
    let (first, second) = (
        pki.path().join("first.sock"),
        pki.path().join("second.sock"),
    );
    let origins = [
        Origin::spawn_on_socket(&first),
        Origin::spawn_on_socket(&second),
    ];
    let origins = origins.each_ref();
    let (_proxy, mut connection) = scene(
        &origins,
        "health_check = { path = \"/healthz\", interval = \"50ms\" }",
    );
    eventually("checks", || {
        origins
            .iter()
            .all(|origin| origin.checks() > 1)
            .then_some(())
    });
    post_all(&mut connection, 4);
    assert_eq!(shares(&origins), [2, 2]);
}

#[test]
fn a_name_is_one_server_for_each_of_its_addresses() {
    let origin = Origin::spawn();
    let config =
        Proxy::config_of_group(&[&origin], SELDOM).edit("http://127.0.0.1", "http://localhost");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(
        proxy
            .wait_for_log("upstream_ms")
            .contains("server=\"http://localhost:")
    );
}

#[test]
fn a_name_that_cannot_be_resolved_does_not_keep_the_others_from_serving() {
    let origin = Origin::spawn();
    let config = Proxy::config_of_group(&[&origin], SELDOM);
    let config = config.edit(
        "servers = [",
        "servers = [\"http://does-not-exist.invalid:3000\", ",
    );
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(
        proxy
            .wait_for_event("name_resolution_failed")
            .contains("does-not-exist.invalid")
    );
    let alone = Proxy::config_of_group(&[&origin], SELDOM)
        .edit(&origin.url, "http://does-not-exist.invalid:3000");
    let proxy = Proxy::spawn(Pki::shared(), &alone);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    // What cannot be tried at all is the one thing that is unavailable.
    sender.post(ALERT).refuses(503, "upstream_unavailable");
}
