//! The applications in the README run as they stand there, behind the proxy, and act on each notification once.

use crate::support::{Pki, Proxy, Sender, WEBHOOK, blocks, eventually, own_address, skip};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

const FLAT_ALERT: &str = include_str!("../../src/demo/bodies/alert_flat.json");
const NESTED_ALERT: &str = include_str!("../../src/demo/bodies/alert_nested.json");
const REACHABILITY: &str = include_str!("../../src/demo/bodies/reachability_nested.json");
const TEST: &str = include_str!("../../src/demo/bodies/test.json");

/// What the applications print about a notification: its kind, its severity, and of its message.
type Line = [&'static str; 3];

const FLAT_ALERT_LINE: Line = ["alert", "critical", "ram in use = 93.4%"];
const NESTED_ALERT_LINE: Line = ["alert", "warning", "System memory utilization = 87.10%"];
const LARGE_ALERT_LINE: Line = ["alert", "critical", "large"];
const REACHABILITY_LINE: Line = ["reachability", "info", "Node web-1.example.com is reachable again"];

/// Where set, an application that cannot be run is a failure.
const REQUIRED: &str = "NWP_REQUIRE_APPLICATIONS";

/// Of which there is one application in the README.
struct Language {
    /// Of its fenced block.
    fence: &'static str,
    file: &'static str,
    /// For how long a key is kept, as it stands there, and a second instead.
    memory: [&'static str; 2],
    /// What runs the program, or what is missing here.
    prepare: fn(&Path) -> Result<Command, &'static str>,
}

const FLASK: Language =
    Language { fence: "python", file: "receiver.py", memory: ["at > 60]", "at > 1]"], prepare: prepare_python };
const EXPRESS: Language =
    Language { fence: "js", file: "receiver.js", memory: ["60_000", "1_000"], prepare: prepare_node };
const GO: Language =
    Language { fence: "go", file: "receiver.go", memory: ["time.Minute", "time.Second"], prepare: prepare_go };
const AXUM: Language =
    Language { fence: "rust", file: "receiver.rs", memory: ["as_secs() < 60", "as_secs() < 1"], prepare: prepare_rust };

/// Debian's own, beside the first of the name: it is the one that Debian's packages are for.
fn interpreters(name: &str) -> [Command; 2] {
    [Command::new(name), Command::new(Path::new("/usr/bin").join(name))]
}

/// The first of `commands` that runs `probe` well.
fn working(commands: impl IntoIterator<Item = Command>, probe: [&str; 2]) -> Option<Command> {
    commands.into_iter().find(|command| {
        let mut trial = Command::new(command.get_program());
        trial.args(probe).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        trial.output().is_ok_and(|output| output.status.success())
    })
}

fn prepare_python(source: &Path) -> Result<Command, &'static str> {
    let mut python = working(interpreters("python3"), ["-c", "import flask"])
        .ok_or("no python3 has flask (Debian package python3-flask)")?;
    // Otherwise it keeps what it prints until there is more.
    python.env("PYTHONUNBUFFERED", "1").arg(source);
    Ok(python)
}

fn prepare_node(source: &Path) -> Result<Command, &'static str> {
    // Debian's modules are where only Debian's own node looks by itself.
    let elsewhere = interpreters("node").map(|mut node| {
        node.env("NODE_PATH", "/usr/share/nodejs");
        node
    });
    let mut node = working(interpreters("node").into_iter().chain(elsewhere), ["-e", "require('express')"])
        .ok_or("no node has express (Debian package node-express)")?;
    node.arg(source);
    Ok(node)
}

fn prepare_go(source: &Path) -> Result<Command, &'static str> {
    let mut go = working(interpreters("go"), ["env", "GOROOT"]).ok_or("there is no go (Debian package golang-go)")?;
    let program = source.with_extension("");
    go.args(["build", "-o"]).args([&program, source]).env("GOPROXY", "off").env("GOTOOLCHAIN", "local");
    // The standard library is compiled once and kept, but not in the user's home.
    go.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"));
    compile(go).unwrap_or_else(|error| panic!("{error}"));
    Ok(Command::new(program))
}

