//! `send` plays Netdata Cloud: what it sends is what it is told, arrives, and what comes of it is
//! said.

mod challenge;
mod identity;
mod load;
mod trouble;

use crate::support::{Origin, PATIENCE, Pki, Proxy, Received, WEBHOOK, free_address};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

const SECRET: &str = "YOUR_CHALLENGE_SECRET";

/// What a run of `send` said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// The report, where JSON was asked for.
    #[track_caller]
    fn report(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Asserts how it ended.
    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Asserts that all requests ended for one reason, with this result and code; `count` of them.
    #[track_caller]
    fn all(self, result: &str, code: impl Into<Value>, count: u64) -> Value {
        let report = self.report();
        let results = report["results"].as_array().unwrap();
        assert_eq!(results.len(), 1, "{report:#}");
        let found = (
            &results[0]["result"],
            &results[0]["code"],
            &results[0]["count"],
            &report["requests"],
        );
        assert_eq!(
            found,
            (&result.into(), &code.into(), &count.into(), &count.into()),
            "{report:#}"
        );
        assert_eq!(report[result], count, "{report:#}");
        assert_eq!(report["ok"], self.code == 0);
        report["results"][0].clone()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command.arg("send").args(arguments).stdin(Stdio::null());
    command
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn run(arguments: &[&str]) -> Said {
    said(command(arguments).output().unwrap())
}

fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}{WEBHOOK}", address.port())
}

/// An application, a proxy in front of it, and what a sender needs that it trusts.
struct Scene {
    pki: Pki,
    origin: Origin,
    proxy: Proxy,
}

impl Scene {
    fn new(route: &str) -> Self {
        let (pki, origin) = (Pki::new(), Origin::spawn());
        pki.write_leaf("netdata", &pki.netdata());
        let proxy = Proxy::in_front_of(&origin, &pki, "require", route);
        Self { pki, origin, proxy }
    }

    fn file(&self, name: &str) -> String {
        self.pki.path().join(name).to_str().unwrap().to_owned()
    }

    fn url(&self) -> String {
        url(self.proxy.address(0))
    }

    /// `arguments`, and how to connect.
    fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        let [ca, cert, key] = ["ca.pem", "netdata.pem", "netdata.key"].map(|name| self.file(name));
        let how = [
            &self.url(),
            "--ca",
            &ca,
            "--cert",
            &cert,
            "--key",
            &key,
            "--json",
        ]
        .map(str::to_owned);
        arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .chain(how)
            .collect()
    }

    /// Sends as a client that the proxy trusts.
    fn send(&self, arguments: &[&str]) -> Said {
        run(&self
            .arguments(arguments)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>())
    }

    /// What was sent last.
    fn last(&self) -> Received {
        self.origin.received().pop().unwrap()
    }
}

/// The bodies that would be sent.
fn dry(arguments: &[&str]) -> Vec<String> {
    let said = run(&[arguments, &["https://localhost/", "--dry-run"]].concat()).ends_with(0);
    said.out.lines().map(str::to_owned).collect()
}

#[test]
fn every_kind_and_shape_is_accepted_and_forwarded() {
    let scene = Scene::new("");
    for (arguments, kind, severity) in [
        (
            &["alert", "--severity", "critical"][..],
            "alert",
            "critical",
        ),
        (
            &["alert", "--severity", "warning", "--shape", "nested"],
            "alert",
            "warning",
        ),
        (&["alert", "--severity", "clear"], "alert", "clear"),
        (
            &["alert", "--severity", "critical", "--shape", "flat"],
            "alert",
            "critical",
        ),
        (
            &["alert", "--severity", "clear", "--shape", "flat"],
            "alert",
            "clear",
        ),
        (
            &["reachability", "--status", "reachable"],
            "reachability",
            "info",
        ),
        (
            &["reachability", "--status", "unreachable"],
            "reachability",
            "critical",
        ),
        (
            &["reachability", "--status", "reachable", "--shape", "flat"],
            "reachability",
            "info",
        ),
        (
            &["reachability", "--status", "unreachable", "--shape", "flat"],
            "reachability",
            "critical",
        ),
    ] {
        let arguments = [arguments, &["--seed", "1"]].concat();
        for version in ["1.1", "2"] {
            let said = scene
                .send(&[&arguments[..], &["--http", version]].concat())
                .ends_with(0);
            let report = said.report();
            assert_eq!(report["protocol"], format!("HTTP/{version}"), "{report:#}");
            assert_eq!(
                (&report["kind"], &report["seed"]),
                (&kind.into(), &1.into())
            );
            let result = said.all("accepted", Value::Null, 1);
            assert_eq!(
                (&result["status"], &result["detail"]),
                (&200.into(), &"ok".into())
            );
            let received = scene.last();
            assert_eq!(
                received.header("X-Netdata-Notification"),
                kind,
                "{arguments:?}"
            );
            assert_eq!(
                received.header("X-Netdata-Severity"),
                severity,
                "{arguments:?}"
            );
            assert_eq!(
                received.header("User-Agent"),
                format!("Go-http-client/{}", &format!("{version}.0")[..3])
            );
            assert_eq!(
                String::from_utf8(received.body).unwrap(),
                dry(&arguments)[0],
                "byte for byte"
            );
        }
    }
    assert_eq!(scene.origin.received().len(), 18);
}

