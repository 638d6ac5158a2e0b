//! Disks that fail, that are full, that lose their power, and files that are damaged: what was
//! acknowledged is delivered, in its order, and what cannot be kept is refused.

mod control;
mod damage;
mod faults;
mod faulty_disk;
mod full;
mod places;
mod power;
mod recovery;
mod rows;

use crate::queue::{alert, transitions};
use crate::support::{self, Answer, Origin, PATIENCE, Pki, Proxy, Sender};
use rusqlite::Connection;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_netdata-webhook-proxy");

/// Writes the configuration of a proxy in front of `origin` that keeps its queue in `file`.
fn config(origin: &Origin, file: &Path, delivery: &str) -> PathBuf {
    let route = format!("delivery = \"{delivery}\"\n");
    let config = Proxy::config(origin, "require", &route);
    let more = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    Proxy::write(
        Pki::shared(),
        &format!("{config}[queue]\npath = {file:?}\n{more}"),
    )
}

/// Runs the proxy with `config`, as `command` runs the program.
fn run(mut command: Command, config: &Path) -> Proxy {
    command.args(["run", "--config"]).arg(config);
    let proxy = Proxy::run(command, config);
    proxy.wait_for_event("ready");
    proxy
}

fn sender(proxy: &Proxy) -> Sender {
    Sender::to(proxy, Some(&Pki::shared().netdata()))
}

fn kill(mut proxy: Proxy) {
    proxy.signal("KILL");
    proxy.wait();
}

/// The value of a variable that makes a test longer.
fn number(variable: &str, default: usize) -> usize {
    let more = std::env::var(variable).ok();
    more.map_or(default, |text| text.parse().unwrap())
}

/// One alert, whose transitions are sent one after the other.
struct Alert {
    node: String,
    sent: usize,
    /// What makes each notification longer.
    padding: usize,
}

impl Alert {
    fn of(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            sent: 0,
            padding: 0,
        }
    }

    /// Posts the next transition. Returns its id if it is acknowledged; otherwise it is refused
    /// because it cannot be stored.
    fn post(&mut self, connection: &mut support::Connection) -> std::io::Result<Option<String>> {
        let state = self.sent.to_string();
        self.sent += 1;
        let body = alert(&self.node, &state) + &" ".repeat(self.padding);
        let answer = connection.post(&body)?;
        Ok(is_acknowledged(&answer).then(|| format!("{}-{state}", self.node)))
    }
}

#[track_caller]
fn is_acknowledged(answer: &Answer) -> bool {
    if matches!(answer.status, 200 | 202) {
        return true;
    }
    answer.refuses(503, "queue_failed");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    false
}

/// Waits until the application has received each of `acknowledged`. The first receipts about each
/// alert are in order, and a later one of the same transition is a later attempt with the same body.
#[track_caller]
fn receives_all(origin: &Origin, proxy: &Proxy, acknowledged: &[String]) {
    // The application may have been down for long, and is then probed every ten seconds.
    let deadline = Instant::now() + 4 * PATIENCE;
    loop {
        let received = origin.received();
        let known: HashSet<_> = transitions(&received).into_iter().collect();
        let is_missing = |id: &&String| !known.contains(id.as_str());
        let missing: Vec<_> = acknowledged.iter().filter(is_missing).collect();
        if missing.is_empty() {
            break;
        }
        let log = proxy.log();
        let shown = &log[log.len().saturating_sub(20)..];
        let count = acknowledged.len();
        assert!(
            Instant::now() < deadline,
            "lost {} of {count}: {missing:?}\n{shown:#?}",
            missing.len()
        );
        thread::sleep(Duration::from_millis(20));
    }
    is_in_order(origin);
}

#[track_caller]
fn is_in_order(origin: &Origin) {
    let received = origin.received();
    let mut firsts = std::collections::HashMap::<&str, usize>::new();
    let mut bodies = std::collections::HashMap::new();
    for (id, request) in transitions(&received).into_iter().zip(&received) {
        if let Some(body) = bodies.insert(id, &request.body) {
            assert_eq!(body, &request.body, "{id}");
            continue;
        }
        let (node, state) = id.rsplit_once('-').unwrap();
        let state = state.parse().unwrap();
        let before = firsts.insert(node, state);
        assert!(before < Some(state), "{node}: {before:?}, then {state}");
    }
}

/// The files of a directory that were set aside as damaged.
fn set_aside(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap();
        name.contains(".damaged-")
    });
    paths.sort();
    paths
}

/// A copy of a database that no process uses, opened. SQLite follows the links of a path, and would
/// leave a mount namespace.
fn copy_of(file: &Path) -> (TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    fs::copy(file, &copy).unwrap();
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    if log(file).exists() {
        fs::copy(log(file), log(&copy)).unwrap();
    }
    let database = Connection::open(copy).unwrap();
    (directory, database)
}

/// The file of a queue that no process uses is sound.
#[track_caller]
fn is_sound(file: &Path) {
    let (_directory, database) = copy_of(file);
    let text = |pragma| database.pragma_query_value(None, pragma, |row| row.get::<_, String>(0));
    assert_eq!(text("integrity_check").unwrap(), "ok");
    let tables = "select count(*) from notification";
    let count = database.query_row(tables, [], |row| row.get::<_, u32>(0));
    count.unwrap();
}

/// Writes the log of a database back into it.
fn write_back(file: &Path) {
    let database = Connection::open(file).unwrap();
    let write_back = "pragma wal_checkpoint(truncate)";
    let is_busy = database.query_row(write_back, [], |row| row.get::<_, bool>(0));
    assert!(!is_busy.unwrap());
}
