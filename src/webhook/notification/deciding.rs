//! Checks the fields by which something is decided: they must be readable. All other fields may have
//! any value.
//!
//! Null counts as absent, and each of these fields may be absent.

use super::Kind;
use super::json::{Json, Value};
use super::key::Key;
use crate::rejection::Rejection;

/// A field with its expected type.
struct Field {
    path: &'static [Key],
    may_be: MayBe,
}

/// The types of a field by which the decision can be made.
#[derive(Clone, Copy)]
enum MayBe {
    String,
    Bool,
    Object,
    Array,
    /// A string in one shape and an object in the other.
    StringOrObject,
}

const fn field(path: &'static [Key], may_be: MayBe) -> Field {
    Field { path, may_be }
}

/// The severity and the id of the transition. In the flat shape, `alert` is a string, and has
/// neither.
const ALERT: &[Field] = &[
    field(&[Key::Alert, Key::State], MayBe::Object),
    field(&[Key::Alert, Key::State, Key::Status], MayBe::String),
    field(&[Key::Alert, Key::TransitionId], MayBe::String),
];

/// The severity of a flat alert.
const SEVERITY: &[Field] = &[field(&[Key::Severity], MayBe::String)];

const REACHABILITY: &[Field] = &[
    field(&[Key::Status], MayBe::StringOrObject),
    field(&[Key::Status, Key::Reachable], MayBe::Bool),
    field(&[Key::Nodes], MayBe::Array),
    field(&[Key::Reachable], MayBe::Bool),
    field(&[Key::Severity], MayBe::String),
];

const SPACE: &[Field] = &[
    field(&[Key::Space], MayBe::StringOrObject),
    field(&[Key::Space, Key::Id], MayBe::String),
    field(&[Key::Space, Key::Name], MayBe::String),
    field(&[Key::Space, Key::Slug], MayBe::String),
];

/// The paths of objects with fields that decide, and the names of these fields.
const KEYS: [(&[Key], &[Key]); 5] = [
    (
        &[],
        &[
            Key::Alert,
            Key::Alarm,
            Key::Status,
            Key::Nodes,
            Key::Reachable,
            Key::Token,
            Key::Space,
            Key::Severity,
        ],
    ),
    (&[Key::Alert], &[Key::State, Key::TransitionId]),
    (&[Key::Alert, Key::State], &[Key::Status]),
    (&[Key::Status], &[Key::Reachable]),
    (&[Key::Space], &[Key::Id, Key::Name, Key::Slug]),
];

/// Refuses a body of which a field that decides could be another to a reader that takes `Space` for
/// `space`, as Go's `encoding/json` does, of which the last one counts.
pub(super) fn check_twins(body: Json<'_>) -> Result<(), Rejection> {
    for (path, keys) in KEYS {
        let repeated = body.at(path).and_then(|object| repeated(object, keys));
        if let Some(key) = repeated {
            let name = key.text();
            return Err(Rejection::InvalidJson(format!(
                "The body has two keys in one object that differ from \"{name}\" in case at most."
            )));
        }
    }
    Ok(())
}

/// Returns the first of `keys` that more than one member of an object may be read as.
fn repeated(object: Json<'_>, keys: &[Key]) -> Option<Key> {
    // No object has a key twice, and none of the known keys folds to one of these.
    if object.members().all(|member| member.known_key().is_some()) {
        return None;
    }
    let mut seen = 0;
    for member in object.members() {
        let folds_to = |key: &&Key| folds_to(member.key(), key.text());
        if let Some(key) = keys.iter().find(folds_to) {
            if seen & key.bit() != 0 {
                return Some(*key);
            }
            seen |= key.bit();
        }
    }
    None
}

/// Checks the fields that decide for `kind`, but for the space.
pub(super) fn check(body: Json<'_>, kind: Kind) -> Result<(), Rejection> {
    match kind {
        Kind::Alert if body.is_object(Key::Alert) => check_fields(body, ALERT),
        Kind::Alert => check_fields(body, SEVERITY),
        Kind::Reachability => check_fields(body, REACHABILITY),
        Kind::Test => match body.string(&[Key::Token]) {
            Some(token) if !token.is_empty() => Ok(()),
            _ => Err(mismatch("/token", "a string that is not empty")),
        },
        Kind::Unknown => check_message(body),
    }
}

/// Checks a body of an unknown kind, which must have a message.
fn check_message(body: Json<'_>) -> Result<(), Rejection> {
    match body.member(Key::Message).map(Json::as_str) {
        Some(Some(message)) if !message.is_empty() => Ok(()),
        Some(_) => Err(mismatch("/message", "a string that is not empty")),
        None => Err(mismatch(
            "",
            "an alert, a reachability notification or a Test notification, recognised by a string or object \
             \"alert\", by \"status\", by \"nodes\", or by a string \"token\"; or anything else with a \"message\"",
        )),
    }
}

