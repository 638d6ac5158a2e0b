//! CRITICAL and CLEAR of the same alert: whatever happens between them, the application gets them in
//! this order.

use super::{Scene, alert, receives};
use crate::support::{Http2, Reply};
use std::sync::mpsc;
use std::thread;

/// The two shapes of an alert.
const SHAPES: [fn(&str) -> String; 2] = [|state| alert("n", state), flat];

fn flat(state: &str) -> String {
    format!(
        "{{\"space\":\"s\",\"alert\":\"a\",\"chart\":\"c\",\"message\":\"m\",\"severity\":\"{state}\"}}"
    )
}

/// Waits until the application has received alerts of these states, and nothing else.
#[track_caller]
fn comes(scene: &Scene, states: &[&str]) {
    let received = scene.origin.wait_for(states.len());
    let state = |body: &[u8]| match String::from_utf8_lossy(body).contains("clear") {
        true => "clear",
        false => "critical",
    };
    let received: Vec<_> = received
        .iter()
        .map(|request| state(&request.body))
        .collect();
    assert_eq!(received, states);
}

/// An answer that fails as soon as something is sent to what is returned with it.
fn failure_when_told() -> (mpsc::Sender<()>, Reply) {
    let (fail, hanging) = Reply::when_told("");
    let Reply::When(told, _) = hanging else {
        panic!("a reply when told");
    };
    let failure = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    (fail, Reply::When(told, failure.into()))
}

#[test]
fn a_clear_on_another_stream_does_not_overtake_a_critical_that_hangs() {
    for shape in SHAPES {
        let scene = Scene::new("fallback", "");
        let (fail, hanging) = failure_when_told();
        scene.origin.will([hanging]);
        let mut connection = Http2::connect(&scene.sender).unwrap();
        let (critical, clear) = (shape("critical"), shape("clear"));
        let is_under_way = || !scene.origin.received().is_empty();
        let answers = connection
            .post_both(&critical, is_under_way, &clear)
            .unwrap();
        assert_eq!(answers.map(|answer| answer.status), [202, 202]);
        comes(&scene, &["critical"]);
        fail.send(()).unwrap();
        comes(&scene, &["critical", "critical", "clear"]);
    }
}

#[test]
fn a_critical_that_hangs_comes_first_after_the_proxy_is_killed_as_well() {
    for shape in SHAPES {
        let mut scene = Scene::new("fallback", "");
        let (_never, hanging) = failure_when_told();
        scene.origin.will([hanging]);
        let mut connection = Http2::connect(&scene.sender).unwrap();
        let (critical, clear) = (shape("critical"), shape("clear"));
        let is_under_way = || !scene.origin.received().is_empty();
        let answers = connection
            .post_both(&critical, is_under_way, &clear)
            .unwrap();
        assert_eq!(answers.map(|answer| answer.status), [202, 202]);
        // Both are stored, and the first one is still being tried.
        comes(&scene, &["critical"]);
        scene.kill();
        comes(&scene, &["critical", "critical", "clear"]);
    }
}

#[test]
fn a_clear_that_was_acknowledged_comes_alone_if_the_critical_before_it_was_not() {
    let mut scene = Scene::new("fallback", "");
    let (_never, hanging) = failure_when_told();
    scene.origin.will([hanging]);
    thread::scope(|scope| {
        let sender = scene.sender.clone();
        let critical = scope.spawn(move || {
            let headers = "Content-Type: application/json\r\n";
            let target = crate::support::WEBHOOK;
            sender.send("POST", target, headers, &alert("n", "critical"))
        });
        scene.origin.wait_for(1);
        scene.stores(&alert("n", "clear"));
        scene.proxy.signal("KILL");
        assert!(critical.join().unwrap().is_err(), "its sender knows");
    });
    scene.proxy.wait();
    scene.start();
    receives(&scene.origin, &["n-critical", "n-clear"]);
    // Sent again, it is later than the CLEAR, and not before it.
    assert_eq!(scene.sender.post(&alert("n", "critical")).status, 200);
    receives(&scene.origin, &["n-critical", "n-clear", "n-critical"]);
}
