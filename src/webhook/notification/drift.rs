//! Finds the differences between a body and the known bodies: new keys, and other types.

use super::Kind;
use super::json::{Json, Value};
use super::wire::{Fields, Type};
use crate::rejection::Rejection;
use crate::sanitize::{MAX_WIRE, sanitize};
use std::fmt::Write as _;

/// The largest number of places that are noted of a body.
const MAX_POINTERS: usize = 5;

/// The differences between a body and the known bodies.
#[derive(Debug, Default)]
pub(super) struct Drift {
    /// JSON pointers (RFC 6901) to the first places, safe to show. Of an array, one element is
    /// pointed at.
    pub(super) pointers: Vec<String>,
    /// The first known field that has another type. A new key is none, nor is an integer that is
    /// written as `12.0`.
    pub(super) mismatch: Option<Rejection>,
    /// `true` if all of the body is looked at, rather than as much as there are places to be noted.
    is_thorough: bool,
}

impl Drift {
    /// Compares `body` with `fields`. Allocates only for differences.
    pub(super) fn of(body: Json<'_>, fields: Fields, is_thorough: bool) -> Self {
        let mut drift = Self {
            is_thorough,
            ..Self::default()
        };
        drift.compare_object(body, fields, &JsonPath::Root);
        drift
    }

    /// Refuses known fields of other types, and kinds that are not known.
    pub(super) fn check(&self, kind: Kind) -> Result<(), Rejection> {
        if kind == Kind::Unknown {
            return Err(Rejection::SchemaMismatch {
                pointer: String::new(),
                expected: "an alert, a reachability notification or a Test notification, recognised by a string or \
                           object \"alert\", by \"status\", by \"nodes\", or by a string \"token\"",
            });
        }
        self.mismatch.clone().map_or(Ok(()), Err)
    }

    /// Notes a place that was found in another way, before all others.
    pub(super) fn lead_with(&mut self, pointer: &str) {
        if !self.pointers.iter().any(|noted| noted == pointer) {
            self.pointers.insert(0, sanitize(pointer).into_owned());
            self.pointers.truncate(MAX_POINTERS);
        }
    }

    fn is_full(&self) -> bool {
        self.pointers.len() == MAX_POINTERS && !self.is_thorough
    }

    fn compare_object(&mut self, object: Json<'_>, fields: Fields, place: &JsonPath<'_>) {
        if object.value() != Value::Object {
            return self.note(place, Some("an object"));
        }
        for member in object.members() {
            if self.is_full() {
                return;
            }
            let place = JsonPath::Member(place, member);
            match fields
                .iter()
                .find(|(key, _)| member.known_key() == Some(*key))
            {
                Some((_, known)) => self.compare(member, *known, &place),
                None => self.note(&place, None),
            }
        }
    }

    fn compare(&mut self, json: Json<'_>, known: Type, place: &JsonPath<'_>) {
        match (known, json.value()) {
            (_, Value::Null) => {}
            (Type::Object(fields), _) => self.compare_object(json, fields, place),
            (Type::Objects(fields), Value::Array) => self.compare_elements(json, fields, place),
            (Type::Integer, Value::Float { is_whole: true }) => self.note(place, None),
            (known, _) if known.admits(json) => {}
            (known, _) => self.note(place, Some(known.describe())),
        }
    }

    fn compare_elements(&mut self, array: Json<'_>, fields: Fields, place: &JsonPath<'_>) {
        let noted = self.pointers.len();
        let elements = array.elements().enumerate();
        for (index, element) in elements.filter(|(_, element)| element.value() != Value::Null) {
            self.compare_object(element, fields, &JsonPath::Element(place, index));
            // What one element has, all of them have, most likely.
            if self.pointers.len() > noted && !self.is_thorough {
                return;
            }
        }
    }

    fn note(&mut self, place: &JsonPath<'_>, expected: Option<&'static str>) {
        let is_first = self.mismatch.is_none();
        if let Some(expected) = expected.filter(|_| is_first) {
            self.mismatch = Some(Rejection::SchemaMismatch {
                pointer: place.pointer(),
                expected,
            });
        }
        if self.pointers.len() < MAX_POINTERS {
            self.pointers.push(place.pointer());
        }
    }
}

impl Type {
    /// Returns `true` if a value that is not looked into is of this type.
    fn admits(self, json: Json<'_>) -> bool {
        match (self, json.value()) {
            (Self::String, Value::String)
            | (Self::Number, Value::Integer | Value::Float { .. })
            | (Self::Integer, Value::Integer)
            | (Self::Bool, Value::Bool) => true,
            (Self::Rooms, Value::Object) => json.members().all(is_room),
            _ => false,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Integer => "an integer",
            Self::Bool => "true or false",
            Self::Object(_) => "an object",
            Self::Objects(_) => "an array of objects",
            Self::Rooms => "an object of objects or strings",
        }
    }
}