/// Checks the space. In a body of an unknown kind, `space` may be anything.
pub(super) fn check_space(body: Json<'_>, kind: Kind) -> Result<(), Rejection> {
    match kind {
        Kind::Unknown => Ok(()),
        _ => check_fields(body, SPACE),
    }
}

/// Returns `true` if every reader takes the same space from `body`, or none: it has no unusable
/// part, and no key that only some readers take for one of them.
pub(super) fn is_space_unambiguous(body: Json<'_>) -> bool {
    let space = body.member(Key::Space);
    check_fields(body, SPACE).is_ok()
        && !has_twin(body, &[Key::Space])
        && !space.is_some_and(|space| has_twin(space, &[Key::Id, Key::Name, Key::Slug]))
}

/// Returns `true` if an object has a key that differs from one of `keys` in case alone.
fn has_twin(object: Json<'_>, keys: &[Key]) -> bool {
    let is_twin = |member: Json<'_>, key: Key| {
        member.known_key() != Some(key) && folds_to(member.key(), key.text())
    };
    let mut members = object.members();
    members.any(|member| keys.iter().any(|key| is_twin(member, *key)))
}

fn check_fields(body: Json<'_>, fields: &[Field]) -> Result<(), Rejection> {
    let is_wrong = |field: &&Field| {
        let value = body.at(field.path);
        value.is_some_and(|value| !field.may_be.admits(value.value()))
    };
    match fields.iter().find(is_wrong) {
        Some(Field { path, may_be }) => {
            let pointer: String = path.iter().flat_map(|key| ["/", key.text()]).collect();
            Err(mismatch(&pointer, may_be.describe()))
        }
        None => Ok(()),
    }
}

impl MayBe {
    fn admits(self, value: Value) -> bool {
        matches!(
            (self, value),
            (_, Value::Null)
                | (Self::String, Value::String)
                | (Self::Bool, Value::Bool)
                | (Self::Object, Value::Object)
                | (Self::Array, Value::Array)
                | (Self::StringOrObject, Value::String | Value::Object)
        )
    }

    fn describe(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Bool => "true or false",
            Self::Object => "an object",
            Self::Array => "an array",
            Self::StringOrObject => "a string or an object",
        }
    }
}

fn mismatch(pointer: &str, expected: &'static str) -> Rejection {
    Rejection::SchemaMismatch {
        pointer: pointer.to_owned(),
        expected,
    }
}

