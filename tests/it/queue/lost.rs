//! What is lost and what is not: a stored notification is not, one that is parked or dropped is,
//! until it is delivered.

use super::{Scene, alert, config, drained, receives};
use crate::support::{Edit as _, Operator, Origin, Pki, Proxy, eventually};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

impl Scene {
    /// One whose process has a directory for what outlives it.
    fn with_state(delivery: &str, queue: &str) -> Self {
        let (directory, origin) = (tempfile::tempdir().unwrap(), Origin::spawn_apart());
        let text = config(&origin, &directory, delivery, queue);
        let proxy = Proxy::spawn_with(Pki::shared(), &text, &state(&directory));
        Self::of(directory, origin, proxy)
    }

    fn restart_with_state(&mut self) {
        self.proxy.signal("TERM");
        self.proxy.wait();
        self.start_with_state();
    }

    /// Starts the proxy, which has ended.
    fn start_with_state(&mut self) {
        self.start_with(&state(&self.directory));
    }
}

/// The variable that names the directory for what outlives the process.
fn state(directory: &TempDir) -> [(&'static str, PathBuf); 1] {
    [("STATE_DIRECTORY", directory.path().to_owned())]
}

fn status(operator: &Operator) -> Value {
    serde_json::from_str(&operator.get("/api/status.json").body).unwrap()
}

/// The findings about notifications that were not delivered.
fn lost(operator: &Operator) -> Vec<String> {
    let status = status(operator);
    let findings = status["findings"].as_array().unwrap().iter();
    let texts = findings.filter_map(|finding| finding["text"].as_str());
    let texts = texts.filter(|text| text.contains("not delivered"));
    texts.map(str::to_owned).collect()
}

/// The first event with this code.
fn event(operator: &Operator, code: &str) -> Value {
    eventually(code, || {
        let mut status = status(operator);
        let events = status["events"].as_array_mut().unwrap();
        events.iter().find(|event| event["code"] == code).cloned()
    })
}

#[test]
fn what_is_stored_is_not_lost() {
    let scene = Scene::new("fallback", "");
    let operator = Operator::of(&scene.proxy);
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.proxy.wait_for_event("queue_outage_began");
    eventually("the event", || {
        let event = &status(&operator)["events"][0];
        (event["result"] == "stored").then_some(())
    });
    assert_eq!(lost(&operator), [""; 0]);
    operator.wait_for("not_delivered_open", 0.0);
    assert!(
        operator
            .metrics()
            .iter()
            .all(|(name, value)| { !name.starts_with("not_delivered_total") || *value == 0.0 })
    );
}

#[test]
fn what_is_parked_is_lost_until_it_is_delivered_also_after_a_restart() {
    let mut scene = Scene::with_state("queue", "max_age = \"1s\"");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.proxy.wait_for_event("queue_parked");
    for _ in ["before a restart", "and after"] {
        let operator = Operator::of(&scene.proxy);
        operator.wait_for("not_delivered_open", 1.0);
        let [finding] = &lost(&operator)[..] else {
            panic!("{:?}", lost(&operator));
        };
        assert!(
            finding.contains("1 critical alert was not delivered: a, "),
            "{finding}"
        );
        assert!(finding.contains("queue_parked"), "{finding}");
        let event = event(&operator, "queue_parked");
        assert_eq!(event["result"], "not delivered");
        assert_eq!(event["severity"], "critical");
        let reason = event["reason"].as_str().unwrap();
        assert!(
            reason.contains("too_old") && reason.contains("queue retry 1"),
            "{reason}"
        );
        scene.restart_with_state();
    }
    let text = std::fs::read_to_string(&scene.proxy.config).unwrap();
    scene.proxy.reload(&text.edit("max_age = \"1s\"", ""));
    scene.origin.start();
    scene.asks(&["retry", "1"]);
    receives(&scene.origin, &["n-critical"]);
    let operator = Operator::of(&scene.proxy);
    operator.wait_for("not_delivered_open", 0.0);
    assert_eq!(lost(&operator), [""; 0]);
}

/// A scene with one notification that is parked, and lost.
fn parked() -> Scene {
    let scene = Scene::with_state("queue", "max_age = \"1s\"");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.proxy.wait_for_event("queue_parked");
    Operator::of(&scene.proxy).wait_for("not_delivered_open", 1.0);
    scene
}

#[test]
fn what_an_operator_deletes_is_lost_no_longer() {
    let scene = parked();
    scene.asks(&["drop", "1"]);
    let operator = Operator::of(&scene.proxy);
    operator.wait_for("not_delivered_open", 0.0);
    assert_eq!(lost(&operator), [""; 0]);
}

#[test]
fn what_an_operator_deletes_without_a_proxy_is_lost_no_longer_either() {
    let mut scene = parked();
    scene.proxy.signal("TERM");
    scene.proxy.wait();
    scene.asks(&["drop", "1"]);
    scene.start_with_state();
    Operator::of(&scene.proxy).wait_for("not_delivered_open", 0.0);
}

#[test]
fn what_is_in_a_damaged_file_stays_lost() {
    let mut scene = parked();
    scene.proxy.signal("TERM");
    scene.proxy.wait();
    std::fs::write(scene.file(), "what a disk made of it").unwrap();
    // Its log would make it whole again.
    let log = scene.directory.path().join("queue.db-wal");
    assert!(std::fs::remove_file(&log).is_ok() || !log.exists());
    scene.start_with_state();
    scene.proxy.wait_for_event("queue_damaged");
    // The next one has its id.
    scene.stores(&alert("m", "critical"));
    scene.asks(&["drop", "1"]);
    for _ in ["after a command", "and after a restart"] {
        let operator = Operator::of(&scene.proxy);
        drained(&operator);
        assert_eq!(lost(&operator).len(), 1);
        scene.restart_with_state();
    }
}

#[test]
fn what_is_dropped_for_want_of_room_is_lost_until_it_comes_again() {
    let scene = Scene::new("queue", "max_size = \"1MiB\"");
    let operator = Operator::of(&scene.proxy);
    scene.origin.stop();
    let padding = "x".repeat(200_000);
    let large = |node: &str| alert(node, "critical").replace("\"a\"", &format!("\"{padding}\""));
    scene.stores(&large("parked"));
    scene.asks(&["park", "1"]);
    // Until the first one that has no room beside what is parked. There is none for another one.
    for node in 0.. {
        if scene.listed(&["--parked"]).is_empty() {
            break;
        }
        assert!(node < 10, "nothing is dropped");
        scene.stores(&large(&node.to_string()));
    }
    scene.proxy.wait_for_event("queue_dropped");
    operator.wait_for("not_delivered_open", 1.0);
    let dropped = event(&operator, "queue_dropped");
    assert!(
        dropped["reason"]
            .as_str()
            .unwrap()
            .contains("queue.max_size")
    );
    assert_eq!(dropped["severity"], "critical");
    assert_eq!(dropped["route"], json!("/webhooks/netdata"));
    scene.origin.start();
    drained(&operator);
    // Netdata Cloud sends it again.
    scene.stores(&large("parked"));
    operator.wait_for("not_delivered_open", 0.0);
    assert_eq!(lost(&operator), [""; 0]);
}
