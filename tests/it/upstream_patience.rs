//! Notifications wait for an application that cannot be connected to, and nothing else does.

use crate::support::{Edit as _, Origin, Pki, Proxy, Sender, WEBHOOK};
use std::thread;

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

const DEBUG: &str = "[log]\nlevel = \"debug\"\n";

const RETRIED: &str = "upstream_connect_retried";

/// Posts while `origin` is stopped, which starts again once the notification has been retried, and
/// returns the status of the response.
fn status_across_a_restart(proxy: &Proxy, origin: &Origin) -> u16 {
    let sender = Sender::to(proxy, Some(&Pki::shared().netdata()));
    thread::scope(|scope| {
        let answer = scope.spawn(|| sender.post(ALERT));
        proxy.wait_for_events(RETRIED, 2);
        origin.start();
        answer.join().unwrap().status
    })
}

#[test]
fn a_restart_of_the_application_costs_nothing() {
    let origin = Origin::spawn_apart();
    let config = Proxy::config(&origin, "require", DEBUG);
    let proxy = Proxy::spawn(Pki::shared(), &config);
    origin.stop();
    assert_eq!(status_across_a_restart(&proxy, &origin), 200);
    origin.received_one();
}

#[test]
fn a_group_without_a_healthy_server_is_tried_again_as_well() {
    let origin = Origin::spawn_apart();
    let group = format!("health_check = {{ interval = \"50ms\" }}\n{DEBUG}");
    let proxy = Proxy::spawn(Pki::shared(), &Proxy::config_of_group(&[&origin], &group));
    origin.stop();
    proxy.wait_for_event("upstream_check_failed");
    assert_eq!(status_across_a_restart(&proxy, &origin), 200);
    origin.received_one();
}

#[test]
fn it_is_refused_after_retry_for() {
    let origin = Origin::spawn_apart();
    let group = format!("retry_for = \"300ms\"\n{DEBUG}");
    let proxy = Proxy::spawn(Pki::shared(), &Proxy::config_of_group(&[&origin], &group));
    origin.stop();
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    sender.post(ALERT).refuses(502, "upstream_unreachable");
    // Its own line comes behind those.
    proxy.wait_for_event("request");
    // After 50 ms, 150 ms and never again: the next one would be due after 350 ms.
    assert_eq!(proxy.events(RETRIED).len(), 2, "{:#?}", proxy.log());
}

#[test]
fn without_retry_for_and_on_proxy_routes_it_is_refused_at_once() {
    let origin = Origin::spawn_apart();
    let group = format!("retry_for = \"0s\"\n{DEBUG}");
    let config = Proxy::config_of_group(&[&origin], &group);
    let proxy = Proxy::spawn(Pki::shared(), &config);
    origin.stop();
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    sender.post(ALERT).refuses(502, "upstream_unreachable");

    let passing = Proxy::config(&origin, "require", DEBUG).edit(
        "challenge_secret = { file = \"challenge.secret\" }",
        "kind = \"proxy\"",
    );
    let passing = Proxy::spawn(Pki::shared(), &passing);
    let sender = Sender::to(&passing, Some(&Pki::shared().netdata()));
    let answer = sender.send("POST", WEBHOOK, "", "x").unwrap();
    answer.refuses(502, "upstream_unreachable");
    for proxy in [&proxy, &passing] {
        assert!(proxy.events(RETRIED).is_empty(), "{:#?}", proxy.log());
    }
}
