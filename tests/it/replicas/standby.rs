//! A standby that is promoted: what was acknowledged is there, if it is a synchronous one.

use super::{END_SESSIONS, Replica, Scene, Server, postgres};
use crate::queue::alert;
use crate::support::eventually;
use std::thread;

const COUNT: &str = "select count(*) from netdata_webhook_proxy.notification";

/// A primary with a standby, and replicas that know both. The application is down.
struct Pair {
    primary: Server,
    standby: Server,
    scene: Scene,
    database: String,
}

impl Pair {
    fn new(is_synchronous: bool) -> Option<Self> {
        let primary = Server::start()?;
        let database = postgres::sql(
            &primary.create_database("UTF8"),
            "select current_database()",
        );
        let standby = primary.start_standby("standby");
        let hosts = format!("host={},{}", primary.directory(), standby.directory());
        let url = format!("postgres:///{database}?{hosts}&user=postgres");
        if is_synchronous {
            primary.set("synchronous_standby_names", "'standby'");
        }
        let pair = Self {
            scene: Scene::at(&format!("{url}&target_session_attrs=read-write"), "queue"),
            primary,
            standby,
            database,
        };
        pair.scene.origin.stop();
        pair.is_replicated(if is_synchronous { "sync" } else { "async" });
        Some(pair)
    }

    fn is_replicated(&self, how: &str) {
        let state = "select state || ' ' || sync_state from pg_stat_replication";
        eventually("a standby that follows", || {
            let state = postgres::sql(&self.primary.url("postgres"), state);
            (state == format!("streaming {how}")).then_some(())
        });
    }

    /// Posts while the standby is down. Returns the status.
    fn posts_without_standby(&mut self, state: &str) -> u16 {
        self.standby.kill();
        self.scene.replicas[0]
            .sender
            .post(&alert("n", state))
            .status
    }

    /// The primary is lost, and the standby takes its place.
    fn fails_over(&mut self) {
        self.primary.kill();
        self.standby.run();
        self.standby.promote();
        for replica in &self.scene.replicas {
            replica.proxy.wait_for_event("queue_timeline");
        }
    }

    fn count(&self, server: &Server) -> String {
        postgres::sql(&server.url(&self.database), COUNT)
    }
}

#[test]
fn what_a_synchronous_standby_acknowledged_outlasts_the_primary() {
    let Some(mut pair) = Pair::new(true) else {
        return;
    };
    for number in 0..10 {
        pair.scene
            .stores(number % 2, &alert("n", &number.to_string()));
    }
    assert_eq!(pair.posts_without_standby("refused"), 503);
    pair.fails_over();
    assert_eq!(pair.count(&pair.standby), "10");
    pair.scene.stores_again(0, &alert("m", "0"));
    pair.scene.stores_again(1, &alert("o", "0"));
    // The old primary comes first in the URL, and can be written.
    pair.primary.run();
    let old = pair.count(&pair.primary);
    postgres::sql(&pair.standby.url(&pair.database), END_SESSIONS);
    pair.scene.stores_again(0, &alert("p", "0"));
    pair.scene.stores_again(1, &alert("q", "0"));
    assert_eq!(pair.count(&pair.standby), "14");
    assert_eq!(pair.count(&pair.primary), old);
    pair.primary.kill();
    pair.scene.origin.start();
    pair.scene.drained();
    let expected: Vec<_> = (0..10).map(|number| format!("n-{number}")).collect();
    assert_eq!(pair.scene.received_of("n"), expected);
}

/// The control: it is the standby's part in the commit that keeps what is acknowledged.
#[test]
fn an_asynchronous_standby_may_lose_what_was_acknowledged() {
    let Some(mut pair) = Pair::new(false) else {
        return;
    };
    assert_eq!(pair.posts_without_standby("lost"), 202);
    pair.fails_over();
    assert_eq!(pair.count(&pair.standby), "0");
}

#[test]
fn a_process_that_starts_takes_the_latest_primary_of_all_hosts() {
    let Some(mut pair) = Pair::new(false) else {
        return;
    };
    pair.fails_over();
    // The old primary comes first in the URL, and can be written.
    pair.primary.run();
    let old = pair.count(&pair.primary);
    let fresh = Replica::start(&pair.scene.config);
    let answer = fresh.sender.post(&alert("n", "0"));
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(pair.count(&pair.standby), "1");
    assert_eq!(pair.count(&pair.primary), old);
    // The control: a process that has heard of no other one takes it.
    let url = pair.primary.url(&pair.database);
    let alone = Replica::start(&pair.scene.config_with(&url));
    let answer = alone.sender.post(&alert("n", "1"));
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_ne!(pair.count(&pair.primary), old);
}

/// A primary without its standby may have been replaced by it: what delivers from it stops, for
/// another process may have begun there.
#[test]
fn nothing_is_delivered_from_a_primary_without_its_synchronous_standby() {
    let Some(mut pair) = Pair::new(true) else {
        return;
    };
    pair.scene.stores(0, &alert("n", "0"));
    pair.standby.kill();
    let [holder, other] = [0, 1].map(|at| &pair.scene.replicas[at].proxy);
    holder.wait_for_event("queue_not_delivering");
    pair.scene.origin.start();
    // It has tried to take the term by then, in vain.
    other.wait_for_event("queue_unwritable");
    assert_eq!(other.events("queue_delivering"), [""; 0]);
    assert_eq!(pair.scene.received_of("n"), [""; 0]);
    pair.standby.run();
    pair.scene.drained();
    assert_eq!(pair.scene.received_of("n"), ["n-0"]);
}

/// The control: it is the standby's part in the commit that stops it.
#[test]
fn an_asynchronous_standby_that_is_gone_stops_nothing() {
    let Some(mut pair) = Pair::new(false) else {
        return;
    };
    pair.scene.stores(0, &alert("n", "0"));
    pair.standby.kill();
    pair.scene.origin.start();
    pair.scene.drained();
    assert_eq!(pair.scene.received_of("n"), ["n-0"]);
}

#[test]
fn a_wait_for_a_standby_that_is_ended_by_force_acknowledges_nothing() {
    let Some(mut pair) = Pair::new(true) else {
        return;
    };
    pair.scene.stores(0, &alert("n", "0"));
    pair.standby.kill();
    let sender = pair.scene.replicas[1].sender.clone();
    let posted = thread::spawn(move || sender.post(&alert("n", "1")));
    let cancel = "select count(*) filter (where pg_cancel_backend(pid)) from pg_stat_activity
        where wait_event = 'SyncRep'";
    while !posted.is_finished() {
        pair.scene.sql(cancel);
    }
    let log = pair.primary.log();
    assert!(
        log.contains("canceling wait for synchronous replication"),
        "{log}"
    );
    // It is in the primary, and would be lost with it.
    assert_eq!(pair.count(&pair.primary), "2");
    assert_eq!(posted.join().unwrap().status, 503);
}
