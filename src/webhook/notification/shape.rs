//! Recognises which of the known bodies a body is.
//!
//! The documented bodies and those that the service sends differ, and the same key changes its
//! type: `alert` and `space` are strings in the documented ("flat") shape and objects in the
//! observed ("nested") one, `status` the other way round for reachability. So the kind and the
//! shape are decided first, and all else is judged by those.

use super::json::{Json, Value};
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
    let others = ["alert", "status", "nodes"];
    body.is_string("token") && !others.iter().any(|key| body.has(key))
}

fn alert(body: Json<'_>) -> Option<Shape> {
    if body.is_object("alert") {
        return Some(Shape::Nested);
    }
    (body.is_string("alert") || body.is_string("alarm")).then_some(Shape::Flat)
}

fn reachability(body: Json<'_>) -> Option<Shape> {
    if body.is_string("status") || body.has("nodes") || body.has("reachable") {
        return Some(Shape::Nested);
    }
    body.is_object("status").then_some(Shape::Flat)
}

impl Json<'_> {
    fn has(self, key: &str) -> bool {
        self.member(key)
            .is_some_and(|member| member.value() != Value::Null)
    }

    fn is_string(self, key: &str) -> bool {
        self.is(key, Value::String)
    }

    pub(super) fn is_object(self, key: &str) -> bool {
        self.is(key, Value::Object)
    }

    fn is(self, key: &str, value: Value) -> bool {
        self.member(key)
            .is_some_and(|member| member.value() == value)
    }
}
