//! `delivery = "fallback"`: directly while the application takes notifications.

use super::{Scene, alert, drained, receives, transitions};
use crate::support::{Operator, Reply};
use std::thread;
use std::time::{Duration, Instant};

fn status(status: u16) -> Reply {
    Reply::Raw(format!(
        "HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n"
    ))
}

#[test]
fn a_healthy_application_answers_itself() {
    let scene = Scene::new("fallback", "");
    let answer = scene.sender.post(&alert("n", "critical"));
    assert_eq!((answer.status, answer.header("x-app")), (200, Some("yes")));
    let received = scene.origin.received_one();
    assert_eq!(received.header("Idempotency-Key"), "n-critical");
    assert_eq!(received.header("X-Netdata-Attempt"), "1");
    assert!(received.header("X-Netdata-Received").ends_with('Z'));
    scene.proxy.wait_for_log("outcome=\"forwarded\"");
}

#[test]
fn what_the_application_does_not_take_is_stored_and_delivered_in_order() {
    let scene = Scene::new("fallback", "");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.proxy.wait_for_event("queue_outage_began");
    scene.stores(&alert("n", "clear"));
    scene.stores(&alert("m", "critical"));
    scene.proxy.wait_for_log("outcome=\"queued\"");
    scene.origin.start();
    scene.origin.wait_for(3);
    let ended = scene.proxy.wait_for_event("queue_outage_ended");
    for number in [" seconds=", " waiting="] {
        assert!(ended.contains(number), "{ended}");
    }
    let received = scene.origin.received();
    let of_n = received
        .iter()
        .filter(|request| request.header("Idempotency-Key").starts_with('n'));
    let of_n: Vec<_> = of_n.cloned().collect();
    assert_eq!(transitions(&of_n), ["n-critical", "n-clear"]);
    // The first attempt of the first one was direct.
    assert_ne!(of_n[0].header("X-Netdata-Attempt"), "1");
    // And from then on, directly again.
    let operator = Operator::of(&scene.proxy);
    drained(&operator);
    let metrics = operator.metrics();
    for (series, expected) in [
        ("queue_stored_total{reason=\"down\"", 2.0),
        ("queue_stored_total{reason=\"order\"", 1.0),
        ("queue_deliveries_total{outcome=\"delivered\"", 3.0),
    ] {
        let found = metrics.iter().find(|(name, _)| name.starts_with(series));
        assert_eq!(found.map(|(_, value)| *value), Some(expected), "{series}");
    }
    assert_eq!(scene.proxy.events("queue_outage_began").len(), 1);
    assert_eq!(scene.sender.post(&alert("n", "warning")).status, 200);
}

#[test]
fn no_status_but_2xx_reaches_the_sender_or_loses_anything() {
    for refused in [302, 400, 404, 429, 500, 503] {
        let scene = Scene::new("fallback", "");
        scene.origin.will([status(refused)]);
        scene.stores(&alert("n", "critical"));
        receives(&scene.origin, &["n-critical", "n-critical"]);
        let [first, second] = &scene.origin.received()[..] else {
            panic!("{:?}", scene.origin.received());
        };
        assert_eq!(first.body, second.body);
        assert_eq!(
            first.header("X-Netdata-Received"),
            second.header("X-Netdata-Received")
        );
        let attempts = [first, second].map(|it| it.header("X-Netdata-Attempt").to_owned());
        assert_eq!(attempts, ["1", "2"], "{refused}");
    }
}

#[test]
fn a_clear_does_not_overtake_a_critical_that_takes_its_time() {
    let scene = Scene::new("fallback", "");
    let (answer, late) = Reply::when_told("late");
    scene.origin.will([late]);
    thread::scope(|scope| {
        let critical = scope.spawn(|| scene.sender.post(&alert("n", "critical")));
        scene.origin.wait_for(1);
        // Another alert is not concerned; one of the same node waits for it.
        assert_eq!(scene.sender.post(&alert("m", "critical")).status, 200);
        scene.stores(&alert("n", "clear"));
        receives(&scene.origin, &["n-critical", "m-critical"]);
        answer.send(()).unwrap();
        assert_eq!(critical.join().unwrap().status, 200);
    });
    receives(&scene.origin, &["n-critical", "m-critical", "n-clear"]);
}

#[test]
fn a_critical_that_hangs_is_stored_and_comes_first_when_it_fails() {
    let scene = Scene::new("fallback", "");
    let (fail, hanging) = Reply::when_told("");
    let Reply::When(told, _) = hanging else {
        panic!("a reply when told");
    };
    scene.origin.will([Reply::When(
        told,
        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into(),
    )]);
    let started = Instant::now();
    thread::scope(|scope| {
        let critical = scope.spawn(|| scene.sender.post(&alert("n", "critical")));
        scene.origin.wait_for(1);
        scene.stores(&alert("n", "clear"));
        assert_eq!(critical.join().unwrap().status, 202);
    });
    assert!(started.elapsed() >= Duration::from_secs(5));
    assert!(started.elapsed() < Duration::from_secs(10));
    // It goes on, so that nothing else of its key is sent.
    receives(&scene.origin, &["n-critical"]);
    fail.send(()).unwrap();
    receives(&scene.origin, &["n-critical", "n-critical", "n-clear"]);
}

#[test]
fn a_critical_that_succeeds_late_is_not_sent_again() {
    let scene = Scene::new("fallback", "");
    let (succeed, hanging) = Reply::when_told("ok");
    scene.origin.will([hanging]);
    assert_eq!(scene.sender.post(&alert("n", "critical")).status, 202);
    succeed.send(()).unwrap();
    scene.stores_or_delivers(&alert("n", "clear"));
    receives(&scene.origin, &["n-critical", "n-clear"]);
}

#[test]
fn reachability_has_a_key_for_each_receipt_and_the_same_in_every_attempt() {
    let scene = Scene::new("fallback", "");
    let body =
        r#"{"space":{"id":"s"},"nodes":[{"id":"n"}],"reachable":false,"severity":"critical"}"#;
    scene.origin.will([status(503)]);
    scene.stores(body);
    scene.origin.wait_for(2);
    scene.stores_or_delivers(body);
    let received = scene.origin.wait_for(3);
    let keys = transitions(&received);
    assert_eq!(keys[0], keys[1]);
    assert_ne!(
        keys[1], keys[2],
        "an application may remember a key for ever"
    );
}

impl Scene {
    /// Posts `body`, which is taken one way or the other.
    #[track_caller]
    fn stores_or_delivers(&self, body: &str) {
        let answer = self.sender.post(body);
        assert!([200, 202].contains(&answer.status), "{answer:?}");
    }
}
