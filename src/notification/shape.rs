//! Which of the known bodies a body is, and whether its fields have the types of that one.
//!
//! The documented bodies and those that the service sends differ, and the same key changes its type: `alert` and
//! `space` are strings in the documented ("flat") shape and objects in the observed ("nested") one, `status` the other
//! way round for reachability. So the kind and the shape are decided first, and the types are checked against those.

use super::json::{Elements, Json};
use super::{Kind, Shape, alert, reachability};
use crate::rejection::Rejection;

/// What a field must be. Null is as good as absent everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    String,
    /// An integer; one that arrives as a float is tolerated.
    Number,
    Bool,
    /// An array of objects.
    Objects,
    /// An object with these fields, all of them optional, and any others.
    Object(Fields),
    /// An object of which each value is an object or a string.
    Rooms,
}

/// The known fields of an object.
pub(super) type Fields = &'static [(&'static str, Field)];

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
    check_fields(body, fields, &mut String::new())
}

fn check_fields(object: &Json<'_>, fields: Fields, pointer: &mut String) -> Result<(), Rejection> {
    let Json::Object(members) = object else {
        return Err(mismatch(pointer, "an object"));
    };
    let length = pointer.len();
    for (key, value) in members {
        if let Some((name, field)) = fields.iter().find(|(name, _)| name == key) {
            pointer.push('/');
            pointer.push_str(name);
            check_field(value, *field, pointer)?;
            pointer.truncate(length);
        }
    }
    Ok(())
}

fn check_field(value: &Json<'_>, field: Field, pointer: &mut String) -> Result<(), Rejection> {
    let expected = match (field, value) {
        (_, Json::Null)
        | (Field::String, Json::String(_))
        | (Field::Number, Json::Number)
        | (Field::Bool, Json::Bool)
        | (Field::Objects, Json::Array(Elements::Objects)) => return Ok(()),
        (Field::Object(fields), _) => return check_fields(value, fields, pointer),
        (Field::Rooms, Json::Object(rooms)) if rooms.iter().all(|(_, room)| is_room(room)) => return Ok(()),
        (Field::String, _) => "a string",
        (Field::Number, _) => "a number",
        (Field::Bool, _) => "true or false",
        (Field::Objects, _) => "an array of objects",
        (Field::Rooms, _) => "an object of objects or strings",
    };
    Err(mismatch(pointer, expected))
}

fn is_room(room: &Json<'_>) -> bool {
    matches!(room, Json::Object(_) | Json::String(_) | Json::Null)
}

fn mismatch(pointer: &str, expected: &'static str) -> Rejection {
    Rejection::SchemaMismatch { pointer: pointer.to_owned(), expected }
}
