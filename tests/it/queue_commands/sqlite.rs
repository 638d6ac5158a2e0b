//! SQLite's own program beside a running proxy, as the manual says.

use super::{Scene, queue_of};
use crate::queue::{Acknowledged, drained};
use crate::support::{Operator, is_runnable, page, skip_unless_required};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// How often the file is read, and a copy of it made.
const READS: usize = 20;

const NODES: usize = 6;

/// The documented command that copies the file.
fn documented_copy() -> &'static str {
    let page = page("delivery");
    let at = page.find("sqlite3 -readonly").unwrap();
    page[at..].split('`').next().unwrap()
}

/// Runs a command in the directory of the queue.
fn run(scene: &Scene, command: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(&scene.directory);
    shell.output().unwrap()
}

/// A copy is as good as the file.
#[track_caller]
fn is_whole(copy: &Path) {
    let database = Connection::open(copy).unwrap();
    let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let found = database.pragma_query_value(None, "integrity_check", check);
    assert_eq!(found.as_deref(), Ok("ok"));
    drop(database);
    let listed = queue_of(copy, &["list", "--json"]);
    assert!(listed.status.success(), "{listed:?}");
}

#[test]
fn it_reads_and_copies_the_file_while_notifications_are_stored_and_delivered() {
    if !is_runnable("sqlite3") {
        let missing = "sqlite3 (Debian package sqlite3) is not installed";
        return skip_unless_required("NWP_REQUIRE_SQLITE", missing);
    }
    let scene = Scene::new("queue", "");
    let acknowledged = Acknowledged::default();
    let sender = Mutex::new(scene.sender.clone());
    let copy = scene.directory.path().join("copy.db");
    thread::scope(|scope| {
        let _sending = acknowledged.sending();
        for node in 0..NODES {
            let (acknowledged, sender) = (&acknowledged, &sender);
            scope.spawn(move || acknowledged.send(node, sender, Duration::ZERO));
        }
        scene.origin.wait_for(NODES);
        for read in 0..READS {
            let count = run(
                &scene,
                "sqlite3 -readonly queue.db 'select count(*) from notification'",
            );
            let said = String::from_utf8_lossy(&count.stdout).into_owned();
            assert!(said.trim().parse::<u32>().is_ok(), "{read}: {count:?}");
            let copied = run(&scene, documented_copy());
            assert!(copied.status.success(), "{read}: {copied:?}");
            is_whole(&copy);
        }
    });
    drained(&Operator::of(&scene.proxy));
    acknowledged.check(&scene.origin);
    let count = acknowledged.count.load(Ordering::SeqCst);
    eprintln!("{count} acknowledged beside {READS} reads and as many copies");
    for event in ["queue_unwritable", "queue_unreadable"] {
        assert_eq!(scene.proxy.events(event), [""; 0]);
    }
}
