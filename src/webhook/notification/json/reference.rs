//! What `serde_json` makes of a text, with the same limits: the reader must agree with it.

use super::{Document, Json, MAX_DEPTH, Value};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// A value with all that is in it.
#[derive(Debug, PartialEq)]
pub(super) enum Tree {
    /// A value without a text and without others in it.
    Plain(Value),
    String(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Returns what the reader found.
    pub(super) fn of(document: &Document<'_>) -> Self {
        Self::of_value(document.root())
    }

    fn of_value(json: Json<'_>) -> Self {
        match json.value() {
            Value::String => Self::String(json.as_str().unwrap().to_owned()),
            Value::Array => Self::Array(json.elements().map(Self::of_value).collect()),
            Value::Object => {
                let member = |member: Json<'_>| (member.key().to_owned(), Self::of_value(member));
                Self::Object(json.members().map(member).collect())
            }
            plain => Self::Plain(plain),
        }
    }
}

/// Returns what `serde_json` finds in a text that is one value.
pub(super) fn read(text: &[u8]) -> serde_json::Result<Tree> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let tree = Depth(0).deserialize(&mut parser)?;
    parser.end()?;
    // Only what `serde_json` skips it takes to be UTF-8 without a look.
    std::str::from_utf8(text).map_err(serde_json::Error::custom)?;
    Ok(tree)
}

/// The number of arrays and objects around a value.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.0 == MAX_DEPTH {
            true => Err(E::custom("too deep")),
            false => Ok(Self(self.0 + 1)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Tree;

    fn deserialize<D: serde::Deserializer<'de>>(self, text: D) -> Result<Tree, D::Error> {
        text.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Plain(Value::Null))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Plain(Value::Bool))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Plain(Value::Integer))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Plain(Value::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        let is_whole = number.fract() == 0.0;
        Ok(Tree::Plain(Value::Float { is_whole }))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Tree, A::Error> {
        let depth = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = array.next_element_seed(depth)? {
            elements.push(element);
        }
        Ok(Tree::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Tree, A::Error> {
        let depth = self.deeper()?;
        let (mut members, mut keys) = (Vec::new(), HashSet::new());
        while let Some(key) = object.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom("repeated"));
            }
            members.push((key, object.next_value_seed(depth)?));
        }
        Ok(Tree::Object(members))
    }
}
