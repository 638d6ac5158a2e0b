//! What is sent, as far as the arguments say it: seed, space, node, file, length.

use super::{Scene, command, dry, run, said};
use serde_json::Value;
use std::process::Stdio;

#[test]
fn a_seed_stands_for_what_is_sent() {
    let scene = Scene::new("");
    let bodies = |arguments: &[&str]| {
        let before = scene.origin.received().len();
        let report = scene.send(arguments).ends_with(0).report();
        let bodies: Vec<_> = scene
            .origin
            .received()
            .split_off(before)
            .into_iter()
            .map(|it| it.body)
            .collect();
        (bodies, report["seed"].as_u64().unwrap().to_string())
    };
    let (first, seed) = bodies(&["alert", "--repeat", "3"]);
    assert_eq!(
        bodies(&["alert", "--repeat", "3", "--seed", &seed]).0,
        first,
        "that of a run sends the same again"
    );
    assert_ne!(
        bodies(&["alert", "--repeat", "3"]).0,
        first,
        "and is another one every time"
    );
    let keys: Vec<_> = scene.origin.received()[..3]
        .iter()
        .map(|it| it.header("Idempotency-Key").to_owned())
        .collect();
    assert!(
        keys[0] != keys[1] && keys[1] != keys[2],
        "each is a transition of its own"
    );
    let (same, _) = bodies(&["alert", "--repeat", "3", "--same", "--seed", &seed]);
    assert_eq!(same, vec![first[0].clone(); 3]);
    // On every machine, and in every version of this program.
    let alert = &dry(&["alert", "--seed", "7"])[0];
    assert!(
        alert.contains("\"transition_id\": \"4c0e956e-8441-431a-bbe7-87235ca7ba29\""),
        "{alert}"
    );
}

#[test]
fn a_space_and_a_node_may_be_given() {
    let scene = Scene::new("spaces = [\"My \\\"space\\\"\", \"the-id\"]");
    for (arguments, code) in [
        (&["--space", "My \"space\""][..], 0),
        (&["--space-id", "the-id", "--node", "my-node"], 0),
        (&["--space", "Another"], 1),
        (&[], 1),
    ] {
        let said = scene
            .send(&[&["alert"], arguments].concat())
            .ends_with(code);
        if code == 1 {
            let result = said.all("refused", "space_not_allowed", 1);
            assert!(
                result["advice"].as_str().unwrap().contains("--space"),
                "{result:#}"
            );
        }
    }
    assert_eq!(scene.origin.received().len(), 2);
    let json: Value = serde_json::from_slice(&scene.last().body).unwrap();
    assert_eq!(json["node"]["hostname"], "my-node");
}

#[test]
fn a_file_is_sent_byte_for_byte() {
    let scene = Scene::new("");
    let body = "{\n \"alert\" : \"ü\\u0026\" ,\t\"value\": 1.50}\n\n";
    let path = scene
        .pki
        .write("alert.json", body)
        .to_str()
        .unwrap()
        .to_owned();
    scene.send(&["file", &path]).ends_with(0);
    assert_eq!(scene.last().body, body.as_bytes());
    let mut command = command(
        &scene
            .arguments(&["file", "-"])
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    let child = command
        .stdin(std::fs::File::open(&path).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    said(child.wait_with_output().unwrap()).ends_with(0);
    assert_eq!(scene.last().body, body.as_bytes());
    let bytes = run(&["file", &path, "https://localhost/", "--dry-run"])
        .ends_with(0)
        .out;
    assert_eq!(bytes, body, "and printed so");
    scene.pki.write("broken.json", "{\"alert\": critical}");
    let result = scene
        .send(&["file", &scene.file("broken.json")])
        .ends_with(1)
        .all("refused", "invalid_json", 1);
    assert_eq!(result["status"], 400);
    assert!(
        result["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{result:#}"
    );
    let said = scene.send(&["file", "/dev/zero"]).ends_with(2);
    assert!(
        said.err.contains("/dev/zero has more than 64 MiB"),
        "{said:?}"
    );
}

#[test]
fn a_body_is_as_long_as_it_is_told_to_be() {
    let scene = Scene::new("max_body = \"64KiB\"");
    scene
        .send(&["alert", "--active-alerts", "300"])
        .ends_with(0);
    assert!(scene.last().body.len() > 16 * 1024);
    scene
        .send(&["alert", "--active-alerts", "3000"])
        .ends_with(1)
        .all("refused", "body_too_large", 1);
}
