//! Notifications are verified whole, and forwarded byte for byte.
//!
//! What was wrong once, each for its kind:
//!
//! - `every_captured_body_passes_byte_for_byte`: a field that decides nothing (`alert.config.line`,
//!   an integer on the wire) was taken for a string, in the verifier, in `send` and in the fixtures
//!   alike, and every real alert was refused. The fixtures are bodies with the keys and types of
//!   captures, as they came.
//! - `whatever_decides_nothing_may_be_anything`: the same for every field that decides nothing, of
//!   every body, changed to any value, left out, or joined by a new one.
//! - `what_decides_has_to_be_readable`, `an_unknown_kind_with_a_message_is_forwarded_as_unknown`:
//!   what is refused all the same, and what is no longer.
//! - `drift_is_noted_wherever_an_operator_looks`: what is let through though it is unexpected is
//!   not let through in silence. `what_is_noted_is_bounded`: nor may a sender flood what is noted.
//! - `a_space_that_cannot_be_read_is_none_of_those_that_are_wanted`: tolerance must not let another
//!   space in.
//! - `twins_of_what_decides_are_refused`: readers that fold case (Go's) would take another `space`
//!   than was verified.
//! - `nothing_is_looked_at_where_that_is_said`: `schema = "off"` looked at bodies.
//! - `a_test_token_that_cannot_be_shown_displaces_none`: an empty token took the place of the one
//!   on the status page.

use crate::support::{
    Answer, Edit as _, Http2, Operator, Origin, Pki, Proxy, Received, Sender, WEBHOOK, eventually,
    is_event,
};
use netdata_webhook_proxy::{Notification, SchemaPolicy};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

#[path = "../../benches/side_by_side/alerts.rs"]
mod alerts;

const FLAT_REACHABILITY: &str = include_str!("bodies/flat-reachability.json");
const NESTED_CRITICAL: &str = include_str!("bodies/nested-critical.json");
const TEST: &str = include_str!("bodies/test-notification.json");

/// Every body that was captured, its kind, its shape and its severity. The Test notification is
/// answered here.
const CAPTURED: [(&str, &str, &str, &str); 7] = [
    (
        include_str!("bodies/flat-alert.json"),
        "alert",
        "flat",
        "warning",
    ),
    (FLAT_REACHABILITY, "reachability", "flat", "info"),
    (
        include_str!("bodies/nested-clear.json"),
        "alert",
        "nested",
        "clear",
    ),
    (NESTED_CRITICAL, "alert", "nested", "critical"),
    (
        include_str!("bodies/nested-reachable.json"),
        "reachability",
        "nested",
        "info",
    ),
    (
        include_str!("bodies/nested-unreachable.json"),
        "reachability",
        "nested",
        "critical",
    ),
    (TEST, "test", "", ""),
];

/// What something is decided by, and what that is in.
const DECIDING: [&str; 15] = [
    "/alert",
    "/alarm",
    "/alert/state",
    "/alert/state/status",
    "/alert/transition_id",
    "/status",
    "/status/reachable",
    "/nodes",
    "/reachable",
    "/token",
    "/severity",
    "/space",
    "/space/id",
    "/space/name",
    "/space/slug",
];

