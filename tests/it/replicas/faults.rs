//! A proxy between a replica and the database that swallows answers: what was committed is not
//! stored twice.

use super::{Replica, Scene, server};
use crate::queue::{alert, transitions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Forwards connections to a Unix socket, and cuts one instead of passing on the answer of a
/// statement that stores.
struct Swallower {
    port: u16,
    /// The number of answers that are still to be swallowed.
    left: Arc<AtomicUsize>,
}

impl Swallower {
    fn before(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicUsize::new(0));
        let shared = left.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let server = UnixStream::connect(&socket).unwrap();
                forward(client.unwrap(), server, shared.clone());
            }
        });
        Self { port, left }
    }
}

fn forward(client: TcpStream, server: UnixStream, left: Arc<AtomicUsize>) {
    let stores = Arc::new(AtomicUsize::new(0));
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let seen = stores.clone();
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let is_store = buffer[..length]
                .windows(22)
                .any(|part| part == b"pg_advisory_xact_lock(");
            if is_store {
                seen.store(1, Ordering::SeqCst);
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let (mut from, mut to) = (server, client);
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let is_answer = stores.swap(0, Ordering::SeqCst) == 1;
            let swallow = |left: usize| left.checked_sub(1);
            let order = Ordering::SeqCst;
            if is_answer && left.fetch_update(order, order, swallow).is_ok() {
                // The server has committed: its answer follows the commit.
                break;
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn an_answer_that_is_lost_after_the_commit_doubles_nothing() {
    let Some(server) = server() else { return };
    let scene = Scene::at(&server.create_database("UTF8"), "queue");
    scene.origin.stop();
    let (database, _) = scene.url.split_once('?').unwrap();
    let swallower = Swallower::before(server.socket());
    let url = database.replace(
        "postgres:///",
        &format!("postgres://postgres@127.0.0.1:{}/", swallower.port),
    );
    let replica = Replica::start(&scene.config_with(&url));
    for round in 0..20 {
        swallower.left.store(1, Ordering::SeqCst);
        let answer = replica.sender.post(&alert("n", &round.to_string()));
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(
            swallower.left.load(Ordering::SeqCst),
            0,
            "the answer was swallowed"
        );
    }
    let count = "select count(*) from netdata_webhook_proxy.notification";
    assert_eq!(scene.sql(count), "20");
    scene.origin.start();
    scene.drained();
    let expected: Vec<_> = (0..20).map(|round| format!("n-{round}")).collect();
    assert_eq!(transitions(&scene.origin.received()), expected);
}

/// The control: what is sent again without a receipt is stored twice.
#[test]
fn a_plain_repetition_doubles_what_was_committed() {
    let Some(server) = server() else { return };
    let url = server.create_database("UTF8");
    super::postgres::sql(&url, "create table plain (number integer)");
    let swallower = Swallower::before(server.socket());
    let name = super::postgres::sql(&url, "select current_database()");
    let swallowing = format!("postgres://postgres@127.0.0.1:{}/{name}", swallower.port);
    for round in 0..20 {
        swallower.left.store(1, Ordering::SeqCst);
        let insert = format!(
            "with lock as (select pg_advisory_xact_lock(1)) insert into plain select {round} from lock"
        );
        let store = || {
            Command::new("psql")
                .args(["-Xqc", &insert, &swallowing])
                .output()
                .unwrap()
        };
        assert!(!store().status.success(), "its answer was swallowed");
        assert!(store().status.success());
    }
    assert_eq!(
        super::postgres::sql(&url, "select count(*) from plain"),
        "40"
    );
}
