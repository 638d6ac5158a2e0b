//! Processes that are killed, and processes that follow one another.

use super::{Scene, alert, drained, drained_within, receives, transitions};
use super::{queue_card, queue_status};
use crate::support::{Answer, Operator, Origin, PATIENCE, Proxy, Sender, WEBHOOK, eventually};
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The number of rounds in which a process is killed; more of them by this variable.
const ROUNDS: usize = 5;
const ROUNDS_VARIABLE: &str = "NWP_KILL_ROUNDS";

const NODES: usize = 12;

fn rounds() -> usize {
    let more = std::env::var(ROUNDS_VARIABLE).ok();
    more.map_or(ROUNDS, |text| text.parse().unwrap())
}

/// What senders were told about the notifications of each node, in their order.
#[derive(Default)]
pub(crate) struct Acknowledged {
    nodes: Mutex<BTreeMap<String, Vec<String>>>,
    /// Of those that were not acknowledged.
    failures: Mutex<Vec<String>>,
    pub(crate) count: AtomicUsize,
    pub(crate) is_over: AtomicBool,
}

/// Lets senders go on until this is dropped, so that they end with a test that fails, too.
pub(crate) struct Sending<'a>(&'a Acknowledged);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

impl Acknowledged {
    pub(crate) fn sending(&self) -> Sending<'_> {
        Sending(self)
    }

    /// Sends the notifications of one node one after the other, each of them once, and notes which
    /// of them are acknowledged.
    pub(crate) fn send(&self, node: usize, sender: &Mutex<Sender>, pause: Duration) {
        self.send_by(node, |_| sender.lock().unwrap().clone(), pause);
    }

    /// Likewise, each by the sender of its state.
    pub(super) fn send_by(&self, node: usize, by: impl Fn(usize) -> Sender, pause: Duration) {
        let mut states = 0..;
        self.send_with(node, pause, |body| {
            let state = states.next().expect("it has no end");
            let headers = "Content-Type: application/json\r\n";
            by(state).send("POST", WEBHOOK, headers, body)
        });
    }

    /// Sends notifications of a node, each as `post` does, until it is to stop.
    pub(crate) fn send_with(
        &self,
        node: usize,
        pause: Duration,
        mut post: impl FnMut(&str) -> std::io::Result<Answer>,
    ) {
        let node = format!("n{node}");
        for state in 0.. {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let key = format!("{node}-{state}");
            match post(&alert(&node, &state.to_string())) {
                Ok(answer) if matches!(answer.status, 200 | 202) => {
                    let mut nodes = self.nodes.lock().unwrap();
                    nodes.entry(node.clone()).or_default().push(key);
                    self.count.fetch_add(1, Ordering::SeqCst);
                }
                Ok(answer) => self.note(format!("{key}: {answer:?}")),
                Err(error) => self.note(format!("{key}: {error}")),
            }
            thread::sleep(pause);
        }
    }

    fn note(&self, failure: String) {
        self.failures.lock().unwrap().push(failure);
    }

    /// What became of those that were not acknowledged.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    /// Those of each node that were acknowledged, in their order.
    pub(crate) fn by_node(&self) -> BTreeMap<String, Vec<String>> {
        self.nodes.lock().unwrap().clone()
    }

    /// Every acknowledged one has been received, and the first receipts of a node are in order.
    pub(crate) fn check(&self, origin: &Origin) {
        let received = origin.received();
        let received = transitions(&received);
        let known: HashSet<_> = received.iter().copied().collect();
        for (node, states) in &*self.nodes.lock().unwrap() {
            let lost: Vec<_> = states
                .iter()
                .filter(|state| !known.contains(state.as_str()))
                .collect();
            assert!(lost.is_empty(), "lost of {node}: {lost:?}");
            let mut seen = HashSet::new();
            let firsts = received
                .iter()
                .filter(|key| key.starts_with(&format!("{node}-")) && seen.insert(**key));
            let firsts: Vec<usize> = firsts
                .filter_map(|key| key.rsplit('-').next()?.parse().ok())
                .collect();
            let reordered = firsts.windows(2).find(|pair| pair[0] > pair[1]);
            assert_eq!(reordered, None, "{node}: {firsts:?}");
        }
    }
}

