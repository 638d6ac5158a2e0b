//! The fields of reachability notifications, in both shapes.

use super::field::{Field, Fields};

/// As Netdata's documentation has it.
pub(super) const FLAT: Fields = &[
    ("message", Field::String),
    ("url", Field::String),
    ("host", Field::String),
    ("severity", Field::String),
    ("status", Field::Object(&[("reachable", Field::Bool), ("text", Field::String)])),
];

/// As the service sends it.
pub(super) const NESTED: Fields = &[
    ("message", Field::String),
    ("url", Field::String),
    ("space", Field::Object(SPACE)),
    ("centralisation_point", Field::Object(&[("id", Field::String), ("hostname", Field::String)])),
    ("nodes", Field::Objects),
    ("severity", Field::String),
    ("status", Field::String),
    ("reachable", Field::Bool),
];

const SPACE: Fields = &[
    ("id", Field::String),
    ("name", Field::String),
    ("slug", Field::String),
    ("nodes_stats", Field::Object(NODES_STATS)),
];

const NODES_STATS: Fields = &[
    ("total", Field::Number),
    ("live", Field::Number),
    ("offline", Field::Number),
    ("created", Field::Number),
    ("removed", Field::Number),
    ("stale", Field::Number),
];
