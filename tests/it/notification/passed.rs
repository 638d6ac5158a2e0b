//! Bodies that pass, byte for byte, and what stands beside them.
//!
//! What was wrong once, each for its kind:
//!
//! - `every_captured_body_passes_byte_for_byte`: a field that decides nothing (`alert.config.line`,
//!   an integer on the wire) was taken for a string, in the verifier, in `send` and in the fixtures
//!   alike, and every real alert was refused. The fixtures are bodies with the keys and types of
//!   captures, as they came.
//! - `whatever_decides_nothing_may_be_anything`: the same for every field that decides nothing, of
//!   every body, changed to any value, left out, or joined by a new one.

use super::{CAPTURED, FLAT_REACHABILITY, NESTED_CRITICAL, scene, severity_of};
use crate::support::Http2;
use netdata_webhook_proxy::{Notification, SchemaPolicy};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};

#[path = "../../../benches/side_by_side/alerts.rs"]
mod alerts;

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
    let verify = |alert: &str| {
        let found = Notification::verify(alert.as_bytes(), SchemaPolicy::Strict, &[]).unwrap();
        assert!(found.drift.is_empty(), "{:?}", found.drift);
    };
    verify(alerts::FLAT);
    for size in [2048, 2560, 16 * 1024, 64 * 1024] {
        let alert = alerts::alert(size);
        assert_eq!(alert.len(), size);
        verify(&alert);
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
