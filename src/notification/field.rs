//! Whether the fields of an object have the types that are known for them.

use super::json::{Elements, Json};
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

/// Checks those of `object`'s members that are known; the refusal names the first that does not fit.
pub(super) fn check_fields(object: &Json<'_>, fields: Fields) -> Result<(), Rejection> {
    check_object(object, fields, &mut String::new())
}

fn check_object(object: &Json<'_>, fields: Fields, pointer: &mut String) -> Result<(), Rejection> {
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
        (Field::Object(fields), _) => return check_object(value, fields, pointer),
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
