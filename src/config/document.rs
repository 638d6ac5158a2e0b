//! Reads a TOML file key by key, and collects all errors and warnings with their locations.
//!
//! Each key is read by name and type. A value that does not fit is reported with its line, and a key
//! that was never read is unknown.
//!
//! A derived `Deserialize`, with `serde_spanned` as well, stops at the first error. `toml-span`
//! collects type errors, but its parser stops at the first syntax error, and its messages repeat
//! keys, which may be secrets in the wrong place.

use super::error::{Excerpt, Place, Problem};
use super::excerpt::excerpt;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configuration file, with the errors and warnings collected so far.
pub(super) struct Document {
    pub(super) file: PathBuf,
    text: String,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

/// The location of a value, for messages about it.
#[derive(Clone, Debug)]
pub(super) struct KeyLocation {
    pub(super) key: String,
    offset: usize,
}

/// A value with its location.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) location: KeyLocation,
}

impl Document {
    pub(super) fn new(file: &Path, text: String) -> Self {
        Self {
            file: file.to_owned(),
            text,
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Parses the file and runs `read` on it. Reports all syntax errors and returns `None` if there
    /// are any: the rest of such a line could be part of a secret that the parser takes for a key.
    pub(super) fn read<T>(&self, read: impl FnOnce(&mut TableReader<'_>) -> T) -> Option<T> {
        let (root, errors) = DeTable::parse_recoverable(&self.text);
        let mut faults: Vec<_> = errors.iter().map(|error| self.fault(error)).collect();
        // Further errors in a line are mostly consequences of the first.
        faults.sort_by_key(Problem::line);
        faults.dedup_by_key(|fault| fault.line());
        if !faults.is_empty() {
            self.problems.borrow_mut().extend(faults);
            return None;
        }
        let mut table = TableReader::new(
            self,
            KeyLocation {
                key: String::new(),
                offset: 0,
            },
            Some(root.get_ref()),
        );
        let result = read(&mut table);
        table.finish();
        Some(result)
    }

    /// Describes a syntax error without the text of the library, which may repeat a secret.
    fn fault(&self, error: &toml::de::Error) -> Problem {
        let offset = error.span().map_or(0, |span| span.start);
        let what = match error.message().contains("duplicate") {
            true => "the key, or the table, is there already",
            false => {
                "write key = value, a line for each; what is neither a number nor true or false stands in \"quotes\""
            }
        };
        let location = KeyLocation {
            key: String::new(),
            offset,
        };
        self.problem_in(
            &location,
            format!("not TOML: {what}"),
            Some(excerpt(&self.text, offset)),
        )
    }

    pub(super) fn complain(&self, location: &KeyLocation, message: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(self.problem(location, message));
    }

    /// Returns the number of errors so far.
    pub(super) fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    pub(super) fn warn(&self, location: &KeyLocation, message: impl Into<String>) {
        self.warnings
            .borrow_mut()
            .push(self.problem(location, message));
    }

    /// Returns the errors and the warnings, in the order of their lines.
    pub(super) fn into_findings(self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |findings: RefCell<Vec<Problem>>| {
            let mut findings = findings.into_inner();
            findings.sort_by_key(Problem::line);
            findings
        };
        (sorted(self.problems), sorted(self.warnings))
    }

    pub(super) fn problem(&self, location: &KeyLocation, message: impl Into<String>) -> Problem {
        self.problem_in(location, message, None)
    }

    fn problem_in(
        &self,
        location: &KeyLocation,
        message: impl Into<String>,
        syntax: Option<Excerpt>,
    ) -> Problem {
        let before = self.text.get(..location.offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        Problem {
            file: self.file.clone(),
            place: Some(Place { line, syntax }),
            key: location.key.clone(),
            message: message.into(),
        }
    }
}

/// Reads a table of the file, key by key. An absent table reads like an empty one.
pub(super) struct TableReader<'d> {
    pub(super) document: &'d Document,
    location: KeyLocation,
    members: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
    /// `true` if an unknown key may be a misplaced secret.
    is_discreet: bool,
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
    pub(super) fn be_discreet(&mut self) {
        self.is_discreet = true;
    }

    pub(super) fn is_present(&self) -> bool {
        self.members.is_some()
    }

    /// Returns `true` if the table has no keys.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_none_or(|members| members.is_empty())
    }

    /// Returns the location of this table.
    pub(super) fn location(&self) -> KeyLocation {
        self.location.clone()
    }

    /// Returns the location of `key`, or of this table if the key is absent.
    pub(super) fn location_of(&self, key: &str) -> KeyLocation {
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
    pub(super) fn locate(&self, path: &[&str]) -> KeyLocation {
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

    pub(super) fn complain(&self, key: &str, message: impl Into<String>) {
        self.document.complain(&self.location_of(key), message);
    }

    pub(super) fn warn(&self, key: &str, message: impl Into<String>) {
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

    pub(super) fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        self.read(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// Reads a string that must be one of `choices`.
    pub(super) fn choice<T: Copy>(
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

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.read_word(key, "true or false", DeValue::as_bool)
            .map(|flag| flag.value)
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Option<Located<u64>> {
        self.read_word(key, "a whole number, 0 or more", |value| integer(value))
    }

    /// Reads a duration of more than zero, such as `250ms`, `10s`, `5m` or `2h`.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let expected = "a duration of more than zero such as \"250ms\", \"10s\" or \"5m\"";
        self.read_word(key, expected, |value| parse_duration(value.as_str()?))
            .map(|duration| duration.value)
    }

    /// Reads a duration, which may also be `0s`.
    pub(super) fn duration_or_zero(&mut self, key: &'static str) -> Option<Duration> {
        let expected = "a duration such as \"0s\", \"250ms\", \"10s\" or \"5m\"";
        self.read_word(key, expected, |value| match value.as_str()? {
            "0s" => Some(Duration::ZERO),
            text => parse_duration(text),
        })
        .map(|duration| duration.value)
    }

    /// Reads a size: `64KiB`, `1MiB`, or a number of bytes as an integer or a string.
    pub(super) fn size(&mut self, key: &'static str) -> Option<Located<u64>> {
        let expected = "a size such as \"64KiB\", \"1MiB\" or a number of bytes";
        self.read_word(key, expected, |value| {
            integer(value).or_else(|| parse_size(value.as_str()?))
        })
    }

    /// Reads an array of strings, or a single string.
    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
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
    pub(super) fn string_map(&mut self, key: &'static str) -> Vec<(String, Located<String>)> {
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
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut TableReader<'d>) -> T,
    ) -> T {
        self.table_like(key, "a table", read)
    }

    /// Reads the table at `key`; `expected` describes it in the error message for another type.
    pub(super) fn table_like<T>(
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
    pub(super) fn tables<T>(
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
    pub(super) fn table_or_tables<T>(
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
    pub(super) fn named_tables<T>(
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
    pub(super) fn is_word(&self, key: &str, word: &str) -> bool {
        self.members
            .and_then(|members| members.get(key))
            .is_some_and(|value| value.get_ref().as_str() == Some(word))
    }

    /// Returns `true` if `key` is a table.
    pub(super) fn is_table(&self, key: &str) -> bool {
        self.members
            .and_then(|members| members.get(key))
            .is_some_and(|value| value.get_ref().is_table())
    }

    /// Returns `true` if any of `keys` is present, whatever its type.
    pub(super) fn names_any(&self, keys: &[&str]) -> bool {
        self.members
            .is_some_and(|members| keys.iter().any(|key| members.contains_key(*key)))
    }

    /// Marks `key` as known without reading it.
    pub(super) fn skip(&mut self, key: &'static str) {
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

/// Returns the end of a message about the unknown `name`, which suggests the nearest of `known`.
/// Returns `None` if `known` is empty.
pub(super) fn suggest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    known.dedup();
    let (distance, nearest) = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .min_by_key(|found| *found)?;
    Some(match distance <= nearest.len().max(name.len()) / 2 {
        true => format!("; did you mean \"{nearest}\"?"),
        false => format!(
            "; the nearest known one is \"{nearest}\" of {}",
            known.join(", ")
        ),
    })
}

/// Describes a value that was found in place of a word or a number.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= 32 => format!("{text:?}"),
        other => kind(other).to_owned(),
    }
}

/// Describes the type of a value only: secrets are often written in place of a table.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    // A year is longer than any sensible timeout, and sums of instants cannot overflow.
    let total = number
        .checked_mul(milliseconds)
        .filter(|total| (1..=31_536_000_000).contains(total))?;
    Some(Duration::from_millis(total))
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let unit = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..unit].parse().ok()?, text[unit..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1 s", 1000),
            ("1ms", 1),
            ("8760h", 31_536_000_000),
            ("31536000000ms", 31_536_000_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "0s",
            "0ms",
            "31536000001ms",
            "1d",
            "99999999999999999999s",
            "9999999h",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("17", 17),
            ("2GiB", 2 << 30),
            ("3B", 3),
            ("17179869183GiB", 17_179_869_183 << 30),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "KiB",
            "1KB",
            "1k",
            "-1",
            "99999999999999999999",
            "17179869184GiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
