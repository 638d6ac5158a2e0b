//! Authorities that take connections or requests, and say nothing: each wait ends, and nothing else
//! waits with them.

use super::{ALERT, NOWHERE, config, config_without_authority, keep_certificate_of};
use crate::support::{Edit as _, Origin, PATIENCE, Pebble, Pki, Proxy, Sender};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

/// Takes connections, and never says anything on them.
fn silent() -> (String, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/directory", listener.local_addr().unwrap());
    let (taken, arrivals) = channel();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            if taken.send(socket).is_err() {
                return;
            }
        }
    });
    (url, arrivals)
}

#[test]
fn an_authority_that_says_nothing_is_given_up() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let (url, arrivals) = silent();
    let proxy = Proxy::spawn(&pki, &config_without_authority(&origin).edit(NOWHERE, &url));
    let _held = arrivals.recv_timeout(PATIENCE).unwrap();
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(
        line.contains("unreachable") && line.contains("did not connect within 10s"),
        "{line}"
    );
}

#[test]
fn nothing_waits_with_an_authority_that_says_nothing() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let (url, arrivals) = silent();
    keep_certificate_of(&pki, "server", &url);
    let config = config_without_authority(&origin).edit(NOWHERE, &url);
    let mut proxy = Proxy::spawn(&pki, &config);
    // It asks whether to renew.
    let _held = arrivals.recv_timeout(PATIENCE).unwrap();
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    proxy.reload(&config.edit("[tls]", "[tls]\nmin_version = \"1.3\""));
    assert_eq!(sender.post(ALERT).status, 200);
    let _held_too = arrivals.recv_timeout(PATIENCE).unwrap();
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_request_that_is_not_answered_is_given_up_and_the_order_goes_on() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    pebble.holds(true);
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    // It waits for half a minute.
    let deadline = Instant::now() + 4 * PATIENCE;
    while proxy.events("acme_order_failed").is_empty() {
        assert!(Instant::now() < deadline, "{:?}", proxy.log());
        thread::sleep(std::time::Duration::from_millis(100));
    }
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(line.contains("did not answer within 30s"), "{line}");
    pebble.holds(false);
    proxy.signal("HUP");
    proxy.wait_for_event("acme_certificate_installed");
}
