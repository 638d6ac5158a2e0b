//! The file of the queue: where it may be, and what happens when it is not as it should be.

use super::{Scene, alert, config, receives};
use crate::support::{Edit as _, Origin, Pki, Proxy};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// What `check` says about `config`, and how it ends.
fn check(config: &str) -> (Option<i32>, String) {
    let path = Proxy::write(Pki::shared(), config);
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["check", "--config"])
        .arg(path)
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
    assert!(line.contains(".recover"), "{line}");
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
fn notifications_of_a_route_that_is_gone_wait_until_it_is_back() {
    let scene = Scene::new("queue", "");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    let text = fs::read_to_string(&scene.proxy.config).unwrap();
    scene
        .proxy
        .reload(&text.edit("/webhooks/netdata", "/other"));
    assert!(
        scene
            .proxy
            .wait_for_event("queue_route_gone")
            .contains("count=1")
    );
    scene.origin.start();
    scene.proxy.reload(&text);
    scene.proxy.wait_for_event("queue_route_back");
    receives(&scene.origin, &["n-critical"]);
}