fn is_room(room: Json<'_>) -> bool {
    matches!(room.value(), Value::Object | Value::String | Value::Null)
}

/// The place of a value.
enum JsonPath<'p> {
    Root,
    Member(&'p JsonPath<'p>, Json<'p>),
    Element(&'p JsonPath<'p>, usize),
}

impl JsonPath<'_> {
    /// Returns the JSON pointer, safe to show: a new key is untrusted text.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        self.write(&mut pointer);
        sanitize(&pointer).into_owned()
    }

    fn write(&self, pointer: &mut String) {
        match self {
            Self::Root => {}
            Self::Member(object, member) => {
                object.write(pointer);
                push_key(pointer, member.key());
            }
            Self::Element(array, index) => {
                array.write(pointer);
                // Writing to a string cannot fail.
                let _ = write!(pointer, "/{index}");
            }
        }
    }
}

fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    // One more than is shown, so that it is seen to go on.
    let shown = key.chars().take(MAX_WIRE + 1);
    shown.for_each(|character| push_escaped(pointer, character));
}

/// Appends a character of a key (RFC 6901 section 3).
fn push_escaped(pointer: &mut String, character: char) {
    match character {
        '~' => pointer.push_str("~0"),
        '/' => pointer.push_str("~1"),
        other => pointer.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::notification::json;
    use crate::webhook::notification::{Kind, Shape, wire};

    fn drift(body: &str, is_thorough: bool) -> Drift {
        let body = json::parse(body.as_bytes()).unwrap();
        Drift::of(
            body.root(),
            wire::fields(Kind::Alert, Some(Shape::Nested)),
            is_thorough,
        )
    }

    #[test]
    fn what_differs_is_pointed_at() {
        for (body, expected) in [
            (
                r#"{"alert":{"config":{"line":12},"state":null},"node":null}"#,
                &[][..],
            ),
            (
                r#"{"alert":{"config":{"line":"12"}}}"#,
                &["/alert/config/line"],
            ),
            (
                r#"{"alert":{"config":{"line":12.0}}}"#,
                &["/alert/config/line"],
            ),
            (
                r#"{"alert":{"config":{"line":12.5}},"node":"db-1"}"#,
                &["/alert/config/line", "/node"],
            ),
            (
                r#"{"alert":{"config":5,"new":null},"a/b~c":{}}"#,
                &["/alert/config", "/alert/new", "/a~1b~0c"],
            ),
            (
                r#"{"alert":{"state":{"value":1.5},"prev_state":{"value":2}}}"#,
                &[],
            ),
            (
                r#"{"alert":{"log":{"entries":[{"name":"a"},null,5,{"name":5}]}}}"#,
                &["/alert/log/entries/2"],
            ),
            (
                r#"{"node":{"rooms":[{"id":"a","new":1,"newer":2},{"new":1}]}}"#,
                &["/node/rooms/0/new", "/node/rooms/0/newer"],
            ),
            (r#"{"node":{"rooms":{}}}"#, &["/node/rooms"]),
            (r#"{"Space":{},"":1}"#, &["/Space", "/"]),
        ] {
            assert_eq!(drift(body, false).pointers, expected, "{body}");
        }
    }

    #[test]
    fn the_first_known_field_of_another_type_is_found_wherever_it_is() {
        let entries = format!(
            r#"{{"alert":{{"log":{{"entries":[{}{{"name":5}}]}}}}}}"#,
            r#"{"new":1},"#.repeat(100)
        );
        for (body, expected) in [
            (
                r#"{"alert":{"config":{"line":"12"}},"node":5}"#,
                Some("/alert/config/line"),
            ),
            (r#"{"alert":{"config":{"line":12.0}},"new":5}"#, None),
            (
                r#"{"alert":{"config":{"line":12.5}},"new":5}"#,
                Some("/alert/config/line"),
            ),
            (
                r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"node":5}"#,
                Some("/node"),
            ),
            (&entries, Some("/alert/log/entries/100/name")),
        ] {
            let found = drift(body, true).mismatch;
            let pointer = found.map(|mismatch| match mismatch {
                Rejection::SchemaMismatch { pointer, .. } => pointer,
                other => panic!("{other:?}"),
            });
            assert_eq!(pointer.as_deref(), expected, "{body:.100}");
        }
    }

    #[test]
    fn pointers_are_few_and_short_and_do_nothing() {
        let keys: String = (0..1000)
            .map(|number| format!("\"{number}{}\":0,", "/".repeat(10_000)))
            .collect();
        let found = drift(&format!("{{{keys}\"a\\u202e\\n\":1}}"), false).pointers;
        assert_eq!(found.len(), MAX_POINTERS);
        assert!(
            found
                .iter()
                .all(|pointer| pointer.chars().count() == MAX_WIRE + 1),
            "{found:?}"
        );
        assert_eq!(
            drift("{\"a\\u202e\\n\\u2028\":1}", false).pointers,
            ["/a\u{fffd}\u{fffd}\u{fffd}"]
        );
    }
}
