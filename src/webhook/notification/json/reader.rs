//! Reads a text by the grammar of JSON (RFC 8259).

use super::specials::Specials;
use super::text::escape;
use super::{Document, Key, MAX_DEPTH, Node, Text, Value};
use std::collections::HashSet;

/// The number of keys that are not known up to which each is compared with those before it. From
/// there on, they are looked up in a hash set.
const FEW_KEYS: usize = 16;

/// The reason why a text cannot be read on where the reader is. It is small, so that results are
/// returned in registers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    NoValue,
    NoKey,
    NoColon,
    NoEnd,
    TooDeep,
    RepeatedKey,
    Number,
    Control,
    Escape,
    Surrogate,
    Trailing,
}

impl Fault {
    fn describe(self) -> &'static str {
        match self {
            Self::NoValue => "a value is expected",
            Self::NoKey => "a key is expected",
            Self::NoColon => "a colon is expected",
            Self::NoEnd => "a comma or a bracket is expected",
            Self::TooDeep => "nested deeper than 64",
            Self::RepeatedKey => "a key is given twice in one object",
            Self::Number => "the number is invalid or out of range",
            Self::Control => "a control character in a string",
            Self::Escape => "an invalid escape",
            Self::Surrogate => "half of a surrogate pair",
            Self::Trailing => "something follows the value",
        }
    }
}

/// A text that is being read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// The number of bytes that have been read.
    offset: usize,
    specials: Specials<'a>,
    document: Document<'a>,
}

impl<'a> Reader<'a> {
    /// Reads a text that is one value.
    pub(super) fn read(text: &'a str) -> Result<Document<'a>, String> {
        let mut reader = Self {
            bytes: text.as_bytes(),
            offset: 0,
            specials: Specials::of(text.as_bytes()),
            document: Document::new(text),
        };
        match reader.whole() {
            Ok(()) => Ok(reader.document),
            Err(fault) => Err(reader.explain(fault)),
        }
    }

    /// Returns the reason as a sentence, with the place.
    fn explain(&self, fault: Fault) -> String {
        let read = &self.bytes[..self.offset];
        let line = 1 + read.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + read.iter().rev().take_while(|byte| **byte != b'\n').count();
        let place = format!("line {line}, column {column}");
        match self.offset == self.bytes.len() {
            true => format!("The body ends in the middle of a value, at {place}."),
            false => {
                let what = fault.describe();
                format!("The body cannot be read as JSON at {place}: {what}.")
            }
        }
    }

    fn whole(&mut self) -> Result<(), Fault> {
        self.value(0)?;
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(Fault::Trailing),
        }
    }

