//! Reads the keys whose values are arrays or tables.

use super::value::kind;
use super::{Document, KeyLocation, Located, TableReader};
use toml::Spanned;
use toml::de::{DeArray, DeValue};

impl<'d> TableReader<'d> {
    /// Reads an array of strings, or a single string.
    pub(in crate::config) fn strings(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let location = self.location_of(key);
        let document = self.document;
        let read = |value: &DeValue<'_>| match value {
            DeValue::String(text) => Some(vec![Located {
                value: text.to_string(),
                location: location.clone(),
            }]),
            DeValue::Array(items) => Some(document.strings_in(items, &location)),
            _ => None,
        };
        let found = self.read(key, "a string or an array of strings", read)?;
        Some(found.value)
    }

    /// Reads a table with arbitrary keys and string values.
    pub(in crate::config) fn string_map(
        &mut self,
        key: &'static str,
    ) -> Vec<(String, Located<String>)> {
        let location = self.location_of(key);
        let document = self.document;
        let found = self.read(key, "a table of strings", |value| value.as_table());
        let members = found.iter().flat_map(|found| found.value.iter());
        members
            .filter_map(|(name, value)| {
                let location = location.of_member(name.get_ref(), value);
                let text = document.string_in(value, location)?;
                Some((name.get_ref().to_string(), text))
            })
            .collect()
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
        let members = self.read(key, expected, |value| value.as_table());
        let members = members.map(|table| table.value);
        TableReader::read_whole(self.document, self.location_of(key), members, read)
    }

    /// Reads each table of an array; the error message for another type shows `example`.
    pub(in crate::config) fn tables<T>(
        &mut self,
        key: &'static str,
        example: &str,
        mut read: impl FnMut(&mut TableReader<'d>) -> T,
    ) -> Vec<T> {
        let location = self.location_of(key);
        let document = self.document;
        let expected = format!("an array of tables such as {example}");
        let found = self.read(key, &expected, |value| value.as_array());
        let items = found.iter().flat_map(|found| found.value.iter());
        let expected = format!("a table such as {example}");
        items
            .enumerate()
            .filter_map(|(index, item)| {
                document.table_in(item, location.of_item(index, item), &expected, &mut read)
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
        match self.is_table(key) {
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
        let location = self.location_of(key);
        let document = self.document;
        let found = self.read(key, "a table of tables", |value| value.as_table());
        let members = found.iter().flat_map(|found| found.value.iter());
        members
            .filter_map(|(name, value)| {
                let name = name.get_ref();
                let location = location.of_member(name, value);
                let read = |table: &mut TableReader<'d>| read(name, table);
                let result = document.table_in(value, location, "a table", read)?;
                Some((name.to_string(), result))
            })
            .collect()
    }
}

impl Document {
    /// Returns the strings of an array, and reports what else is in it.
    fn strings_in(&self, items: &DeArray<'_>, array: &KeyLocation) -> Vec<Located<String>> {
        let items = items.iter().enumerate();
        items
            .filter_map(|(index, item)| self.string_in(item, array.of_item(index, item)))
            .collect()
    }

    /// Returns the string at a location, or reports what is there instead.
    fn string_in(
        &self,
        value: &Spanned<DeValue<'_>>,
        location: KeyLocation,
    ) -> Option<Located<String>> {
        let Some(text) = value.get_ref().as_str() else {
            let message = format!("must be a string, not {}", kind(value.get_ref()));
            self.complain(&location, message);
            return None;
        };
        Some(Located {
            value: text.to_owned(),
            location,
        })
    }

    /// Reads the table at a location, or reports what is there instead.
    fn table_in<'d, T>(
        &'d self,
        value: &'d Spanned<DeValue<'d>>,
        location: KeyLocation,
        expected: &str,
        read: impl FnOnce(&mut TableReader<'d>) -> T,
    ) -> Option<T> {
        let members = value.get_ref().as_table();
        if members.is_none() {
            let message = format!("must be {expected}, not {}", kind(value.get_ref()));
            self.complain(&location, message);
            return None;
        }
        Some(TableReader::read_whole(self, location, members, read))
    }
}

impl KeyLocation {
    fn of_item(&self, index: usize, item: &Spanned<DeValue<'_>>) -> Self {
        Self {
            key: format!("{}[{index}]", self.key),
            offset: item.span().start,
        }
    }

    fn of_member(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Self {
        Self {
            key: format!("{}.{name}", self.key),
            offset: value.span().start,
        }
    }
}
