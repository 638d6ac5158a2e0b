//! A replica that is cut off without a word: it stops before another one starts.

use super::crashes::TAKEOVER;
use super::judge::late;
use super::{Replica, Scene, Server, tls};
use crate::queue::alert;
use crate::support::{Cable, Network, Origin, Pki, Proxy, Sender, skip_unless_required};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const REQUIRED: &str = "NWP_REQUIRE_NETWORKS";

/// A replica in a network of its own, from which one cable leads to the database, and one to the
/// application and the senders.
struct Apart {
    network: Network,
    to_database: Cable,
    to_application: Cable,
    server: Server,
}

impl Apart {
    fn new() -> Option<Self> {
        let network = match Network::new() {
            Ok(network) => network,
            Err(missing) => {
                skip_unless_required(REQUIRED, &missing);
                return None;
            }
        };
        let (to_database, to_application) = (network.cable(0), network.cable(1));
        let server = Server::start_with(&[&format!("listen_addresses={}", to_database.here)])?;
        tls::present(&server, &to_database.here.to_string(), Pki::shared());
        Some(Self {
            network,
            to_database,
            to_application,
            server,
        })
    }

    /// Returns the URL of a database for what is in the network.
    fn url(&self, name: &str) -> String {
        let authority = Pki::shared().path().join("ca.pem");
        let (address, authority) = (self.to_database.here, authority.display());
        format!("postgres://postgres@{address}/{name}?sslmode=verify-full&sslrootcert={authority}")
    }

    /// Two replicas, of which the first one is in the network, and delivers.
    fn scene(&self) -> Scene {
        let url = self.server.create_database("UTF8");
        let origin = Origin::spawn_at(self.to_application.here);
        let mut scene = Scene::alone(origin, &url, "queue");
        let inside = format!("https = \"{}:0\"", self.to_application.there);
        let config = scene.config_with(&self.url("t0"));
        let config = config.replace("https = \"127.0.0.1:0\"", &inside);
        let path = Proxy::write(Pki::shared(), &config);
        let mut command = self
            .network
            .command(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        command.args(["run", "--config"]).arg(&path);
        let proxy = Proxy::run(command, &path);
        proxy.wait_for_event("queue_delivering");
        let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
        scene.replicas = vec![Replica { proxy, sender }, Replica::start(&scene.config)];
        scene
    }
}

/// Returns the time at which a line was logged, as it stands there.
pub(super) fn time_of(line: &str) -> &str {
    line.split_whitespace().next().unwrap()
}

#[test]
fn one_that_is_cut_from_the_database_stops_before_another_one_starts() {
    let Some(apart) = Apart::new() else { return };
    let scene = apart.scene();
    let [cut, other] = [0, 1].map(|at| &scene.replicas[at]);
    scene.origin.answers_after(Duration::from_millis(50));
    for number in 0..60 {
        scene.stores(1, &alert(&format!("n{}", number % 2), &number.to_string()));
    }
    scene.origin.wait_for(4);
    apart.to_database.pull();
    let before = Instant::now();
    let began = other.proxy.wait_for_event("queue_delivering");
    let took = before.elapsed();
    eprintln!("took over {took:?} after a silent cut");
    assert!(took < TAKEOVER, "{took:?}");
    let ended = cut.proxy.wait_for_event("queue_not_delivering");
    assert!(time_of(&ended) < time_of(&began), "{ended}\n{began}");
    let refused = cut.sender.post(&alert("m", "0"));
    assert_eq!(refused.status, 503, "{refused:?}");
    scene.drained();
    let received = scene.origin.received();
    assert_eq!(late(&received), [""; 0]);
    let terms = received
        .iter()
        .map(|it| it.header("X-Netdata-Term").parse::<i64>().unwrap());
    assert!(terms.is_sorted(), "no term after a later one");
    apart.to_database.plug();
    cut.proxy.wait_for_event("queue_writable");
    scene.stores(0, &alert("m", "1"));
    scene.drained();
}

/// A session that takes a lock, and asks twice a second from then on.
fn session(mut psql: Command, url: &str) -> (Child, BufReader<ChildStdout>) {
    psql.args(["-XAtq", url]).stdin(Stdio::piped());
    let mut session = psql
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = "set idle_session_timeout = '2s';\nselect pg_advisory_lock(1);\n\\echo held\nselect 1 \\watch 0.5\n";
    session
        .stdin
        .as_mut()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    let said = BufReader::new(session.stdout.take().unwrap());
    (session, said)
}

fn holds(said: &mut BufReader<ChildStdout>) {
    let mut lines = said.lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "held"));
}

/// The control.
#[test]
fn a_lock_of_a_session_has_two_holders_after_a_cut() {
    let Some(apart) = Apart::new() else { return };
    let url = apart.server.create_database("UTF8");
    let (mut first, mut said) = session(apart.network.command("psql"), &apart.url("t0"));
    holds(&mut said);
    apart.to_database.pull();
    let (mut second, mut said) = session(Command::new("psql"), &url);
    holds(&mut said);
    // The server has freed the lock, and the first one has been told nothing.
    assert_eq!(first.try_wait().unwrap(), None);
    for session in [&mut first, &mut second] {
        session.kill().unwrap();
        session.wait().unwrap();
    }
}
