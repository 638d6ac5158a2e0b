//! A long outage: many notifications are taken while the application is down, survive that the proxy
//! is killed, and are delivered in order, while other routes go on.

use super::{Scene, alert, config, drained_within, waiting};
use crate::support::{Edit as _, Operator, Origin, PATIENCE, Pki, Proxy, Sender};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The number of notifications that wait, and that for an application that takes its time; more of
/// them by this variable, as many as in an hour.
const COUNT: usize = 20_000;
const SLOW_COUNT: usize = 4_000;
const COUNT_VARIABLE: &str = "NWP_OUTAGE";

/// The time that such an application takes for each.
const DELAY: Duration = Duration::from_millis(20);

/// The number of them that come over the wire; the others are copies of their rows.
const SENT: usize = 2_000;

/// The number of alerts of those that are sent, and the connections over which they come.
const ALERTS: usize = 50;
const CONNECTIONS: usize = 5;

const STATES: usize = SENT / ALERTS;

/// The memory that an hour's outage may take, in bytes, and what any load may.
const MEMORY: u64 = 64 << 20;
const HOUR: usize = 360_000;
const SLACK: u64 = 16 << 20;

/// The path of the route whose application is up.
const OTHER: &str = "/other";

/// An alert of a copy. Its length is that of every other one, so that the rest of a message with it
/// stays the same.
fn node(copy: usize, alert: usize) -> String {
    format!("{copy:03}:{alert:02}")
}

/// What a process has in memory of its own, in bytes.
fn memory(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() << 10
}

/// Sends every state of some alerts, each alert's in their order.
fn send(sender: &Sender, alerts: impl Iterator<Item = usize>) {
    let alerts: Vec<_> = alerts.map(|alert| node(0, alert)).collect();
    let mut connection = sender.connect().unwrap();
    for state in 0..STATES {
        for node in &alerts {
            let answer = connection
                .post(&alert(node, &format!("{state:03}")))
                .unwrap();
            assert_eq!(answer.status, 202, "{answer:?}");
        }
    }
}

/// A row that the proxy has stored.
struct Row {
    route: String,
    key: Vec<u8>,
    idempotency: String,
    received: i64,
    about: String,
    head: i64,
    message: Vec<u8>,
}

