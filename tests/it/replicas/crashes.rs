//! Replicas that are killed or stopped, and a database that is killed.

use super::{Replica, Scene, Server, postgres};
use crate::queue::{Acknowledged, alert};
use crate::support::eventually;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// The number of rounds in which something is killed; more of them by this variable.
const ROUNDS: usize = 4;
const ROUNDS_VARIABLE: &str = "NWP_KILL_ROUNDS";

/// A takeover takes this long at most: the lapse, a look, and some room for a busy machine.
const TAKEOVER: Duration = Duration::from_secs(8);

fn rounds() -> usize {
    let more = std::env::var(ROUNDS_VARIABLE).ok();
    more.map_or(ROUNDS, |text| text.parse().unwrap())
}

/// Kills what `kill` kills, again and again, while notifications are sent to both replicas.
fn kill_again_and_again(scene: &mut Scene, mut kill: impl FnMut(usize, &mut Scene)) {
    let senders: Vec<_> = scene
        .replicas
        .iter()
        .map(|replica| Mutex::new(replica.sender.clone()))
        .collect();
    let acknowledged = Acknowledged::default();
    thread::scope(|scope| {
        for node in 0..8 {
            let (acknowledged, sender) = (&acknowledged, &senders[node % 2]);
            scope.spawn(move || acknowledged.send(node, sender, Duration::from_millis(50)));
        }
        for round in 0..rounds() {
            let before = acknowledged.count.load(Ordering::SeqCst);
            eventually("acknowledged notifications", || {
                let count = acknowledged.count.load(Ordering::SeqCst);
                (count >= before + 20).then_some(())
            });
            kill(round, scene);
            for (sender, replica) in senders.iter().zip(&scene.replicas) {
                *sender.lock().unwrap() = replica.sender.clone();
            }
        }
        acknowledged.is_over.store(true, Ordering::SeqCst);
    });
    scene.drained();
    acknowledged.check(&scene.origin);
}

#[test]
fn replicas_that_are_killed_have_lost_nothing_that_they_acknowledged() {
    for delivery in ["queue", "fallback"] {
        let Some(mut scene) = Scene::new(delivery) else {
            return;
        };
        kill_again_and_again(&mut scene, |round, scene| {
            let replica = &mut scene.replicas[round % 2];
            replica.proxy.signal("KILL");
            replica.proxy.wait();
            *replica = Replica::start(&scene.config);
        });
    }
}

#[test]
fn a_database_that_is_killed_has_lost_nothing_that_was_acknowledged() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let mut scene = Scene::at(&server.create_database("UTF8"), "queue");
    kill_again_and_again(&mut scene, |_, _| {
        server.kill();
        thread::sleep(Duration::from_millis(300));
        server.run();
    });
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
fn a_replica_that_was_stopped_sends_nothing_late() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.origin.answers_after(Duration::from_millis(100));
    for state in 0..40 {
        scene.stores(1, &alert(&format!("n{}", state % 4), &state.to_string()));
    }
    scene.origin.wait_for(4);
    scene.replicas[0].proxy.signal("STOP");
    let stopped = Instant::now();
    scene.replicas[1].proxy.wait_for_event("queue_delivering");
    assert!(stopped.elapsed() < TAKEOVER, "{:?}", stopped.elapsed());
    scene.drained();
    let before = scene.origin.received().len();
    scene.replicas[0].proxy.signal("CONT");
    scene.replicas[0]
        .proxy
        .wait_for_event("queue_not_delivering");
    // The sentinel comes after whatever the stopped one would have sent.
    scene.stores(0, &alert("sentinel", "0"));
    scene.origin.wait_for(before + 1);
    let received = scene.origin.received();
    let late = &received[before..];
    assert_eq!(late.len(), 1, "{late:?}");
    for node in 0..4 {
        let received = scene.received_of(&format!("n{node}"));
        let expected: Vec<_> = (0..10)
            .map(|turn| format!("n{node}-{}", turn * 4 + node))
            .collect();
        assert_eq!(received, expected);
    }
}

#[test]
fn a_replica_whose_connections_are_ended_goes_on() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    for round in 0..5 {
        scene.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()");
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
