//! Reads the tables of a configuration file, key by key.

use super::value::{describe, integer, kind, parse_duration, parse_size, suggest};
use super::{Document, KeyLocation, Located};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

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
        let mut table = TableReader::new(self, location, Some(&root));
        let result = read(&mut table);
        table.finish();
        Some(result)
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
        let prefix = if self.location.key.is_empty() {
            String::new()
        } else {
            format!("{}.", self.location.key)
        };
        let offset = self
            .members
            .and_then(|members| members.get(key))
            .map_or(self.location.offset, |v| v.span().start);
        KeyLocation {
            key: format!("{prefix}{key}"),
            offset,
        }
    }

    /// Returns the location at `path`: keys, and indexes of arrays. If it is absent, the line is
    /// that of the last part that is there.
    pub(in crate::config) fn locate(&self, path: &[&str]) -> KeyLocation {
        let Some((first, rest)) = path.split_first() else {
            return self.location();
        };
        let mut location = self.location_of(first);
        let mut value = self.members.and_then(|members| members.get(*first));
        for step in rest {
            value = match (value.map(Spanned::get_ref), step.parse::<usize>()) {
                (Some(DeValue::Array(items)), Ok(index)) => {
                    location.key += &format!("[{index}]");
                    items.get(index)
                }
                // In place of an array of one.
                (Some(DeValue::String(_)), Ok(_)) => return location,
                (table, _) => {
                    location.key += &format!(".{step}");
                    table.and_then(|table| table.as_table()?.get(*step))
                }
            };
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

    fn get(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.members?.get(key)
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
        let value = self.get(key)?;
        let location = self.location_of(key);
        match convert(value.get_ref()) {
            Some(value) => Some(Located { value, location }),
            None => {
                let found = describe(value.get_ref());
                self.document
                    .complain(&location, format!("must be {expected}, not {found}"));
                None
            }
        }
    }

    /// Reads a word or a number. The error message repeats the value.
    fn read_word<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<Located<T>> {
        self.read_as(key, expected, describe, convert)
    }

    /// Reads any other value. The error message omits the value, which may be a secret.
    fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<Located<T>> {
        self.read_as(key, expected, |value| kind(value).to_owned(), convert)
    }

    pub(in crate::config) fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        self.read(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// Reads a string that must be one of `choices`.
    pub(in crate::config) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("{name:?}"))
            .collect();
        let expected = format!("one of {}", names.join(", "));
        let find = |value: &DeValue<'_>| {
            let text = value.as_str()?;
            choices
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, choice)| *choice)
        };
        self.read_word(key, &expected, find)
            .map(|choice| choice.value)
    }

    pub(in crate::config) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.read_word(key, "true or false", DeValue::as_bool)
            .map(|flag| flag.value)
    }

    pub(in crate::config) fn integer(&mut self, key: &'static str) -> Option<Located<u64>> {
        self.read_word(key, "a whole number, 0 or more", |value| integer(value))
    }

    /// Reads a duration of more than zero, such as `250ms`, `10s`, `5m` or `2h`.
    pub(in crate::config) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let expected = "a duration of more than zero such as \"250ms\", \"10s\" or \"5m\"";
        self.read_word(key, expected, |value| parse_duration(value.as_str()?))
            .map(|duration| duration.value)
    }

    /// Reads a duration, which may also be `0s`.
    pub(in crate::config) fn duration_or_zero(&mut self, key: &'static str) -> Option<Duration> {
        let expected = "a duration such as \"0s\", \"250ms\", \"10s\" or \"5m\"";
        self.read_word(key, expected, |value| match value.as_str()? {
            "0s" => Some(Duration::ZERO),
            text => parse_duration(text),
        })
        .map(|duration| duration.value)
    }

    /// Reads a size: `64KiB`, `1MiB`, or a number of bytes as an integer or a string.
    pub(in crate::config) fn size(&mut self, key: &'static str) -> Option<Located<u64>> {
        let expected = "a size such as \"64KiB\", \"1MiB\" or a number of bytes";
        self.read_word(key, expected, |value| {
            integer(value).or_else(|| parse_size(value.as_str()?))
        })
    }

    /// Reads an array of strings, or a single string.
    pub(in crate::config) fn strings(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let location = self.location_of(key);
        let document = self.document;
        let found = self.read(
            key,
            "a string or an array of strings",
            |value| match value {
                DeValue::String(text) => Some(vec![Located {
                    value: text.to_string(),
                    location: location.clone(),
                }]),
                DeValue::Array(items) => Some(
                    items
                        .iter()
                        .enumerate()
                        .filter_map(|(index, item)| {
                            let location = KeyLocation {
                                key: format!("{}[{index}]", location.key),
                                offset: item.span().start,
                            };
                            match item.get_ref().as_str() {
                                Some(text) => Some(Located {
                                    value: text.to_owned(),
                                    location,
                                }),
                                None => {
                                    document.complain(
                                        &location,
                                        format!("must be a string, not {}", kind(item.get_ref())),
                                    );
                                    None
                                }
                            }
                        })
                        .collect(),
                ),
                _ => None,
            },
        );
        found.map(|found| found.value)
    }

    /// Reads a table with arbitrary keys and string values.
    pub(in crate::config) fn string_map(
        &mut self,
        key: &'static str,
    ) -> Vec<(String, Located<String>)> {
        let prefix = self.location_of(key).key;
        let document = self.document;
        let found = self.read(key, "a table of strings", |value| {
            let members = value.as_table()?.iter().filter_map(|(name, value)| {
                let location = KeyLocation {
                    key: format!("{prefix}.{}", name.get_ref()),
                    offset: value.span().start,
                };
                match value.get_ref().as_str() {
                    Some(text) => Some((
                        name.get_ref().to_string(),
                        Located {
                            value: text.to_owned(),
                            location,
                        },
                    )),
                    None => {
                        document.complain(
                            &location,
                            format!("must be a string, not {}", kind(value.get_ref())),
                        );
                        None
                    }
                }
            });
            Some(members.collect::<Vec<_>>())
        });
        found.map(|found| found.value).unwrap_or_default()
    }

    /// Reads the table at `key`, which may be absent.
    pub(in crate::config) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut TableReader<'d>) -> T,
    ) -> T {
        self.table_like(key, "a table", read)
    }

    /// Reads the table at `key`; `expected` describes it in the error message for another type.
    pub(in crate::config) fn table_like<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&mut TableReader<'d>) -> T,
    ) -> T {
        let members = self
            .read(key, expected, |value| value.as_table())
            .map(|table| table.value);
        let mut table = TableReader::new(self.document, self.location_of(key), members);
        let result = read(&mut table);
        table.finish();
        result
    }

    /// Reads each table of an array; the error message for another type shows `example`.
    pub(in crate::config) fn tables<T>(
        &mut self,
        key: &'static str,
        example: &str,
        mut read: impl FnMut(&mut TableReader<'d>) -> T,
    ) -> Vec<T> {
        let prefix = self.location_of(key).key;
        let document = self.document;
        let expected = format!("an array of tables such as {example}");
        let found = self.read(key, &expected, |value| value.as_array());
        let items = found
            .iter()
            .flat_map(|found| found.value.iter().enumerate());
        items
            .filter_map(|(index, item)| {
                let location = KeyLocation {
                    key: format!("{prefix}[{index}]"),
                    offset: item.span().start,
                };
                let Some(members) = item.get_ref().as_table() else {
                    let message = format!(
                        "must be a table such as {example}, not {}",
                        kind(item.get_ref())
                    );
                    document.complain(&location, message);
                    return None;
                };
                let mut table = TableReader::new(document, location, Some(members));
                let result = read(&mut table);
                table.finish();
                Some(result)
            })
            .collect()
    }

    /// Reads the table at `key`, or each table of an array.
    pub(in crate::config) fn table_or_tables<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnMut(&mut TableReader<'d>) -> T,
    ) -> Vec<T> {
        let value = self.members.and_then(|members| members.get(key));
        match value.is_some_and(|value| value.get_ref().is_table()) {
            true => vec![self.table(key, read)],
            false => self.tables(key, example, read),
        }
    }

    /// Reads the tables at `key`, whose names are arbitrary, each with its name.
    pub(in crate::config) fn named_tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut TableReader<'d>) -> T,
    ) -> Vec<(String, T)> {
        let prefix = self.location_of(key).key;
        let document = self.document;
        let Some(tables) = self.read(key, "a table of tables", |value| value.as_table()) else {
            return Vec::new();
        };
        tables
            .value
            .iter()
            .filter_map(|(name, value)| {
                let name = name.get_ref();
                let location = KeyLocation {
                    key: format!("{prefix}.{name}"),
                    offset: value.span().start,
                };
                let Some(members) = value.get_ref().as_table() else {
                    document.complain(
                        &location,
                        format!("must be a table, not {}", kind(value.get_ref())),
                    );
                    return None;
                };
                let mut table = TableReader::new(document, location, Some(members));
                let result = read(name, &mut table);
                table.finish();
                Some((name.to_string(), result))
            })
            .collect()
    }

    /// Returns `true` if `key` is the string `word`, for keys that take a table or a word.
    pub(in crate::config) fn is_word(&self, key: &str, word: &str) -> bool {
        self.members
            .and_then(|members| members.get(key))
            .is_some_and(|value| value.get_ref().as_str() == Some(word))
    }

    /// Returns `true` if `key` is a table.
    pub(in crate::config) fn is_table(&self, key: &str) -> bool {
        self.members
            .and_then(|members| members.get(key))
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
            if self.known.iter().any(|known| known == name.get_ref()) {
                continue;
            }
            let mut location = self.location_of(name.get_ref());
            location.offset = if name.span().is_empty() {
                value.span().start
            } else {
                name.span().start
            };
            let suggestion =
                suggest(name.get_ref(), self.known.iter().copied()).unwrap_or_default();
            if self.is_discreet {
                location.key.clone_from(&self.location.key);
            }
            self.document
                .complain(&location, format!("unknown key{suggestion}"));
        }
    }
}