fn scene(route: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", route);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

/// The same scene, with an operator that reads the metrics.
fn watched(route: &str) -> (Origin, Proxy, Sender, Operator) {
    let (origin, proxy, sender) = scene(&format!("{route}\n[admin]\nlisten = \"127.0.0.1:0\""));
    let operator = Operator::of(&proxy);
    (origin, proxy, sender, operator)
}

/// `X-Netdata-Severity`, if it is there.
fn severity_of(received: &Received) -> String {
    received.all("X-Netdata-Severity").concat()
}

#[test]
fn every_captured_body_passes_byte_for_byte() {
    for schema in ["enforce", "strict", "warn"] {
        let (origin, proxy, sender) = scene(&format!("schema = \"{schema}\"\ntests = \"forward\""));
        let mut http2 = Http2::connect(&sender).unwrap();
        let mut count = 0;
        for (body, kind, shape, severity) in CAPTURED {
            for answer in [sender.post(body), http2.post(body).unwrap()] {
                count += 1;
                assert_eq!(
                    (answer.status, answer.body.as_str(), answer.header("x-app")),
                    (200, "ok", Some("yes"))
                );
                let received = origin.received().pop().unwrap();
                assert_eq!(received.body, body.as_bytes());
                assert_eq!(received.header("X-Netdata-Notification"), kind);
                assert_eq!(severity_of(&received), severity);
                let line = proxy.wait_for_logs("outcome=\"forwarded\"", count);
                assert!(
                    line.contains(&format!("kind=\"{kind}\"")) && !line.contains("drift"),
                    "{line}"
                );
                assert!(
                    shape.is_empty() || line.contains(&format!("shape=\"{shape}\"")),
                    "{line}"
                );
            }
        }
    }
}

#[test]
fn what_the_benchmarks_send_has_nothing_unexpected() {
    for size in [1024, 64 * 1024] {
        let alert = alerts::alert(size);
        let found = Notification::verify(alert.as_bytes(), SchemaPolicy::Strict, &[]).unwrap();
        assert_eq!((alert.len(), found.drift.as_slice()), (size, &[][..]));
    }
}

/// Changes to bodies, at random but the same in every run.
struct Changes(StdRng);

impl Changes {
    fn new() -> Self {
        Self(StdRng::seed_from_u64(20_261_129))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn any_json(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 8 } else { 10 }) {
            0 => Value::Null,
            1 => true.into(),
            2 => self.0.random::<i64>().into(),
            3 => (self.0.random::<f64>() * 1e6).into(),
            4 => u64::MAX.into(),
            5 => json!([1e300, -1e-300, -0.0, 0, -1, ""]),
            6 => self.any_text().into(),
            7 => "7".into(),
            8 => (0..self.below(5))
                .map(|_| self.any_json(depth - 1))
                .collect(),
            _ => (0..self.below(5))
                .map(|_| (self.any_text(), self.any_json(depth - 1)))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    fn any_text(&mut self) -> String {
        (0..self.below(12))
            .map(|_| self.0.random::<char>())
            .collect()
    }

    /// One field that decides nothing has another value, or is new; or one is missing, whichever.
    fn of<'b>(&mut self, (body, places): &'b (Value, Vec<String>)) -> (&'b str, Value) {
        let mut changed = body.clone();
        let place = &places[self.below(places.len())];
        if self.below(10) == 0 {
            remove(&mut changed, place);
            return (place, changed);
        }
        let value = self.any_json(3);
        match changed.pointer_mut(place).unwrap() {
            Value::Object(members) if DECIDING.contains(&place.as_str()) || self.below(3) == 0 => {
                members.insert(format!("new_{}", self.any_text()), value);
            }
            // Nothing was changed, which is one of the changes.
            _ if DECIDING.contains(&place.as_str()) => {}
            old => *old = value,
        }
        (place, changed)
    }
}

/// Where a body has values, the deepest first.
fn places(value: &Value, place: &str) -> Vec<String> {
    let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
    let mut found: Vec<String> = match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| places(value, &format!("{place}/{}", escaped(key))))
            .collect(),
        Value::Array(elements) => (0..)
            .zip(elements)
            .flat_map(|(index, value)| places(value, &format!("{place}/{index}")))
            .collect(),
        _ => Vec::new(),
    };
    if !place.is_empty() {
        found.push(place.to_owned());
    }
    found
}

fn remove(body: &mut Value, place: &str) {
    let (parent, key) = place.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Object(members) => drop(members.remove(key)),
        Value::Array(elements) => drop(elements.remove(key.parse().unwrap())),
        _ => unreachable!("only these have places in them"),
    }
}

