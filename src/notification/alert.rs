//! The fields of alerts, in both shapes, and what is read from them.

use super::Space;
use super::field::{Field, Fields};
use super::json::Json;

/// As Netdata's documentation has it, with the names of its earlier editions.
pub(super) const FLAT: Fields = &[
    ("message", Field::String),
    ("alert", Field::String),
    ("alarm", Field::String),
    ("info", Field::String),
    ("chart", Field::String),
    ("context", Field::String),
    ("space", Field::String),
    ("Rooms", Field::Rooms),
    ("rooms", Field::Rooms),
    ("family", Field::String),
    ("class", Field::String),
    ("severity", Field::String),
    ("date", Field::String),
    ("duration", Field::String),
    ("additional_active_critical_alerts", Field::Number),
    ("additional_active_warning_alerts", Field::Number),
    ("critical_count", Field::Number),
    ("warning_count", Field::Number),
    ("alert_url", Field::String),
    ("alarm_url", Field::String),
];

/// As the service sends it.
pub(super) const NESTED: Fields = &[
    ("message", Field::String),
    ("space", Field::Object(SPACE)),
    ("node", Field::Object(&[("id", Field::String), ("hostname", Field::String), ("rooms", Field::Objects)])),
    ("alert", Field::Object(ALERT)),
];

/// The space of a nested shape.
pub(super) const SPACE: Fields = &[("id", Field::String), ("name", Field::String), ("slug", Field::String)];

const ALERT: Fields = &[
    ("name", Field::String),
    ("context", Field::String),
    ("url", Field::String),
    ("transition_id", Field::String),
    ("chart", Field::Object(&[("id", Field::String), ("name", Field::String)])),
    ("state", Field::Object(STATE)),
    ("prev_state", Field::Object(STATE)),
    ("triggered_at", Field::String),
    (
        "duration",
        Field::Object(&[("value", Field::Number), ("non_clear", Field::Number), ("value_str", Field::String)]),
    ),
    ("location", Field::Object(&[("timezone", Field::String), ("utc_offset", Field::Number)])),
    ("config", Field::Object(CONFIG)),
    ("rendered", Field::Object(&[("info", Field::String), ("summary", Field::String)])),
    ("log", Field::Object(LOG)),
];

const STATE: Fields = &[("status", Field::String), ("value", Field::Number), ("value_str", Field::String)];

const CONFIG: Fields = &[
    ("hash", Field::String),
    ("classification", Field::String),
    ("recipient", Field::String),
    ("command", Field::String),
    ("line", Field::Number),
    ("centralisation_point", Field::Object(&[("hostname", Field::String)])),
];

const LOG: Fields = &[
    ("total", Field::Object(&[("critical", Field::Number), ("warning", Field::Number)])),
    ("entries", Field::Objects),
];

/// The severity, as it was sent.
pub(super) fn severity<'b>(body: &'b Json<'_>) -> Option<&'b str> {
    body.string(&["alert", "state", "status"]).or_else(|| body.string(&["severity"]))
}

/// The alert's name, or else the message.
pub(super) fn title<'b>(body: &'b Json<'_>) -> Option<&'b str> {
    [&["alert", "name"][..], &["alert"], &["alarm"], &["message"]].into_iter().find_map(|path| body.string(path))
}

/// The name of the node that it is about.
pub(super) fn node<'b>(body: &'b Json<'_>) -> Option<&'b str> {
    body.string(&["node", "hostname"]).or_else(|| body.string(&["host"]))
}

/// What identifies the transition: its id, or the one in the alert's URL.
pub(super) fn transition_id<'b>(body: &'b Json<'_>) -> Option<&'b str> {
    let url = [&["alert", "url"][..], &["alert_url"], &["alarm_url"]].into_iter().find_map(|path| body.string(path));
    body.string(&["alert", "transition_id"]).or_else(|| transition_in(url?))
}

/// `transition=` anywhere in a URL: Netdata's application keeps its parameters in the fragment.
fn transition_in(url: &str) -> Option<&str> {
    let parameters = url.split(['?', '#', '&', ';']).skip(1);
    parameters.filter_map(|parameter| parameter.strip_prefix("transition=")).find(|id| !id.is_empty())
}

/// The space, from either shape.
pub(super) fn space(body: &Json<'_>) -> Option<Space> {
    let owned = |path: &[&str]| body.string(path).map(str::to_owned);
    match body.member("space")? {
        Json::String(name) => Some(Space { name: Some(name.to_string()), ..Space::default() }),
        Json::Object(_) => Some(Space {
            id: owned(&["space", "id"]),
            name: owned(&["space", "name"]),
            slug: owned(&["space", "slug"]),
        }),
        _ => None,
    }
}
