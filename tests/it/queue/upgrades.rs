//! A program that is replaced again and again while its application is down and notifications come.

use super::crashes::Acknowledged;
use super::{ADMIN, Scene, config, drained_within};
use crate::support::{Edit as _, Operator, Origin, PATIENCE, Pki, Proxy, eventually};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// The number of upgrades during the outage; more of them by this variable.
const UPGRADES: usize = 3;
const UPGRADES_VARIABLE: &str = "NWP_UPGRADES";

const NODES: usize = 6;

/// The process that serves, which a file names. It is ended with the test.
pub(super) struct Serving(PathBuf);

impl Serving {
    fn id(&self) -> Option<String> {
        let id = fs::read_to_string(&self.0).ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    fn signal(&self, name: &str) {
        let id = self.id().expect("a process serves");
        let status = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(status.unwrap().success());
    }

    /// Has the process start its successor, and waits until it has ended.
    fn upgrade(&self) {
        let before = self.begin_upgrade();
        eventually("its end", || has_ended(&before).then_some(()));
    }

    /// Has the process start its successor, and waits until that serves. Returns the id of the
    /// predecessor.
    pub(super) fn begin_upgrade(&self) -> String {
        let before = self.id().expect("a process serves");
        self.signal("USR2");
        eventually("a successor", || {
            self.id().is_some_and(|id| id != before).then_some(())
        });
        before
    }
}

fn has_ended(id: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat"));
    // A process that has ended is a zombie until its parent asks.
    state.map_or(true, |text| text.contains(") Z "))
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(id) = self.id() {
            // An error says that it has ended.
            let _ = Command::new("kill").args(["-KILL", &id]).status();
        }
    }
}

/// A scene whose proxy can be upgraded, and what serves in it.
pub(super) fn upgradable(delivery: &str) -> (Scene, Serving) {
    let (directory, origin) = (tempfile::tempdir().unwrap(), Origin::spawn_apart());
    let [file, socket] = ["proxy.pid", "upgrade"].map(|name| directory.path().join(name));
    let server = format!("[server]\npid_file = {file:?}\nupgrade_socket = {socket:?}");
    let text = config(&origin, &directory, delivery, "").edit("[server]", &server);
    assert!(text.contains(ADMIN));
    let proxy = Proxy::spawn(Pki::shared(), &text);
    (Scene::of(directory, origin, proxy), Serving(file))
}

#[test]
fn upgrades_during_an_outage_under_load_lose_and_reorder_nothing() {
    let more = std::env::var(UPGRADES_VARIABLE).ok();
    let upgrades: usize = more.map_or(UPGRADES, |text| text.parse().unwrap());
    for delivery in ["fallback", "queue"] {
        let (scene, serving) = upgradable(delivery);
        let sender = Mutex::new(scene.sender.clone());
        let acknowledged = Acknowledged::default();
        let goes_on = || {
            let before = acknowledged.count.load(Ordering::SeqCst);
            eventually("acknowledged notifications", || {
                let count = acknowledged.count.load(Ordering::SeqCst);
                (count >= before + 20).then_some(())
            });
        };
        scene.origin.stop();
        thread::scope(|scope| {
            let _sending = acknowledged.sending();
            for node in 0..NODES {
                let (acknowledged, sender) = (&acknowledged, &sender);
                scope.spawn(move || acknowledged.send(node, sender, Duration::from_millis(20)));
            }
            for _ in 0..upgrades {
                goes_on();
                serving.upgrade();
            }
            goes_on();
            // One more while it drains.
            scene.origin.start();
            serving.upgrade();
            goes_on();
        });
        drained_within(4 * PATIENCE, &Operator::of(&scene.proxy));
        let count = acknowledged.count.load(Ordering::SeqCst);
        eprintln!(
            "{delivery}: {count} acknowledged in {} upgrades",
            upgrades + 1
        );
        acknowledged.check(&scene.origin);
        serving.signal("TERM");
        eventually("the end", || serving.id().is_none().then_some(()));
    }
}
