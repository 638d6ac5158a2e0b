//! Test notifications, and their tokens.
//!
//! `a_test_token_that_cannot_be_shown_displaces_none`: an empty token took the place of the one on
//! the status page.

use super::{TEST, scene, watched};
use crate::support::{eventually, is_event};
use serde_json::Value;

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
