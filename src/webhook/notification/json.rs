//! Reads JSON in exactly one way, or not at all.
//!
//! Parsers disagree about what JSON leaves open: which of two equal keys counts, how deep is too
//! deep. A body that two programs could read differently is refused here, so that what was verified
//! is what the application reads.

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// The largest depth of nested objects and arrays.
pub(super) const MAX_DEPTH: usize = 64;

/// A JSON value, as far as a notification is judged by it.
#[derive(Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool,
    Integer,
    /// A number with a fraction or an exponent, which may be whole all the same.
    Float {
        is_whole: bool,
    },
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Members<'a>),
}

/// The members of an object, in the order they came.
pub(super) type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

impl<'a> Json<'a> {
    /// Returns the value of `key`, if this is an object that has it.
    pub(super) fn member(&self, key: &str) -> Option<&Json<'a>> {
        self.members()
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// Returns the members, if this is an object.
    pub(super) fn members(&self) -> &[(Cow<'a, str>, Json<'a>)] {
        match self {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    /// Returns the value at `path`, if there are objects all the way.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Json<'a>> {
        path.iter().try_fold(self, |value, key| value.member(key))
    }

    /// Returns the string at `path`.
    pub(super) fn string(&self, path: &[&str]) -> Option<&str> {
        match self.at(path)? {
            Json::String(text) => Some(text),
            _ => None,
        }
    }
}

/// Parses a whole body: UTF-8, one object, no key twice in an object, no deeper than [`MAX_DEPTH`].
///
/// The error says what is wrong and where, and repeats nothing of the body but a position.
pub(super) fn parse(body: &[u8]) -> Result<Json<'_>, String> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let offset = error.valid_up_to();
        format!("The body is not UTF-8: the first bad byte is at offset {offset}.")
    })?;
    match read(text).map_err(|error| explain(&error))? {
        object @ Json::Object(_) => Ok(object),
        _ => Err("The body is JSON, but not an object.".into()),
    }
}

fn read(text: &str) -> serde_json::Result<Json<'_>> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { depth: 0 }.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

fn explain(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default();
    // Our own words pass; serde_json's could repeat what it read, except for the syntax errors,
    // which never do.
    match error.classify() {
        serde_json::error::Category::Eof => {
            format!("The body ends in the middle of a value, at {place}.")
        }
        _ => format!("The body cannot be read as JSON at {place}: {what}."),
    }
}

/// Deserializes a value whose surroundings are `depth` deep.
#[derive(Clone, Copy)]
struct ValueSeed {
    depth: usize,
}

impl ValueSeed {
    fn deeper<E: serde::de::Error>(self) -> Result<ValueSeed, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(ValueSeed {
            depth: self.depth + 1,
        })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Json<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json<'de>, E> {
        Ok(Json::Integer)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json<'de>, E> {
        Ok(Json::Integer)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float {
            is_whole: number.fract() == 0.0,
        })
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Json<'de>, A::Error> {
        let element = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(value) = array.next_element_seed(element)? {
            elements.push(value);
        }
        Ok(Json::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json<'de>, A::Error> {
        let value = self.deeper()?;
        let mut members = Members::new();
        let mut keys = SeenKeys::default();
        while let Some(key) = object.next_key_seed(KeySeed)? {
            if !keys.add(&key, &members) {
                return Err(A::Error::custom("a key is given twice in one object"));
            }
            members.push((key, object.next_value_seed(value)?));
        }
        Ok(Json::Object(members))
    }
}

/// Notices a repeated key: by looking at each of a few, by a hash set from there on.
#[derive(Default)]
struct SeenKeys<'de>(HashSet<Cow<'de, str>>);

impl<'de> SeenKeys<'de> {
    const FEW: usize = 16;

    /// Adds a key. Returns `true` if it is new.
    #[expect(
        clippy::ptr_arg,
        reason = "it is cloned as it is, borrowed from the body"
    )]
    fn add(&mut self, key: &Cow<'de, str>, earlier: &Members<'de>) -> bool {
        if earlier.len() < Self::FEW {
            return earlier.iter().all(|(name, _)| name != key);
        }
        if self.0.is_empty() {
            self.0.extend(earlier.iter().map(|(name, _)| name.clone()));
        }
        self.0.insert(key.clone())
    }
}

/// An object's key, borrowed where it has no escapes.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(key.into())
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(key.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    }

    #[test]
    fn one_object_is_accepted() {
        for body in [
            "{}",
            " {\"a\":1}\n",
            "{\"a\":null,\"b\":[1.5e3,true],\"c\":{\"a\":\"\\u0026\"}}",
            &nested(64),
        ] {
            assert!(parse(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        let many = format!(
            "{{{}\"k3\":0}}",
            (0..40).map(|i| format!("\"k{i}\":0,")).collect::<String>()
        );
        for body in [
            "",
            "null",
            "[]",
            "\"x\"",
            "{",
            "{}{}",
            "{} x",
            "{\"a\":1,}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":{\"b\":1,\"\\u0062\":2}}",
            "[{\"a\":1,\"a\":1}]",
            "{\"a\":[{\"b\":1,\"b\":1}]}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":1e999999999}",
            "\u{feff}{}",
            &nested(65),
            &many,
            &"[".repeat(100_000),
            &"{\"a\":".repeat(100_000),
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body:.60}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    }

    /// Up to sixteen keys are compared with each other, and more are looked up: every pair counts
    /// on both sides of that.
    #[test]
    fn a_key_that_is_repeated_is_found_wherever_it_is() {
        let object = |keys: &[usize]| {
            let members: Vec<_> = keys.iter().map(|key| format!("\"k{key}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        for count in 1..=20 {
            let keys: Vec<_> = (0..count).collect();
            assert!(parse(object(&keys).as_bytes()).is_ok(), "{count}");
            for (first, again) in
                (1..count).flat_map(|again| (0..again).map(move |first| (first, again)))
            {
                let mut keys = keys.clone();
                keys[again] = first;
                assert!(
                    parse(object(&keys).as_bytes()).is_err(),
                    "{count}: {first} again at {again}"
                );
            }
        }
    }

    #[test]
    fn errors_do_not_repeat_the_body() {
        for body in [
            "{\"hunter2\":hunter2}",
            "{\"hunter2\":1,\"hunter2\":2}",
            "\"hunter2\"",
            "{\"a\":\"hunter2",
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    fn any_json() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "\\PC{0,10}".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::hash_map("\\PC{0,6}", inner, 0..30)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn what_serde_json_writes_is_accepted(value in any_json()) {
            proptest::prop_assert_eq!(parse(value.to_string().as_bytes()).is_ok(), value.is_object());
        }

        #[test]
        fn what_is_accepted_serde_json_accepts(body in "[\\[\\]{}:,\"a0-9.eE\\\\u -]{0,40}") {
            if parse(body.as_bytes()).is_ok() {
                proptest::prop_assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok_and(|v| v.is_object()));
            }
        }

        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse(&body);
        }
    }
}