fn rows(database: &Connection) -> Vec<Row> {
    let select = "select route, key, idempotency, received, about, head, message
        from notification order by id";
    let mut statement = database.prepare(select).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(Row {
            route: row.get(0)?,
            key: row.get(1)?,
            idempotency: row.get(2)?,
            received: row.get(3)?,
            about: row.get(4)?,
            head: row.get(5)?,
            message: row.get(6)?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

impl Row {
    /// The row of the same state of an alert of a copy.
    fn copy(&self, copy: usize) -> Self {
        let own = &self.idempotency[..node(0, 0).len()];
        let other = own.replacen("000", &format!("{copy:03}"), 1);
        let text = String::from_utf8(self.message.clone()).unwrap();
        let mut key = self.key.clone();
        key[..2].copy_from_slice(&u16::try_from(copy).unwrap().to_be_bytes());
        Self {
            route: self.route.clone(),
            key,
            idempotency: self.idempotency.replace(own, &other),
            received: self.received,
            about: self.about.replace(own, &other),
            head: self.head,
            message: text.replace(own, &other).into_bytes(),
        }
    }

    fn insert(&self, database: &Connection) {
        let insert = "insert into notification
            (route, key, idempotency, received, about, head, message) values (?, ?, ?, ?, ?, ?, ?)";
        let values = params![
            self.route,
            self.key,
            self.idempotency,
            self.received,
            self.about,
            self.head,
            self.message
        ];
        let mut statement = database.prepare_cached(insert).unwrap();
        assert_eq!(statement.execute(values), Ok(1));
    }
}

impl Scene {
    /// A scene with another route, whose notifications are delivered directly.
    fn with_other_route(other: &Origin) -> Self {
        let (directory, origin) = (tempfile::tempdir().unwrap(), Origin::spawn_apart());
        let text = config(&origin, &directory, "fallback", "max_size = \"16GiB\"");
        let route = format!(
            "[[routes]]\npath = \"{OTHER}\"\nupstream = {:?}\n\n[queue]",
            other.url
        );
        let proxy = Proxy::spawn(Pki::shared(), &text.edit("[queue]", &route));
        Self::of(directory, origin, proxy)
    }

    /// Takes every state of every alert.
    fn takes(&self) {
        thread::scope(|scope| {
            for first in 0..CONNECTIONS {
                let alerts = (first..ALERTS).step_by(CONNECTIONS);
                scope.spawn(move || send(&self.sender, alerts));
            }
        });
    }

    /// Delivers the half of `count` to the application, which is up from now on, while the other
    /// route is used. Returns the time that takes.
    fn delivers_half(&self, count: usize, patience: Duration) -> Duration {
        let (started, answered) = (Instant::now(), AtomicUsize::new(0));
        let operator = Operator::of(&self.proxy);
        let is_half = || waiting(&operator) <= count as f64 / 2.0;
        thread::scope(|scope| {
            scope.spawn(|| other_route(&self.sender, &answered, is_half));
            self.origin.start();
            while !is_half() {
                assert!(started.elapsed() < patience, "{} wait", waiting(&operator));
                thread::sleep(PATIENCE / 1000);
            }
        });
        let (answered, elapsed) = (answered.into_inner(), started.elapsed());
        eprintln!("half of {count} in {elapsed:.1?}, with {answered} of another route");
        assert!(answered > 0);
        elapsed
    }

    /// Copies what is stored until so many notifications wait.
    fn fill(&self, count: usize) {
        let database = Connection::open(self.file()).unwrap();
        let stored = rows(&database);
        assert_eq!(stored.len(), SENT);
        database.execute_batch("begin").unwrap();
        for copy in 1..count / SENT {
            stored
                .iter()
                .for_each(|row| row.copy(copy).insert(&database));
        }
        database.execute_batch("commit").unwrap();
    }

    /// The states of each alert that the application has received, in their order.
    fn received(&self) -> BTreeMap<String, Vec<usize>> {
        let mut alerts = BTreeMap::<_, Vec<_>>::new();
        for request in self.origin.received() {
            let (node, state) = request.header("Idempotency-Key").rsplit_once('-').unwrap();
            let states = alerts.entry(node.to_owned()).or_default();
            let body = alert(node, state);
            assert_eq!(request.body, body.as_bytes());
            states.push(state.parse().unwrap());
        }
        alerts
    }
}

/// Sends to the other route until `is_over`. Returns how many were answered.
fn other_route(sender: &Sender, answered: &AtomicUsize, is_over: impl Fn() -> bool) {
    let mut connection = sender.connect().unwrap();
    while !is_over() {
        let body = "{\"alert\":\"x\"}";
        let headers = "Content-Type: application/json\r\n";
        let answer = connection.send("POST", OTHER, headers, body).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_came_for_an_hour_survives_a_kill_and_is_delivered_in_order_and_whole() {
    survives(COUNT, Duration::ZERO);
}

#[test]
fn an_application_that_takes_its_time_gets_it_in_order_and_whole_too() {
    survives(SLOW_COUNT, DELAY);
}

/// An outage during which so many notifications come, and after which the application takes so long
/// for each.
fn survives(count: usize, delay: Duration) {
    let more = std::env::var(COUNT_VARIABLE).ok();
    let count = more.map_or(count, |text| text.parse().unwrap());
    let other = Origin::spawn();
    let mut scene = Scene::with_other_route(&other);
    scene.origin.answers_after(delay);
    let before = memory(&scene.proxy);
    let takes_little = |proxy: &Proxy| {
        let limit = MEMORY * count as u64 / HOUR as u64 + SLACK;
        let more = memory(proxy).saturating_sub(before);
        assert!(more < limit, "{more} bytes for {count}");
    };
    scene.origin.stop();
    scene.takes();
    scene.proxy.signal("KILL");
    scene.proxy.wait();
    scene.fill(count);
    scene.start();
    let line = scene.proxy.wait_for_event("queue_delivering");
    assert!(line.contains(&format!("waiting={count}")), "{line}");
    takes_little(&scene.proxy);

    // Ended while it delivers.
    let one_at_a_time = delay * u32::try_from(count / 2).unwrap();
    let patience = 20 * PATIENCE + one_at_a_time;
    let elapsed = scene.delivers_half(count, patience);
    let is_beside_one_another = delay.is_zero() || elapsed < one_at_a_time;
    assert!(is_beside_one_another, "{elapsed:?} for half of {count}");
    scene.proxy.signal("TERM");
    assert!(scene.proxy.wait().success());
    scene.start();
    drained_within(patience, &Operator::of(&scene.proxy));
    takes_little(&scene.proxy);

    let received = scene.received();
    assert_eq!(received.len(), count / STATES);
    for (node, states) in received {
        assert!(states.iter().copied().eq(0..STATES), "{node}: {states:?}");
    }
    scene.becomes_empty();
}
