//! Reads a TOML file key by key, and remembers everything that is wrong with it.
//!
//! Deriving a deserializer would stop at the first mistake. Here each key is asked for by name and
//! type; what does not fit is noted with its line, and whatever was never asked for is unknown.

use super::error::Problem;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A configuration file and what was found wrong, or unwise, in it so far.
pub(super) struct Document {
    pub(super) file: PathBuf,
    text: String,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

/// Where a value stands, to complain about it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: String,
    offset: usize,
}

/// A value and where it stands.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Place,
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

    /// Runs `read` on the parsed file. `None` where it is not TOML, which is noted: what a parser
    /// makes of the rest of a line could be a part of a secret, in the place of a key.
    pub(super) fn read<T>(&self, read: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let (root, errors) = DeTable::parse_recoverable(&self.text);
        let mut faults: Vec<_> = errors.iter().map(|error| self.fault(error)).collect();
        // What follows in a line is mostly a consequence.
        faults.sort_by_key(|fault| fault.line);
        faults.dedup_by_key(|fault| fault.line);
        if !faults.is_empty() {
            self.problems.borrow_mut().extend(faults);
            return None;
        }
        let mut table = Table::new(
            self,
            Place {
                key: String::new(),
                offset: 0,
            },
            Some(root.get_ref()),
        );
        let result = read(&mut table);
        table.finish();
        Some(result)
    }

    /// A syntax error, in words of our own: the line may hold a secret, and so might what a library
    /// says about it.
    fn fault(&self, error: &toml::de::Error) -> Problem {
        let offset = error.span().map_or(0, |span| span.start);
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        let what = match error.message().contains("duplicate") {
            true => "the key, or the table, is there already",
            false => {
                "write key = value, a line for each; what is neither a number nor true or false stands in \"quotes\""
            }
        };
        self.problem(
            &Place {
                key: String::new(),
                offset,
            },
            format!("not TOML at column {column}: {what}"),
        )
    }

    pub(super) fn complain(&self, place: &Place, message: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(self.problem(place, message));
    }

    /// How many problems have been noted so far.
    pub(super) fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    pub(super) fn warn(&self, place: &Place, message: impl Into<String>) {
        self.warnings
            .borrow_mut()
            .push(self.problem(place, message));
    }

    /// The problems and the warnings, in the order of their lines.
    pub(super) fn into_findings(self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |findings: RefCell<Vec<Problem>>| {
            let mut findings = findings.into_inner();
            findings.sort_by_key(|problem| problem.line);
            findings
        };
        (sorted(self.problems), sorted(self.warnings))
    }

    pub(super) fn problem(&self, place: &Place, message: impl Into<String>) -> Problem {
        let before = self.text.get(..place.offset).unwrap_or(&self.text);
        Problem {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            key: place.key.clone(),
            message: message.into(),
        }
    }
}

/// A table of the file; every key is asked for by name. An absent table reads like an empty one.
pub(super) struct Table<'d> {
    pub(super) document: &'d Document,
    place: Place,
    members: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
    /// Whether a key in it that is not known might be a secret.
    is_discreet: bool,
}

impl<'d> Table<'d> {
    fn new(document: &'d Document, place: Place, members: Option<&'d DeTable<'d>>) -> Self {
        Self {
            document,
            place,
            members,
            known: Vec::new(),
            is_discreet: false,
        }
    }

    /// Names no key in it that is not known: it stands where a secret is written by mistake.
    pub(super) fn be_discreet(&mut self) {
        self.is_discreet = true;
    }

    pub(super) fn is_present(&self) -> bool {
        self.members.is_some()
    }

