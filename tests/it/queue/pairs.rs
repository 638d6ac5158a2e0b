//! Two processes on one file, as by mistake: one delivers, the other stores, and takes over when the
//! first one is gone.

use super::crashes::Acknowledged;
use super::{Scene, alert, drained, drained_within, netdata, receives};
use crate::support::{Operator, PATIENCE, Proxy, Reply};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// The seconds for which both are under load; more of them by this variable.
const SECONDS: f64 = 3.0;
const SECONDS_VARIABLE: &str = "NWP_PAIR_SECONDS";

const NODES: usize = 8;

/// The time within which a process that is left alone delivers, and the number of such times.
const TAKEOVER: Duration = Duration::from_secs(2);
const TAKEOVERS: usize = 5;

/// Starts another process with the configuration of the one there is.
fn another(scene: &Scene) -> Proxy {
    let other = Proxy::launch(&scene.proxy.config, |_| {});
    other.wait_for_event("ready");
    assert!(other.events("queue_delivering").is_empty());
    other
}

#[test]
fn of_two_on_one_file_one_delivers_and_the_other_stores() {
    let scene = Scene::new("queue", "");
    let other = another(&scene);
    let sender = netdata(&other);
    assert_eq!(sender.post(&alert("n", "critical")).status, 202);
    receives(&scene.origin, &["n-critical"]);
    drained(&Operator::of(&scene.proxy));
    // The lock of a process that is killed is free.
    scene.proxy.signal("KILL");
    other.wait_for_event("queue_delivering");
    assert_eq!(sender.post(&alert("n", "clear")).status, 202);
    receives(&scene.origin, &["n-critical", "n-clear"]);
    drained(&Operator::of(&other));
}

/// The notifications about an alert come to both in turn, while the application is up, and while it
/// is down.
#[test]
fn two_on_one_file_under_load_lose_and_reorder_nothing() {
    let more = std::env::var(SECONDS_VARIABLE).ok();
    let seconds = more.map_or(SECONDS, |text| text.parse().unwrap());
    for delivery in ["fallback", "queue"] {
        let scene = Scene::new(delivery, "");
        let other = another(&scene);
        let senders = [netdata(&other), scene.sender.clone()];
        // From here on, the one that delivers knows that it is not alone.
        assert_eq!(senders[0].post(&alert("first", "0")).status, 202);
        scene.origin.wait_for(1);
        let acknowledged = Acknowledged::default();
        thread::scope(|scope| {
            let _sending = acknowledged.sending();
            for node in 0..NODES {
                let (acknowledged, senders) = (&acknowledged, &senders);
                let in_turn = move |state: usize| senders[state % 2].clone();
                scope.spawn(move || acknowledged.send_by(node, in_turn, Duration::ZERO));
            }
            let pause = Duration::from_secs_f64(seconds / 3.0);
            thread::sleep(pause);
            scene.origin.stop();
            thread::sleep(pause);
            scene.origin.start();
            thread::sleep(pause);
        });
        drained_within(4 * PATIENCE, &Operator::of(&scene.proxy));
        // The one that delivers may not know yet what the other has stored last.
        scene.becomes_empty();
        acknowledged.check(&scene.origin);
        let count = acknowledged.count.load(Ordering::SeqCst);
        let stored = [&scene.proxy, &other].map(stored);
        eprintln!("{delivery}: {count} acknowledged, {stored:?} of them stored by each process");
        assert!(stored.iter().all(|count| *count > 0.0), "{stored:?}");
        assert!(other.events("queue_delivering").is_empty());
        for proxy in [&scene.proxy, &other] {
            let troubles = ["queue_unwritable", "queue_unreadable", "queue_damaged"];
            let lines = troubles.map(|event| proxy.events(event)).concat();
            assert_eq!(lines, [""; 0]);
        }
    }
}

/// The number of notifications that a process has stored.
fn stored(proxy: &Proxy) -> f64 {
    let metrics = Operator::of(proxy).metrics();
    let stored = metrics.iter();
    let stored = stored.filter(|(name, _)| name.starts_with("queue_stored_total"));
    stored.map(|(_, count)| count).sum()
}

#[test]
fn the_other_one_delivers_within_two_seconds_when_the_first_one_is_killed() {
    let mut scene = Scene::new("queue", "");
    let mut times = Vec::new();
    for round in 0..TAKEOVERS {
        let other = another(&scene);
        let (_never, hanging) = Reply::when_told("");
        scene.origin.will([hanging]);
        let [critical, clear] = ["critical", "clear"].map(|state| format!("{round}-{state}"));
        scene.stores(&alert("n", &critical));
        let before = scene.origin.wait_for(3 * round + 1).len();
        assert_eq!(netdata(&other).post(&alert("n", &clear)).status, 202);
        scene.proxy.signal("KILL");
        let killed = Instant::now();
        let received = scene.origin.wait_for(before + 2);
        times.push(killed.elapsed());
        let ids: Vec<_> = super::transitions(&received[before - 1..]);
        let [critical, clear] = [critical, clear].map(|state| format!("n-{state}"));
        assert_eq!(ids, [&critical, &critical, &clear]);
        scene.proxy.wait();
        scene.goes_on_with(other);
    }
    times.sort();
    eprintln!("delivered {times:.1?} after a kill");
    // Not each of them: a machine may be busy with something else for a while.
    assert!(times[TAKEOVERS / 2] < TAKEOVER, "{times:.1?}");
}
