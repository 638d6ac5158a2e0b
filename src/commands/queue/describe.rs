//! Describes notifications in the queue, for people and for scripts.

use crate::delivery::Listed;
use crate::sanitize::{sanitize, sanitize_to};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The width of the description of a notification in the table, in characters.
const WHAT_WIDTH: usize = 40;

/// Returns all notifications as one JSON array.
pub(super) fn json_list(listed: &[Listed]) -> String {
    let list: Vec<_> = listed.iter().map(|one| json(one, None)).collect();
    Value::Array(list).to_string()
}

/// Returns a notification as JSON, with its head and body.
pub(super) fn json(listed: &Listed, message: Option<(&[u8], &[u8])>) -> Value {
    let about: Value = serde_json::from_str(&listed.about).unwrap_or_default();
    let mut object = json!({
        "id": listed.id,
        "route": listed.route,
        "received": time(listed.received),
        "attempts": listed.attempts,
        "last_error": listed.last_error,
        "parked": listed.parked,
        "about": about,
        "idempotency_key": listed.idempotency,
        "body_bytes": listed.body_bytes,
    });
    if let Some((head, body)) = message {
        object["head"] = String::from_utf8_lossy(head).into();
        object["body"] = String::from_utf8_lossy(body).into();
    }
    object
}

/// Returns a table of the notifications.
pub(super) fn table(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "Nothing waits, and nothing is parked.".into();
    }
    let mut text = format!(
        "{:>6}  {:<20}  {:<9}  {:>5}  WHAT",
        "ID", "RECEIVED", "STATE", "TRIES"
    );
    for one in listed {
        let state = one.parked.as_deref().unwrap_or("waiting");
        let received = time(one.received);
        let received = received.get(..19).unwrap_or_default();
        let _ = write!(
            text,
            "\n{:>6}  {received}Z  {state:<9}  {:>5}  {} on {}",
            one.id,
            one.attempts,
            sanitize_to(&what(one), WHAT_WIDTH),
            one.route
        );
        if let Some(error) = &one.last_error {
            let _ = write!(text, "\n        {}", sanitize(error));
        }
    }
    let parked = listed.iter().filter(|one| one.parked.is_some()).count();
    let _ = write!(
        text,
        "\n{} wait, {parked} are parked.",
        listed.len() - parked
    );
    if parked > 0 {
        text.push_str(" Send what is parked again with `queue retry ID`, or `queue retry --all`.");
    }
    text
}

/// Describes a notification with everything that is known about it.
pub(super) fn whole(listed: &Listed, head: &[u8], body: &[u8]) -> String {
    let mut text = format!(
        "id:        {}\nroute:     {}\nreceived:  {}\nwhat:      {}\nattempts:  {}",
        listed.id,
        listed.route,
        time(listed.received),
        sanitize(&what(listed)),
        listed.attempts
    );
    for (name, value) in [
        ("last error", &listed.last_error),
        ("parked", &listed.parked),
    ] {
        if let Some(value) = value {
            let _ = write!(text, "\n{:<10} {}", format!("{name}:"), sanitize(value));
        }
    }
    for part in [head, body] {
        let part = String::from_utf8_lossy(part);
        text.push_str("\n\n");
        let lines: Vec<_> = part
            .trim_end()
            .lines()
            .map(|line| sanitize_to(line, usize::MAX))
            .collect();
        text.push_str(&lines.join("\n"));
    }
    text
}

/// Returns what a notification is about, in words.
fn what(listed: &Listed) -> String {
    let about: Value = serde_json::from_str(&listed.about).unwrap_or_default();
    let parts = ["severity", "title", "node"].map(|name| about[name].as_str());
    let words: Vec<_> = parts.into_iter().flatten().collect();
    match words.is_empty() {
        true => about["kind"].as_str().unwrap_or("unknown").to_owned(),
        false => words.join(", "),
    }
}

fn time(nanos: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_nanos(nanos.unsigned_abs());
    OffsetDateTime::from(time)
        .format(&Rfc3339)
        .unwrap_or_default()
}
