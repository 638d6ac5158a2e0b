//! Verified notifications that do not reach their application: the status page, the metrics and the
//! log show each until it is delivered.

use crate::support::{
    Edit as _, Operator, Origin, PATIENCE, Pki, Proxy, Reply, Sender, WEBHOOK, eventually, is_event,
};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Scene {
    pki: Pki,
    origin: Origin,
    config: String,
    /// The service's directory for what outlives a process.
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        let (pki, origin) = (Pki::new(), Origin::spawn());
        let server = "[server]\npid_file = \"proxy.pid\"\nupgrade_socket = \"proxy.upgrade\"";
        let more = "[admin]\nlisten = \"127.0.0.1:0\"\n";
        let config = Proxy::config(&origin, "require", "").edit("[server]", server) + more;
        Self {
            pki,
            origin,
            config,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn spawn(&self) -> Proxy {
        let directory = self.directory.path().to_owned();
        Proxy::spawn_with(&self.pki, &self.config, &[("STATE_DIRECTORY", directory)])
    }

    fn sender(&self, proxy: &Proxy) -> Sender {
        Sender::to(proxy, Some(&self.pki.netdata()))
    }

    /// Has the application fail, and sends an alert.
    fn lose(&self, proxy: &Proxy, transition: &str) {
        self.origin.will([response(503)]);
        let answer = self.sender(proxy).post(&alert(transition));
        assert_eq!(answer.status, 503);
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("undelivered.json")
    }
}

fn response(status: u16) -> Reply {
    Reply::Raw(format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n"))
}

fn alert(transition: &str) -> String {
    json!({
        "message": "Raised to Critical, disk full on db-1",
        "space": { "id": "0b8c6c1e-55d2", "slug": "acme" },
        "node": { "hostname": "db-1" },
        "alert": {
            "name": "disk_space_usage",
            "state": { "status": "Critical" },
            "transition_id": transition,
            "url": "https://app.netdata.cloud/spaces/acme/alerts?a=1&b=2",
        },
    })
    .to_string()
}

fn status(operator: &Operator) -> Value {
    serde_json::from_str(&operator.get("/api/status.json").body).unwrap()
}

fn findings(operator: &Operator) -> String {
    let status = status(operator);
    let findings = status["findings"].as_array().unwrap();
    let texts = findings
        .iter()
        .map(|finding| finding["text"].as_str().unwrap());
    texts.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn wait_for_finding(operator: &Operator, start: &str) {
    eventually(start, || {
        findings(operator).starts_with(start).then_some(())
    });
}

#[track_caller]
fn wait_until_well(operator: &Operator) {
    eventually("nothing is wrong", || {
        findings(operator).is_empty().then_some(())
    });
}

const LOST: &str = "1 critical alert was not delivered: disk_space_usage on db-1, ";

#[test]
fn a_lost_alert_is_an_open_problem_until_the_same_one_is_delivered() {
    let scene = Scene::new();
    let proxy = scene.spawn();
    let operator = Operator::of(&proxy);
    scene.lose(&proxy, "t-1");
    wait_for_finding(&operator, LOST);
    assert!(findings(&operator).ends_with(" UTC, 503 upstream_rejected."));
    operator.wait_for("not_delivered_open", 1.0);
    // Another one that gets through changes nothing about that.
    assert_eq!(scene.sender(&proxy).post(&alert("t-2")).status, 200);
    eventually("the other alert", || {
        (status(&operator)["totals"]["passed"] == 1).then_some(())
    });
    wait_for_finding(&operator, LOST);
    let status = status(&operator);
    assert_eq!(
        status["totals"],
        json!({ "passed": 1, "refused": 0, "not_delivered": 1 })
    );
    let event = &status["events"][1];
    for (key, value) in [
        ("result", "not delivered"),
        ("code", "upstream_rejected"),
        ("reason", "The application responded with status 503."),
        ("message", "Raised to Critical, disk full on db-1"),
        (
            "url",
            "https://app.netdata.cloud/spaces/acme/alerts?a=1&b=2",
        ),
        ("space_id", "0b8c6c1e-55d2"),
    ] {
        assert_eq!(event[key], value, "{key}");
    }
    assert_eq!(operator.get("/readyz").status, 200);
    assert_eq!(scene.sender(&proxy).post(&alert("t-1")).status, 200);
    wait_until_well(&operator);
    operator.wait_for("not_delivered_open", 0.0);
}

#[test]
fn nothing_but_a_success_is_a_delivery() {
    let scene = Scene::new();
    let proxy = scene.spawn();
    let operator = Operator::of(&proxy);
    let series = format!("not_delivered_total{{code=\"upstream_rejected\",route=\"{WEBHOOK}\"}}");
    for (count, code) in [301, 400, 401, 404, 429, 500, 502].into_iter().enumerate() {
        scene.origin.will([response(code)]);
        let answer = scene.sender(&proxy).post(&alert(&format!("t-{code}")));
        assert_eq!(answer.status, code);
        operator.wait_for(&series, (count + 1) as f64);
    }
    for code in [200, 202, 204] {
        scene.origin.will([response(code)]);
        assert_eq!(scene.sender(&proxy).post(&alert("well")).status, code);
    }
    operator.wait_for("not_delivered_open", 7.0);
    let text = findings(&operator);
    assert!(
        text.starts_with("7 notifications were not delivered, 7 of them critical. The last: "),
        "{text}"
    );
}

#[test]
fn what_is_refused_here_is_not_lost() {
    let scene = Scene::new();
    let proxy = scene.spawn();
    let operator = Operator::of(&proxy);
    let sender = scene.sender(&proxy);
    sender.post("[]").refuses(400, "invalid_json");
    let elsewhere = sender.send("POST", "/other", "", &alert("t")).unwrap();
    elsewhere.refuses(404, "not_found");
    let stranger = Sender::to(&proxy, None);
    assert!(stranger.send("POST", WEBHOOK, "", &alert("t")).is_err());
    eventually("the refusals", || {
        (status(&operator)["totals"]["refused"] == 3).then_some(())
    });
    assert_eq!(status(&operator)["totals"]["not_delivered"], 0);
    assert_eq!(findings(&operator), "");
    assert_eq!(operator.metrics()["not_delivered_open"], 0.0);
    assert!(!scene.file().exists());
}

#[test]
fn a_restart_does_not_make_it_forgotten() {
    let scene = Scene::new();
    let mut proxy = scene.spawn();
    scene.lose(&proxy, "t-1");
    wait_for_finding(&Operator::of(&proxy), LOST);
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    let mode = scene.file().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut proxy = scene.spawn();
    let operator = Operator::of(&proxy);
    wait_for_finding(&operator, LOST);
    let event = &status(&operator)["events"][0];
    assert_eq!(
        (&event["result"], &event["title"], &event["node"]),
        (
            &json!("not delivered"),
            &json!("disk_space_usage"),
            &json!("db-1")
        )
    );
    assert_eq!(scene.sender(&proxy).post(&alert("t-1")).status, 200);
    wait_until_well(&operator);
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    let proxy = scene.spawn();
    wait_until_well(&Operator::of(&proxy));
}

#[test]
fn what_a_process_loses_as_it_ends_is_known_to_the_next() {
    let scene = Scene::new();
    let config = scene
        .config
        .edit("[server]", "[server]\nshutdown_timeout = \"500ms\"");
    let variables = [("STATE_DIRECTORY", scene.directory.path().to_owned())];
    let mut proxy = Proxy::spawn_with(&scene.pki, &config, &variables);
    scene
        .origin
        .will([Reply::Late(Duration::from_secs(60), String::new())]);
    let sender = scene.sender(&proxy);
    std::thread::spawn(move || drop(sender.connect().unwrap().post(&alert("t-1"))));
    scene.origin.wait_for(1);
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    let line = proxy.wait_for_event("notification_not_delivered");
    assert!(line.contains("code=\"request_aborted\""), "{line}");
    let next = scene.spawn();
    wait_for_finding(&Operator::of(&next), LOST);
}

#[test]
fn an_upgrade_passes_it_on_and_hears_of_what_is_lost_during_the_drain() {
    let scene = Scene::new();
    let mut old = scene.spawn();
    scene.lose(&old, "t-1");
    wait_for_finding(&Operator::of(&old), LOST);
    let (tell, told) = mpsc::channel();
    let late = "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n".to_owned();
    scene
        .origin
        .will([Reply::When(Arc::new(Mutex::new(told)), late)]);
    let sender = scene.sender(&old);
    let in_flight = std::thread::spawn(move || sender.post(&alert("t-2")).status);
    scene.origin.wait_for(2);
    let new = Proxy::launch(&old.config, |command| {
        command
            .arg("--upgrade")
            .env("STATE_DIRECTORY", scene.directory.path());
    });
    new.wait_for_event("upgrade_waiting_for_sockets");
    old.signal("QUIT");
    new.wait_for_event("ready");
    let operator = Operator::of(&new);
    wait_for_finding(&operator, LOST);
    // The successor delivers the one, while its predecessor loses the other.
    assert_eq!(scene.sender(&new).post(&alert("t-1")).status, 200);
    wait_until_well(&operator);
    tell.send(()).unwrap();
    assert_eq!(in_flight.join().unwrap(), 503);
    assert_eq!(old.wait().code(), Some(0));
    wait_for_finding(&operator, LOST);
    assert_eq!(scene.sender(&new).post(&alert("t-2")).status, 200);
    wait_until_well(&operator);
}

#[test]
fn no_request_waits_for_the_file() {
    let scene = Scene::new();
    let lock = File::open(scene.directory.path()).unwrap();
    let proxy = scene.spawn();
    let operator = Operator::of(&proxy);
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let started = Instant::now();
    for n in 0..20 {
        scene.lose(&proxy, &format!("t-{n}"));
    }
    operator.wait_for("not_delivered_open", 20.0);
    assert!(started.elapsed() < PATIENCE && !scene.file().exists());
    drop(lock);
    eventually("the file", || {
        let text = std::fs::read_to_string(scene.file()).ok()?;
        let stored: Value = serde_json::from_str(&text).ok()?;
        (stored["not_delivered"].as_array()?.len() == 20).then_some(())
    });
}

#[test]
fn a_directory_that_cannot_be_used_is_said_once_and_costs_nothing() {
    let scene = Scene::new();
    let nowhere = scene.directory.path().join("nowhere");
    let proxy = Proxy::spawn_with(&scene.pki, &scene.config, &[("STATE_DIRECTORY", nowhere)]);
    let operator = Operator::of(&proxy);
    for n in 0..5 {
        scene.lose(&proxy, &format!("t-{n}"));
    }
    operator.wait_for("not_delivered_open", 5.0);
    let line = proxy.wait_for_event("undelivered_not_kept");
    assert!(line.contains("No such file or directory"), "{line}");
    assert_eq!(proxy.events("undelivered_not_kept").len(), 1);
}

#[test]
fn the_log_says_what_was_lost_and_why() {
    let scene = Scene::new();
    let config = scene.config.edit(&scene.origin.url, "http://127.0.0.1:1");
    let proxy = Proxy::spawn(&scene.pki, &config);
    let hostile = alert("t-1").replace("db-1\"", &format!("{}\\u001b[31m\"", "n".repeat(300)));
    let headers = "X-Request-Id: mine\r\n";
    let answer = scene
        .sender(&proxy)
        .send("POST", WEBHOOK, headers, &hostile);
    answer.unwrap().refuses(502, "upstream_unreachable");
    let line = proxy.wait_for_event("notification_not_delivered");
    for part in [
        "ERROR notification not delivered",
        "request_id=\"mine\"",
        "code=\"upstream_unreachable\"",
        "status=502",
        "kind=\"alert\"",
        "severity=\"critical\"",
        "title=\"disk_space_usage\"",
        "node=\"nnnn",
        "transition_id=\"t-1\"",
        "upstream=\"http://127.0.0.1:1\"",
        "detail=\"Cannot connect: the server refuses connections.\"",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(
        !line.contains('\u{1b}') && !line.contains(&"n".repeat(250)),
        "{line}"
    );
    let request = proxy.wait_for_event("request");
    assert!(
        request.contains(" WARN request ")
            && request.contains("detail=\"Cannot connect: the server refuses connections.\""),
        "{request}"
    );
    // Without lines of requests, that one stays.
    proxy.reload(&format!("{config}[log]\naccess = false\n"));
    scene
        .sender(&proxy)
        .post(&alert("t-2"))
        .refuses(502, "upstream_unreachable");
    proxy.wait_for_events("notification_not_delivered", 2);
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "request"))
            .count(),
        1
    );
}
