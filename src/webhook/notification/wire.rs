//! The keys and types of the bodies that Netdata Cloud sends, in one place.
//!
//! [`SchemaPolicy::Strict`](super::SchemaPolicy::Strict) refuses other types, every difference is
//! noted, and tests compare the bodies that `send` makes with this. The fields by which something is
//! decided are checked elsewhere, and more leniently.

use super::{Kind, Shape};

/// The type of a value. Null counts as absent everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    String,
    /// A number, written as an integer or not.
    Number,
    Integer,
    Bool,
    /// An object with these members, each of which may be missing.
    Object(Fields),
    /// An array of such objects.
    Objects(Fields),
    /// An object of which each value is an object or a string.
    Rooms,
}

/// The members of an object.
pub(super) type Fields = &'static [(&'static str, Type)];

/// Returns the fields of a body of this kind and shape.
pub(super) fn fields(kind: Kind, shape: Option<Shape>) -> Fields {
    match (kind, shape) {
        (Kind::Alert, Some(Shape::Nested)) => ALERT_NESTED,
        (Kind::Alert, _) => ALERT_FLAT,
        (Kind::Reachability, Some(Shape::Nested)) => REACHABILITY_NESTED,
        (Kind::Reachability, _) => REACHABILITY_FLAT,
        (Kind::Test, _) => TEST,
        (Kind::Unknown, _) => UNKNOWN,
    }
}

/// An alert in the form of Netdata's documentation, with the names of its earlier editions.
const ALERT_FLAT: Fields = &[
    ("message", Type::String),
    ("alert", Type::String),
    ("alarm", Type::String),
    ("info", Type::String),
    ("chart", Type::String),
    ("context", Type::String),
    ("space", Type::String),
    ("Rooms", Type::Rooms),
    ("rooms", Type::Rooms),
    ("family", Type::String),
    ("class", Type::String),
    ("severity", Type::String),
    ("date", Type::String),
    ("duration", Type::String),
    ("additional_active_critical_alerts", Type::Integer),
    ("additional_active_warning_alerts", Type::Integer),
    ("critical_count", Type::Integer),
    ("warning_count", Type::Integer),
    ("alert_url", Type::String),
    ("alarm_url", Type::String),
];

/// An alert in the form that the service sends.
const ALERT_NESTED: Fields = &[
    ("message", Type::String),
    ("space", Type::Object(SPACE)),
    ("node", Type::Object(NODE)),
    (
        "alert",
        Type::Object(&[
            ("name", Type::String),
            (
                "chart",
                Type::Object(&[("id", Type::String), ("name", Type::String)]),
            ),
            ("context", Type::String),
            ("state", Type::Object(STATE)),
            ("prev_state", Type::Object(STATE)),
            ("triggered_at", Type::String),
            ("transition_id", Type::String),
            ("duration", Type::Object(DURATION)),
            (
                "location",
                Type::Object(&[("timezone", Type::String), ("utc_offset", Type::Integer)]),
            ),
            ("config", Type::Object(CONFIG)),
            (
                "rendered",
                Type::Object(&[("info", Type::String), ("summary", Type::String)]),
            ),
            ("log", Type::Object(LOG)),
            ("url", Type::String),
        ]),
    ),
];

const SPACE: Fields = &[
    ("id", Type::String),
    ("name", Type::String),
    ("slug", Type::String),
];

const NODE: Fields = &[
    ("id", Type::String),
    ("hostname", Type::String),
    (
        "rooms",
        Type::Objects(&[
            ("id", Type::String),
            ("name", Type::String),
            ("slug", Type::String),
            ("url", Type::String),
        ]),
    ),
];

const STATE: Fields = &[
    ("status", Type::String),
    ("value", Type::Number),
    ("value_str", Type::String),
];

const DURATION: Fields = &[
    ("value", Type::Integer),
    ("value_str", Type::String),
    ("non_clear", Type::Integer),
];

const CONFIG: Fields = &[
    ("hash", Type::String),
    ("classification", Type::String),
    ("recipient", Type::String),
    ("command", Type::String),
    ("line", Type::Integer),
    (
        "centralisation_point",
        Type::Object(&[("hostname", Type::String)]),
    ),
];

const LOG: Fields = &[
    (
        "total",
        Type::Object(&[("critical", Type::Integer), ("warning", Type::Integer)]),
    ),
    (
        "entries",
        Type::Objects(&[
            ("name", Type::String),
            ("status", Type::String),
            ("triggered_at", Type::String),
        ]),
    ),
];

/// A reachability notification in the form of Netdata's documentation.
const REACHABILITY_FLAT: Fields = &[
    ("message", Type::String),
    ("url", Type::String),
    ("host", Type::String),
    ("severity", Type::String),
    (
        "status",
        Type::Object(&[("reachable", Type::Bool), ("text", Type::String)]),
    ),
];

/// A reachability notification in the form that the service sends.
const REACHABILITY_NESTED: Fields = &[
    ("message", Type::String),
    (
        "space",
        Type::Object(&[
            ("id", Type::String),
            ("name", Type::String),
            ("slug", Type::String),
            ("nodes_stats", Type::Object(NODES_STATS)),
        ]),
    ),
    (
        "centralisation_point",
        Type::Object(&[("id", Type::String), ("hostname", Type::String)]),
    ),
    (
        "nodes",
        Type::Objects(&[("id", Type::String), ("hostname", Type::String)]),
    ),
    ("severity", Type::String),
    ("status", Type::String),
    ("reachable", Type::Bool),
    ("url", Type::String),
];

