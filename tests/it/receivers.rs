//! The applications in the documentation run as they are, behind the proxy: the short ones receive
//! everything, the others act on each notification once.

use crate::support::{Language, Pki, Proxy, Receiver, Sender, WEBHOOK, eventually};
use std::path::Path;
use std::process::Command;

const FLAT_ALERT: &str = include_str!("bodies/flat-alert.json");
const NESTED_ALERT: &str = include_str!("bodies/nested-critical.json");
const REACHABILITY: &str = include_str!("bodies/nested-reachable.json");
const TEST: &str = r#"{"message":"m","title":"Test Notification","token":"4dfa1e0c-0000"}"#;

/// What the applications print about a notification: its kind, its severity, and of its message.
type Line = [&'static str; 3];

const FLAT_ALERT_LINE: Line = ["alert", "warning", "cpu high"];
const NESTED_ALERT_LINE: Line = ["alert", "critical", "Disk /var space usage = 97%"];
const LARGE_ALERT_LINE: Line = ["alert", "critical", "large"];
const REACHABILITY_LINE: Line = [
    "reachability",
    "info",
    "Acme Ops/db-7.acme.example is reachable again",
];

/// It has printed this, and nothing else will ever come.
#[track_caller]
fn printed_only(mut receiver: Receiver, expected: &[Line]) {
    eventually("what is to be printed", || {
        (receiver.lines().len() >= expected.len()).then_some(())
    });
    receiver.end();
    let lines = receiver.lines();
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, [kind, severity, message]) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(&format!("{kind} {severity} ")) && line.contains(message),
            "{line}"
        );
    }
}

/// Netdata Cloud, and the proxy that it knows.
struct Scene {
    _proxy: Proxy,
    netdata: Sender,
    stranger: Sender,
}

impl Scene {
    fn in_front_of(receiver: &Receiver) -> Self {
        Self::new(&Proxy::config_for(&receiver.url, "request", ""))
    }

    /// Likewise, with a queue in `directory`.
    fn with_queue(receiver: &Receiver, directory: &Path) -> Self {
        let config = Proxy::config_for(&receiver.url, "request", "delivery = \"fallback\"");
        let path = directory.join("queue.db");
        Self::new(&format!("{config}[queue]\npath = {path:?}\n"))
    }

    fn new(config: &str) -> Self {
        let proxy = Proxy::spawn(Pki::shared(), config);
        let netdata = Sender::to(&proxy, Some(&Pki::shared().netdata()));
        let stranger = Sender::to(&proxy, None);
        Self {
            _proxy: proxy,
            netdata,
            stranger,
        }
    }

    /// The application has answered, and well.
    #[track_caller]
    fn notify(&self, body: &str) {
        let answer = self.netdata.post(body);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (204, ""),
            "{answer:?}"
        );
    }
}

/// Of nearly the size that the proxy lets through.
fn large_alert() -> String {
    let info = "x".repeat(1024 * 1024 - 1024);
    format!(
        "{{\"message\":\"large\",\"alert\":\"x\",\"severity\":\"critical\",\"info\":\"{info}\"}}"
    )
}

fn acts_on_each_notification_once(language: &Language) {
    let Some(receiver) = Receiver::start(language, language.careful()) else {
        return;
    };
    let scene = Scene::in_front_of(&receiver);
    // Neither of these is the application's business.
    assert_eq!(scene.netdata.get("?crc_token=abc").status, 200);
    assert_eq!(scene.netdata.post(TEST).body, "{\"received\":true}");
    scene
        .stranger
        .post(NESTED_ALERT)
        .refuses(403, "client_certificate_missing");
    let large = large_alert();
    for body in [
        NESTED_ALERT,
        NESTED_ALERT,
        REACHABILITY,
        FLAT_ALERT,
        &large,
        REACHABILITY,
        NESTED_ALERT,
    ] {
        scene.notify(body);
    }
    let expected = [
        NESTED_ALERT_LINE,
        REACHABILITY_LINE,
        FLAT_ALERT_LINE,
        LARGE_ALERT_LINE,
    ];
    printed_only(receiver, &expected);
}

fn acts_again_when_the_same_happens_again(language: &Language) {
    let [kept, shorter] = language.memory;
    assert_eq!(language.careful().matches(kept).count(), 1);
    let Some(receiver) = Receiver::start(language, &language.careful().replace(kept, shorter))
    else {
        return;
    };
    let scene = Scene::in_front_of(&receiver);
    eventually("a second line about the same node", || {
        scene.notify(REACHABILITY);
        (receiver.lines().len() >= 2).then_some(())
    });
}

/// A key of a route that stores is remembered for longer than others are: for days.
fn acts_once_however_late_it_comes_again(language: &Language) {
    let [kept, shorter] = language.memory;
    let Some(receiver) = Receiver::start(language, &language.careful().replace(kept, shorter))
    else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let stores = Scene::with_queue(&receiver, directory.path());
    let direct = Scene::in_front_of(&receiver);
    stores.notify(NESTED_ALERT);
    // Each receipt has a key of its own.
    stores.notify(REACHABILITY);
    stores.notify(REACHABILITY);
    // That of the other route is forgotten meanwhile.
    eventually("a second line about the same node", || {
        direct.notify(REACHABILITY);
        (receiver.lines().len() >= 5).then_some(())
    });
    stores.notify(NESTED_ALERT);
    let mut expected = vec![NESTED_ALERT_LINE];
    expected.extend([REACHABILITY_LINE; 4]);
    printed_only(receiver, &expected);
}

/// Everything that `send` sends, as one does to try a set-up.
fn receives_what_send_sends(language: &Language) {
    let Some(receiver) = Receiver::start(language, language.short()) else {
        return;
    };
    let pki = Pki::new();
    pki.write_leaf("netdata", &pki.netdata());
    let proxy = Proxy::spawn(&pki, &Proxy::config_for(&receiver.url, "require", ""));
    let url = format!("https://localhost:{}{WEBHOOK}", proxy.address(0).port());
    let mut send = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    send.current_dir(pki.path()).args([
        "send",
        "all",
        &url,
        "--ca",
        "ca.pem",
        "--cert",
        "netdata.pem",
    ]);
    send.args(["--key", "netdata.key", "--seed", "1", "--json"]);
    let output = send.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        output.status.success() && report["accepted"] == report["requests"],
        "{report:#}"
    );
    // All but the Test notification, which is answered by the proxy.
    let expected = report["requests"].as_u64().unwrap() as usize - 1;
    eventually("what is to be printed", || {
        (receiver.lines().len() >= expected).then_some(())
    });
    let lines = receiver.lines();
    let of = |kind: &str| lines.iter().filter(|line| line.starts_with(kind)).count();
    assert!(
        of("alert ") >= 2 && of("reachability ") >= 2 && of("test ") == 0,
        "{lines:#?}"
    );
}

fn receives_everything_and_acts_once(language: &Language) {
    receives_what_send_sends(language);
    acts_on_each_notification_once(language);
    acts_again_when_the_same_happens_again(language);
    acts_once_however_late_it_comes_again(language);
}

#[test]
fn a_flask_application_receives_everything_and_acts_once() {
    receives_everything_and_acts_once(&Language::FLASK);
}

#[test]
fn an_express_application_receives_everything_and_acts_once() {
    receives_everything_and_acts_once(&Language::EXPRESS);
}

#[test]
fn a_go_application_receives_everything_and_acts_once() {
    receives_everything_and_acts_once(&Language::GO);
}

#[test]
fn an_axum_application_receives_everything_and_acts_once() {
    receives_everything_and_acts_once(&Language::AXUM);
}
