//! CRITICAL and CLEAR of the same alert: whatever happens between them, the application gets them in
//! this order.

use super::upgrades::upgradable;
use super::{Scene, alert, receives};
use crate::support::{Answer, Http2, Reply, Sender};
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

/// Posts a body by a protocol.
type Post = fn(&Sender, &str) -> Answer;

/// How a CRITICAL and its CLEAR come, and to what.
#[derive(Clone, Copy)]
struct Way {
    delivery: &'static str,
    post: Post,
    shape: fn(&str) -> String,
}

fn by_http2(sender: &Sender, body: &str) -> Answer {
    Http2::connect(sender).unwrap().post(body).unwrap()
}

/// Plays a scene for each way, all of them at the same time.
fn for_each_way(play: fn(Way)) {
    let protocols: [(_, Post); 2] = [("HTTP/1.1", Sender::post), ("HTTP/2", by_http2)];
    thread::scope(|scope| {
        for delivery in ["fallback", "queue"] {
            for (protocol, post) in protocols {
                for (name, shape) in ["nested", "flat"].into_iter().zip(SHAPES) {
                    let way = Way {
                        delivery,
                        post,
                        shape,
                    };
                    let thread = thread::Builder::new();
                    let thread = thread.name(format!("{delivery}, {protocol}, {name}"));
                    thread.spawn_scoped(scope, move || play(way)).unwrap();
                }
            }
        }
    });
}

impl Way {
    /// Posts both, and what happens `between` them happens while the first one is under way. Both are
    /// acknowledged while it is still being tried.
    fn sends(self, scene: &Scene, between: impl FnOnce()) {
        thread::scope(|scope| {
            let critical = scope.spawn(|| (self.post)(&scene.sender, &(self.shape)("critical")));
            scene.origin.wait_for(1);
            between();
            let clear = (self.post)(&scene.sender, &(self.shape)("clear"));
            assert_eq!([critical.join().unwrap().status, clear.status], [202; 2]);
        });
        comes(scene, &["critical"]);
    }
}

#[test]
fn a_critical_that_hangs_and_fails_comes_before_its_clear() {
    for_each_way(|way| {
        let scene = Scene::new(way.delivery, "");
        let (fail, hanging) = failure_when_told();
        scene.origin.will([hanging]);
        way.sends(&scene, || {});
        fail.send(()).unwrap();
        comes(&scene, &["critical", "critical", "clear"]);
    });
}

#[test]
fn a_critical_that_hangs_comes_before_its_clear_when_the_proxy_is_killed() {
    for_each_way(|way| {
        let mut scene = Scene::new(way.delivery, "");
        let (_never, hanging) = failure_when_told();
        scene.origin.will([hanging]);
        way.sends(&scene, || {});
        scene.kill();
        comes(&scene, &["critical", "critical", "clear"]);
    });
}

/// The CLEAR comes to the successor, which stores it, and the predecessor has the CRITICAL.
#[test]
fn a_critical_that_hangs_comes_before_its_clear_across_an_upgrade() {
    for_each_way(|way| {
        let (scene, serving) = upgradable(way.delivery);
        let (fail, hanging) = failure_when_told();
        scene.origin.will([hanging]);
        way.sends(&scene, || drop(serving.begin_upgrade()));
        assert_eq!(scene.proxy.events("queue_delivering").len(), 1);
        fail.send(()).unwrap();
        comes(&scene, &["critical", "critical", "clear"]);
        // The successor writes to the same log.
        scene.proxy.wait_for_events("queue_delivering", 2);
    });
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
