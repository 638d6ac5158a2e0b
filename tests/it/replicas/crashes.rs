//! Replicas that are killed or stopped, and a database that is killed.
//!
//! `NWP_KILL_ROUNDS=100` takes about twenty minutes: run it alone, with `--nocapture`.

use super::cuts::time_of;
use super::judge::Figures;
use super::{END_SESSIONS, Replica, Scene, Server, postgres};
use crate::queue::{Acknowledged, alert};
use crate::support::eventually;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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

    /// Ends or stops one thing after the other: the replica that delivers by kill -9, the database
    /// likewise, the replica that delivers by SIGSTOP until another one does, the database by
    /// `-m immediate`, the replica that does not deliver by kill -9.
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
        let before = SystemTime::now();
        self.kill(holder);
        // The killed one is another process by now, which may be the next.
        self.note_takeover(before);
    }

    /// Waits until a replica begins to deliver after `before`, and notes how long that took.
    fn note_takeover(&mut self, before: SystemTime) {
        let begun = self.scene.replicas.iter();
        let took = eventually("a takeover", || {
            let begun = begun
                .clone()
                .flat_map(|it| it.proxy.events("queue_delivering"));
            begun.filter_map(|line| since(before, &line)).min()
        });
        self.takeovers.push(took);
    }

    fn stop_holder(&mut self) {
        let holder = self.holder();
        let stopped = |battle: &Self| {
            battle.scene.replicas[holder]
                .proxy
                .events("queue_not_delivering")
        };
        let ended = stopped(self).len();
        let before = SystemTime::now();
        self.scene.replicas[holder].proxy.signal("STOP");
        self.note_takeover(before);
        let stopped = &self.scene.replicas[holder].proxy;
        stopped.signal("CONT");
        stopped.wait_for_events("queue_not_delivering", ended + 1);
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

/// Returns the time from `before` to that of a line in a log, unless the line is older.
fn since(before: SystemTime, line: &str) -> Option<Duration> {
    let time = OffsetDateTime::parse(time_of(line), &Rfc3339).unwrap();
    (time - OffsetDateTime::from(before)).try_into().ok()
}

/// Ends one thing after the other, while notifications are sent to both replicas. The senders rest
/// after every second time until all is delivered: they send more than what is left of the time
/// between two takeovers is enough for, and with a backlog nothing would be tried directly.
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
            let mut resting: Vec<_> = senders.iter().map(|it| it.lock().unwrap()).collect();
            for (sender, replica) in resting.iter_mut().zip(&battle.scene.replicas) {
                **sender = replica.sender.clone();
            }
            if round % 2 == 1 {
                battle.scene.drained();
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
