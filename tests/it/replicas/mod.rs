//! Several replicas with one queue in PostgreSQL: one delivers, all store, and none is missed.

mod acme;
mod balancer;
mod bloat;
mod by_hand;
mod check;
mod commands;
mod crashes;
mod cuts;
mod database;
mod failures;
mod faults;
mod judge;
mod late;
mod order;
mod pooler;
mod seen;
mod settings;
mod standby;
mod tls;
mod unrecorded;

use crate::queue::{ADMIN, alert, transitions};
use crate::support::{Origin, Pki, Proxy, Sender, eventually, postgres};
use postgres::Server;
use std::fs;
use std::sync::OnceLock;
use tempfile::TempDir;

/// The server of all tests that do not stop it: each has a database of its own.
pub(crate) fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

/// Ends all sessions of a database but its own.
const END_SESSIONS: &str = "select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()";

/// An application, and replicas in front of it that share a database.
struct Scene {
    directory: TempDir,
    origin: Origin,
    config: String,
    replicas: Vec<Replica>,
    url: String,
}

/// A replica, and what sends to it.
struct Replica {
    proxy: Proxy,
    sender: Sender,
}

impl Replica {
    fn start(config: &str) -> Self {
        let proxy = Proxy::spawn(Pki::shared(), config);
        Self {
            sender: Sender::to(&proxy, Some(&Pki::shared().netdata())),
            proxy,
        }
    }

    fn is_delivering(&self) -> bool {
        let begun = self.proxy.events("queue_delivering").len();
        begun > self.proxy.events("queue_not_delivering").len()
    }
}

impl Scene {
    /// Two replicas, of which the first one delivers. `None` where there is no server.
    fn new(delivery: &str) -> Option<Self> {
        let url = server()?.create_database("UTF8");
        Some(Self::at(&url, delivery))
    }

    fn at(url: &str, delivery: &str) -> Self {
        let mut scene = Self::alone(Origin::spawn_apart(), url, delivery);
        let first = Replica::start(&scene.config);
        first.proxy.wait_for_event("queue_delivering");
        scene.replicas = vec![first, Replica::start(&scene.config)];
        scene
    }

    /// `origin`, without a replica yet.
    fn alone(origin: Origin, url: &str, delivery: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Proxy::config(&origin, "require", &format!("delivery = \"{delivery}\"\n"));
        let mut scene = Self {
            directory,
            origin,
            config,
            replicas: Vec::new(),
            url: url.to_owned(),
        };
        scene.config = format!("{}{}", scene.config, scene.queue("database.url", url));
        scene
    }

    /// Writes a URL into a file. Returns the part of the configuration that has it.
    fn queue(&self, file: &str, url: &str) -> String {
        let path = self.directory.path().join(file);
        fs::write(&path, format!("{url}\n")).unwrap();
        format!("[queue]\nurl = {{ file = {path:?} }}\n{ADMIN}")
    }

    /// Returns the configuration of a replica that has another URL for the database.
    fn config_with(&self, url: &str) -> String {
        let (before, _) = self.config.split_once("[queue]").unwrap();
        format!("{before}{}", self.queue("other.url", url))
    }

    /// Posts to a replica, which stores it.
    #[track_caller]
    fn stores(&self, replica: usize, body: &str) {
        let answer = self.replicas[replica].sender.post(body);
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// Stores a notification as soon as that can be done.
    fn stores_again(&self, replica: usize, body: &str) {
        eventually("a notification that is stored", || {
            let answer = self.replicas[replica].sender.post(body);
            (answer.status == 202).then_some(())
        });
    }

    fn sql(&self, sql: &str) -> String {
        postgres::sql(&self.url, sql)
    }

    /// Waits until nothing is in the database any longer.
    #[track_caller]
    fn drained(&self) {
        let count = "select count(*) from netdata_webhook_proxy.notification";
        eventually("an empty queue", || (self.sql(count) == "0").then_some(()));
    }

    /// The transitions of `node` that the application has received, each of them once.
    fn received_of(&self, node: &str) -> Vec<String> {
        let received = self.origin.received();
        let mut seen = Vec::<String>::new();
        for key in transitions(&received) {
            if key.starts_with(&format!("{node}-")) && !seen.iter().any(|known| known == key) {
                seen.push(key.to_owned());
            }
        }
        seen
    }
}

#[test]
fn one_delivers_what_any_has_stored_and_says_in_which_term() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.stores(1, &alert("n", "critical"));
    scene.origin.wait_for(1);
    scene.stores(0, &alert("n", "clear"));
    let received = scene.origin.wait_for(2);
    assert_eq!(transitions(&received), ["n-critical", "n-clear"]);
    let term: i64 = received[0].header("X-Netdata-Term").parse().unwrap();
    assert!(term > 0);
    assert_eq!(received[1].header("X-Netdata-Term"), term.to_string());
    assert_eq!(received[0].header("X-Netdata-Attempt"), "1");
    assert!(
        scene.replicas[1]
            .proxy
            .events("queue_delivering")
            .is_empty()
    );
    scene.drained();
}

#[test]
fn a_replica_that_is_ended_hands_over_at_once() {
    let Some(mut scene) = Scene::new("queue") else {
        return;
    };
    scene.stores(0, &alert("n", "critical"));
    scene.origin.wait_for(1);
    let before = std::time::Instant::now();
    scene.replicas[0].proxy.signal("TERM");
    scene.replicas[1].proxy.wait_for_event("queue_delivering");
    assert!(
        before.elapsed() < std::time::Duration::from_secs(5),
        "it has resigned"
    );
    assert!(scene.replicas[0].proxy.wait().success());
    scene.stores(1, &alert("n", "clear"));
    let received = scene.origin.wait_for(2);
    let terms: Vec<i64> = received
        .iter()
        .map(|it| it.header("X-Netdata-Term").parse().unwrap())
        .collect();
    assert!(terms[0] < terms[1], "{terms:?}");
}
