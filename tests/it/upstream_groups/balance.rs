//! Requests are shared among the servers of a group.

use super::{ALERT, SELDOM, post_all, scene, shares};
use crate::support::{Origin, Pki, Reply, Sender, eventually};
use std::time::Duration;

#[test]
fn servers_take_turns() {
    let origins = [Origin::spawn(), Origin::spawn(), Origin::spawn()];
    let origins = origins.each_ref();
    let (_proxy, mut connection) = scene(&origins, SELDOM);
    post_all(&mut connection, 12);
    assert_eq!(shares(&origins), [4, 4, 4]);
}

#[test]
fn random_reaches_every_server() {
    let origins = [Origin::spawn(), Origin::spawn()];
    let origins = origins.each_ref();
    let (_proxy, mut connection) = scene(&origins, &format!("balance = \"random\"\n{SELDOM}"));
    post_all(&mut connection, 60);
    let shares = shares(&origins);
    assert!(
        shares.iter().sum::<usize>() == 60 && shares.iter().all(|share| *share > 0),
        "{shares:?}"
    );
}

#[test]
fn the_log_names_the_group_and_who_answered() {
    let origin = Origin::spawn();
    let (proxy, mut connection) = scene(&[&origin], SELDOM);
    post_all(&mut connection, 1);
    let line = proxy.wait_for_log("upstream_ms");
    assert!(
        line.contains("upstream=\"app\"") && line.contains(&format!("server=\"{}\"", origin.url)),
        "{line}"
    );
}

#[test]
fn keepalive_is_how_many_connections_are_kept() {
    for (keepalive, connections) in [("keepalive = 0", 6), ("keepalive = 1", 2), ("", 2)] {
        let origin = Origin::spawn();
        let (_proxy, mut connection) = scene(&[&origin], &format!("{keepalive}\n{SELDOM}"));
        let checked = eventually("the first check", || {
            Some(origin.connections()).filter(|count| *count > 0)
        });
        post_all(&mut connection, 5);
        assert_eq!(
            (checked, origin.connections()),
            (1, connections),
            "{keepalive:?}"
        );
    }
    // Two at once, of which one connection is kept.
    let origin = Origin::spawn();
    let (proxy, mut connection) = scene(&[&origin], &format!("keepalive = 1\n{SELDOM}"));
    eventually("the first check", || {
        (origin.connections() == 1).then_some(())
    });
    let late = || {
        Reply::Late(
            Duration::from_millis(300),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
        )
    };
    for expected in [3, 4] {
        origin.will([late(), late()]);
        let before = origin.received().len();
        std::thread::scope(|scope| {
            scope.spawn(|| Sender::to(&proxy, Some(&Pki::shared().netdata())).post(ALERT));
            origin.wait_for(before + 1);
            post_all(&mut connection, 1);
        });
        assert_eq!(origin.connections(), expected);
    }
}
