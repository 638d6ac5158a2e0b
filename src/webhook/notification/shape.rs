//! Which of the known bodies a body is.
//!
//! The documented bodies and those that the service sends differ, and the same key changes its
//! type: `alert` and `space` are strings in the documented ("flat") shape and objects in the
//! observed ("nested") one, `status` the other way round for reachability. So the kind and the
//! shape are decided first, and all else is judged by those.

use super::json::Json;
use super::{Kind, Shape};

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