const NODES_STATS: Fields = &[
    ("total", Type::Integer),
    ("live", Type::Integer),
    ("offline", Type::Integer),
    ("created", Type::Integer),
    ("removed", Type::Integer),
    ("stale", Type::Integer),
];

const TEST: Fields = &[
    ("message", Type::String),
    ("title", Type::String),
    ("token", Type::String),
];

/// The fields that every kind has, and that an unknown one is expected to have.
const UNKNOWN: Fields = &[("message", Type::String)];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    #[cfg(feature = "cli")]
    use crate::commands::client::{EVERY_NOTIFICATION, Generator};
    use crate::webhook::notification::{Notification, SchemaPolicy};
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Bodies with the keys and types of captures from the wire.
    pub(in crate::webhook::notification) const CAPTURED: [&str; 7] = [
        include_str!("../../../tests/it/bodies/flat-alert.json"),
        include_str!("../../../tests/it/bodies/flat-reachability.json"),
        include_str!("../../../tests/it/bodies/nested-clear.json"),
        include_str!("../../../tests/it/bodies/nested-critical.json"),
        include_str!("../../../tests/it/bodies/nested-reachable.json"),
        include_str!("../../../tests/it/bodies/nested-unreachable.json"),
        include_str!("../../../tests/it/bodies/test-notification.json"),
    ];

    /// Names of earlier editions of the documentation, which nothing has today.
    const EARLIER: [&str; 5] = [
        "/alarm",
        "/rooms",
        "/critical_count",
        "/warning_count",
        "/alarm_url",
    ];

    /// Every notification of `send`, with all that is left to chance.
    #[cfg(feature = "cli")]
    fn sent() -> impl Iterator<Item = String> {
        (0..20).flat_map(|seed| {
            let author = Generator {
                seed,
                ..Generator::default()
            };
            EVERY_NOTIFICATION
                .into_iter()
                .enumerate()
                .map(move |(index, notice)| author.write(notice, index as u64))
        })
    }

    /// The places of a body and the types at them; elements of an array are at one place.
    fn places(value: &Value, place: &str, found: &mut BTreeSet<(String, &'static str)>) {
        let name = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(elements) => {
                elements
                    .iter()
                    .for_each(|element| places(element, &format!("{place}/*"), found));
                "array"
            }
            Value::Object(_) if place.starts_with("/Rooms/") => "room",
            Value::Object(members) => {
                members
                    .iter()
                    .for_each(|(key, value)| places(value, &format!("{place}/{key}"), found));
                "object"
            }
        };
        found.insert((place.to_owned(), name));
    }

    /// The places that the table knows for these fields.
    fn known(fields: Fields, place: &str, found: &mut BTreeSet<String>) {
        for (key, value) in fields {
            let place = format!("{place}/{key}");
            match value {
                Type::Object(fields) => known(fields, &place, found),
                Type::Objects(fields) => known(fields, &format!("{place}/*"), found),
                _ => {}
            }
            found.insert(place);
        }
    }

    fn verified(body: &str) -> Notification {
        let verdict = Notification::verify(body.as_bytes(), SchemaPolicy::Strict, &[]);
        verdict.unwrap_or_else(|rejection| panic!("{rejection}: {body}"))
    }

    #[cfg(feature = "cli")]
    #[test]
    fn what_was_captured_and_what_send_makes_have_the_keys_and_types_of_the_table() {
        for body in CAPTURED.into_iter().map(str::to_owned).chain(sent()) {
            let drift = verified(&body).drift;
            assert!(drift.is_empty(), "{drift:?} in {body}");
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_table_has_nothing_that_was_not_captured_and_that_send_does_not_make() {
        let kinds = [
            (Kind::Alert, Some(Shape::Flat)),
            (Kind::Alert, Some(Shape::Nested)),
            (Kind::Reachability, Some(Shape::Flat)),
            (Kind::Reachability, Some(Shape::Nested)),
            (Kind::Test, None),
        ];
        let captured: Vec<_> = CAPTURED.into_iter().map(str::to_owned).collect();
        for bodies in [captured, sent().collect()] {
            for (kind, shape) in kinds {
                let mut found = BTreeSet::new();
                for body in &bodies {
                    let notification = verified(body);
                    if (notification.kind, notification.shape) == (kind, shape) {
                        places(&serde_json::from_str(body).unwrap(), "", &mut found);
                    }
                }
                let mut expected = BTreeSet::new();
                known(fields(kind, shape), "", &mut expected);
                expected.retain(|place| !EARLIER.contains(&place.as_str()));
                let missing: Vec<_> = expected
                    .iter()
                    .filter(|place| !found.iter().any(|(other, _)| other == *place))
                    .collect();
                assert!(missing.is_empty(), "{kind} {shape:?}: {missing:?}");
            }
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_number_that_may_be_an_integer_or_not_is_sent_as_both() {
        let mut found = BTreeSet::new();
        sent().for_each(|body| places(&serde_json::from_str(&body).unwrap(), "", &mut found));
        for name in ["integer", "float"] {
            assert!(
                found.contains(&("/alert/state/value".to_owned(), name)),
                "{name}"
            );
        }
    }
}