/// Returns `true` if `key` is `name`, which is lower-case ASCII, under Unicode's simple case
/// folding. Besides its capital, a letter of ASCII has a twin in two cases only: `ſ` (U+017F) for
/// `s` and the Kelvin sign (U+212A) for `k`.
fn folds_to(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    // Almost all keys are ASCII.
    key.eq_ignore_ascii_case(name) || (!key.is_ascii() && key.chars().map(fold).eq(name.chars()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::notification::json;

    #[test]
    fn names_fold_as_unicode_says() {
        for (key, name, folds) in [
            ("space", "space", true),
            ("SPACE", "space", true),
            ("\u{17f}pace", "space", true),
            ("to\u{212a}en", "token", true),
            ("spac", "space", false),
            ("spaces", "space", false),
            ("ѕpace", "space", false),
            ("spacé", "space", false),
            ("ıd", "id", false),
            ("İD", "id", false),
            ("Transition_ID", "transition_id", true),
        ] {
            assert_eq!(folds_to(key, name), folds, "{key}");
        }
    }

    #[test]
    fn no_other_character_folds_into_a_letter_of_ascii() {
        let letters = regex::Regex::new("^(?i)[a-z]$").unwrap();
        let twins: String = ('\u{80}'..=char::MAX)
            .filter(|c| letters.is_match(c.encode_utf8(&mut [0; 4])))
            .collect();
        assert_eq!(twins, "\u{17f}\u{212a}");
    }

    #[test]
    fn no_known_key_folds_to_another_one_that_decides() {
        let deciding = KEYS.iter().flat_map(|(_, keys)| *keys);
        for (key, (other, text)) in
            deciding.flat_map(|key| Key::ALL.iter().map(move |it| (key, it)))
        {
            assert_eq!(folds_to(text, key.text()), key == other, "{text}");
        }
    }

    #[test]
    fn twins_of_what_decides_are_refused_and_others_are_not() {
        for (body, passes) in [
            (r#"{"space":1,"Space":2}"#, false),
            (r#"{"Space":1,"SPACE":2}"#, false),
            (r#"{"\u017fpace":1,"space":2}"#, false),
            (r#"{"to\u212aen":"a","token":"b"}"#, false),
            (r#"{"alert":{"state":{},"State":{}}}"#, false),
            (r#"{"alert":{"state":{"status":"a","Status":"b"}}}"#, false),
            (r#"{"space":{"id":"a","ID":"b"}}"#, false),
            (r#"{"status":{"reachable":true,"Reachable":false}}"#, false),
            (r#"{"Space":1}"#, true),
            (r#"{"Rooms":{"Prod":"a","prod":"b"},"rooms":{}}"#, true),
            (
                r#"{"alert":{"name":"a","Name":"b"},"message":"a","Message":"b"}"#,
                true,
            ),
            (
                r#"{"node":{"space":1,"Space":2,"status":1,"STATUS":2}}"#,
                true,
            ),
            (r#"{"space":"a","Space ":"b"," space":"c"}"#, true),
        ] {
            assert_eq!(
                check_twins(json::parse(body.as_bytes()).unwrap().root()).is_ok(),
                passes,
                "{body}"
            );
        }
    }

    /// Every name that decides, by where it stands. A list of its own, so that one that is missing
    /// above is missed.
    const DECIDING: [(&str, &[&str]); 5] = [
        (
            "",
            &[
                "alert",
                "alarm",
                "status",
                "nodes",
                "reachable",
                "token",
                "space",
                "severity",
            ],
        ),
        ("alert", &["state", "transition_id"]),
        ("alert.state", &["status"]),
        ("status", &["reachable"]),
        ("space", &["id", "name", "slug"]),
    ];

    /// An object within objects of these names.
    fn within(path: &str, members: &str) -> String {
        path.split('.')
            .rev()
            .filter(|name| !name.is_empty())
            .fold(format!("{{{members}}}"), |object, name| {
                format!("{{\"{name}\":{object}}}")
            })
    }

    #[test]
    fn each_name_that_decides_has_no_twin() {
        let check = |body: &str, passes: bool| {
            let json = json::parse(body.as_bytes()).unwrap();
            assert_eq!(check_twins(json.root()).is_ok(), passes, "{body}");
        };
        for (path, names) in DECIDING {
            for name in names {
                let (first, rest) = name.split_at(1);
                let twin = first.to_uppercase() + rest;
                check(&within(path, &format!("\"{name}\":1,\"{twin}\":2")), false);
                check(&within(path, &format!("\"{twin}\":1")), true);
            }
        }
    }

    #[test]
    fn each_part_of_a_space_has_one_spelling() {
        let check = |body: &str, is_unambiguous: bool| {
            let json = json::parse(body.as_bytes()).unwrap();
            assert_eq!(is_space_unambiguous(json.root()), is_unambiguous, "{body}");
        };
        check(r#"{"Space":"a"}"#, false);
        check(r#"{"Spaces":"a"}"#, true);
        for part in ["id", "name", "slug"] {
            check(&format!("{{\"space\":{{\"{part}\":\"a\"}}}}"), true);
            let other = part.to_uppercase();
            check(&format!("{{\"space\":{{\"{other}\":\"a\"}}}}"), false);
            check(&format!("{{\"space\":{{\"{part}\":5}}}}"), false);
            check(&format!("{{\"{other}\":\"a\"}}"), true);
        }
    }

    /// What each field that decides may be, and that it may be nothing else.
    #[test]
    fn each_field_that_decides_has_its_type() {
        const VALUES: [(&str, &str); 5] = [
            ("string", "\"a\""),
            ("bool", "true"),
            ("object", "{}"),
            ("array", "[]"),
            ("number", "1"),
        ];
        for (fields, path, name, may_be) in [
            (ALERT, "alert", "state", &["object"][..]),
            (ALERT, "alert.state", "status", &["string"]),
            (ALERT, "alert", "transition_id", &["string"]),
            (SEVERITY, "", "severity", &["string"]),
            (REACHABILITY, "", "status", &["string", "object"]),
            (REACHABILITY, "status", "reachable", &["bool"]),
            (REACHABILITY, "", "nodes", &["array"]),
            (REACHABILITY, "", "reachable", &["bool"]),
            (REACHABILITY, "", "severity", &["string"]),
            (SPACE, "", "space", &["string", "object"]),
            (SPACE, "space", "id", &["string"]),
            (SPACE, "space", "name", &["string"]),
            (SPACE, "space", "slug", &["string"]),
        ] {
            for (kind, value) in VALUES {
                let body = within(path, &format!("\"{name}\":{value}"));
                let json = json::parse(body.as_bytes()).unwrap();
                assert_eq!(
                    check_fields(json.root(), fields).is_ok(),
                    may_be.contains(&kind),
                    "{body}"
                );
            }
        }
    }
}