/// Like an example in the documentation: against the dependencies of this test, as they have been compiled for it.
#[expect(clippy::unnecessary_wraps, reason = "one of several")]
fn prepare_rust(source: &Path) -> Result<Command, &'static str> {
    let program = source.with_extension("");
    let compile_with = |axum: &PathBuf, tokio: &PathBuf, serde_json: &PathBuf| {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "-o"]).args([&program, source]);
        rustc.arg("-L").arg(format!("dependency={}", dependencies().display()));
        for (name, library) in [("axum", axum), ("tokio", tokio), ("serde_json", serde_json)] {
            rustc.arg("--extern").arg(format!("{name}={}", library.display()));
        }
        compile(rustc)
    };
    // Where there are several builds of one, not all fit together; the latest usually do.
    let [axum, tokio, serde_json] = ["axum", "tokio", "serde_json"].map(builds);
    let mut attempts = axum.iter().flat_map(|axum| {
        let pairs = tokio.iter().flat_map(|tokio| serde_json.iter().map(move |serde_json| (tokio, serde_json)));
        pairs.map(move |(tokio, serde_json)| compile_with(axum, tokio, serde_json))
    });
    let first = attempts.next().expect("the dependencies are compiled");
    first.or_else(|error| attempts.find_map(Result::ok).ok_or(error)).unwrap_or_else(|error| panic!("{error}"));
    Ok(Command::new(program))
}

/// Where Cargo has put what this test is linked to.
fn dependencies() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// The compiled forms of a dependency, of which several may have been left behind, the latest first.
fn builds(name: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dependencies()).unwrap().map(|entry| entry.unwrap().path());
    let is_build = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_str().unwrap_or_default();
        file.strip_prefix("lib").and_then(|file| file.strip_prefix(name)).is_some_and(|rest| rest.starts_with('-'))
            && file.ends_with(".rlib")
    };
    let mut builds: Vec<_> = files.filter(is_build).collect();
    builds.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().modified().unwrap()));
    builds.truncate(3);
    builds
}

fn compile(mut compiler: Command) -> Result<(), String> {
    let output = compiler.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// What an application says on standard error, in its directory.
const STDERR: &str = "stderr";

/// A running application, and what it prints.
struct Receiver {
    child: Child,
    url: String,
    printed: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

impl Receiver {
    /// The application in the README, of which only the address is changed, and what `change` changes. `None`, with a
    /// note, where it cannot be run.
    fn start(language: &Language, change: impl FnOnce(&str) -> String) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((own_address(), 0)).unwrap().local_addr().unwrap();
        let source = directory.path().join(language.file);
        std::fs::write(&source, change(&at(free, program(language)))).unwrap();
        match (language.prepare)(&source) {
            Ok(command) => Some(Self::spawn(command, free, directory)),
            Err(missing) => {
                assert!(std::env::var_os(REQUIRED).is_none(), "{missing}, and {REQUIRED} is set");
                skip(missing);
                None
            }
        }
    }

    fn spawn(mut command: Command, address: SocketAddr, directory: tempfile::TempDir) -> Self {
        let stderr = File::create(directory.path().join(STDERR)).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) = (BufReader::new(child.stdout.take().unwrap()).lines(), printed.clone());
        let reader =
            thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        eventually("an application that listens", || TcpStream::connect(address).ok());
        Self { child, url: format!("http://{address}"), printed, reader: Some(reader), directory }
    }

    /// What it has printed about notifications; Flask prints about itself, too.
    fn lines(&self) -> Vec<String> {
        let is_about_a_notification =
            |line: &&String| ["alert ", "reachability ", "test "].iter().any(|kind| line.starts_with(kind));
        self.printed.lock().unwrap().iter().filter(is_about_a_notification).cloned().collect()
    }

    /// It has printed this, and nothing else will ever come.
    #[track_caller]
    fn printed_only(mut self, expected: &[Line]) {
        eventually("what is to be printed", || (self.lines().len() >= expected.len()).then_some(()));
        self.end();
        let lines = self.lines();
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, [kind, severity, message]) in lines.iter().zip(expected) {
            assert!(line.starts_with(&format!("{kind} {severity} ")) && line.contains(message), "{line}");
        }
    }

    fn end(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            let said = std::fs::read_to_string(self.directory.path().join(STDERR)).unwrap_or_default();
            eprintln!("the application printed: {:#?}\nand on standard error:\n{said}", self.printed.lock().unwrap());
        }
    }
}

