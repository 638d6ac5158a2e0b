//! Notifications that wait for their application: no one is lost, and none overtakes another.

mod crashes;
mod fallback;
mod files;
mod lost;
mod operator;
mod outage;
mod pairs;
mod reorder;
mod sandbox;
mod status;
mod stored;
mod upgrades;

pub(crate) use crashes::Acknowledged;

use crate::support::{Operator, Origin, PATIENCE, Pki, Proxy, Received, Sender, eventually};
use serde_json::Value;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// An application, and a proxy in front of it with a queue.
pub(crate) struct Scene {
    pub(crate) directory: TempDir,
    pub(crate) origin: Origin,
    pub(crate) proxy: Proxy,
    pub(crate) sender: Sender,
}

impl Scene {
    /// A scene in which the route has this `delivery`, and `[queue]` these further keys.
    pub(crate) fn new(delivery: &str, queue: &str) -> Self {
        Self::with(Origin::spawn_apart(), delivery, queue)
    }

    pub(crate) fn with(origin: Origin, delivery: &str, queue: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = config(&origin, &directory, delivery, queue);
        let proxy = Proxy::spawn(Pki::shared(), &text);
        Self::of(directory, origin, proxy)
    }

    /// A scene of these parts: `proxy` is in front of `origin`, with its queue in `directory`.
    fn of(directory: TempDir, origin: Origin, proxy: Proxy) -> Self {
        let sender = netdata(&proxy);
        Self {
            directory,
            origin,
            proxy,
            sender,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    /// Kills the proxy, and starts it again.
    fn kill(&mut self) {
        self.proxy.signal("KILL");
        self.proxy.wait();
        self.start();
    }

    /// Starts the proxy again, which has ended.
    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Likewise, with these variables in its environment.
    fn start_with(&mut self, variables: &[(&str, PathBuf)]) {
        self.goes_on_with(Proxy::launch(&self.proxy.config, |command| {
            command.envs(variables.iter().map(|(name, value)| (name, value)));
        }));
    }

    /// Puts `proxy` into the place of the present one, once it is ready.
    fn goes_on_with(&mut self, proxy: Proxy) {
        proxy.wait_for_event("ready");
        self.sender = netdata(&proxy);
        self.proxy = proxy;
    }

    /// Waits until nothing is in the file any longer.
    fn becomes_empty(&self) {
        eventually("an empty queue", || {
            self.asks(&["list"]).contains("Nothing waits").then_some(())
        });
    }

    /// Posts `body`, which is stored.
    #[track_caller]
    pub(crate) fn stores(&self, body: &str) {
        let answer = self.sender.post(body);
        assert_eq!(answer.status, 202, "{answer:?}");
        let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(told["queued"], true);
        assert_eq!(told["request_id"].as_str(), answer.header("x-request-id"));
    }
}

/// Netdata Cloud, as a client of `proxy`.
fn netdata(proxy: &Proxy) -> Sender {
    Sender::to(proxy, Some(&Pki::shared().netdata()))
}

pub(crate) fn config(origin: &Origin, directory: &TempDir, delivery: &str, queue: &str) -> String {
    let path = directory.path().join("queue.db");
    format!(
        "{}[queue]\npath = {path:?}\n{queue}\n{ADMIN}",
        Proxy::config(origin, "require", &format!("delivery = \"{delivery}\"\n")),
    )
}

/// An alert of `node`, whose state has this name, which identifies it as well.
pub(crate) fn alert(node: &str, state: &str) -> String {
    format!(
        "{{\"space\":{{\"id\":\"s\"}},\"node\":{{\"id\":\"{node}\"}},\"alert\":{{\"name\":\"a\",\
         \"transition_id\":\"{node}-{state}\",\"state\":{{\"status\":\"{state}\"}}}}}}"
    )
}

/// The transitions that an application received, in their order.
pub(crate) fn transitions(received: &[Received]) -> Vec<&str> {
    received
        .iter()
        .map(|request| request.header("Idempotency-Key"))
        .collect()
}

/// Waits until the application has received `expected`, and nothing else.
#[track_caller]
pub(crate) fn receives(origin: &Origin, expected: &[&str]) {
    origin.wait_for(expected.len());
    assert_eq!(transitions(&origin.received()), expected);
}

/// The queue in `/api/status.json`.
pub(crate) fn queue_status(operator: &Operator) -> Value {
    let status = operator.get("/api/status.json").body;
    serde_json::from_str::<Value>(&status).unwrap()["queue"].take()
}

/// The card of the queue as a browser without scripts shows it.
pub(crate) fn queue_card(operator: &Operator) -> String {
    let page = operator.get("/").body;
    let (_, card) = page.split_once("id=\"queue\">").unwrap();
    card.split_once("</section>").unwrap().0.to_owned()
}

/// Waits until nothing waits any longer.
#[track_caller]
pub(crate) fn drained(operator: &Operator) {
    drained_within(PATIENCE, operator);
}

/// Likewise, for as long as `patience`.
#[track_caller]
pub(crate) fn drained_within(patience: Duration, operator: &Operator) {
    let deadline = Instant::now() + patience;
    // A successor knows what waits once it delivers.
    eventually("a process that delivers", || {
        let metrics = operator.metrics();
        let mut delivering = metrics
            .iter()
            .filter(|(name, _)| name.starts_with("queue_delivering"));
        delivering.any(|(_, is)| *is == 1.0).then_some(())
    });
    while waiting(operator) > 0.0 {
        assert!(Instant::now() < deadline, "{} wait", waiting(operator));
        thread::sleep(Duration::from_millis(20));
    }
}

/// The number of notifications that wait.
fn waiting(operator: &Operator) -> f64 {
    let is_waiting =
        |name: &String| name.starts_with("queue_messages") && name.contains("state=\"waiting\"");
    let metrics = operator.metrics();
    let waiting = metrics.iter().filter(|(name, _)| is_waiting(name));
    waiting.map(|(_, count)| count).sum()
}