/// Kills what `kill` kills, again and again, while notifications are sent.
fn kill_again_and_again(delivery: &str, kill: impl Fn(usize, &mut Scene)) {
    let mut scene = Scene::new(delivery, "");
    let sender = Mutex::new(scene.sender.clone());
    let acknowledged = Acknowledged::default();
    thread::scope(|scope| {
        let _sending = acknowledged.sending();
        for node in 0..NODES {
            let (acknowledged, sender) = (&acknowledged, &sender);
            scope.spawn(move || acknowledged.send(node, sender, Duration::from_millis(50)));
        }
        for round in 0..rounds() {
            let before = acknowledged.count.load(Ordering::SeqCst);
            eventually("acknowledged notifications", || {
                let count = acknowledged.count.load(Ordering::SeqCst);
                (count >= before + 20 + round % 30).then_some(())
            });
            kill(round, &mut scene);
            *sender.lock().unwrap() = scene.sender.clone();
        }
    });
    drained_within(4 * PATIENCE, &Operator::of(&scene.proxy));
    eprintln!(
        "{} acknowledged in {} rounds",
        acknowledged.count.load(Ordering::SeqCst),
        rounds()
    );
    acknowledged.check(&scene.origin);
}

#[test]
fn a_proxy_that_is_killed_has_lost_nothing_that_it_acknowledged() {
    for delivery in ["queue", "fallback"] {
        kill_again_and_again(delivery, |_, scene| scene.kill());
    }
}

#[test]
fn an_application_that_is_killed_loses_nothing_either() {
    kill_again_and_again("fallback", |round, scene| match round % 3 {
        0 => {
            scene.origin.kill();
            thread::sleep(Duration::from_millis(30));
            scene.origin.start();
        }
        1 => scene.kill(),
        _ => {
            scene.origin.kill();
            scene.kill();
            scene.origin.start();
        }
    });
}

#[test]
fn a_successor_stores_until_its_predecessor_has_ended_and_delivers_in_order() {
    let scene = Scene::new("fallback", "");
    let (fail, hanging) = crate::support::Reply::when_told("");
    let crate::support::Reply::When(told, _) = hanging else {
        panic!("a reply when told");
    };
    let refusal = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    scene
        .origin
        .will([crate::support::Reply::When(told, refusal.into())]);
    let successor = thread::scope(|scope| {
        let critical = scope.spawn(|| scene.sender.post(&alert("n", "critical")));
        scene.origin.wait_for(1);
        scene.proxy.signal("QUIT");
        let successor = scene.proxy.successor();
        successor.wait_for_event("ready");
        // The predecessor still tries the first one, so that the next one is stored.
        let address = scene.sender.address;
        let sender = Sender {
            address,
            ..scene.sender.clone()
        };
        let clear = sender.post(&alert("n", "clear"));
        assert_eq!(clear.status, 202, "{clear:?}");
        assert_eq!(critical.join().unwrap().status, 202);
        successor
    });
    receives(&scene.origin, &["n-critical"]);
    fail.send(()).unwrap();
    successor.wait_for_event("queue_delivering");
    receives(&scene.origin, &["n-critical", "n-critical", "n-clear"]);
}

#[test]
fn one_that_does_not_deliver_says_what_waits() {
    let scene = Scene::new("queue", "");
    scene.origin.stop();
    for node in ["n", "m", "o"] {
        scene.stores(&alert(node, "critical"));
    }
    scene.asks(&["park", "2"]);
    let other = Proxy::launch(&scene.proxy.config, |_| {});
    other.wait_for_event("ready");
    let operator = Operator::of(&other);
    operator.wait_for("queue_delivering", 0.0);
    let series = |state| format!("queue_messages{{route=\"{WEBHOOK}\",state=\"{state}\"}}");
    operator.wait_for(&series("waiting"), 2.0);
    operator.wait_for(&series("parked"), 1.0);
    let oldest = format!("queue_oldest_timestamp_seconds{{route=\"{WEBHOOK}\"}}");
    let [of_other, own] =
        [&operator, &Operator::of(&scene.proxy)].map(|operator| operator.metrics()[&oldest]);
    assert_eq!(of_other, own);
    let status = queue_status(&operator);
    assert_eq!(status["delivering"], false);
    assert_eq!(status["routes"][0]["waiting"], 2);
    let card = queue_card(&operator);
    for part in ["Another process delivers", "2 wait", "1 parked"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    // And from then on by itself.
    scene.proxy.signal("KILL");
    other.wait_for_event("queue_delivering");
    scene.origin.start();
    scene.origin.wait_for(2);
    drained(&operator);
    operator.wait_for(&oldest, 0.0);
}