/// The program, as it stands in the README.
fn program(language: &Language) -> &'static str {
    let programs = blocks(language.fence).into_iter().filter(|block| block.contains(WEBHOOK));
    let [program] = programs.collect::<Vec<_>>()[..] else { panic!("not one program in {}", language.fence) };
    program
}

/// The program, where it listens elsewhere.
fn at(address: SocketAddr, program: &str) -> String {
    for part in ["127.0.0.1", "3000"] {
        assert_eq!(program.matches(part).count(), 1, "{part} in {program}");
    }
    program.replace("127.0.0.1", &address.ip().to_string()).replace("3000", &address.port().to_string())
}

/// Netdata Cloud, and the proxy that it knows.
struct Scene {
    _proxy: Proxy,
    netdata: Sender,
    stranger: Sender,
}

impl Scene {
    fn in_front_of(receiver: &Receiver) -> Self {
        let proxy = Proxy::spawn(Pki::shared(), &Proxy::config_for(&receiver.url, "request", ""));
        let netdata = Sender::to(&proxy, Some(&Pki::shared().netdata()));
        let stranger = Sender::to(&proxy, None);
        Self { _proxy: proxy, netdata, stranger }
    }

    /// The application has answered, and well.
    #[track_caller]
    fn notify(&self, body: &str) {
        let answer = self.netdata.post(body);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{answer:?}");
    }
}

/// Of nearly the size that the proxy lets through.
fn large_alert() -> String {
    let info = "x".repeat(1024 * 1024 - 1024);
    format!("{{\"message\":\"large\",\"alert\":\"x\",\"severity\":\"critical\",\"info\":\"{info}\"}}")
}

fn acts_on_each_notification_once(language: &Language) {
    let Some(receiver) = Receiver::start(language, str::to_owned) else { return };
    let scene = Scene::in_front_of(&receiver);
    // Neither of these is the application's business.
    assert_eq!(scene.netdata.get("?crc_token=abc").status, 200);
    assert_eq!(scene.netdata.post(TEST).body, "{\"received\":true}");
    scene.stranger.post(NESTED_ALERT).refuses(403, "client_certificate_missing");
    let large = large_alert();
    for body in [NESTED_ALERT, NESTED_ALERT, REACHABILITY, FLAT_ALERT, &large, REACHABILITY, NESTED_ALERT] {
        scene.notify(body);
    }
    receiver.printed_only(&[NESTED_ALERT_LINE, REACHABILITY_LINE, FLAT_ALERT_LINE, LARGE_ALERT_LINE]);
}

fn acts_again_when_the_same_happens_again(language: &Language) {
    let [kept, shorter] = language.memory;
    assert_eq!(program(language).matches(kept).count(), 1);
    let Some(receiver) = Receiver::start(language, |program| program.replace(kept, shorter)) else { return };
    let scene = Scene::in_front_of(&receiver);
    eventually("a second line about the same node", || {
        scene.notify(REACHABILITY);
        (receiver.lines().len() == 2).then_some(())
    });
}

fn acts_once_on_each_occurrence(language: &Language) {
    acts_on_each_notification_once(language);
    acts_again_when_the_same_happens_again(language);
}

#[test]
fn a_flask_application_acts_once_on_each_occurrence() {
    acts_once_on_each_occurrence(&FLASK);
}

#[test]
fn an_express_application_acts_once_on_each_occurrence() {
    acts_once_on_each_occurrence(&EXPRESS);
}

#[test]
fn a_go_application_acts_once_on_each_occurrence() {
    acts_once_on_each_occurrence(&GO);
}

#[test]
fn an_axum_application_acts_once_on_each_occurrence() {
    acts_once_on_each_occurrence(&AXUM);
}
