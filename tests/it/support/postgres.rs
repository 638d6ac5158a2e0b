//! A PostgreSQL server of its own, which ends with the process that has started it, and leaves nothing
//! behind.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Where the programs of PostgreSQL are.
const PLACES: [&str; 4] = [
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/bin",
];

/// Its users. A role with a password is a member of `passworded`, one with a certificate of
/// `certified`; everything else is trusted on the Unix socket, and needs TLS elsewhere.
const LOGINS: &str = "local all +passworded scram-sha-256
local all all trust
local replication all trust
hostssl all +certified all cert
hostssl all +passworded all scram-sha-256
hostssl all all all trust
";

/// The port in the name of a socket.
const PORT: u16 = 5432;

/// A server that listens on a Unix socket.
pub(crate) struct Server {
    /// Holds its data and its socket.
    directory: PathBuf,
    programs: PathBuf,
    /// Its settings, as arguments.
    settings: Vec<String>,
    process: Option<Child>,
    keeper: Keeper,
    databases: AtomicU32,
}

/// Writes the log of a server, and removes its directory once nothing can write to either any
/// longer: neither this process nor one of the server, which may outlast the first one of it.
struct Keeper {
    process: Child,
    log: Option<ChildStdin>,
}

impl Keeper {
    fn of(directory: &Path) -> Self {
        let script = "trap '' INT TERM HUP; cat >\"$0/log\"; rm -rf \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(directory);
        let mut process = command.stdin(Stdio::piped()).spawn().expect("sh is there");
        let log = process.stdin.take();
        Self { process, log }
    }

    fn log(&self) -> Stdio {
        let log = self.log.as_ref().expect("the server has not been dropped");
        let log: std::io::Result<OwnedFd> = log.as_fd().try_clone_to_owned();
        Stdio::from(log.expect("there are descriptors"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.log.take());
        // Ignore the error: it has ended.
        let _ = self.process.wait();
    }
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
        Self::start_with(&[])
    }

    /// Likewise, with further settings, each of which is `name=value`.
    pub(crate) fn start_with(settings: &[&str]) -> Option<Self> {
        let mut server = Self::new(settings)?;
        server.initialise();
        server.run();
        Some(server)
    }

    /// Starts a standby of this server, which receives what is written from then on as `name`.
    pub(crate) fn start_standby(&self, name: &str) -> Self {
        let mut standby = Self::new(&[]).expect("PostgreSQL is installed");
        let primary = format!("{}&application_name={name}", self.url("postgres"));
        let copied = unprivileged(&self.programs.join("pg_basebackup"))
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .arg("-D")
            .arg(standby.data())
            .args(["-d", &primary])
            .status();
        assert!(copied.expect("pg_basebackup can be run").success());
        standby.run();
        standby
    }

    fn new(settings: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            let is_required = std::env::var_os("NWP_REQUIRE_POSTGRES").is_some();
            assert!(!is_required, "PostgreSQL is not installed");
            let words = "skipped: PostgreSQL is not installed\n";
            // Tests print nothing else; this has to be seen.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes());
            return None;
        };
        // The name of a socket must be short.
        let directory = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp");
        let directory = directory.expect("there is a place for it").keep();
        if rustix::process::geteuid().is_root() {
            give(&directory);
        }
        let usual = ["listen_addresses=", "max_connections=200"];
        let settings = usual.iter().chain(settings);
        Some(Self {
            keeper: Keeper::of(&directory),
            settings: settings
                .flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()])
                .collect(),
            directory,
            programs,
            process: None,
            databases: AtomicU32::new(0),
        })
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn initialise(&self) {
        let made = unprivileged(&self.programs.join("initdb"))
            .arg("-D")
            .arg(self.data())
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8"])
            .args(["--locale=C", "--no-sync"])
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb can be run").success());
        fs::write(self.data().join("pg_hba.conf"), LOGINS).expect("it is there");
    }

    /// Starts the process, and waits until it answers. One whose predecessor was killed ends at
    /// once, as long as a process of that one is left, and is started again.
    pub(crate) fn run(&mut self) {
        let started = Instant::now();
        while !self.answers() {
            let process = self.process.as_mut();
            let has_ended = process.is_none_or(|it| it.try_wait().expect("it is ours").is_some());
            if has_ended {
                self.process = Some(self.spawn());
            }
            let is_in_time = started.elapsed() < Duration::from_secs(60);
            assert!(is_in_time, "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn spawn(&self) -> Child {
        let mut command = unprivileged(&self.programs.join("postgres"));
        command.arg("-D").arg(self.data());
        command.arg("-k").arg(&self.directory).args(&self.settings);
        command.stdout(Stdio::null()).stderr(self.keeper.log());
        // It ends with the thread that has started it: one that goes on for as long as the process.
        let (started, child) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = started.send(command.spawn());
            // It has the log open.
            drop(command);
            loop {
                std::thread::park();
            }
        });
        let child = child.recv().expect("the thread goes on");
        child.expect("postgres can be run")
    }

    fn answers(&self) -> bool {
        let asked = Command::new("psql")
            .args(["-XAtq", "-c", "select 1", &self.url("postgres")])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// Returns the path of a program of PostgreSQL.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Returns the directory of its socket.
    pub(crate) fn directory(&self) -> String {
        self.directory.display().to_string()
    }

    /// Returns its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{PORT}"))
    }

    /// Returns what the server has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Returns the URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        let directory = self.directory.display();
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

    /// Makes a database of a role with no rights beyond it, and returns the URL for that role.
    /// `attributes` are those of the role.
    pub(crate) fn create_owned_database(&self, attributes: &str) -> String {
        let url = self.create_database("UTF8");
        let name = sql(&url, "select current_database()");
        let role = format!("create role {name} login {attributes}");
        sql(&url, &role);
        sql(&url, &format!("alter database {name} owner to {name}"));
        url.replace("user=postgres", &format!("user={name}"))
    }

    /// Changes a setting that needs no restart.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let url = self.url("postgres");
        sql(&url, &format!("alter system set {name} = {value}"));
        sql(&url, "select pg_reload_conf()");
    }

    /// Writes a file that only the server may read, into its directory.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, text).expect("there is room");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).expect("it is ours");
        if rustix::process::geteuid().is_root() {
            give(&path);
        }
        path
    }

    /// Makes a standby a primary.
    pub(crate) fn promote(&self) {
        assert_eq!(sql(&self.url("postgres"), "select pg_promote()"), "t");
    }

    /// Kills the server, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Ends the server and its processes without a checkpoint, as `pg_ctl stop -m immediate` does.
    pub(crate) fn stop_immediately(&mut self) {
        self.end(Signal::QUIT);
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            kill_process(Pid::from_child(&process), signal).expect("it is ours");
            process.wait().expect("it has ended");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn give(path: &Path) {
    let given = Command::new("chown").arg("nobody").arg(path).status();
    assert!(given.expect("chown is there").success());
}
