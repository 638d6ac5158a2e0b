//! A successor that fails changes nothing.

use super::{ALERT, config, named, upgrade};
use crate::support::{Edit as _, Load, Origin, Pki, Proxy, Sender, eventually};
use std::io::Write as _;
use std::os::unix::net::UnixStream;

#[test]
fn a_successor_with_a_wrong_configuration_changes_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    std::fs::write(&old.config, config(&origin).edit("ca.pem", "missing.pem")).unwrap();
    old.signal("QUIT");
    let mut wrong = old.successor();
    assert_eq!(wrong.wait().code(), Some(2));
    // The operator fixes it; the old process is still waiting.
    std::fs::write(&old.config, config(&origin)).unwrap();
    assert_eq!(
        Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    let new = old.successor();
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
}

#[test]
fn a_successor_that_fails_at_the_last_moment_changes_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let load = Load::start(&Sender::to(&old, Some(&pki.netdata())));
    std::fs::write(
        &old.config,
        config(&origin).replace("proxy.pid", "missing/proxy.pid"),
    )
    .unwrap();
    let mut wrong = old.successor();
    old.signal("QUIT");
    assert_eq!(wrong.wait().code(), Some(1));
    wrong.wait_for_log("cannot write the pid file");
    old.wait_for_event("upgrade_failed");
    assert_eq!(named(pki.path()), old.id());
    load.goes_on_for(20);
    std::fs::write(&old.config, config(&origin)).unwrap();
    let _new = upgrade(&mut old);
    load.goes_on_for(20);
    load.ends_without_failure();
}

#[test]
fn a_successor_that_says_something_else_or_vanishes_changes_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let old = Proxy::spawn(&pki, &config(&origin));
    let socket = pki.path().join("proxy.upgrade");
    for (round, words) in [
        &b""[..],
        b"hello\n",
        b"serving\n",
        b"ready\n",
        b"ready\nready\n",
        &[b'x'; 5000],
    ]
    .into_iter()
    .enumerate()
    {
        old.signal("QUIT");
        let mut stream = eventually("the socket", || UnixStream::connect(&socket).ok());
        // It may have been called off before all was said.
        let _ = stream.write_all(words);
        drop(stream);
        old.wait_for_events("upgrade_failed", round + 1);
        assert!(!socket.exists());
        assert_eq!(
            Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
            200
        );
    }
    assert_eq!(named(pki.path()), old.id());
}
