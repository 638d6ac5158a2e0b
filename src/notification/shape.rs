//! Which of the known bodies a body is, and whether its fields have the types of that one.
//!
//! The documented bodies and those that the service sends differ, and the same key changes its type: `alert` and
//! `space` are strings in the documented ("flat") shape and objects in the observed ("nested") one, `status` the other
//! way round for reachability. So the kind and the shape are decided first, and the types are checked against those.

use super::field::{Field, Fields, check_fields};
use super::json::Json;
use super::{Kind, Shape, alert, reachability};
use crate::rejection::Rejection;

/// A Test notification's fields.
const TEST: Fields = &[("message", Field::String), ("title", Field::String), ("token", Field::String)];

/// Decides what `body` is, in the order in which the shapes can be told apart.
pub(super) fn recognise(body: &Json<'_>) -> (Kind, Option<Shape>) {
    let has = |key| !matches!(body.member(key), None | Some(Json::Null));
    let is_string = |key| matches!(body.member(key), Some(Json::String(_)));
    let is_object = |key| matches!(body.member(key), Some(Json::Object(_)));

    if is_string("token") && !has("alert") && !has("status") && !has("nodes") {
        return (Kind::Test, None);
    }
    if is_object("alert") {
        return (Kind::Alert, Some(Shape::Nested));
    }
    if is_string("alert") || is_string("alarm") {
        return (Kind::Alert, Some(Shape::Flat));
    }
    if is_string("status") || has("nodes") || has("reachable") {
        return (Kind::Reachability, Some(Shape::Nested));
    }
    if is_object("status") {
        return (Kind::Reachability, Some(Shape::Flat));
    }
    (Kind::Unknown, None)
}

/// Checks the types of the fields that are known for `kind` and `shape`.
pub(super) fn check(body: &Json<'_>, kind: Kind, shape: Option<Shape>) -> Result<(), Rejection> {
    let fields = match (kind, shape) {
        (Kind::Alert, Some(Shape::Nested)) => alert::NESTED,
        (Kind::Alert, _) => alert::FLAT,
        (Kind::Reachability, Some(Shape::Nested)) => reachability::NESTED,
        (Kind::Reachability, _) => reachability::FLAT,
        (Kind::Test, _) => TEST,
        (Kind::Unknown, _) => {
            let expected = "an alert, a reachability notification or a Test notification, recognised by a string or \
                            object \"alert\", by \"status\", by \"nodes\", or by a string \"token\"";
            return Err(Rejection::SchemaMismatch { pointer: String::new(), expected });
        }
    };
    check_fields(body, fields)
}
