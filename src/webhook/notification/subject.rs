//! The subject of a notification: those with the same one must reach the application in order.
//!
//! A subject may be coarser than necessary, and never finer: a clear alert must not overtake the
//! critical one that it ends.

use super::Kind;
use super::json::Json;
use super::key::Key;
use sha2::{Digest as _, Sha256};

/// A hash of a subject.
pub(crate) type Subject = [u8; 32];

/// The subject of everything of which nothing is known.
pub(super) const UNKNOWN: Subject = [0; 32];

/// The members that make up the subject of an alert. Each is empty where it is not known.
const ALERT: [&[Key]; 8] = [
    &[Key::Space, Key::Id],
    &[Key::Space],
    &[Key::Node, Key::Id],
    &[Key::Alert, Key::Name],
    &[Key::Alert],
    &[Key::Alarm],
    &[Key::Alert, Key::Chart, Key::Id],
    &[Key::Chart],
];

/// The members that make up the subject of a node's reachability. A body may name several nodes, and
/// the next one some of them: so it is the whole space, where that is known.
const REACHABILITY: [&[Key]; 3] = [&[Key::Space, Key::Id], &[Key::Space], &[Key::Host]];

/// Returns the subject of a body of this kind.
pub(super) fn of(body: Json<'_>, kind: Kind) -> Subject {
    match kind {
        Kind::Alert => hash(body, "alert", &ALERT),
        Kind::Reachability => hash(body, "reachability", &REACHABILITY),
        Kind::Test | Kind::Unknown => UNKNOWN,
    }
}

fn hash(body: Json<'_>, kind: &str, members: &[&[Key]]) -> Subject {
    let mut hash = Sha256::new();
    hash.update(kind);
    for path in members {
        let text = body.string(path).unwrap_or_default();
        // With the length, no two lists of texts give the same bytes.
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::super::{Notification, SchemaPolicy};
    use super::*;

    fn subject(body: &str) -> Subject {
        let verified = Notification::verify(body.as_bytes(), SchemaPolicy::Warn, &[]);
        verified.unwrap().subject
    }

    #[track_caller]
    fn check(one: &str, other: &str, are_same: bool) {
        assert_eq!(subject(one) == subject(other), are_same, "{one} {other}");
    }

    #[test]
    fn alerts_are_told_apart_by_what_they_are_about_and_not_by_their_state() {
        let nested = |space, node, name, chart, state| {
            format!(
                r#"{{"space":{{"id":"{space}"}},"node":{{"id":"{node}"}},"alert":{{"name":"{name}",
                "chart":{{"id":"{chart}"}},"state":{{"status":"{state}"}},"transition_id":"{state}"}}}}"#
            )
        };
        let critical = nested("s", "n", "a", "c", "CRITICAL");
        check(&critical, &nested("s", "n", "a", "c", "CLEAR"), true);
        for other in [
            nested("t", "n", "a", "c", "CLEAR"),
            nested("s", "m", "a", "c", "CLEAR"),
            nested("s", "n", "b", "c", "CLEAR"),
            nested("s", "n", "a", "d", "CLEAR"),
            nested("s", "na", "", "c", "CLEAR"),
        ] {
            check(&critical, &other, false);
        }
        let flat = |alert, chart, severity| {
            format!(
                r#"{{"space":"s","alert":"{alert}","chart":"{chart}","severity":"{severity}"}}"#
            )
        };
        check(&flat("a", "c", "CRITICAL"), &flat("a", "c", "CLEAR"), true);
        check(
            &flat("a", "c", "CRITICAL"),
            &flat("b", "c", "CRITICAL"),
            false,
        );
        check(
            &flat("a", "c", "CRITICAL"),
            &flat("a", "d", "CRITICAL"),
            false,
        );
    }

    #[test]
    fn reachability_is_in_order_within_a_space() {
        let nested = |space, nodes: &str, reachable| {
            format!(r#"{{"space":{{"id":"{space}"}},"nodes":[{nodes}],"reachable":{reachable}}}"#)
        };
        let both = nested("s", r#"{"id":"a"},{"id":"b"}"#, false);
        check(&both, &nested("s", r#"{"id":"a"}"#, true), true);
        check(&both, &nested("t", r#"{"id":"a"},{"id":"b"}"#, true), false);
        let flat = |host, reachable| {
            format!(r#"{{"host":"{host}","status":{{"reachable":{reachable}}}}}"#)
        };
        check(&flat("a", false), &flat("a", true), true);
        check(&flat("a", false), &flat("b", false), false);
    }

    #[test]
    fn what_is_not_known_stays_in_order_as_a_whole() {
        assert_eq!(subject(r#"{"message":"a"}"#), UNKNOWN);
        assert_eq!(subject(r#"{"message":"b"}"#), UNKNOWN);
    }
}