#[test]
fn a_test_notification_says_which_token_the_operator_has_to_see() {
    let scene = Scene::new("");
    let mut logged = 0;
    for (arguments, count) in [(&["test"][..], 1), (&["test", "-n", "3"], 3), (&["all"], 1)] {
        let report = scene.send(arguments).ends_with(0).report();
        let token = report["test_token"].as_str().unwrap();
        logged += count;
        assert!(
            scene
                .proxy
                .wait_for_events("test_token_received", logged)
                .contains(token),
            "{arguments:?}"
        );
    }
    let [url, ca] = [scene.url(), scene.file("ca.pem")];
    let [cert, key] = ["netdata.pem", "netdata.key"].map(|name| scene.file(name));
    let people = |arguments: &[&str]| {
        run(&[arguments, &["--ca", &ca, "--cert", &cert, "--key", &key]].concat())
    };
    let said = people(&["test", &url, "-n", "3"]).ends_with(0);
    assert!(
        said.out.contains(", of the last of 3 Tests: look for it"),
        "{said:?}"
    );
    // Requests that were refused are not to be listed.
    let said = people(&["test", &url.replace("/webhooks", "/elsewhere")]).ends_with(1);
    assert!(!said.out.contains("token "), "{said:?}");
    let said = people(&[
        "test",
        "https://localhost/",
        "--connect-to",
        &free_address().to_string(),
    ])
    .ends_with(3);
    assert!(!said.out.contains("token "), "{said:?}");
}

#[test]
fn all_is_one_of_each() {
    let scene = Scene::new("tests = \"forward\"");
    scene
        .send(&["all"])
        .ends_with(0)
        .all("accepted", Value::Null, 11);
    let mut kinds: Vec<_> = scene.origin.received().iter().map(Scene::kind).collect();
    kinds.sort();
    let kind = |kind: &str, shape: &str, severity: &str| format!("{kind} {shape} {severity}");
    let mut expected = vec!["test  ".to_owned()];
    for shape in ["flat", "nested"] {
        expected.extend(
            ["critical", "warning", "clear"].map(|severity| kind("alert", shape, severity)),
        );
        expected.extend(["critical", "info"].map(|severity| kind("reachability", shape, severity)));
    }
    expected.sort();
    assert_eq!(kinds, expected);
    scene
        .send(&["all", "--repeat", "25"])
        .ends_with(0)
        .all("accepted", Value::Null, 25);
    assert_eq!(scene.origin.received().len(), 36);
}

impl Scene {
    fn kind(received: &Received) -> String {
        let json: Value = serde_json::from_slice(&received.body).unwrap();
        let kind = received.header("X-Netdata-Notification");
        let shape = match kind {
            "alert" => {
                if json["alert"].is_object() {
                    "nested"
                } else {
                    "flat"
                }
            }
            "reachability" => {
                if json["status"].is_object() {
                    "flat"
                } else {
                    "nested"
                }
            }
            _ => "",
        };
        format!(
            "{kind} {shape} {}",
            received.all("X-Netdata-Severity").concat()
        )
    }
}