    /// Where this table starts.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Where `key` would stand.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let prefix = if self.place.key.is_empty() {
            String::new()
        } else {
            format!("{}.", self.place.key)
        };
        let offset = self
            .members
            .and_then(|members| members.get(key))
            .map_or(self.place.offset, |v| v.span().start);
        Place {
            key: format!("{prefix}{key}"),
            offset,
        }
    }

    pub(super) fn complain(&self, key: &str, message: impl Into<String>) {
        self.document.complain(&self.place_of(key), message);
    }

    fn get(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.members?.get(key)
    }

    /// The value of `key` as `convert` reads it; `expected` says what it should have been, and
    /// `describe` what it is.
    fn read_as<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        describe: impl FnOnce(&DeValue<'_>) -> String,
        convert: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<Located<T>> {
        let value = self.get(key)?;
        let place = self.place_of(key);
        match convert(value.get_ref()) {
            Some(value) => Some(Located { value, place }),
            None => {
                let found = describe(value.get_ref());
                self.document
                    .complain(&place, format!("must be {expected}, not {found}"));
                None
            }
        }
    }

    /// One of a few words, or a number: what is written instead is repeated.
    fn read_word<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        convert: impl FnOnce(&'d DeValue<'d>) -> Option<T>,
    ) -> Option<Located<T>> {
        self.read_as(key, expected, describe, convert)
    }

    /// Anything else: what is written instead may be a secret.
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

    /// A string that is one of `choices`.
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

    /// `250ms`, `10s`, `5m` or `2h`; more than zero.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Duration> {
        let expected = "a duration of more than zero such as \"250ms\", \"10s\" or \"5m\"";
        self.read_word(key, expected, |value| parse_duration(value.as_str()?))
            .map(|duration| duration.value)
    }

    /// `64KiB`, `1MiB`, or plain bytes as a number or a string.
    pub(super) fn size(&mut self, key: &'static str) -> Option<Located<u64>> {
        let expected = "a size such as \"64KiB\", \"1MiB\" or a number of bytes";
        self.read_word(key, expected, |value| {
            integer(value).or_else(|| parse_size(value.as_str()?))
        })
    }

    /// Several strings, or one for which the brackets may be left out.
    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let place = self.place_of(key);
        let document = self.document;
        let found = self.read(
            key,
            "a string or an array of strings",
            |value| match value {
                DeValue::String(text) => Some(vec![Located {
                    value: text.to_string(),
                    place: place.clone(),
                }]),
                DeValue::Array(items) => Some(
                    items
                        .iter()
                        .enumerate()
                        .filter_map(|(index, item)| {
                            let place = Place {
                                key: format!("{}[{index}]", place.key),
                                offset: item.span().start,
                            };
                            match item.get_ref().as_str() {
                                Some(text) => Some(Located {
                                    value: text.to_owned(),
                                    place,
                                }),
                                None => {
                                    document.complain(
                                        &place,
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

    /// A table of any string keys with string values.
    pub(super) fn string_map(&mut self, key: &'static str) -> Vec<(String, Located<String>)> {
        let prefix = self.place_of(key).key;
        let document = self.document;
        let found = self.read(key, "a table of strings", |value| {
            let members = value.as_table()?.iter().filter_map(|(name, value)| {
                let place = Place {
                    key: format!("{prefix}.{}", name.get_ref()),
                    offset: value.span().start,
                };
                match value.get_ref().as_str() {
                    Some(text) => Some((
                        name.get_ref().to_string(),
                        Located {
                            value: text.to_owned(),
                            place,
                        },
                    )),
                    None => {
                        document.complain(
                            &place,
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

    /// The table at `key`; `read` gets an absent one where there is none.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'d>) -> T,
    ) -> T {
        self.table_like(key, "a table", read)
    }

    /// Likewise; `expected` says what to write instead of something else.
    pub(super) fn table_like<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&mut Table<'d>) -> T,
    ) -> T {
        let members = self
            .read(key, expected, |value| value.as_table())
            .map(|table| table.value);
        let mut table = Table::new(self.document, self.place_of(key), members);
        let result = read(&mut table);
        table.finish();
        result
    }

    /// Each of an array of tables; `example` is one of them.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        example: &str,
        mut read: impl FnMut(&mut Table<'d>) -> T,
    ) -> Vec<T> {
        let prefix = self.place_of(key).key;
        let document = self.document;
        let expected = format!("an array of tables such as {example}");
        let found = self.read(key, &expected, |value| value.as_array());
        let items = found
            .iter()
            .flat_map(|found| found.value.iter().enumerate());
        items
            .filter_map(|(index, item)| {
                let place = Place {
                    key: format!("{prefix}[{index}]"),
                    offset: item.span().start,
                };
                let Some(members) = item.get_ref().as_table() else {
                    let message = format!(
                        "must be a table such as {example}, not {}",
                        kind(item.get_ref())
                    );
                    document.complain(&place, message);
                    return None;
                };
                let mut table = Table::new(document, place, Some(members));
                let result = read(&mut table);
                table.finish();
                Some(result)
            })
            .collect()
    }

    /// The tables at `key`, whose names are the user's; each is read with its name.
    pub(super) fn named_tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Table<'d>) -> T,
    ) -> Vec<(String, T)> {
        let prefix = self.place_of(key).key;
        let document = self.document;
        let Some(tables) = self.read(key, "a table of tables", |value| value.as_table()) else {
            return Vec::new();
        };
        tables
            .value
            .iter()
            .filter_map(|(name, value)| {
                let name = name.get_ref();
                let place = Place {
                    key: format!("{prefix}.{name}"),
                    offset: value.span().start,
                };
                let Some(members) = value.get_ref().as_table() else {
                    document.complain(
                        &place,
                        format!("must be a table, not {}", kind(value.get_ref())),
                    );
                    return None;
                };
                let mut table = Table::new(document, place, Some(members));
                let result = read(name, &mut table);
                table.finish();
                Some((name.to_string(), result))
            })
            .collect()
    }

    /// Whether `key` is this very string, for keys that take a table or one word.
    pub(super) fn is_word(&self, key: &str, word: &str) -> bool {
        self.members
            .and_then(|members| members.get(key))
            .is_some_and(|value| value.get_ref().as_str() == Some(word))
    }

    /// Whether any of `keys` is there, of whatever type.
    pub(super) fn names_any(&self, keys: &[&str]) -> bool {
        self.members
            .is_some_and(|members| keys.iter().any(|key| members.contains_key(*key)))
    }

    /// Marks `key` as known without reading it.
    pub(super) fn skip(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Notes every key that nobody asked for.
    fn finish(self) {
        for (name, value) in self.members.into_iter().flatten() {
            if self.known.iter().any(|known| known == name.get_ref()) {
                continue;
            }
            let mut place = self.place_of(name.get_ref());
            place.offset = if name.span().is_empty() {
                value.span().start
            } else {
                name.span().start
            };
            let suggestion =
                suggest(name.get_ref(), self.known.iter().copied()).unwrap_or_default();
            if self.is_discreet {
                place.key.clone_from(&self.place.key);
            }
            self.document
                .complain(&place, format!("unknown key{suggestion}"));
        }
    }
}

/// The rest of a sentence about the unknown `name`: which of `known` is nearest. `None` where
/// nothing is known.
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

/// Says what stands where one of a few words or a number belongs.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= 32 => format!("{text:?}"),
        other => kind(other).to_owned(),
    }
}

/// Says as much of a value as can be said of a secret, which stands in the place of a table often
/// enough.
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
    // A year is more than any timeout needs, and keeps sums of instants from overflowing.
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
