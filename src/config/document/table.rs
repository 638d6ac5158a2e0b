//! Reads the tables of a configuration file, key by key.

use super::value::{describe, kind, suggest};
use super::{Document, KeyLocation, Located};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Reads a table of the file, key by key. An absent table reads like an empty one.
pub(in crate::config) struct TableReader<'d> {
    pub(in crate::config) document: &'d Document,
    location: KeyLocation,
    members: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
    /// `true` if an unknown key may be a misplaced secret.
    is_discreet: bool,
}

impl Document {
    /// Parses the file and runs `read` on it. Returns `None` if there are syntax errors.
    pub(in crate::config) fn read<T>(
        &self,
        read: impl FnOnce(&mut TableReader<'_>) -> T,
    ) -> Option<T> {
        let root = self.parse()?;
        let location = KeyLocation {
            key: String::new(),
            offset: 0,
        };
        Some(TableReader::read_whole(self, location, Some(&root), read))
    }
}

impl<'d> TableReader<'d> {
    fn new(
        document: &'d Document,
        location: KeyLocation,
        members: Option<&'d DeTable<'d>>,
    ) -> Self {
        Self {
            document,
            location,
            members,
            known: Vec::new(),
            is_discreet: false,
        }
    }

    /// Reads a table with `read`, and reports the keys that were left unread.
    pub(super) fn read_whole<T>(
        document: &'d Document,
        location: KeyLocation,
        members: Option<&'d DeTable<'d>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut table = Self::new(document, location, members);
        let result = read(&mut table);
        table.finish();
        result
    }

    /// Omits unknown keys of this table from messages: one may be a secret that was written in place
    /// of the table.
    pub(in crate::config) fn be_discreet(&mut self) {
        self.is_discreet = true;
    }

    pub(in crate::config) fn is_present(&self) -> bool {
        self.members.is_some()
    }

    /// Returns `true` if the table has no keys.
    pub(in crate::config) fn is_empty(&self) -> bool {
        self.members.is_none_or(|members| members.is_empty())
    }

    /// Returns the location of this table.
    pub(in crate::config) fn location(&self) -> KeyLocation {
        self.location.clone()
    }

    /// Returns the location of `key`, or of this table if the key is absent.
    pub(in crate::config) fn location_of(&self, key: &str) -> KeyLocation {
        let value = self.value(key);
        KeyLocation {
            key: match self.location.key.as_str() {
                "" => key.to_owned(),
                table => format!("{table}.{key}"),
            },
            offset: value.map_or(self.location.offset, |value| value.span().start),
        }
    }

    /// Returns the location at `path`: keys, and indexes of arrays. If it is absent, the line is
    /// that of the last part that is there.
    pub(in crate::config) fn locate(&self, path: &[&str]) -> KeyLocation {
        let Some((first, rest)) = path.split_first() else {
            return self.location();
        };
        let mut location = self.location_of(first);
        let mut value = self.value(first);
        for step in rest {
            if is_only_item(value, step) {
                return location;
            }
            location.key += &step_in_words(value, step);
            value = value.and_then(|value| part(value.get_ref(), step));
            location.offset = value.map_or(location.offset, |value| value.span().start);
        }
        location
    }

    pub(in crate::config) fn complain(&self, key: &str, message: impl Into<String>) {
        self.document.complain(&self.location_of(key), message);
    }

    pub(in crate::config) fn warn(&self, key: &str, message: impl Into<String>) {
        self.document.warn(&self.location_of(key), message);
    }

    pub(super) fn value(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.members?.get(key)
    }

    fn get(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.value(key)
    }

    /// Reads `key` by `convert`. The error message states what was `expected`, and how `describe`
    /// describes the value.
    fn read_as<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        describe: impl FnOnce(&DeValue<'_>) -> String,
        convert: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<Located<T>> {
        let value = self.get(key)?.get_ref();
        let location = self.location_of(key);
        let converted = convert(value);
        if converted.is_none() {
            let message = format!("must be {expected}, not {}", describe(value));
            self.document.complain(&location, message);
        }
        converted.map(|value| Located { value, location })
    }

    /// Reads a word or a number. The error message repeats the value.
    pub(super) fn read_word<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<Located<T>> {
        self.read_as(key, expected, describe, convert)
    }

    /// Reads any other value. The error message omits the value, which may be a secret.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<Located<T>> {
        self.read_as(key, expected, |value| kind(value).to_owned(), convert)
    }

    /// Returns `true` if `key` is the string `word`, for keys that take a table or a word.
    pub(in crate::config) fn is_word(&self, key: &str, word: &str) -> bool {
        self.value(key)
            .is_some_and(|value| value.get_ref().as_str() == Some(word))
    }

    /// Returns `true` if `key` is a table.
    pub(in crate::config) fn is_table(&self, key: &str) -> bool {
        self.value(key)
            .is_some_and(|value| value.get_ref().is_table())
    }

    /// Returns `true` if any of `keys` is present, whatever its type.
    pub(in crate::config) fn names_any(&self, keys: &[&str]) -> bool {
        self.members
            .is_some_and(|members| keys.iter().any(|key| members.contains_key(*key)))
    }

    /// Marks `key` as known without reading it.
    pub(in crate::config) fn skip(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Reports every key that was not read.
    fn finish(self) {
        for (name, value) in self.members.into_iter().flatten() {
            if !self.known.iter().any(|known| known == name.get_ref()) {
                self.complain_of_unknown(name, value);
            }
        }
    }

    fn complain_of_unknown(&self, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let known = self.known.iter().copied();
        let suggestion = suggest(name.get_ref(), known).unwrap_or_default();
        let location = KeyLocation {
            key: match self.is_discreet {
                true => self.location.key.clone(),
                false => self.location_of(name.get_ref()).key,
            },
            offset: match name.span().is_empty() {
                true => value.span().start,
                false => name.span().start,
            },
        };
        let message = format!("unknown key{suggestion}");
        self.document.complain(&location, message);
    }
}

/// Returns `true` if `step` is the index of an array, and a string stands in place of an array of
/// one.
fn is_only_item(value: Option<&Spanned<DeValue<'_>>>, step: &str) -> bool {
    step.parse::<usize>().is_ok() && value.is_some_and(|value| value.get_ref().is_str())
}

/// Returns a step of a path as messages write it behind `value`.
fn step_in_words(value: Option<&Spanned<DeValue<'_>>>, step: &str) -> String {
    let is_array = value.is_some_and(|value| value.get_ref().is_array());
    match is_array && step.parse::<usize>().is_ok() {
        true => format!("[{step}]"),
        false => format!(".{step}"),
    }
}

/// Returns the part of an array or a table that `step` leads to.
fn part<'d>(value: &'d DeValue<'d>, step: &str) -> Option<&'d Spanned<DeValue<'d>>> {
    match (value, step.parse::<usize>()) {
        (DeValue::Array(items), Ok(index)) => items.get(index),
        (value, _) => value.as_table()?.get(step),
    }
}
