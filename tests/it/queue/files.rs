//! The file of the queue: where it may be, and what happens when it is not as it should be.

use super::{Scene, alert, config, queue_status, receives};
use crate::support::{Edit as _, Operator, Origin, Pki, Proxy};
use rusqlite::Connection;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

/// What `check` says about `config`, and how it ends.
fn check(config: &str) -> (Option<i32>, String) {
    check_with(config, &[])
}

/// Likewise, with these variables in its environment.
fn check_with(config: &str, variables: &[(&str, PathBuf)]) -> (Option<i32>, String) {
    let path = Proxy::write(Pki::shared(), config);
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["check", "--config"])
        .arg(path)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_route_that_stores_needs_a_queue_with_a_directory() {
    let origin = Origin::spawn();
    let directory = tempfile::tempdir().unwrap();
    let good = config(&origin, &directory, "fallback", "");
    assert_eq!(check(&good).0, Some(0), "{}", check(&good).1);
    let path = format!("path = {:?}\n", directory.path().join("queue.db"));
    for (config, expected) in [
        (good.edit(&format!("[queue]\n{path}"), ""), "queue: missing"),
        (good.edit(&path, ""), "queue.path: missing"),
        (good.edit("queue.db", "missing/queue.db"), "StateDirectory="),
        (good.edit(&path, "path = \"/proc/queue.db\"\n"), "queue"),
        (
            good.edit("\"fallback\"", "\"always\""),
            "delivery: must be one of",
        ),
        (
            good.edit("[queue]\n", "[queue]\ndeliveries = 0\n"),
            "queue.deliveries: must be from 1",
        ),
        (
            good.edit("[queue]\n", "[queue]\nmax_size = \"1KiB\"\n"),
            "queue.max_size: must be at least",
        ),
    ] {
        let (code, said) = check(&config);
        if !config.contains("/proc/") {
            assert_eq!(code, Some(2), "{config}\n{said}");
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}

#[test]
fn credentials_that_would_be_stored_are_warned_of() {
    let origin = Origin::spawn();
    let directory = tempfile::tempdir().unwrap();
    let stored = "Authorization headers are stored";
    for (delivery, is_said) in [("fallback", true), ("queue", true), ("direct", false)] {
        let config = config(&origin, &directory, delivery, "");
        let key = "delivery = ";
        let config = config.edit(key, &format!("forward_authorization = true\n{key}"));
        let (code, said) = check(&config);
        assert_eq!((code, said.contains(stored)), (Some(0), is_said), "{said}");
    }
}

#[test]
fn a_disk_that_is_too_small_is_warned_of() {
    let origin = Origin::spawn();
    let directory = tempfile::tempdir().unwrap();
    let size = format!("max_size = {}", i64::MAX);
    let (code, said) = check(&config(&origin, &directory, "fallback", &size));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("queue.max_size: the disk has "), "{said}");
}

/// `[queue]` is gone from the configuration: what waits is not sent, which `check` says.
#[test]
fn notifications_in_a_queue_that_is_configured_no_longer_are_warned_of() {
    let mut scene = Scene::new("queue", "");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.stores(&alert("n", "clear"));
    scene.proxy.signal("TERM");
    scene.proxy.wait();
    let directory = scene.directory.path().to_owned();
    let variables = [("STATE_DIRECTORY", directory)];
    let without = Proxy::config(&scene.origin, "require", "");
    let (code, said) = check_with(&without, &variables);
    assert_eq!(code, Some(0), "{said}");
    let file = scene.file();
    let left = format!(
        "queue: missing, and 2 notifications in {} are not sent",
        file.display()
    );
    assert!(said.contains(&left), "{said}");
    scene.asks(&["drop", "1", "2"]);
    let (_, said) = check_with(&without, &variables);
    assert!(!said.contains("queue"), "{said}");
}

#[test]
fn only_its_owner_can_read_it() {
    let scene = Scene::new("queue", "");
    scene.stores(&alert("n", "critical"));
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("{}{suffix}", scene.file().display());
        let mode = fs::metadata(&name).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_the_proxy_serves() {
    let mut scene = Scene::new("queue", "");
    scene.proxy.signal("TERM");
    scene.proxy.wait();
    fs::write(scene.file(), "what a disk made of it").unwrap();
    // Its log would make it whole again.
    let log = scene.directory.path().join("queue.db-wal");
    assert!(fs::remove_file(&log).is_ok() || !log.exists());
    scene.start();
    let line = scene.proxy.wait_for_event("queue_damaged");
    assert!(line.contains(" .dump`"), "{line}");
    let kept = fs::read_dir(scene.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept
        .filter(|path| path.to_string_lossy().contains(".damaged-"))
        .collect();
    assert_eq!(fs::read(&kept[0]).unwrap(), b"what a disk made of it");
    scene.stores(&alert("n", "critical"));
    receives(&scene.origin, &["n-critical"]);
}

#[test]
fn a_reload_changes_the_limits_but_not_the_file() {
    let scene = Scene::new("queue", "");
    let text = fs::read_to_string(&scene.proxy.config).unwrap();
    let line = scene
        .proxy
        .refuses_to_reload(&text.edit("queue.db", "other.db"));
    assert!(line.contains("queue.path"), "{line}");
    scene.proxy.reload(&text.edit(
        "[queue]\n",
        "[queue]\nmax_size = \"2MiB\"\ndeliveries = 1\n",
    ));
    scene.proxy.wait_for_event("config_reloaded");
    scene.stores(&alert("n", "critical"));
    receives(&scene.origin, &["n-critical"]);
}

#[test]
fn what_waits_goes_to_the_upstream_that_its_route_has_now() {
    let scene = Scene::new("queue", "");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.stores(&alert("n", "clear"));
    let other = Origin::spawn();
    let text = fs::read_to_string(&scene.proxy.config).unwrap();
    scene
        .proxy
        .reload(&text.edit(&scene.origin.url, &other.url));
    receives(&other, &["n-critical", "n-clear"]);
    scene.origin.received_nothing();
}

/// The clock was an hour ahead when the first one came.
#[test]
fn a_clock_that_is_put_back_changes_no_order() {
    let mut scene = Scene::new("queue", "");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.proxy.signal("TERM");
    scene.proxy.wait();
    let database = Connection::open(scene.file()).unwrap();
    let ahead = "update notification set received = received + 3600000000000";
    assert_eq!(database.execute(ahead, []), Ok(1));
    database.close().unwrap();
    scene.start();
    scene.stores(&alert("n", "clear"));
    scene.origin.start();
    receives(&scene.origin, &["n-critical", "n-clear"]);
}

#[test]
fn notifications_of_a_route_that_is_gone_wait_until_it_is_back() {
    let scene = Scene::new("queue", "");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.stores(&alert("n", "clear"));
    let text = fs::read_to_string(&scene.proxy.config).unwrap();
    scene
        .proxy
        .reload(&text.edit("/webhooks/netdata", "/other"));
    let line = scene.proxy.wait_for_event("queue_route_gone");
    assert!(
        line.contains("route=\"/webhooks/netdata\" count=2"),
        "{line}"
    );
    let operator = Operator::of(&scene.proxy);
    let count = "queue_parked_total{reason=\"no_route\",route=\"/webhooks/netdata\"}";
    operator.wait_for(count, 2.0);
    let waiting = "queue_messages{route=\"/webhooks/netdata\",state=\"waiting\"}";
    operator.wait_for(waiting, 0.0);
    let finding = "Parked because /webhooks/netdata is not in the configuration: 2.";
    assert_eq!(
        operator
            .get("/api/status.json")
            .body
            .matches(finding)
            .count(),
        1
    );
    let parked = &queue_status(&operator)["parked"][0];
    assert_eq!(
        (&parked["reason"], &parked["count"]),
        (&json!("no_route"), &json!(2))
    );
    // Sent again, they are parked again.
    for (count, arguments) in [&["retry", "1"][..], &["retry", "--all"]]
        .into_iter()
        .enumerate()
    {
        let output = scene.queue(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = format!("{} of them were parked because their route", count + 1);
        assert!(said.contains(&expected), "{said}");
        let line = scene.proxy.wait_for_events("queue_route_gone", count + 2);
        assert!(line.contains(&format!("count={}", count + 1)), "{line}");
    }
    scene.origin.start();
    scene.proxy.reload(&text);
    let line = scene.proxy.wait_for_event("queue_route_back");
    assert!(line.contains("count=2"), "{line}");
    receives(&scene.origin, &["n-critical", "n-clear"]);
    assert!(!operator.get("/api/status.json").body.contains(finding));
}
