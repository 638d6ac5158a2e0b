//! A successor takes over, and no request is lost.

use super::{ALERT, config, named, upgrade};
use crate::support::{Edit as _, Load, Operator, Origin, Pki, Proxy, Reply, Sender, eventually};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn upgrades_under_load_lose_nothing() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut proxy = Proxy::spawn(&pki, &config(&origin));
    let load = Load::start(&Sender::to(&proxy, Some(&pki.netdata())));
    load.goes_on_for(20);
    for _ in 0..3 {
        let new = upgrade(&mut proxy);
        assert_eq!(new.address(0), proxy.address(0));
        assert_eq!(proxy.wait().code(), Some(0));
        assert_eq!(named(pki.path()), new.id());
        load.goes_on_for(20);
        proxy = new;
    }
    let answered = load.ends_without_failure();
    assert!(origin.received().len() >= answered);
}

#[test]
fn the_admin_listener_is_ready_all_the_time() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = config(&origin) + "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let mut old = Proxy::spawn(&pki, &config);
    let sender = Sender::to(&old, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    let operator = Operator::of(&old);
    let forwarded = "requests_total{code=\"ok\",outcome=\"forwarded\",route=\"/webhooks/netdata\"}";
    operator.wait_for(forwarded, 1.0);
    // The old process is still at work when the new one answers.
    origin.will([Reply::Late(
        Duration::from_secs(1),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
    )]);
    let late = std::thread::spawn(move || sender.post(ALERT));
    origin.wait_for(2);
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = std::thread::spawn({
        let (operator, is_over) = (
            Operator {
                address: operator.address,
            },
            is_over.clone(),
        );
        move || {
            let mut asked = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(operator.get("/readyz").status, 200);
                asked += 1;
            }
            asked
        }
    });
    let new = upgrade(&mut old);
    assert_eq!(Operator::of(&new).address, operator.address);
    operator.wait_for(forwarded, 0.0);
    assert_eq!(late.join().unwrap().status, 200);
    assert_eq!(old.wait().code(), Some(0));
    is_over.store(true, Ordering::Relaxed);
    assert!(asking.join().unwrap() > 10);
}

#[test]
fn what_is_in_flight_is_finished_by_the_old_process() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    let sender = Sender::to(&old, Some(&pki.netdata()));
    let mut idle = sender.connect().unwrap();
    assert_eq!(idle.post(ALERT).unwrap().status, 200);
    let (tell, reply) = Reply::when_told("late");
    origin.will([reply]);
    let late = std::thread::spawn({
        let sender = sender.clone();
        move || sender.post(ALERT)
    });
    origin.wait_for(2);
    let new = upgrade(&mut old);
    // What was idle gets one more answer, and then a new connection.
    let answer = idle.post(ALERT).unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    tell.send(()).unwrap();
    let answer = late.join().unwrap();
    assert_eq!(
        (answer.body.as_str(), answer.header("connection")),
        ("late", Some("close"))
    );
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(eventually("its access line", || new
        .log()
        .iter()
        .any(|line| line.contains("outcome"))
        .then_some(true)));
}

#[test]
fn the_signal_may_come_before_the_successor() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let mut old = Proxy::spawn(&pki, &config(&origin));
    old.signal("QUIT");
    old.wait_for_event("upgrade_waiting_for_successor");
    let socket = pki.path().join("proxy.upgrade");
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let new = old.successor();
    new.wait_for_event("ready");
    assert_eq!(old.wait().code(), Some(0));
    assert!(!socket.exists());
    assert_eq!(
        Sender::to(&new, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn a_successor_serves_if_the_old_process_dies() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = config(&origin);
    let mut old = Proxy::spawn(&pki, &config);
    let address = old.address(0);
    let new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    old.signal("QUIT");
    new.wait_for_event("upgrade_sockets_received");
    old.signal("KILL");
    old.wait();
    new.wait_for_event("ready");
    let mut sender = Sender::to(&new, Some(&pki.netdata()));
    sender.address = address;
    assert_eq!(sender.post(ALERT).status, 200);
}

#[test]
fn addresses_may_come_and_go_with_an_upgrade() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let two = config(&origin).edit(
        "https = \"127.0.0.1:0\"",
        "https = [\"127.0.0.1:0\", \"127.0.0.2:0\"]",
    );
    let three = config(&origin).edit(
        "https = \"127.0.0.1:0\"",
        "https = [\"127.0.0.3:0\", \"127.0.0.1:0\"]",
    );
    let mut old = Proxy::spawn(&pki, &two);
    std::fs::write(&old.config, three).unwrap();
    let new = upgrade(&mut old);
    assert_eq!(new.address(1), old.address(0));
    assert_ne!(new.address(0), old.address(1));
    new.wait_for_event("inherited_socket_unused");
    assert_eq!(old.wait().code(), Some(0));
    assert!(std::net::TcpStream::connect(old.address(1)).is_err());
    assert_eq!(
        Sender::to(&new, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}

#[test]
fn without_the_signal_nothing_is_handed_over() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let old = Proxy::spawn(&pki, &config(&origin));
    // Without the signal it waits, and can be ended.
    let mut new = old.successor();
    new.wait_for_event("upgrade_waiting_for_sockets");
    new.signal("TERM");
    assert!(!new.wait().success());
    assert_eq!(
        Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
        200
    );
}