#[test]
fn whatever_decides_nothing_may_be_anything() {
    let bodies = CAPTURED.map(|(body, ..)| {
        let body = serde_json::from_str(body).unwrap();
        let places = places(&body, "");
        (body, places)
    });
    let mut changes = Changes::new();
    for number in 0..100_000 {
        let original = &bodies[number % bodies.len()];
        let (place, body) = changes.of(original);
        let body = body.to_string();
        let verdict = Notification::verify(body.as_bytes(), SchemaPolicy::Enforce, &[]);
        assert!(verdict.is_ok(), "{place} {verdict:?}: {body}");
    }
    let (origin, _proxy, sender) = scene("tests = \"forward\"");
    let mut connection = sender.connect().unwrap();
    for number in 0..700 {
        let (place, body) = changes.of(&bodies[number % bodies.len()]);
        let body = body.to_string();
        let answer = connection.post(&body).unwrap();
        assert_eq!(answer.status, 200, "{place} {answer:?}: {body}");
        assert_eq!(origin.received().pop().unwrap().body, body.as_bytes());
    }
}

#[test]
fn http2_changes_nothing() {
    let (origin, _proxy, sender) = scene("");
    let mut http2 = Http2::connect(&sender).unwrap();
    for body in [NESTED_CRITICAL, FLAT_REACHABILITY] {
        assert_eq!(http2.post(body).unwrap().status, 200);
        assert_eq!(origin.received().pop().unwrap().body, body.as_bytes());
    }
    http2.post("{}").unwrap().refuses(422, "schema_mismatch");
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn equal_notifications_have_equal_idempotency_keys() {
    let (origin, _proxy, sender) = scene("");
    let alert = |id: &str| format!("{{\"alert\":{{\"transition_id\":\"{id}\"}}}}");
    for body in [
        &alert("t-1"),
        &alert("t-1"),
        &alert("t-2"),
        "{\"alert\":\"x\"}",
        "{\"alert\":\"x\"}",
        "{\"alert\":\"y\"}",
    ] {
        sender.post(body);
    }
    let keys: Vec<_> = origin
        .received()
        .iter()
        .map(|r| r.header("Idempotency-Key").to_owned())
        .collect();
    assert_eq!(keys[..3], ["t-1", "t-1", "t-2"]);
    assert_eq!(keys[3], keys[4]);
    assert_ne!(keys[4], keys[5]);
    assert_eq!(keys[5].len(), 64);
}

#[test]
fn a_test_notification_is_answered_here_and_its_token_logged() {
    let (origin, proxy, sender) = scene("");
    let answer = sender.post(TEST);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "{\"received\":true}")
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(
        proxy
            .wait_for_event("test_token_received")
            .contains("0b5dcd6e-2a3e-4f1e-9a46-0f2c9c9c9c9c")
    );
    origin.received_nothing();
}

#[test]
fn a_test_notification_is_forwarded_where_that_is_said() {
    let (origin, _proxy, sender) = scene("tests = \"forward\"");
    assert_eq!(sender.post(TEST).body, "ok");
    assert_eq!(
        origin.received_one().header("X-Netdata-Notification"),
        "test"
    );
    let (origin, _proxy, sender) = scene("tests = \"forward\"\nspaces = [\"acme\"]");
    sender.post(TEST).refuses(403, "space_not_allowed");
    origin.received_nothing();
}

#[test]
fn what_is_not_json_is_refused() {
    let (origin, _proxy, sender) = scene("schema = \"warn\"");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    for body in [
        "",
        "{",
        "[]",
        "null",
        "alert",
        "{\"a\":1,\"a\":2}",
        "{\"a\":NaN}",
        "{} {}",
        "\u{feff}{}",
        &deep,
    ] {
        sender.post(body).refuses(400, "invalid_json");
    }
    post_bytes(&sender, b"{\"\xff\":1}").refuses(400, "invalid_json");
    origin.received_nothing();
}

fn post_bytes(sender: &Sender, body: &[u8]) -> Answer {
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    sender.raw(&[head.as_bytes(), body].concat()).unwrap()
}

