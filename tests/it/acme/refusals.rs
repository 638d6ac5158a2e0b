//! What an authority refuses, and a person or the next try puts right.

use super::faults::problem;
use super::{ALERT, config, kept};
use crate::support::{Edit as _, Fault, Operator, Origin, Pebble, Pki, Proxy, Sender, eventually};

#[test]
fn new_terms_are_told_with_their_link() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    let link = "Link: <https://ca.example/terms/2>;rel=\"terms-of-service\"\r\n";
    pebble.plays(
        "order-plz",
        Fault::Answer(problem(403, "userActionRequired", link)),
    );
    let config = config(&pebble, &origin).edit("[tls]", "[admin]\nlisten = \"127.0.0.1:0\"\n[tls]");
    let proxy = Proxy::spawn(&pki, &config);
    let line = proxy.wait_for_event("acme_order_failed");
    let told = |text: &str| {
        text.contains("userActionRequired") && text.contains("https://ca.example/terms/2")
    };
    assert!(told(&line), "{line}");
    let operator = Operator::of(&proxy);
    let page = || operator.get("/").body;
    eventually("the finding", || told(&page()).then_some(()));
    // They were agreed to.
    proxy.signal("HUP");
    proxy.wait_for_event("acme_certificate_installed");
    eventually("its end", || (!told(&page())).then_some(()));
}

#[test]
fn a_key_that_is_refused_is_not_offered_again() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let Some(pebble) = Pebble::start(&pki) else {
        return;
    };
    pebble.plays(
        "finalize-order",
        Fault::Answer(problem(400, "badPublicKey", "")),
    );
    let proxy = Proxy::spawn(&pki, &config(&pebble, &origin));
    let line = proxy.wait_for_event("acme_order_failed");
    assert!(line.contains("badPublicKey"), "{line}");
    assert!(!kept(&pki).contains(&"next.key".to_owned()));
    proxy.signal("HUP");
    proxy.wait_for_event("acme_certificate_installed");
    assert_eq!(pebble.requests("order-plz"), 2);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
}
