//! Replicas that are killed or stopped, and a database that is killed.

use super::judge::Figures;
use super::{END_SESSIONS, Replica, Scene, Server, postgres};
use crate::queue::{Acknowledged, alert};
use crate::support::eventually;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// The number of rounds in which something is killed; more of them by this variable.
const ROUNDS: usize = 5;
const ROUNDS_VARIABLE: &str = "NWP_KILL_ROUNDS";

const NODES: usize = 8;

/// A takeover takes this long at most: the lapse, a look, and some room for a busy machine.
pub(super) const TAKEOVER: Duration = Duration::from_secs(8);

fn rounds() -> usize {
    let more = std::env::var(ROUNDS_VARIABLE).ok();
    more.map_or(ROUNDS, |text| text.parse().unwrap())
}

/// A database of its own, and replicas whose processes are ended.
struct Battle {
    server: Server,
    scene: Scene,
    takeovers: Vec<Duration>,
}

impl Battle {
    fn new(delivery: &str) -> Option<Self> {
        let server = Server::start()?;
        let scene = Scene::at(&server.create_database("UTF8"), delivery);
        Some(Self {
            server,
            scene,
            takeovers: Vec::new(),
        })
    }

    /// The one that delivers.
    fn holder(&self) -> usize {
        eventually("a replica that delivers", || {
            let mut replicas = self.scene.replicas.iter();
            replicas.position(Replica::is_delivering)
        })
    }

    /// Ends or stops one thing after the other.
    fn strike(&mut self, round: usize) {
        match round % 5 {
            0 => self.kill_holder(),
            1 => self.server.kill(),
            2 => self.stop_holder(),
            3 => self.server.stop_immediately(),
            _ => self.kill(1 - self.holder()),
        }
        self.server.run();
    }

    fn kill(&mut self, replica: usize) {
        let killed = &mut self.scene.replicas[replica];
        killed.proxy.signal("KILL");
        killed.proxy.wait();
        *killed = Replica::start(&self.scene.config);
    }

    fn kill_holder(&mut self) {
        let holder = self.holder();
        let begun = self.begun(1 - holder);
        let before = Instant::now();
        self.kill(holder);
        eventually("a takeover", || {
            // The killed one is another process by now, which may be the next.
            let is_next = self.begun(holder) > 0 || self.begun(1 - holder) > begun;
            is_next.then_some(())
        });
        self.takeovers.push(before.elapsed());
    }

    fn stop_holder(&mut self) {
        let holder = self.holder();
        let [stopped, other] = [holder, 1 - holder].map(|at| &self.scene.replicas[at].proxy);
        let (begun, ended) = (
            self.begun(1 - holder),
            stopped.events("queue_not_delivering"),
        );
        let before = Instant::now();
        stopped.signal("STOP");
        other.wait_for_events("queue_delivering", begun + 1);
        let took = before.elapsed();
        stopped.signal("CONT");
        stopped.wait_for_events("queue_not_delivering", ended.len() + 1);
        self.takeovers.push(took);
    }

    /// The number of times that a replica began to deliver.
    fn begun(&self, replica: usize) -> usize {
        let proxy = &self.scene.replicas[replica].proxy;
        proxy.events("queue_delivering").len()
    }

    /// Says how long takeovers took. None took longer than they may.
    fn judge_takeovers(&mut self) {
        self.takeovers.sort();
        let median = self.takeovers.get(self.takeovers.len() / 2);
        let longest = self.takeovers.last().copied().unwrap_or_default();
        eprintln!("takeovers: median {median:?}, longest {longest:?}");
        assert!(longest < TAKEOVER, "{:?}", self.takeovers);
    }
}

/// Ends one thing after the other, while notifications are sent to both replicas.
fn fight(delivery: &str) {
    let Some(mut battle) = Battle::new(delivery) else {
        return;
    };
    let senders: Vec<_> = battle
        .scene
        .replicas
        .iter()
        .map(|replica| Mutex::new(replica.sender.clone()))
        .collect();
    let acknowledged = Acknowledged::default();
    thread::scope(|scope| {
        for node in 0..NODES {
            let (acknowledged, sender) = (&acknowledged, &senders[node % 2]);
            scope.spawn(move || acknowledged.send(node, sender, Duration::from_millis(50)));
        }
        let _sending = acknowledged.sending();
        for round in 0..rounds() {
            let before = acknowledged.count.load(Ordering::SeqCst);
            eventually("acknowledged notifications", || {
                let count = acknowledged.count.load(Ordering::SeqCst);
                (count >= before + 20).then_some(())
            });
            battle.strike(round);
            for (sender, replica) in senders.iter().zip(&battle.scene.replicas) {
                *sender.lock().unwrap() = replica.sender.clone();
            }
        }
    });
    battle.scene.drained();
    let figures = Figures::of(&acknowledged.by_node(), &battle.scene.origin.received());
    eprintln!("{delivery}, {} rounds: {figures}", rounds());
    battle.judge_takeovers();
    figures.are_sound();
}

#[test]
fn a_queue_loses_and_reorders_nothing_whatever_is_killed_or_stopped() {
    fight("queue");
}

#[test]
fn fallback_loses_and_reorders_nothing_whatever_is_killed_or_stopped() {
    fight("fallback");
}

#[test]
fn another_replica_delivers_soon_after_one_was_killed() {
    let Some(mut scene) = Scene::new("queue") else {
        return;
    };
    scene.replicas[0].proxy.signal("KILL");
    let killed = Instant::now();
    scene.replicas[0].proxy.wait();
    scene.stores(1, &alert("n", "critical"));
    scene.replicas[1].proxy.wait_for_event("queue_delivering");
    let took = killed.elapsed();
    assert!(took < TAKEOVER, "{took:?}");
    eprintln!("took over after {took:?}");
    scene.origin.wait_for(1);
}

#[test]
fn a_replica_whose_connections_are_ended_goes_on() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    for round in 0..5 {
        scene.sql(END_SESSIONS);
        scene.stores(round % 2, &alert("n", &round.to_string()));
    }
    scene.drained();
    let expected: Vec<_> = (0..5).map(|round| format!("n-{round}")).collect();
    assert_eq!(scene.received_of("n"), expected);
    assert!(scene.replicas[0].is_delivering());
    assert!(
        !postgres::sql(
            &scene.url,
            "select holder from netdata_webhook_proxy.deliverer"
        )
        .is_empty()
    );
}