#[test]
fn hostile_json_is_refused_quickly() {
    let (origin, _proxy, sender) = scene("max_body = \"4MiB\"");
    let keys: String = (0..50_000).map(|n| format!("\"{n}\":0,")).collect();
    for body in [
        "{\"alert\":1e999999999}".to_owned(),
        format!("{{\"alert\":{}}}", "9".repeat(1_000_000)),
        "[".repeat(1_000_000),
        "{\"a\":".repeat(200_000),
        "{\"alert\":\"\\ud800\"}".to_owned(),
        " ".repeat(65_536),
        format!("{{{keys}\"0\":0}}"),
        format!("{{\"a\":\"{}", "\\u0000".repeat(170_000)),
    ] {
        let started = Instant::now();
        sender.post(&body).refuses(400, "invalid_json");
        assert!(started.elapsed() < Duration::from_secs(5), "{body:.40}");
    }
    origin.received_nothing();
}

#[test]
fn what_decides_has_to_be_readable() {
    for schema in ["enforce", "strict"] {
        let (origin, _proxy, sender) = scene(&format!("schema = \"{schema}\""));
        for (body, pointer) in [
            (r#"{"alert":"x","severity":1}"#, "\"/severity\""),
            (r#"{"alert":"x","space":7}"#, "\"/space\""),
            (r#"{"alert":{},"space":{"id":7}}"#, "\"/space/id\""),
            (
                r#"{"alert":{"state":{"status":[]}}}"#,
                "\"/alert/state/status\"",
            ),
            (r#"{"alert":{"state":"Critical"}}"#, "\"/alert/state\""),
            (
                r#"{"alert":{"transition_id":7}}"#,
                "\"/alert/transition_id\"",
            ),
            (r#"{"nodes":"db-1"}"#, "\"/nodes\""),
            (r#"{"reachable":"yes"}"#, "\"/reachable\""),
            (r#"{"status":{"reachable":"yes"}}"#, "\"/status/reachable\""),
            (r#"{"alert":5}"#, "\"\""),
            ("{}", "\"\""),
        ] {
            let answer = sender.post(body);
            answer.refuses(422, "schema_mismatch");
            assert!(
                answer.body.contains(&pointer.replace('"', "\\\"")),
                "{answer:?}"
            );
        }
        origin.received_nothing();
    }
}

#[test]
fn strictly_every_known_field_has_to_have_its_type() {
    let (origin, _proxy, sender) = scene("schema = \"strict\"");
    for (body, pointer) in [
        (
            NESTED_CRITICAL.edit("\"line\": 12", "\"line\": \"12\""),
            "/alert/config/line",
        ),
        (
            NESTED_CRITICAL.edit("\"total\": {", "\"total\": 3, \"new\": {"),
            "/alert/log/total",
        ),
        (
            FLAT_REACHABILITY.edit("\"host\": \"h\"", "\"host\": {}"),
            "/host",
        ),
        ("{\"message\":\"m\",\"incident\":{}}".to_owned(), ""),
    ] {
        let answer = sender.post(&body);
        answer.refuses(422, "schema_mismatch");
        assert!(
            answer.body.contains(&format!("\\\"{pointer}\\\"")),
            "{answer:?}"
        );
    }
    origin.received_nothing();
    // What is new contradicts nothing that is known.
    assert_eq!(
        sender
            .post(&NESTED_CRITICAL.edit("\"line\": 12", "\"line\": 12, \"column\": 1"))
            .status,
        200
    );
}

#[test]
fn an_unknown_kind_with_a_message_is_forwarded_as_unknown() {
    let (origin, proxy, sender) = scene("");
    for (number, (body, severity, drift)) in [
        (
            r#"{"message":"m","incident":{"id":1},"severity":"Critical"}"#,
            "critical",
            "/incident /severity",
        ),
        (r#"{"message":"m","alert":5}"#, "", "/alert"),
        (r#"{"message":"m"}"#, "", ""),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(sender.post(body).status, 200, "{body}");
        let received = origin.received().pop().unwrap();
        assert_eq!(
            (
                received.body.as_slice(),
                received.header("X-Netdata-Notification")
            ),
            (body.as_bytes(), "unknown")
        );
        assert_eq!(
            (
                severity_of(&received).as_str(),
                received.header("Idempotency-Key").len()
            ),
            (severity, 64)
        );
        let line = proxy.wait_for_logs("outcome=\"forwarded\"", number + 1);
        assert!(
            line.contains("kind=\"unknown\"") && line.contains(&format!(" drift=\"{drift}\"")),
            "{line}"
        );
    }
    for body in [
        r#"{"message":""}"#,
        r#"{"message":null,"incident":{}}"#,
        r#"{"message":["m"]}"#,
        r#"{"title":"m"}"#,
    ] {
        sender.post(body).refuses(422, "schema_mismatch");
    }
    assert_eq!(origin.received().len(), 3);
}

#[test]
fn drift_is_noted_wherever_an_operator_looks() {
    let (origin, proxy, sender, operator) = watched("");
    assert_eq!(sender.post(NESTED_CRITICAL).status, 200);
    let line = proxy.wait_for_log("outcome=\"forwarded\"");
    assert!(!line.contains("drift"), "{line}");
    let series = |kind| format!("schema_drift_total{{kind=\"{kind}\",route=\"{WEBHOOK}\"}}");
    for kind in ["alert", "reachability", "test", "unknown"] {
        operator.wait_for(&series(kind), 0.0);
    }
    let findings = || {
        let status: Value = serde_json::from_str(&operator.get("/api/status.json").body).unwrap();
        status["findings"].clone()
    };
    assert_eq!(findings(), json!([]));

    let drifted = NESTED_CRITICAL
        .edit("\"line\": 12", "\"line\": \"12\"")
        .edit("\"node\": {", "\"node\": \"db-7\", \"n\": {");
    for times in [1.0, 2.0] {
        assert_eq!(sender.post(&drifted).status, 200);
        assert_eq!(origin.received().pop().unwrap().body, drifted.as_bytes());
        operator.wait_for(&series("alert"), times);
    }
    let line = proxy.wait_for_log("drift=");
    // The node's name is lost, and the alert is not.
    assert!(
        line.contains("drift=\"/node /n /alert/config/line\"") && line.contains("kind=\"alert\""),
        "{line}"
    );
    let findings = eventually("the finding", || {
        Some(findings()).filter(|findings| findings != &json!([]))
    });
    let text = findings[0]["text"].as_str().unwrap();
    assert_eq!(findings[0]["level"], "warning");
    for part in [
        &format!("alert on {WEBHOOK}, 2 times"),
        "\"/alert/config/line\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(operator.get("/").body.contains("/alert/config/line"));
    assert_eq!(operator.get("/readyz").status, 200);
}

#[test]
fn what_is_noted_is_bounded() {
    let (_origin, proxy, sender) = scene("max_body = \"4MiB\"");
    let keys: String = (0..1000)
        .map(|number| format!("\"{number}{}\u{2028}\":[],", "/\\n\u{202e}".repeat(100)))
        .collect();
    let entries = "{\"name\":5},".repeat(100_000);
    let body = format!("{{{keys}\"alert\":{{\"log\":{{\"entries\":[{entries}0]}}}}}}");
    assert_eq!(sender.post(&body).status, 200);
    let line = proxy.wait_for_log("drift=");
    let drift = line
        .split("drift=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(drift.split(' ').count(), 5, "{line}");
    // A character that is not ASCII may be written as an escape.
    assert!(
        line.len() < 5 * 241 * "\\u{fffd}".len() + 1000,
        "{}",
        line.len()
    );
    assert!(!line.contains(['\u{2028}', '\u{202e}', '\n']), "{line}");
    let elements = format!("{{\"alert\":{{\"log\":{{\"entries\":[{entries}0]}}}}}}");
    assert_eq!(sender.post(&elements).status, 200);
    proxy.wait_for_log("drift=\"/alert/log/entries/0/name\"");
}

#[test]
fn twins_of_what_decides_are_refused() {
    let (origin, _proxy, sender) = scene("");
    let evil = r#""space":{"id":"good"},"SPACE":{"id":"evil"}"#;
    for twin in [
        "Space",
        "sPACE",
        "\\u017fpace",
        "\u{17f}pace",
        "\\u0053pace",
    ] {
        let body = format!("{{\"alert\":{{}},{}}}", evil.edit("SPACE", twin));
        let answer = sender.post(&body);
        answer.refuses(400, "invalid_json");
        assert!(!answer.body.contains("evil"), "{answer:?}");
    }
    for body in [
        r#"{"alert":{},"Alert":{}}"#,
        r#"{"alert":{"state":{"status":"Clear"},"State":{"status":"Critical"}}}"#,
        r#"{"alert":{"state":{"status":"Clear","STATUS":"Critical"}}}"#,
        r#"{"alert":{},"space":{"id":"good","ID":"evil"}}"#,
        "{\"token\":\"a\",\"to\u{212a}en\":\"b\"}",
        r#"{"message":"m","Nodes":[],"NODES":[]}"#,
    ] {
        sender.post(body).refuses(400, "invalid_json");
    }
    origin.received_nothing();
    // Names of rooms are keys, and may differ in case.
    for body in [
        r#"{"alert":"x","Rooms":{"Prod":"https://a","prod":"https://b"},"rooms":{}}"#,
        r#"{"alert":{"name":"x","Name":"y"},"Message":"a","message":"b"}"#,
    ] {
        assert_eq!(sender.post(body).status, 200, "{body}");
    }
}

#[test]
fn the_schema_may_warn() {
    let (origin, proxy, sender) = scene("schema = \"warn\"");
    assert_eq!(sender.post("{\"new\":1}").status, 200);
    assert_eq!(
        origin.received_one().header("X-Netdata-Notification"),
        "unknown"
    );
    let line = proxy.wait_for_event("unrecognized_body");
    assert!(line.contains("WARN"), "{line}");
    proxy.wait_for_log("drift=");
    // What is only unexpected has its line.
    assert_eq!(sender.post(r#"{"alert":"x","info":1}"#).status, 200);
    proxy.wait_for_log("drift=\"/info\"");
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "unrecognized_body"))
            .count(),
        1
    );
}

#[test]
fn nothing_is_looked_at_where_that_is_said() {
    let (origin, proxy, sender) = scene("schema = \"off\"");
    let bodies: [&[u8]; 9] = [
        b"\xef\xbb\xbf{\"alert\":{}}",
        br#"{"alert":{"name":"\ud800"}}"#,
        br#"{"alert":{},"alert":{}}"#,
        br#"{"space":1,"Space":2}"#,
        b"alert",
        b"\xff\x00",
        b"{}",
        NESTED_CRITICAL.as_bytes(),
        TEST.as_bytes(),
    ];
    for body in bodies {
        assert_eq!(post_bytes(&sender, body).status, 200, "{body:?}");
        let received = origin.received().pop().unwrap();
        assert_eq!(
            (
                received.body.as_slice(),
                received.header("X-Netdata-Notification")
            ),
            (body, "unknown")
        );
        assert_eq!(
            (
                severity_of(&received).as_str(),
                received.header("Idempotency-Key").len()
            ),
            ("", 64)
        );
    }
    proxy.wait_for_logs("outcome=\"forwarded\"", bodies.len());
    assert!(
        !proxy
            .log()
            .iter()
            .any(|line| line.contains("drift") || is_event(line, "test_token_received"))
    );
}

#[test]
fn a_space_that_cannot_be_read_is_none_of_those_that_are_wanted() {
    for schema in ["enforce", "strict", "warn", "off"] {
        let (origin, proxy, sender) = scene(&format!("spaces = [\"acme\"]\nschema = \"{schema}\""));
        let strange: &[&str] = match schema {
            "off" => &[
                "",
                "alert",
                "\u{feff}{\"space\":\"acme\"}",
                r#"{"space":"evil","space":"acme"}"#,
                TEST,
            ],
            "strict" => &[],
            _ => &[
                r#"{"message":"acme"}"#,
                r#"{"message":"m","space":["acme"]}"#,
            ],
        };
        for body in [
            r#"{"alert":{},"space":5}"#,
            r#"{"alert":{},"space":["acme"]}"#,
            r#"{"alert":{},"space":{"slug":["acme"]}}"#,
            r#"{"alert":{},"space":{"slug":"acme","id":5}}"#,
            r#"{"alert":{},"space":{"slug":"acme","ID":"evil"}}"#,
            r#"{"alert":{},"Space":{"slug":"acme"}}"#,
            r#"{"alert":{},"space":null}"#,
            r#"{"alert":{},"space":{}}"#,
            r#"{"alert":{}}"#,
            r#"{"status":{"reachable":true},"space":7}"#,
            r#"{"token":"t","Space":"evil"}"#,
            r#"{"token":"t","space":7}"#,
        ]
        .iter()
        .chain(strange)
        {
            let answer = sender.post(body);
            // Strictly, some of these are refused for their types before.
            let is_strict = schema == "strict" && answer.status == 422;
            if !is_strict {
                answer.refuses(403, "space_not_allowed");
            }
        }
        origin.received_nothing();
        assert_eq!(
            sender
                .post(r#"{"alert":{},"space":{"slug":"acme","id":"x"}}"#)
                .status,
            200
        );
        assert_eq!(origin.received().len(), 1);
        proxy.wait_for_log("space=\"acme\"");
    }
}

#[test]
fn a_test_token_that_cannot_be_shown_displaces_none() {
    let (origin, proxy, sender, operator) = watched("");
    let shown = || {
        let status: Value = serde_json::from_str(&operator.get("/api/status.json").body).unwrap();
        status["test_tokens"][0]["token"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(sender.post(TEST).body, "{\"received\":true}");
    let token = "0b5dcd6e-2a3e-4f1e-9a46-0f2c9c9c9c9c";
    eventually("the token", || (shown() == token).then_some(()));
    let test = |token: &str| {
        sender.post(&format!(
            "{{\"message\":\"m\",\"title\":\"Test\",\"token\":\"{token}\"}}"
        ))
    };
    let answer = test("");
    answer.refuses(422, "schema_mismatch");
    assert!(answer.body.contains("/token"), "{answer:?}");
    // Netdata Cloud gets the answer it waits for, and the operator is told.
    for (number, token) in [
        "x".repeat(1000),
        "a\\nb".into(),
        "\\u202e".into(),
        "\\u2028".into(),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(test(token).body, "{\"received\":true}");
        proxy.wait_for_events("test_token_invalid", number + 1);
        proxy.wait_for_logs("drift=\"/token\"", number + 1);
    }
    assert_eq!(shown(), token);
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "test_token_received"))
            .count(),
        1
    );
    origin.received_nothing();
}

#[test]
fn only_the_wanted_spaces_pass() {
    let (origin, _proxy, sender) =
        scene("spaces = [\"acme\", \"00000000-0000-4000-8000-000000000001\"]");
    for body in [
        r#"{"alert":{},"space":{"id":"x","slug":"acme"}}"#,
        r#"{"alert":{},"space":{"id":"00000000-0000-4000-8000-000000000001"}}"#,
        r#"{"alert":"x","space":"acme"}"#,
    ] {
        assert_eq!(sender.post(body).status, 200, "{body}");
    }
    for body in [
        r#"{"alert":{},"space":{"id":"x","slug":"evil"}}"#,
        r#"{"alert":{},"message":"acme"}"#,
        r#"{"status":{"reachable":true},"message":"acme"}"#,
    ] {
        sender.post(body).refuses(403, "space_not_allowed");
    }
    assert_eq!(
        sender.post(TEST).status,
        200,
        "the operator must be able to finish the setup"
    );
    assert_eq!(origin.received().len(), 3);
}
