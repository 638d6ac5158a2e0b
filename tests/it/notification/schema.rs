//! How strictly a route takes the schema, and what is noted of what is unexpected.
//!
//! - `an_unknown_kind_with_a_message_is_forwarded_as_unknown`: what is no longer refused.
//! - `drift_is_noted_wherever_an_operator_looks`: what is let through though it is unexpected is
//!   not let through in silence. `what_is_noted_is_bounded`: nor may a sender flood what is noted.
//! - `nothing_is_looked_at_where_that_is_said`: `schema = "off"` looked at bodies.

use super::{FLAT_REACHABILITY, NESTED_CRITICAL, TEST, post_bytes, scene, severity_of, watched};
use crate::support::{Edit as _, WEBHOOK, eventually, is_event};
use serde_json::{Value, json};

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
