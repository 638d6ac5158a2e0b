//! `queue show`: one notification, with everything that is known about it.

use super::export::exported;
use super::masked_head::masked_head;
use super::{QueueError, describe};
use crate::delivery::{Listed, Operator};
use crate::sanitize::{sanitize, sanitize_to};
use std::io::Write;
use std::time::SystemTime;

/// What is known about a notification, and what it is called here.
const ABOUT: [(&str, &str); 4] = [
    ("space", "space"),
    ("transition_id", "transition"),
    ("request_id", "request id"),
    ("remote_addr", "client"),
];

/// Prints a notification. Returns `true`.
pub(super) fn run(
    store: &dyn Operator,
    id: i64,
    is_body_only: bool,
    is_json: bool,
    out: &mut impl Write,
) -> Result<bool, QueueError> {
    let found = store.find(id)?.ok_or(QueueError::Missing(id))?;
    match (is_body_only, is_json) {
        (true, _) => out.write_all(&found.body)?,
        (false, true) => writeln!(out, "{}", exported(&found))?,
        (false, false) => {
            let facts = facts(&found.listed, SystemTime::now());
            let head = lines(masked_head(&found.head).as_bytes());
            writeln!(out, "{facts}\n{head}\n\n{}", lines(&found.body))?;
        }
    }
    Ok(true)
}

/// Returns a line for each thing that is known.
fn facts(listed: &Listed, now: SystemTime) -> String {
    let received = describe::time(listed.received);
    let age = describe::age(listed, now);
    let mut facts = vec![
        ("id", listed.id.to_string()),
        ("route", listed.route.clone()),
        ("received", format!("{received}, {age} ago")),
        ("about", describe::subject(listed)),
    ];
    facts.extend(origin(listed));
    facts.push(("key", listed.idempotency.clone()));
    facts.push(("attempts", listed.attempts.to_string()));
    facts.extend(listed.last_error.clone().map(|error| ("last error", error)));
    facts.push(("next try", describe::next_try(listed, now)));
    facts.iter().map(line).collect()
}

/// Returns where the notification comes from, as far as that is known.
fn origin(listed: &Listed) -> Vec<(&'static str, String)> {
    let about = describe::about(listed);
    let known = ABOUT.iter().filter_map(|(name, label)| {
        let text = about[name].as_str()?;
        Some((*label, text.to_owned()))
    });
    known.collect()
}

fn line((label, value): &(&str, String)) -> String {
    format!("{label:<10}  {}\n", sanitize(value))
}

/// Returns text whose lines control no terminal.
fn lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.trim_end().lines();
    let lines: Vec<_> = lines.map(|line| sanitize_to(line, usize::MAX)).collect();
    lines.join("\n")
}