    /// Skips white space and returns the byte after it, which is not read yet.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.offset) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.offset += 1,
                other => return other.copied(),
            }
        }
    }

    /// Reads a value, which is in `depth` others.
    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.next_byte() {
            Some(b'"') => {
                let text = self.string()?;
                self.push(Value::String, text);
                Ok(())
            }
            Some(b'{') => self.container(Value::Object, depth, Self::members),
            Some(b'[') => self.container(Value::Array, depth, Self::elements),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool),
            Some(b'f') => self.literal("false", Value::Bool),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(Fault::NoValue),
        }
    }

    #[inline]
    fn push(&mut self, value: Value, text: Text) {
        let end = self.document.nodes.len() as u32 + 1;
        self.document.nodes.push(Node {
            key: Text::default(),
            known: None,
            value,
            text,
            end,
        });
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<(), Fault> {
        if !self.bytes[self.offset..].starts_with(word.as_bytes()) {
            return Err(Fault::NoValue);
        }
        self.offset += word.len();
        self.push(value, Text::default());
        Ok(())
    }

    /// Reads a value that contains others, which `read` reads.
    #[inline]
    fn container(
        &mut self,
        value: Value,
        depth: usize,
        read: impl FnOnce(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if depth == MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        self.offset += 1;
        let index = self.document.nodes.len();
        self.push(value, Text::default());
        read(self, depth + 1)?;
        self.document.nodes[index].end = self.document.nodes.len() as u32;
        Ok(())
    }

    fn elements(&mut self, depth: usize) -> Result<(), Fault> {
        if self.next_byte() == Some(b']') {
            self.offset += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if !self.has_more(b']')? {
                return Ok(());
            }
        }
    }

    fn members(&mut self, depth: usize) -> Result<(), Fault> {
        if self.next_byte() == Some(b'}') {
            self.offset += 1;
            return Ok(());
        }
        let first = self.document.nodes.len();
        let (mut known, mut others) = (0, 0);
        loop {
            let text = self.key()?;
            let key = Key::of(self.document.bytes(text));
            let is_repeated = if let Some(key) = key {
                let before = known;
                known |= key.bit();
                known == before
            } else {
                others += 1;
                others <= FEW_KEYS && self.document.has_key(first, text)
            };
            if is_repeated {
                return Err(Fault::RepeatedKey);
            }
            let index = self.document.nodes.len();
            self.value(depth)?;
            let node = &mut self.document.nodes[index];
            (node.key, node.known) = (text, key);
            if !self.has_more(b'}')? {
                break;
            }
        }
        match others <= FEW_KEYS || self.document.are_distinct(first) {
            true => Ok(()),
            false => Err(Fault::RepeatedKey),
        }
    }

    /// Reads a key and the colon after it.
    fn key(&mut self) -> Result<Text, Fault> {
        if self.next_byte() != Some(b'"') {
            return Err(Fault::NoKey);
        }
        let key = self.string()?;
        if self.next_byte() != Some(b':') {
            return Err(Fault::NoColon);
        }
        self.offset += 1;
        Ok(key)
    }

    /// Reads a comma, after which another value follows, or `end`.
    #[inline]
    fn has_more(&mut self, end: u8) -> Result<bool, Fault> {
        let has_more = match self.next_byte() {
            Some(b',') => true,
            Some(byte) if byte == end => false,
            _ => return Err(Fault::NoEnd),
        };
        self.offset += 1;
        Ok(has_more)
    }

    fn number(&mut self) -> Result<(), Fault> {
        let rest = &self.bytes[self.offset..];
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(is_part).count();
        let value = number(&rest[..length]).ok_or(Fault::Number)?;
        self.offset += length;
        self.push(value, Text::default());
        Ok(())
    }

    /// Reads a string, at whose opening quote it is.
    #[inline]
    fn string(&mut self) -> Result<Text, Fault> {
        let start = self.offset + 1;
        self.offset = self.specials.next(start);
        if self.bytes.get(self.offset) != Some(&b'"') {
            return self.unescape(start);
        }
        let length = self.offset - start;
        self.offset += 1;
        Ok(Text {
            start: start as u32,
            length: length as u32,
        })
    }

    /// Reads the rest of a string that began at `start` and has no escapes so far.
    #[cold]
    fn unescape(&mut self, start: usize) -> Result<Text, Fault> {
        let (body, before) = (self.document.body, self.document.unescaped.len());
        let mut plain = start;
        loop {
            self.document.unescaped.push_str(&body[plain..self.offset]);
            match self.bytes.get(self.offset) {
                Some(b'"') => break,
                Some(b'\\') => {}
                _ => return Err(Fault::Control),
            }
            let (character, length) = escape(&self.bytes[self.offset + 1..])?;
            self.document.unescaped.push(character);
            plain = self.offset + 1 + length;
            self.offset = self.specials.next(plain);
        }
        self.offset += 1;
        Ok(Text {
            start: (body.len() + before) as u32,
            length: (self.document.unescaped.len() - before) as u32,
        })
    }
}

/// Judges a number; returns `None` if it is invalid, or larger than a double can be.
fn number(text: &[u8]) -> Option<Value> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_short = digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    if is_short && matches!(digits, [b'1'..=b'9', ..]) || text == b"0" {
        return Some(Value::Integer);
    }
    let text = std::str::from_utf8(text).ok()?;
    // Where exactness matters, it is that of the library that Rust programs read JSON with.
    let number: f64 = serde_json::from_str(text).ok()?;
    let is_integer = text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok_and(|it| it != 0);
    Some(match is_integer {
        true => Value::Integer,
        false => Value::Float {
            is_whole: number.fract() == 0.0,
        },
    })
}

impl Document<'_> {
    /// Returns the keys of the members from the one at index `first` on, to the end of what was read.
    fn keys(&self, first: usize) -> impl Iterator<Item = Text> {
        let mut next = first;
        std::iter::from_fn(move || {
            let node = self.nodes.get(next)?;
            next = node.end as usize;
            Some(node.key)
        })
    }

    fn has_key(&self, first: usize, key: Text) -> bool {
        let key = self.bytes(key);
        self.keys(first).any(|other| self.bytes(other) == key)
    }

    /// Returns `true` if no two of the keys from the one at index `first` on are equal.
    fn are_distinct(&self, first: usize) -> bool {
        let mut seen = HashSet::new();
        self.keys(first).all(|key| seen.insert(self.bytes(key)))
    }
}
