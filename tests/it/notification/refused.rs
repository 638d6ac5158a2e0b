//! Bodies that are refused.
//!
//! - `what_decides_has_to_be_readable`: what is refused though other fields may be anything.
//! - `twins_of_what_decides_are_refused`: readers that fold case (Go's) would take another `space`
//!   than was verified.
//! - `a_space_that_cannot_be_read_is_none_of_those_that_are_wanted`: tolerance must not let another
//!   space in.

use super::{TEST, post_bytes, scene};
use crate::support::Edit as _;

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

#[test]
fn hostile_json_is_refused_quickly() {
    let (origin, proxy, sender) = scene("max_body = \"4MiB\"");
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
        let before = proxy.processor_time();
        sender.post(&body).refuses(400, "invalid_json");
        let taken = proxy.processor_time() - before;
        assert!(taken < 500, "{taken} hundredths of a second: {body:.40}");
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
