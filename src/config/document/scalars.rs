//! Reads the keys whose values are strings, numbers or switches.

use super::value::{integer, parse_duration, parse_size};
use super::{Located, TableReader};
use std::time::Duration;
use toml::de::DeValue;

impl TableReader<'_> {
    pub(in crate::config) fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        self.read(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// Reads a string that must be one of `choices`.
    pub(in crate::config) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let names = choices.iter().map(|(name, _)| format!("{name:?}"));
        let expected = format!("one of {}", names.collect::<Vec<_>>().join(", "));
        let choose = |value: &DeValue<'_>| chosen(value.as_str()?, choices);
        Some(self.read_word(key, &expected, choose)?.value)
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
        let parse = |value: &DeValue<'_>| match value.as_str()? {
            "0s" => Some(Duration::ZERO),
            text => parse_duration(text),
        };
        Some(self.read_word(key, expected, parse)?.value)
    }

    /// Reads a size: `64KiB`, `1MiB`, or a number of bytes as an integer or a string.
    pub(in crate::config) fn size(&mut self, key: &'static str) -> Option<Located<u64>> {
        let expected = "a size such as \"64KiB\", \"1MiB\" or a number of bytes";
        self.read_word(key, expected, |value| {
            integer(value).or_else(|| parse_size(value.as_str()?))
        })
    }
}

fn chosen<T: Copy>(name: &str, choices: &[(&str, T)]) -> Option<T> {
    let (_, choice) = choices.iter().find(|(known, _)| *known == name)?;
    Some(*choice)
}
