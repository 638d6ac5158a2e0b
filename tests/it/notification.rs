//! Notifications are verified whole, and forwarded byte for byte.

use crate::support::{Http2, Origin, Pki, Proxy, Sender, WEBHOOK};
use std::time::{Duration, Instant};

const FLAT_ALERT: &str = include_str!("bodies/flat-alert.json");
const FLAT_REACHABILITY: &str = include_str!("bodies/flat-reachability.json");
const NESTED_CLEAR: &str = include_str!("bodies/nested-clear.json");
const NESTED_CRITICAL: &str = include_str!("bodies/nested-critical.json");
const NESTED_REACHABLE: &str = include_str!("bodies/nested-reachable.json");
const NESTED_UNREACHABLE: &str = include_str!("bodies/nested-unreachable.json");
const TEST: &str = r#"{"message":"m","title":"Test Notification","token":"4dfa1e0c-0000"}"#;

fn scene(route: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", route);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

#[test]
fn every_shape_is_forwarded_byte_for_byte() {
    let (origin, _proxy, sender) = scene("");
    for (body, kind) in [
        (FLAT_ALERT, "alert"),
        (FLAT_REACHABILITY, "reachability"),
        (NESTED_CLEAR, "alert"),
        (NESTED_CRITICAL, "alert"),
        (NESTED_REACHABLE, "reachability"),
        (NESTED_UNREACHABLE, "reachability"),
    ] {
        let answer = sender.post(body);
        assert_eq!((answer.status, answer.body.as_str(), answer.header("x-app")), (200, "ok", Some("yes")));
        let received = origin.received().pop().unwrap();
        assert_eq!(received.body, body.as_bytes());
        assert_eq!(received.header("X-Netdata-Notification"), kind);
        let severity = received.header("X-Netdata-Severity");
        assert_eq!(severity, severity.to_ascii_lowercase());
    }
    assert_eq!(origin.received().len(), 6);
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
    for body in
        [&alert("t-1"), &alert("t-1"), &alert("t-2"), "{\"alert\":\"x\"}", "{\"alert\":\"x\"}", "{\"alert\":\"y\"}"]
    {
        sender.post(body);
    }
    let keys: Vec<_> = origin.received().iter().map(|r| r.header("Idempotency-Key").to_owned()).collect();
    assert_eq!(keys[..3], ["t-1", "t-1", "t-2"]);
    assert_eq!(keys[3], keys[4]);
    assert_ne!(keys[4], keys[5]);
    assert_eq!(keys[5].len(), 64);
}

#[test]
fn a_test_notification_is_answered_here_and_its_token_logged() {
    let (origin, proxy, sender) = scene("");
    let answer = sender.post(TEST);
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"received\":true}"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(proxy.wait_for_log("Test notification").contains("4dfa1e0c-0000"));
    origin.received_nothing();
}

#[test]
fn a_test_notification_is_forwarded_where_that_is_said() {
    let (origin, _proxy, sender) = scene("tests = \"forward\"");
    assert_eq!(sender.post(TEST).body, "ok");
    assert_eq!(origin.received_one().header("X-Netdata-Notification"), "test");
    let (origin, _proxy, sender) = scene("tests = \"forward\"\nspaces = [\"acme\"]");
    sender.post(TEST).refuses(403, "space_not_allowed");
    origin.received_nothing();
}

#[test]
fn what_is_not_json_is_refused() {
    let (origin, _proxy, sender) = scene("schema = \"off\"");
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    for body in ["", "{", "[]", "null", "alert", "{\"a\":1,\"a\":2}", "{\"a\":NaN}", "{} {}", "\u{feff}{}", &deep] {
        sender.post(body).refuses(400, "invalid_json");
    }
    let mut bytes = format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n").into_bytes();
    bytes.extend_from_slice(b"{\"\xff\":1}");
    sender.raw(&bytes).unwrap().refuses(400, "invalid_json");
    origin.received_nothing();
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
fn a_mismatch_is_named_by_its_pointer() {
    let (origin, _proxy, sender) = scene("");
    for (body, pointer) in [
        (r#"{"alert":"x","severity":1}"#, "\"/severity\""),
        (r#"{"alert":{"state":{"status":[]}}}"#, "\"/alert/state/status\""),
        (r#"{"alert":5}"#, "\"\""),
        ("{}", "\"\""),
    ] {
        let answer = sender.post(body);
        answer.refuses(422, "schema_mismatch");
        assert!(answer.body.contains(&pointer.replace('"', "\\\"")), "{answer:?}");
    }
    origin.received_nothing();
}

#[test]
fn the_schema_may_warn_or_be_off() {
    for (schema, warns) in [("warn", true), ("off", false)] {
        let (origin, proxy, sender) = scene(&format!("schema = \"{schema}\""));
        assert_eq!(sender.post("{\"new\":1}").status, 200);
        assert_eq!(origin.received_one().header("X-Netdata-Notification"), "unknown");
        proxy.wait_for_log("outcome=\"forwarded\"");
        assert_eq!(proxy.log().iter().any(|line| line.contains("unrecognised body")), warns);
    }
}

#[test]
fn only_the_wanted_spaces_pass() {
    let (origin, _proxy, sender) = scene("spaces = [\"acme\", \"00000000-0000-4000-8000-000000000001\"]");
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
    assert_eq!(sender.post(TEST).status, 200, "the operator must be able to finish the setup");
    assert_eq!(origin.received().len(), 3);
}
