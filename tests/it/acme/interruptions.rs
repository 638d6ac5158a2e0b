//! Processes that end, or are replaced, in the middle of an order.

use super::{ALERT, config};
use crate::support::{Fault, Load, Origin, Pebble, Pki, Proxy, Sender, eventually};

/// A text in the path of each request of an order, in their sequence.
const STEPS: [&str; 7] = [
    "sign-me-up",
    "order-plz",
    "authZ",
    "chalZ",
    "finalize-order",
    "my-order",
    "certZ",
];

#[test]
fn a_process_that_is_killed_before_any_step_leaves_one_account_and_one_order() {
    STEPS.iter().for_each(|step| is_killed(step, false));
}

#[test]
fn a_process_that_is_killed_after_any_step_leaves_one_account_and_one_order() {
    STEPS.iter().for_each(|step| is_killed(step, true));
}

fn is_killed(step: &str, is_after: bool) {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let config = config(&pebble, &origin);
    pebble.holds(true);
    let mut killed = Proxy::spawn(&pki, &config);
    let fault = match is_after {
        true => Fault::KillAfter(killed.id()),
        false => Fault::KillBefore(killed.id()),
    };
    pebble.plays(step, fault);
    pebble.holds(false);
    killed.wait();
    let proxy = Proxy::spawn(&pki, &config);
    // The authority may have looked while nothing listened: then an operator asks for another try.
    let is_missed = eventually("a certificate, or none", || {
        let is_there = |name: &str| !proxy.events(name).is_empty();
        is_there("acme_order_failed")
            .then_some(true)
            .or(is_there("acme_certificate_installed").then_some(false))
    });
    if is_missed {
        assert!(step == "chalZ" && is_after, "{step}");
        proxy.signal("HUP");
    }
    proxy.wait_for_event("acme_certificate_installed");
    assert_eq!(
        Sender::to(&proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    assert_eq!(accounts(&proxy, &killed), 1, "{step}");
    // An order whose answer got lost cannot be found again.
    let is_lost = step == "order-plz";
    let expected = 1 + usize::from(is_lost || is_missed);
    assert_eq!(pebble.requests("order-plz"), expected, "{step}");
    let failures = proxy.events("acme_order_failed").len();
    assert_eq!(failures, usize::from(is_missed), "{step}");
}

/// The accounts that these processes have used.
fn accounts(one: &Proxy, other: &Proxy) -> usize {
    let mut urls: Vec<_> = [one, other]
        .iter()
        .flat_map(|proxy| proxy.events("acme_account_created"))
        .map(|line| line.split("url=").nth(1).unwrap().to_owned())
        .collect();
    urls.sort();
    urls.dedup();
    urls.len()
}

#[test]
fn a_successor_answers_at_once_and_goes_on_with_the_order() {
    // The validation is made while both are there, or by the successor alone.
    is_succeeded(|pebble, old| pebble.plays("chalZ", Fault::Upgrade(old)));
}

#[test]
fn a_successor_waits_for_an_authority_that_is_not_done_yet() {
    is_succeeded(|pebble, old| {
        let (valid, processing) = ("\"status\": \"valid\"", "\"status\": \"processing\"");
        let rewrite = Fault::Rewrite(valid.into(), processing.into());
        pebble.plays("my-order", rewrite.clone());
        pebble.plays("finalize-order", Fault::Upgrade(old));
        (0..3).for_each(|_| pebble.plays("my-order", rewrite.clone()));
    });
}

/// Orders with a process that `plan` lets start a successor.
fn is_succeeded(plan: impl FnOnce(&Pebble, u32)) {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let mut old = Proxy::start(&pki, &config(&pebble, &origin));
    plan(&pebble, old.id());
    old.wait_for_event("upgrade_sockets_sent");
    assert_eq!(old.wait().code(), Some(0));
    // It writes to the same log.
    old.wait_for_event("acme_certificate_installed");
    let sender = Sender::to(&old, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    assert_eq!(pebble.requests("order-plz"), 1);
    assert_eq!(pebble.requests("sign-me-up"), 1);
    let successor = old.wait_for_event("upgrade_started");
    let id = successor
        .split("successor=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    assert!(
        std::process::Command::new("kill")
            .arg(&id)
            .status()
            .unwrap()
            .success()
    );
    old.wait_for_event("stopped");
}

#[test]
fn a_successor_without_the_certificate_does_not_serve() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    proxy.wait_for_event("acme_certificate_installed");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let load = Load::start(&sender);
    // As if its folder were not mounted.
    std::fs::rename(pki.path().join("state"), pki.path().join("elsewhere")).unwrap();
    let successor = proxy.successor();
    successor.wait_for_event("upgrade_waiting_for_sockets");
    proxy.signal("QUIT");
    proxy.wait_for_event("upgrade_failed");
    proxy.wait_for_log("the successor has no certificate");
    load.goes_on_for(10);
    load.ends_without_failure();
}
