//! `queue …` over a database, beside running replicas.

use super::Scene;
use crate::queue::alert;
use crate::support::eventually;
use serde_json::Value;
use std::process::{Command, Output};

fn run(scene: &Scene, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["queue", "--config"])
        .arg(&scene.replicas[1].proxy.config)
        .args(arguments)
        .output()
        .unwrap()
}

fn json(scene: &Scene, arguments: &[&str]) -> Value {
    let output = run(scene, arguments);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_operator_sees_what_waits_and_sends_it_again() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.origin.stop();
    scene.stores(0, &alert("n", "critical"));
    scene.stores(1, &alert("n", "clear"));
    let listed = json(&scene, &["list", "--json"]);
    let keys: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["idempotency_key"].as_str())
        .collect();
    assert_eq!(keys.len(), 2, "{listed}");
    let ids: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].to_string())
        .collect();
    let body = run(&scene, &["show", &ids[0], "--body"]);
    assert_eq!(
        String::from_utf8(body.stdout).unwrap(),
        alert("n", "critical")
    );
    assert!(run(&scene, &["park", &ids[0]]).status.success());
    let table = String::from_utf8(run(&scene, &["list"]).stdout).unwrap();
    assert!(table.contains("Waiting: 1. Parked: 1."), "{table}");
    assert!(!table.contains("No running proxy"), "{table}");
    scene.origin.start();
    scene.origin.wait_for(1);
    assert_eq!(scene.received_of("n"), ["n-clear"]);
    assert!(run(&scene, &["retry", &ids[0]]).status.success());
    scene.drained();
    assert_eq!(scene.received_of("n"), ["n-clear", "n-critical"]);
    let exported = run(&scene, &["export"]);
    assert!(exported.status.success() && exported.stdout.is_empty());
    let missing = run(&scene, &["drop", &ids[0]]);
    assert!(!missing.status.success());
}

#[test]
fn a_parked_one_that_is_dropped_is_gone() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.origin.stop();
    scene.stores(1, &alert("n", "critical"));
    let listed = json(&scene, &["list", "--json"]);
    let id = listed[0]["id"].to_string();
    assert!(run(&scene, &["drop", &id]).status.success());
    scene.origin.start();
    scene.stores(1, &alert("n", "clear"));
    eventually("the other one", || {
        (scene.received_of("n") == ["n-clear"]).then_some(())
    });
}
