//! Describes notifications in the queue, for people and for scripts.

use crate::delivery::Listed;
use crate::sanitize::sanitize;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Returns a notification as JSON.
pub(super) fn json(listed: &Listed) -> Value {
    json!({
        "id": listed.id,
        "route": listed.route,
        "received": time(listed.received),
        "attempts": listed.attempts,
        "last_error": listed.last_error,
        "next_try": listed.next_try.filter(|_| listed.parked.is_none()).map(time),
        "after": listed.after,
        "parked": listed.parked,
        "about": about(listed),
        "idempotency_key": listed.idempotency,
        "body_bytes": listed.body_bytes,
    })
}

/// Returns what is known about a notification: an object.
pub(super) fn about(listed: &Listed) -> Value {
    serde_json::from_str(&listed.about).unwrap_or_default()
}

/// Returns what a notification is about, in words: its kind, severity, node and title.
pub(super) fn subject(listed: &Listed) -> String {
    let about = about(listed);
    let known = |name: &str| about[name].as_str().filter(|text| !text.is_empty());
    let place = [known("severity"), known("node")];
    let kind = known("kind").unwrap_or("unknown");
    let words: Vec<_> = [kind]
        .into_iter()
        .chain(place.into_iter().flatten())
        .collect();
    let words = words.join(", ");
    let text = match known("title") {
        Some(title) => format!("{words}: {title}"),
        None => words,
    };
    sanitize(&text).into_owned()
}

/// Returns when a notification is tried next, or why it is not.
pub(super) fn next_try(listed: &Listed, now: SystemTime) -> String {
    if let Some(reason) = &listed.parked {
        return format!("parked: {reason}");
    }
    if let Some(id) = listed.after {
        return format!("after {id}");
    }
    let due = listed.next_try.map(instant);
    match due.and_then(|due| due.duration_since(now).ok()) {
        // Rounded up: in 0 s, it would be in turn.
        Some(pause) => format!("in {}", duration(pause + Duration::from_millis(999))),
        None => "in turn".to_owned(),
    }
}

/// Returns the time since the receipt of a notification.
pub(super) fn age(listed: &Listed, now: SystemTime) -> String {
    let age = now.duration_since(instant(listed.received));
    duration(age.unwrap_or_default())
}

fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

fn instant(nanos: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos.unsigned_abs())
}

/// Returns a time in nanoseconds since 1970 as RFC 3339 writes it.
pub(super) fn time(nanos: i64) -> String {
    OffsetDateTime::from(instant(nanos))
        .format(&Rfc3339)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_what_is_known_and_controls_nothing() {
        for (about, expected) in [
            (
                r#"{"kind":"alert","severity":"critical","node":"db-1","title":"disk full"}"#,
                "alert, critical, db-1: disk full",
            ),
            (
                r#"{"kind":"unknown","severity":null,"title":""}"#,
                "unknown",
            ),
            (
                r#"{"kind":"alert","title":"a\u001b[2Jb\nc"}"#,
                "alert: a\u{fffd}[2Jb\u{fffd}c",
            ),
            ("", "unknown"),
        ] {
            let listed = Listed {
                about: about.into(),
                ..Listed::default()
            };
            assert_eq!(subject(&listed), expected);
        }
    }

    #[test]
    fn the_next_try_has_a_time_or_a_reason() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let listed = |next_try, parked: Option<&str>, after| Listed {
            next_try,
            parked: parked.map(str::to_owned),
            after,
            received: 1_000_000_000,
            ..Listed::default()
        };
        for (listed, expected) in [
            (listed(None, None, None), "in turn"),
            (listed(Some(999_000_000_000), None, None), "in turn"),
            (listed(Some(1_007_500_000_000), None, None), "in 8 s"),
            (listed(Some(1_007_500_000_000), None, Some(3)), "after 3"),
            (listed(None, Some("poison"), None), "parked: poison"),
        ] {
            assert_eq!(next_try(&listed, now), expected);
            assert_eq!(age(&listed, now), "16 min");
        }
    }
}
