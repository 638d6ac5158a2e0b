//! Reads the fields that are used from a body of any shape: each where it is usable, and none of them
//! is required.

use super::Space;
use super::json::{Json, Value};
use super::key::Key;

/// Returns the severity, as it was sent.
pub(super) fn severity<'b>(body: Json<'b>) -> Option<&'b str> {
    body.string(&[Key::Alert, Key::State, Key::Status])
        .or_else(|| body.string(&[Key::Severity]))
}

/// Returns the name of the alert, or else the message.
pub(super) fn title<'b>(body: Json<'b>) -> Option<&'b str> {
    [
        &[Key::Alert, Key::Name][..],
        &[Key::Alert],
        &[Key::Alarm],
        &[Key::Message],
    ]
    .into_iter()
    .find_map(|path| body.string(path))
}

/// Returns the name of the node that it is about.
pub(super) fn node<'b>(body: Json<'b>) -> Option<&'b str> {
    body.string(&[Key::Node, Key::Hostname])
        .or_else(|| body.string(&[Key::Host]))
}

/// Returns the id of the transition: that of the alert, or the one in its URL.
pub(super) fn transition_id<'b>(body: Json<'b>) -> Option<&'b str> {
    let in_url = || transition_in(alert_url(body)?);
    body.string(&[Key::Alert, Key::TransitionId])
        .or_else(in_url)
}

/// Returns the page about it in Netdata Cloud: of the alert, or of a node.
pub(super) fn url<'b>(body: Json<'b>) -> Option<&'b str> {
    alert_url(body).or_else(|| body.string(&[Key::Url]))
}

fn alert_url<'b>(body: Json<'b>) -> Option<&'b str> {
    [
        &[Key::Alert, Key::Url][..],
        &[Key::AlertUrl],
        &[Key::AlarmUrl],
    ]
    .into_iter()
    .find_map(|path| body.string(path))
}

/// Returns the value of `transition=` anywhere in a URL: Netdata's application keeps its parameters in the fragment.
fn transition_in(url: &str) -> Option<&str> {
    let parameters = url.split(['?', '#', '&', ';']).skip(1);
    parameters
        .filter_map(|parameter| parameter.strip_prefix("transition="))
        .find(|id| !id.is_empty())
}

/// Returns the space, from either shape.
pub(super) fn space(body: Json<'_>) -> Option<Space> {
    let owned = |path: &[Key]| body.string(path).map(str::to_owned);
    match body.member(Key::Space)?.value() {
        Value::String => Some(Space {
            name: owned(&[Key::Space]),
            ..Space::default()
        }),
        Value::Object => Some(Space {
            id: owned(&[Key::Space, Key::Id]),
            name: owned(&[Key::Space, Key::Name]),
            slug: owned(&[Key::Space, Key::Slug]),
        }),
        _ => None,
    }
}
