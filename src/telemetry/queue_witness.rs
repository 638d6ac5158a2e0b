//! Stored notifications that did not reach their application: one that was parked or dropped is not
//! delivered until it is.

use super::lost::{DROPPED, LostNotification, PARKED, key_of, now};
use super::undelivered::Undelivered;
use crate::delivery::{Listed, Witness};
use crate::sanitize::sanitize;
use serde_json::Value;

/// Adds what was parked or dropped to the notifications that are not delivered.
pub(super) struct QueueWitness(Undelivered);

impl QueueWitness {
    /// A witness of what becomes of the notifications in a queue whose file was found damaged, and
    /// replaced, if `is_new`: those that were parked in the other one are not in this one.
    pub(super) fn new(undelivered: Undelivered, is_new: bool) -> Self {
        if is_new {
            undelivered.forget_parked_ids();
        }
        Self(undelivered)
    }
}

impl Witness for QueueWitness {
    fn parked(&self, notification: &Listed, reason: &str) {
        let Listed { id, attempts, .. } = notification;
        let error = notification.last_error.as_deref();
        let text = format!(
            "Parked ({reason}) after {attempts} attempts{}. `netdata-webhook-proxy queue retry {id}` sends it again.",
            error.map_or_else(String::new, |error| format!(", the last error: {error}")),
        );
        let parked = LostNotification {
            parked_id: Some(*id),
            ..describe(notification, PARKED, &text)
        };
        self.0.lost(parked);
    }

    fn dropped(&self, notification: &Listed) {
        let text = "It was parked, and dropped because the queue had reached queue.max_size.";
        self.0.lost(describe(notification, DROPPED, text));
    }

    fn set_aside(&self) -> Vec<i64> {
        self.0.parked_ids()
    }

    fn deleted(&self, id: i64) {
        self.0.deleted(id);
    }

    fn delivered(&self, route: &str, idempotency: &str) {
        self.0.delivered(|| key_of(route, idempotency));
    }
}

fn describe(notification: &Listed, code: &str, reason: &str) -> LostNotification {
    let about: Value = serde_json::from_str(&notification.about).unwrap_or_default();
    let part = |name: &str| about[name].as_str().map(|text| sanitize(text).into_owned());
    LostNotification {
        key: key_of(&notification.route, &notification.idempotency),
        at: now(),
        code: code.to_owned(),
        reason: sanitize(reason).into_owned(),
        status: None,
        route: notification.route.clone(),
        request_id: part("request_id").unwrap_or_default(),
        remote_addr: part("remote_addr"),
        kind: part("kind").unwrap_or_else(|| "unknown".to_owned()),
        shape: None,
        severity: part("severity"),
        title: part("title"),
        message: None,
        url: None,
        node: part("node"),
        space: part("space"),
        space_id: None,
        parked_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(about: &str) -> Listed {
        Listed {
            id: 17,
            route: "/a".into(),
            received: 1,
            attempts: 12,
            last_error: Some("status 500".into()),
            about: about.into(),
            idempotency: "t-1".into(),
            body_bytes: 2,
            ..Listed::default()
        }
    }

    #[test]
    fn what_is_parked_or_dropped_is_open_until_it_is_delivered() {
        let undelivered = Undelivered::default();
        let witness = QueueWitness::new(undelivered.clone(), false);
        let about = r#"{"kind":"alert","severity":"critical","title":"a\u001b","node":"n"}"#;
        witness.parked(&notification(about), "poison");
        let [parked] = &undelivered.open(now())[..] else {
            panic!("{:?}", undelivered.open(now()));
        };
        assert_eq!((parked.known_code(), &*parked.key), (PARKED, "/a t-1"));
        assert_eq!(parked.severity.as_deref(), Some("critical"));
        let title = parked.title.as_deref().unwrap();
        assert!(
            title.starts_with('a') && !title.contains('\u{1b}'),
            "{title}"
        );
        for part in [
            "(poison) after 12 attempts",
            "status 500",
            "queue retry 17`",
        ] {
            assert!(parked.reason.contains(part), "{}", parked.reason);
        }
        witness.dropped(&notification("no JSON"));
        let [dropped] = &undelivered.open(now())[..] else {
            panic!("{:?}", undelivered.open(now()));
        };
        assert_eq!((dropped.known_code(), &*dropped.kind), (DROPPED, "unknown"));
        witness.delivered("/b", "t-1");
        assert_eq!(undelivered.open(now()).len(), 1);
        witness.delivered("/a", "t-1");
        assert_eq!(undelivered.open(now()), []);
    }
}
