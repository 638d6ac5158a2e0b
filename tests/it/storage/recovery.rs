//! What is left of a damaged file is recovered, and sent, by the commands of the manual.

use super::{Alert, PROGRAM, config, kill, run, sender, set_aside, write_back};
use crate::queue::transitions;
use crate::support::{Origin, commands_with, is_runnable, skip_unless_required, succeed};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The size of SQLite's pages, and the first byte of those that hold rows.
const PAGE: usize = 4096;
const ROWS: u8 = 13;

const COUNT: usize = 40;

/// The file of a queue in which so many notifications wait, and which no process uses.
fn filled(directory: &Path) -> (PathBuf, PathBuf, Vec<String>) {
    let (file, origin) = (directory.join("queue.db"), Origin::spawn_apart());
    origin.stop();
    let config = config(&origin, &file, "queue");
    let proxy = run(Command::new(PROGRAM), &config);
    let mut connection = sender(&proxy).connect().unwrap();
    let mut alert = Alert::of("n");
    let ids = (0..COUNT).map(|_| alert.post(&mut connection).unwrap().unwrap());
    let ids = ids.collect();
    kill(proxy);
    write_back(&file);
    (file, config, ids)
}

/// Damages a page in the middle of those that hold rows.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let pages: Vec<_> = (1..bytes.len() / PAGE)
        .filter(|page| bytes[page * PAGE] == ROWS)
        .collect();
    let page = pages[pages.len() / 2] * PAGE;
    bytes[page..page + PAGE].fill(0xa5);
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_is_left_of_a_damaged_file_is_sent_by_the_documented_commands() {
    if !is_runnable("sqlite3") {
        let missing = "sqlite3 (Debian package sqlite3) is not installed";
        return skip_unless_required("NWP_REQUIRE_SQLITE", missing);
    }
    let directory = tempfile::tempdir().unwrap();
    let (file, config, stored) = filled(directory.path());
    damage(&file);
    let proxy = run(Command::new(PROGRAM), &config);
    let line = proxy.wait_for_event("queue_damaged");
    let aside = set_aside(directory.path()).remove(0);
    let aside = aside.to_str().unwrap();
    let commands = commands_with("recovered.db");
    let documented = "queue.db.damaged-1700000000000";
    // The line names the first one.
    let first = format!("sqlite3 {documented} .dump");
    assert!(commands[0].starts_with(&first), "{commands:?}");
    assert!(line.contains(&first.replace(documented, aside)), "{line}");
    let receiver = Origin::spawn();
    let program = format!("{PROGRAM} ");
    for command in commands {
        let command = command.replace(documented, aside);
        let command = command.replace("netdata-webhook-proxy ", &program);
        let command = command.replace("http://127.0.0.1:4000", &receiver.url);
        let mut shell = Command::new("sh");
        shell.args(["-euc", &command]).current_dir(&directory);
        succeed(&mut shell);
    }
    let received = receiver.received();
    let ids = transitions(&received);
    eprintln!("{} of {COUNT} are recovered", ids.len());
    assert!(ids.len() > COUNT / 2 && ids.len() < COUNT, "{ids:?}");
    let mut rest = stored.iter();
    assert!(
        ids.iter().all(|id| rest.any(|stored| stored == id)),
        "{ids:?}"
    );
}
