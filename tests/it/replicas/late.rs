//! A process that delivers, is stopped for longer than its lease, and goes on: it sends nothing any
//! longer. One that only holds a lock of its session does.

use super::crashes::TAKEOVER;
use super::judge::late;
use super::{Scene, server};
use crate::queue::alert;
use crate::support::{Origin, eventually};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NODES: usize = 4;

impl Scene {
    /// Stores `count` notifications of each node, numbered from `first`.
    fn stores_many(&self, first: usize, count: usize) {
        for number in first..first + count {
            for node in 0..NODES {
                self.stores(1, &alert(&format!("n{node}"), &number.to_string()));
            }
        }
    }
}

#[test]
fn a_replica_that_was_stopped_sends_nothing_late() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.origin.answers_after(Duration::from_millis(100));
    let [stopped, other] = [0, 1].map(|at| &scene.replicas[at].proxy);
    scene.stores_many(0, 10);
    scene.origin.wait_for(NODES);
    stopped.signal("STOP");
    let before = Instant::now();
    other.wait_for_event("queue_delivering");
    assert!(before.elapsed() < TAKEOVER, "{:?}", before.elapsed());
    // It goes on while the other one is in the middle of its notifications.
    let seen = scene.origin.received().len();
    scene.stores_many(10, 10);
    scene.origin.wait_for(seen + 2 * NODES);
    stopped.signal("CONT");
    stopped.wait_for_event("queue_not_delivering");
    scene.drained();
    // The sentinel comes after whatever the stopped one would have sent.
    scene.stores(0, &alert("sentinel", "0"));
    let sentinel = || {
        let received = scene.origin.received();
        let mut keys = received.iter().map(|it| it.header("Idempotency-Key"));
        keys.any(|key| key == "sentinel-0").then_some(())
    };
    eventually("the sentinel", sentinel);
    assert_eq!(late(&scene.origin.received()), [""; 0]);
    for node in 0..NODES {
        let node = format!("n{node}");
        let expected: Vec<_> = (0..20).map(|number| format!("{node}-{number}")).collect();
        assert_eq!(scene.received_of(&node), expected);
    }
}

/// A process that delivers what it has read for as long as its session has a lock, as far as it
/// knows. It stops itself before it sends the notification that its last argument names.
const LOCK_HOLDER: &str = r#"
set -eu
coproc psql -XAtq "$1" 2>/dev/null
ask() { echo "$1" >&"${COPROC[1]}"; read -r answer <&"${COPROC[0]}"; }
ask "set idle_session_timeout = '1s'; select 'set';"
until ask 'select pg_try_advisory_lock(1);' && [ "$answer" = t ]; do :; done
echo delivering
ask "select coalesce(string_agg(idempotency, ' ' order by id), '') from late;"
for key in $answer; do
    [ "$key" != "$3" ] || kill -STOP $$
    exec 3<>"/dev/tcp/$2"
    printf 'POST / HTTP/1.1\r\nHost: app\r\nIdempotency-Key: %s\r\nContent-Length: 0\r\n\r\n' "$key" >&3
    read -r answer <&3
    exec 3>&-
    ask "delete from late where idempotency = '$key'; select 'deleted';" || exit 0
done
"#;

fn lock_holder(url: &str, origin: &Origin, stops_at: &str) -> Child {
    let mut command = Command::new("bash");
    command.args(["-c", LOCK_HOLDER, "holder", url]);
    command.arg(origin.address().to_string().replace(':', "/"));
    command.arg(stops_at).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// The control.
#[test]
fn a_lock_of_a_session_lets_a_stopped_holder_send_late() {
    let Some(server) = server() else { return };
    let url = server.create_database("UTF8");
    let keys = "create table late as select id, 'n-' || id as idempotency from generate_series(0, 4) as id";
    super::postgres::sql(&url, keys);
    let origin = Origin::spawn().lenient();
    let mut stopped = lock_holder(&url, &origin, "n-2");
    origin.wait_for(2);
    // The server ends the session that says nothing, and frees its lock.
    let mut other = lock_holder(&url, &origin, "none");
    let mut said = BufReader::new(other.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    assert!(other.wait().unwrap().success());
    origin.wait_for(5);
    let signal = Command::new("kill")
        .args(["-CONT", &stopped.id().to_string()])
        .status();
    assert!(signal.unwrap().success());
    stopped.wait().unwrap();
    assert_eq!(late(&origin.received()), ["n-2"]);
}
