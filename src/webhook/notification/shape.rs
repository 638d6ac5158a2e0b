//! Recognises which of the known bodies a body is.
//!
//! The documented bodies and those that the service sends differ, and the same key changes its
//! type: `alert` and `space` are strings in the documented ("flat") shape and objects in the
//! observed ("nested") one, `status` the other way round for reachability. So the kind and the
//! shape are decided first, and all else is judged by those.

use super::json::{Json, Value};
use super::key::Key;
use super::{Kind, Shape};

/// Decides what `body` is, in the order in which the shapes can be told apart.
pub(super) fn recognise(body: Json<'_>) -> (Kind, Option<Shape>) {
    if is_test(body) {
        return (Kind::Test, None);
    }
    if let Some(shape) = alert(body) {
        return (Kind::Alert, Some(shape));
    }
    match reachability(body) {
        Some(shape) => (Kind::Reachability, Some(shape)),
        None => (Kind::Unknown, None),
    }
}

fn is_test(body: Json<'_>) -> bool {
    let others = [Key::Alert, Key::Status, Key::Nodes];
    body.is_string(Key::Token) && !others.iter().any(|key| body.has(*key))
}

fn alert(body: Json<'_>) -> Option<Shape> {
    if body.is_object(Key::Alert) {
        return Some(Shape::Nested);
    }
    (body.is_string(Key::Alert) || body.is_string(Key::Alarm)).then_some(Shape::Flat)
}

fn reachability(body: Json<'_>) -> Option<Shape> {
    if body.is_string(Key::Status) || body.has(Key::Nodes) || body.has(Key::Reachable) {
        return Some(Shape::Nested);
    }
    body.is_object(Key::Status).then_some(Shape::Flat)
}

impl Json<'_> {
    fn has(self, key: Key) -> bool {
        self.member(key)
            .is_some_and(|member| member.value() != Value::Null)
    }

    fn is_string(self, key: Key) -> bool {
        self.is(key, Value::String)
    }

    pub(super) fn is_object(self, key: Key) -> bool {
        self.is(key, Value::Object)
    }

    fn is(self, key: Key, value: Value) -> bool {
        self.member(key)
            .is_some_and(|member| member.value() == value)
    }
}