#[test]
fn a_seed_stands_for_what_is_sent() {
    let scene = Scene::new("");
    let bodies = |arguments: &[&str]| {
        let before = scene.origin.received().len();
        let report = scene.send(arguments).ends_with(0).report();
        let bodies: Vec<_> = scene
            .origin
            .received()
            .split_off(before)
            .into_iter()
            .map(|it| it.body)
            .collect();
        (bodies, report["seed"].as_u64().unwrap().to_string())
    };
    let (first, seed) = bodies(&["alert", "--repeat", "3"]);
    assert_eq!(
        bodies(&["alert", "--repeat", "3", "--seed", &seed]).0,
        first,
        "that of a run sends the same again"
    );
    assert_ne!(
        bodies(&["alert", "--repeat", "3"]).0,
        first,
        "and is another one every time"
    );
    let keys: Vec<_> = scene.origin.received()[..3]
        .iter()
        .map(|it| it.header("Idempotency-Key").to_owned())
        .collect();
    assert!(
        keys[0] != keys[1] && keys[1] != keys[2],
        "each is a transition of its own"
    );
    let (same, _) = bodies(&["alert", "--repeat", "3", "--same", "--seed", &seed]);
    assert_eq!(same, vec![first[0].clone(); 3]);
    // On every machine, and in every version of this program.
    let alert = &dry(&["alert", "--seed", "7"])[0];
    assert!(
        alert.contains("\"transition_id\": \"4c0e956e-8441-431a-bbe7-87235ca7ba29\""),
        "{alert}"
    );
}

#[test]
fn a_space_and_a_node_may_be_given() {
    let scene = Scene::new("spaces = [\"My \\\"space\\\"\", \"the-id\"]");
    for (arguments, code) in [
        (&["--space", "My \"space\""][..], 0),
        (&["--space-id", "the-id", "--node", "my-node"], 0),
        (&["--space", "Another"], 1),
        (&[], 1),
    ] {
        let said = scene
            .send(&[&["alert"], arguments].concat())
            .ends_with(code);
        if code == 1 {
            let result = said.all("refused", "space_not_allowed", 1);
            assert!(
                result["advice"].as_str().unwrap().contains("--space"),
                "{result:#}"
            );
        }
    }
    assert_eq!(scene.origin.received().len(), 2);
    let json: Value = serde_json::from_slice(&scene.last().body).unwrap();
    assert_eq!(json["node"]["hostname"], "my-node");
}

