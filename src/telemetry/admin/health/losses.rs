//! Describes the notifications that are not delivered, in one sentence.

use crate::telemetry::lost::LostNotification;
use time::OffsetDateTime;

/// Returns a sentence about `open`, the oldest first, if there are any.
pub(super) fn describe(open: &[LostNotification], is_full: bool) -> Option<String> {
    let number = match is_full {
        true => format!("At least {}", open.len()),
        false => open.len().to_string(),
    };
    match open {
        [] => None,
        [only] => Some(describe_one(&number, only)),
        [.., last] => Some(describe_several(&number, open, last)),
    }
}

fn describe_one(number: &str, only: &LostNotification) -> String {
    let severity = only.severity.as_deref().unwrap_or_default();
    let what = match only.kind.as_str() {
        "alert" => format!("{severity} alert"),
        "reachability" => format!("{severity} reachability notification"),
        _ => "notification".to_owned(),
    };
    let (what, details) = (what.trim_start(), details(only));
    format!("{number} {what} was not delivered: {details}.")
}

fn describe_several(number: &str, open: &[LostNotification], last: &LostNotification) -> String {
    let among = match open.iter().filter(|lost| is_critical(lost)).count() {
        0 => String::new(),
        critical => format!(", {critical} of them critical"),
    };
    let details = details(last);
    format!("{number} notifications were not delivered{among}. The last: {details}.")
}

fn is_critical(lost: &LostNotification) -> bool {
    lost.severity.as_deref() == Some("critical")
}

/// Returns the subject, the time and the reason in short.
fn details(lost: &LostNotification) -> String {
    let status = lost.status.map(|status| format!("{status} "));
    format!(
        "{}{}, {}{}",
        subject(lost),
        clock(lost.at),
        status.unwrap_or_default(),
        lost.code
    )
}

/// Returns what the notification is about, as the beginning of a list.
fn subject(lost: &LostNotification) -> String {
    match (&lost.title, &lost.node) {
        (Some(title), Some(node)) => format!("{title} on {node}, "),
        (Some(one), None) | (None, Some(one)) => format!("{one}, "),
        (None, None) => String::new(),
    }
}

/// Returns the time of day.
pub(super) fn clock(at: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!("{:02}:{:02} UTC", at.hour(), at.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(kind: &str, severity: Option<&str>, node: Option<&str>) -> LostNotification {
        let text = serde_json::json!({
            "key": "k", "at": 50_520, "code": "upstream_unreachable", "reason": "r", "status": 502,
            "route": "/a", "request_id": "1", "kind": kind, "severity": severity,
            "title": "disk_space_usage", "node": node,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn the_sentence_names_what_matters() {
        let critical = lost("alert", Some("critical"), Some("db-1"));
        let details = "disk_space_usage on db-1, 14:02 UTC, 502 upstream_unreachable.";
        for (open, expected) in [
            (
                vec![critical.clone()],
                format!("1 critical alert was not delivered: {details}"),
            ),
            (
                vec![lost("alert", None, Some("db-1"))],
                format!("1 alert was not delivered: {details}"),
            ),
            (
                vec![lost("unknown", None, None)],
                "1 notification was not delivered: disk_space_usage, 14:02 UTC, 502 upstream_unreachable.".into(),
            ),
            (
                vec![lost("alert", Some("clear"), None), critical.clone()],
                format!("2 notifications were not delivered, 1 of them critical. The last: {details}"),
            ),
        ] {
            assert_eq!(describe(&open, false).unwrap(), expected);
        }
        assert_eq!(describe(&[], false), None);
        let many = describe(&[critical.clone(), critical], true).unwrap();
        assert!(many.starts_with("At least 2 notifications"), "{many}");
    }
}
