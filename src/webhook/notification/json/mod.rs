//! Reads JSON in exactly one way, or not at all.
//!
//! Parsers disagree about what JSON leaves open: which of two equal keys counts, how deep is too
//! deep. A body that two programs could read differently is refused here, so that what was verified
//! is what the application reads.
//!
//! The values of a body are in one list, and its strings stay where they are in the body. The
//! decision about an alert of 2.5 KB takes half as long as with a tree that `serde_json` builds.

mod reader;
#[cfg(test)]
mod reference;
mod specials;
mod text;

use super::key::Key;
use reader::Reader;
use std::ops::Range;

/// The largest depth of nested objects and arrays.
pub(super) const MAX_DEPTH: usize = 64;

/// A body that was read.
#[derive(Debug)]
pub(super) struct Document<'a> {
    body: &'a str,
    /// The strings that have escapes, without them.
    unescaped: String,
    /// Each value, followed by the values in it.
    nodes: Vec<Node>,
}

/// A value of a body. It is small: a body may be full of them.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The key, of a member of an object.
    key: Text,
    /// The key, if it is known.
    known: Option<Key>,
    value: Value,
    /// The text of a string.
    text: Text,
    /// The index of the first value that is not in this one.
    end: u32,
}

/// A string: a part of the body or, where that ends, of the unescaped strings.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    start: u32,
    length: u32,
}

/// What a value is, as far as a notification is judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Bool,
    Integer,
    /// A number with a fraction or an exponent, which may be whole all the same.
    Float {
        is_whole: bool,
    },
    String,
    Array,
    Object,
}

impl<'a> Document<'a> {
    fn new(body: &'a str) -> Self {
        Self {
            body,
            unescaped: String::new(),
            // An alert has a value for each 30 of its bytes.
            nodes: Vec::with_capacity(body.len() / 24 + 1),
        }
    }

    /// Returns the object that is the whole body.
    pub(super) fn root(&self) -> Json<'_> {
        Json {
            document: self,
            index: 0,
        }
    }

    fn text(&self, text: Text) -> &str {
        let (source, range) = self.place(text);
        &source[range]
    }

    fn bytes(&self, text: Text) -> &[u8] {
        let (source, range) = self.place(text);
        &source.as_bytes()[range]
    }

    fn place(&self, Text { start, length }: Text) -> (&str, Range<usize>) {
        let (start, length) = (start as usize, length as usize);
        match start.checked_sub(self.body.len()) {
            None => (self.body, start..start + length),
            Some(start) => (&self.unescaped, start..start + length),
        }
    }
}

/// A value in a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<'d> {
    document: &'d Document<'d>,
    index: usize,
}

impl<'d> Json<'d> {
    fn node(self) -> &'d Node {
        &self.document.nodes[self.index]
    }

    /// Returns what it is.
    pub(super) fn value(self) -> Value {
        self.node().value
    }

    /// Returns the elements, if this is an array.
    pub(super) fn elements(self) -> impl Iterator<Item = Json<'d>> {
        self.values_in(Value::Array)
    }

    /// Returns the values of the members in the order in which they came, if this is an object.
    pub(super) fn members(self) -> impl Iterator<Item = Json<'d>> {
        self.values_in(Value::Object)
    }

    /// Returns the key of this member of an object.
    pub(super) fn key(self) -> &'d str {
        self.document.text(self.node().key)
    }

    /// Returns the key of this member of an object, if it is known.
    pub(super) fn known_key(self) -> Option<Key> {
        self.node().known
    }

    /// Returns the values directly in this one, if this one is a `value`.
    fn values_in(self, value: Value) -> impl Iterator<Item = Json<'d>> {
        let end = match self.value() == value {
            true => self.node().end as usize,
            false => 0,
        };
        let mut next = self.index + 1;
        std::iter::from_fn(move || {
            let value = Json {
                index: next,
                ..self
            };
            let is_inside = next < end;
            is_inside.then(|| {
                next = value.node().end as usize;
                value
            })
        })
    }

    /// Returns the value of `key`, if this is an object that has it.
    pub(super) fn member(self, key: Key) -> Option<Json<'d>> {
        self.members()
            .find(|member| member.known_key() == Some(key))
    }

    /// Returns the value at `path`, if there are objects all the way.
    pub(super) fn at(self, path: &[Key]) -> Option<Json<'d>> {
        path.iter().try_fold(self, |value, key| value.member(*key))
    }

    /// Returns the text, if this is a string.
    pub(super) fn as_str(self) -> Option<&'d str> {
        let node = self.node();
        (node.value == Value::String).then(|| self.document.text(node.text))
    }

    /// Returns the string at `path`.
    pub(super) fn string(self, path: &[Key]) -> Option<&'d str> {
        self.at(path)?.as_str()
    }
}

/// Parses a whole body: UTF-8, one object, no key twice in an object, no deeper than [`MAX_DEPTH`].
///
/// The error says what is wrong and where, and repeats nothing of the body but a position.
pub(super) fn parse(body: &[u8]) -> Result<Document<'_>, String> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let offset = error.valid_up_to();
        format!("The body is not UTF-8: the first bad byte is at offset {offset}.")
    })?;
    // The positions of strings have 32 bits, and unescaped ones come after the body.
    if u32::try_from(2 * text.len()).is_err() {
        return Err("The body is too long to be read as JSON: it has over 2 GiB.".into());
    }
    let document = Reader::read(text)?;
    match document.root().value() {
        Value::Object => Ok(document),
        _ => Err("The body is JSON, but not an object.".into()),
    }
}

#[cfg(test)]
mod tests;