#[test]
fn a_file_is_sent_byte_for_byte() {
    let scene = Scene::new("");
    let body = "{\n \"alert\" : \"ü\\u0026\" ,\t\"value\": 1.50}\n\n";
    let path = scene
        .pki
        .write("alert.json", body)
        .to_str()
        .unwrap()
        .to_owned();
    scene.send(&["file", &path]).ends_with(0);
    assert_eq!(scene.last().body, body.as_bytes());
    let mut command = command(
        &scene
            .arguments(&["file", "-"])
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    let child = command
        .stdin(std::fs::File::open(&path).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    said(child.wait_with_output().unwrap()).ends_with(0);
    assert_eq!(scene.last().body, body.as_bytes());
    let bytes = run(&["file", &path, "https://localhost/", "--dry-run"])
        .ends_with(0)
        .out;
    assert_eq!(bytes, body, "and printed so");
    scene.pki.write("broken.json", "{\"alert\": critical}");
    let result = scene
        .send(&["file", &scene.file("broken.json")])
        .ends_with(1)
        .all("refused", "invalid_json", 1);
    assert_eq!(result["status"], 400);
    assert!(
        result["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{result:#}"
    );
    let began = Instant::now();
    let said = scene.send(&["file", "/dev/zero"]).ends_with(2);
    assert!(
        said.err.contains("/dev/zero has more than 64 MiB") && began.elapsed() < PATIENCE,
        "{said:?}"
    );
}

#[test]
fn a_body_is_as_long_as_it_is_told_to_be() {
    let scene = Scene::new("max_body = \"64KiB\"");
    scene
        .send(&["alert", "--active-alerts", "300"])
        .ends_with(0);
    assert!(scene.last().body.len() > 16 * 1024);
    scene
        .send(&["alert", "--active-alerts", "3000"])
        .ends_with(1)
        .all("refused", "body_too_large", 1);
}

#[test]
fn what_is_wrong_with_the_arguments_is_exit_code_2() {
    let scene = Scene::new("");
    let [cert, key, secret, other] = [
        "netdata.pem",
        "netdata.key",
        "challenge.secret",
        "server.key",
    ]
    .map(|it| scene.file(it));
    let missing = scene.file("missing");
    for (arguments, expected) in [
        (&["alert"][..], "<URL>"),
        (&["alert", "hooks.example"], "must begin with https://"),
        (&["alert", "https://a:b@hooks.example/"], "--basic"),
        (
            &[
                "challenge",
                "https://x/?a&crc_token=b",
                "--secret-file",
                &secret,
            ],
            "--token",
        ),
        (&["alert", "https://x/", "--severity", "bad"], "critical"),
        (&["alert", "https://x/", "--shape", "round"], "nested"),
        (&["alert", "https://x/", "--repeat", "0"], "--repeat"),
        (
            &["alert", "https://x/", "--repeat", "1k"],
            "must be an integer of at least 1",
        ),
        (
            &["alert", "https://x/", "--active-alerts", "100001"],
            "must be an integer from 0 to 100000",
        ),
        (
            &["alert", "https://x/", "--duration", "0"],
            "must be a number from 0.001 to 1000000",
        ),
        (
            &["alert", "https://x/", "--connect-to", "localhost:1"],
            "such as 192.0.2.1:443",
        ),
        (
            &["alert", "https://x/", "--dry-run", "--json"],
            "cannot be used with",
        ),
        (
            &["alert", "https://x/", "--concurrency", "0"],
            "--concurrency",
        ),
        (&["alert", "https://x/", "--rate", "0"], "--rate"),
        (&["alert", "https://x/", "--rate", "NaN"], "--rate"),
        (&["alert", "https://x/", "--timeout", "0"], "--timeout"),
        (&["alert", "https://x/", "--key", &key], "--cert"),
        (&["alert", "https://x/", "--cert", &missing], "cannot read"),
        (
            &["alert", "https://x/", "--cert", &cert],
            "holds a certificate and no private key",
        ),
        (
            &["alert", "https://x/", "--cert", &cert, "--key", &other],
            "is not the key of",
        ),
        (
            &["alert", "https://x/", "--cert", &key, "--key", &key],
            "holds a private key and no certificate",
        ),
        (
            &["alert", "https://x/", "--ca", &secret],
            "holds no certificate",
        ),
        (
            &["alert", "http://x/", "--cert", &cert, "--key", &key],
            "https://",
        ),
        (&["alert", "https://x/", "--basic", "a"], "--password-file"),
        (
            &["alert", "https://x/", "--password-file", &secret],
            "--basic",
        ),
        (
            &[
                "alert",
                "https://x/",
                "--basic",
                "a:b",
                "--password-file",
                &secret,
            ],
            "must not contain",
        ),
        (
            &["alert", "https://x/", "--bearer-file", &missing],
            "cannot read",
        ),
        (
            &["alert", "https://x/", "--bearer-env", "NOT_SET_AT_ALL"],
            "is not set",
        ),
        (
            &[
                "alert",
                "https://x/",
                "--bearer-file",
                &secret,
                "--bearer-env",
                "X",
            ],
            "cannot be used with",
        ),
        (
            &["alert", "https://x/", "-H", "Host: y"],
            "is set by this program",
        ),
        (&["challenge", "https://x/"], "--secret-file"),
        (
            &["challenge", "https://x/", "--secret-file", &missing],
            "cannot read",
        ),
        (&["file", &missing, "https://x/"], "cannot read"),
        (&["certificate", &secret], "cannot write"),
    ] {
        let said = run(arguments).ends_with(2);
        assert!(
            said.err.contains(expected) && said.out.is_empty(),
            "{arguments:?}: {said:?}"
        );
    }
    scene.origin.received_nothing();
}

#[test]
fn people_read_what_scripts_read() {
    let scene = Scene::new("");
    let ca = scene.file("ca.pem");
    let [cert, key] = ["netdata.pem", "netdata.key"].map(|name| scene.file(name));
    let send = |arguments: &[&str]| {
        run(&[
            arguments,
            &[&scene.url(), "--ca", &ca, "--cert", &cert, "--key", &key],
        ]
        .concat())
    };
    let said = send(&["alert", "--seed", "5"]).ends_with(0);
    for part in [
        &format!("alert to {} (HTTP/2, TLS 1.3)", scene.url()),
        "accepted     1 × 200 OK",
        "latency",
        "--seed 5",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    let said = send(&["alert", "--repeat", "10", "--concurrency", "2"]).ends_with(0);
    for part in [
        "accepted     10 × 200",
        "p50 ",
        "p90 ",
        "p99 ",
        "max ",
        "/s: 10 in",
        "2 at a time",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
    scene.pki.write("x.json", "{}");
    let said = send(&["file", &scene.file("x.json")]).ends_with(1);
    for part in [
        "refused      1 × 422 schema_mismatch: ",
        "The value at \"\" must be",
        "request id ",
        "→ compare the body",
    ] {
        assert!(said.out.contains(part), "{part}: {said:?}");
    }
}
