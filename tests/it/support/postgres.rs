//! A PostgreSQL server of its own, which ends with the process that has started it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where the programs of PostgreSQL are.
const PLACES: [&str; 4] = [
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/bin",
];

/// A server that listens on a Unix socket.
pub(crate) struct Server {
    /// Holds its data and its socket.
    directory: TempDir,
    programs: PathBuf,
    process: Option<Child>,
    databases: AtomicU32,
}

fn programs() -> Option<PathBuf> {
    let mut places = PLACES.iter().map(PathBuf::from);
    places.find(|place| place.join("initdb").exists())
}

/// Returns a command that runs as an unprivileged user: PostgreSQL refuses to run as root. It ends
/// with the thread that starts it.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.arg(program).stdin(Stdio::null());
    command
}

/// Runs SQL, and returns what it prints.
pub(crate) fn sql(url: &str, sql: &str) -> String {
    let output = Command::new("psql")
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, url])
        .output()
        .expect("psql is there");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sql}: {errors}");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

impl Server {
    /// Starts a server. Returns `None`, with a word, where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let is_required = std::env::var_os("NWP_REQUIRE_POSTGRES").is_some();
            assert!(!is_required, "PostgreSQL is not installed");
            let words = "skipped: PostgreSQL is not installed\n";
            // Tests print nothing else; this has to be seen.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes());
            return None;
        };
        let directory = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp");
        let directory = directory.expect("there is a place for it");
        let mut server = Self {
            directory,
            programs,
            process: None,
            databases: AtomicU32::new(0),
        };
        server.initialise();
        server.run();
        Some(server)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn initialise(&self) {
        if rustix::process::geteuid().is_root() {
            let owned = Command::new("chown")
                .arg("nobody")
                .arg(self.directory.path())
                .status();
            assert!(owned.expect("chown is there").success());
        }
        let made = unprivileged(&self.programs.join("initdb"))
            .arg("-D")
            .arg(self.data())
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb can be run").success());
    }

    /// Starts the process, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let mut command = unprivileged(&self.programs.join("postgres"));
        let log = fs::File::create(self.directory.path().join("log")).expect("a log");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.directory.path())
            .args(["-c", "listen_addresses=", "-c", "max_connections=200"])
            .stdout(Stdio::null())
            .stderr(log);
        // It ends with the thread that has started it: one that goes on for as long as the process.
        let (started, child) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = started.send(command.spawn());
            loop {
                std::thread::park();
            }
        });
        let child = child.recv().expect("the thread goes on");
        self.process = Some(child.expect("postgres can be run"));
        let started = Instant::now();
        while !self.answers() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let asked = Command::new("psql")
            .args(["-XAtq", "-c", "select 1", &self.url("postgres")])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// Returns the directory of its socket.
    pub(crate) fn directory(&self) -> String {
        self.directory.path().display().to_string()
    }

    /// Returns what the server has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Returns the URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        let directory = self.directory.path().display();
        format!("postgres:///{database}?host={directory}&user=postgres")
    }

    /// Makes a database, and returns its URL.
    pub(crate) fn create_database(&self, encoding: &str) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{number}");
        let create =
            format!("create database {name} encoding '{encoding}' template template0 locale 'C'");
        sql(&self.url("postgres"), &create);
        self.url(&name)
    }

    /// Kills the server and its processes, as a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is ours");
            process.wait().expect("it has ended");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
