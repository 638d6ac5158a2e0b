//! What is exported is sent again by `send file --exported`, to whatever takes it.

use super::{Scene, program};
use crate::queue::{alert, config, transitions};
use crate::support::{Edit as _, Origin, Pki, Proxy, Screen, Sender, eventually};
use serde_json::Value;
use std::fs::{self, File};
use std::process::{Command, Stdio};

fn sent(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"))
}

#[test]
fn an_export_is_sent_in_its_order_with_its_headers() {
    let third = alert("m", "warning").edit("\"name\":\"a\"", "\"name\":\"ä\"");
    let bodies = [alert("n", "critical"), alert("n", "clear"), third];
    let scene = Scene::waiting(&bodies);
    scene.asks(&["park", "2"]);
    let exported = scene.asks(&["export"]);
    assert_eq!(exported.lines().count(), 3);
    assert_eq!(scene.asks(&["export", "--parked"]).lines().count(), 1);
    let file = scene.directory.path().join("export.jsonl");
    fs::write(&file, &exported).unwrap();
    let origin = Origin::spawn();
    let url = format!("{}/elsewhere", origin.url);
    let report =
        sent(
            program()
                .args(["send", "file"])
                .arg(&file)
                .args([&url, "--exported", "--json"]),
        );
    assert_eq!(report["accepted"], 3, "{report}");
    let received = origin.wait_for(3);
    assert_eq!(
        transitions(&received),
        ["n-critical", "n-clear", "m-warning"]
    );
    for (request, body) in received.iter().zip(&bodies) {
        assert_eq!(request.body, body.as_bytes());
        assert_eq!(request.request_line, "POST /elsewhere HTTP/1.1");
        assert_eq!(request.header("X-Netdata-Notification"), "alert");
        assert_eq!(request.header("X-Netdata-Attempt"), "1");
    }
    // From a pipe, too.
    let report = sent(
        program()
            .args(["send", "file", "-", &url, "--exported", "--json"])
            .stdin(File::open(&file).unwrap()),
    );
    assert_eq!(report["accepted"], 3);
}

#[test]
fn a_body_of_any_bytes_arrives_as_it_was_and_credentials_do_not() {
    let origin = Origin::spawn_apart();
    let directory = tempfile::tempdir().unwrap();
    let text = config(&origin, &directory, "queue", "").edit(
        "delivery = \"queue\"",
        "delivery = \"queue\"\nschema = \"off\"\nforward_authorization = true",
    );
    let proxy = Proxy::spawn(Pki::shared(), &text);
    origin.stop();
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let headers = "Authorization: Bearer hidden-token\r\n";
    let body = "{\"a\":\"\u{0}ÿ\"}";
    assert_eq!(
        sender
            .send("POST", crate::support::WEBHOOK, headers, body)
            .unwrap()
            .status,
        202
    );
    let queue = directory.path().join("queue.db");
    for command in [&["export"][..], &["show", "1"], &["show", "1", "--json"]] {
        let output = super::queue_of(&queue, command);
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(
            !out.contains("hidden-token") && out.contains("uthorization: …"),
            "{out}"
        );
    }
    let exported = super::queue_of(&queue, &["export"]).stdout;
    let file = directory.path().join("export.jsonl");
    fs::write(&file, exported).unwrap();
    let receiver = Origin::spawn();
    let report = sent(program().args(["send", "file"]).arg(&file).args([
        &receiver.url,
        "--exported",
        "--json",
    ]));
    assert_eq!(report["accepted"], 1, "{report}");
    let received = receiver.wait_for(1);
    assert_eq!(received[0].body, body.as_bytes());
    assert!(received[0].all("Authorization").is_empty());
}

#[test]
fn progress_is_shown_on_a_terminal_alone() {
    let scene = Scene::waiting(&[alert("n", "critical"), alert("n", "clear")]);
    let nowhere = scene.queue(&["export"]).output().unwrap();
    assert_eq!(super::err(&nowhere), "");
    let (screen, theirs) = Screen::open(80);
    let exported = scene
        .queue(&["export"])
        .env("TERM", "xterm")
        .stdout(Stdio::piped())
        .stderr(theirs)
        .output()
        .unwrap();
    assert_eq!(exported.stdout, nowhere.stdout);
    eventually("the progress", || {
        screen.text().contains("/2, ").then_some(())
    });
}
