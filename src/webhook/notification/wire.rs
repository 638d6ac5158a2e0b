//! The keys and types of the bodies that Netdata Cloud sends, in one place.
//!
//! [`SchemaPolicy::Strict`](super::SchemaPolicy::Strict) refuses other types, every difference is
//! noted, and tests compare the bodies that `send` makes with this. The fields by which something is
//! decided are checked elsewhere, and more leniently.

use super::key::Key;
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
pub(super) type Fields = &'static [(Key, Type)];

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
    (Key::Message, Type::String),
    (Key::Alert, Type::String),
    (Key::Alarm, Type::String),
    (Key::Info, Type::String),
    (Key::Chart, Type::String),
    (Key::Context, Type::String),
    (Key::Space, Type::String),
    (Key::CapitalRooms, Type::Rooms),
    (Key::Rooms, Type::Rooms),
    (Key::Family, Type::String),
    (Key::Class, Type::String),
    (Key::Severity, Type::String),
    (Key::Date, Type::String),
    (Key::Duration, Type::String),
    (Key::AdditionalActiveCriticalAlerts, Type::Integer),
    (Key::AdditionalActiveWarningAlerts, Type::Integer),
    (Key::CriticalCount, Type::Integer),
    (Key::WarningCount, Type::Integer),
    (Key::AlertUrl, Type::String),
    (Key::AlarmUrl, Type::String),
];

/// An alert in the form that the service sends.
const ALERT_NESTED: Fields = &[
    (Key::Message, Type::String),
    (Key::Space, Type::Object(SPACE)),
    (Key::Node, Type::Object(NODE)),
    (
        Key::Alert,
        Type::Object(&[
            (Key::Name, Type::String),
            (
                Key::Chart,
                Type::Object(&[(Key::Id, Type::String), (Key::Name, Type::String)]),
            ),
            (Key::Context, Type::String),
            (Key::State, Type::Object(STATE)),
            (Key::PrevState, Type::Object(STATE)),
            (Key::TriggeredAt, Type::String),
            (Key::TransitionId, Type::String),
            (Key::Duration, Type::Object(DURATION)),
            (
                Key::Location,
                Type::Object(&[
                    (Key::Timezone, Type::String),
                    (Key::UtcOffset, Type::Integer),
                ]),
            ),
            (Key::Config, Type::Object(CONFIG)),
            (
                Key::Rendered,
                Type::Object(&[(Key::Info, Type::String), (Key::Summary, Type::String)]),
            ),
            (Key::Log, Type::Object(LOG)),
            (Key::Url, Type::String),
        ]),
    ),
];

const SPACE: Fields = &[
    (Key::Id, Type::String),
    (Key::Name, Type::String),
    (Key::Slug, Type::String),
];

const NODE: Fields = &[
    (Key::Id, Type::String),
    (Key::Hostname, Type::String),
    (
        Key::Rooms,
        Type::Objects(&[
            (Key::Id, Type::String),
            (Key::Name, Type::String),
            (Key::Slug, Type::String),
            (Key::Url, Type::String),
        ]),
    ),
];

const STATE: Fields = &[
    (Key::Status, Type::String),
    (Key::Value, Type::Number),
    (Key::ValueStr, Type::String),
];

const DURATION: Fields = &[
    (Key::Value, Type::Integer),
    (Key::ValueStr, Type::String),
    (Key::NonClear, Type::Integer),
];

const CONFIG: Fields = &[
    (Key::Hash, Type::String),
    (Key::Classification, Type::String),
    (Key::Recipient, Type::String),
    (Key::Command, Type::String),
    (Key::Line, Type::Integer),
    (
        Key::CentralisationPoint,
        Type::Object(&[(Key::Hostname, Type::String)]),
    ),
];

const LOG: Fields = &[
    (
        Key::Total,
        Type::Object(&[
            (Key::Critical, Type::Integer),
            (Key::Warning, Type::Integer),
        ]),
    ),
    (
        Key::Entries,
        Type::Objects(&[
            (Key::Name, Type::String),
            (Key::Status, Type::String),
            (Key::TriggeredAt, Type::String),
        ]),
    ),
];

/// A reachability notification in the form of Netdata's documentation.
const REACHABILITY_FLAT: Fields = &[
    (Key::Message, Type::String),
    (Key::Url, Type::String),
    (Key::Host, Type::String),
    (Key::Severity, Type::String),
    (
        Key::Status,
        Type::Object(&[(Key::Reachable, Type::Bool), (Key::Text, Type::String)]),
    ),
];

/// A reachability notification in the form that the service sends.
const REACHABILITY_NESTED: Fields = &[
    (Key::Message, Type::String),
    (
        Key::Space,
        Type::Object(&[
            (Key::Id, Type::String),
            (Key::Name, Type::String),
            (Key::Slug, Type::String),
            (Key::NodesStats, Type::Object(NODES_STATS)),
        ]),
    ),
    (
        Key::CentralisationPoint,
        Type::Object(&[(Key::Id, Type::String), (Key::Hostname, Type::String)]),
    ),
    (
        Key::Nodes,
        Type::Objects(&[(Key::Id, Type::String), (Key::Hostname, Type::String)]),
    ),
    (Key::Severity, Type::String),
    (Key::Status, Type::String),
    (Key::Reachable, Type::Bool),
    (Key::Url, Type::String),
];

const NODES_STATS: Fields = &[
    (Key::Total, Type::Integer),
    (Key::Live, Type::Integer),
    (Key::Offline, Type::Integer),
    (Key::Created, Type::Integer),
    (Key::Removed, Type::Integer),
    (Key::Stale, Type::Integer),
];

const TEST: Fields = &[
    (Key::Message, Type::String),
    (Key::Title, Type::String),
    (Key::Token, Type::String),
];

/// The fields that every kind has, and that an unknown one is expected to have.
const UNKNOWN: Fields = &[(Key::Message, Type::String)];

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
            let place = format!("{place}/{}", key.text());
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
