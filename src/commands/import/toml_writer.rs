//! The configuration that is written, as a TOML document.

use crate::sanitize::sanitize_to;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, value};

/// Characters of the source's path that are shown in the first line.
const MAX_SOURCE: usize = 400;

/// The tables of the configuration. Keys that keep their defaults are left out.
#[derive(Debug, Default)]
pub(super) struct ConfigDraft {
    pub(super) listen: Table,
    pub(super) tls: Table,
    pub(super) client: Table,
    /// The groups of servers by their names.
    upstreams: Table,
    pub(super) routes: ArrayOfTables,
}

impl ConfigDraft {
    /// Adds servers of an application. Returns their URL, or the name of their group, which several
    /// servers and settings need.
    pub(super) fn upstream(
        &mut self,
        group: Option<&str>,
        mut servers: Vec<String>,
        settings: Table,
    ) -> String {
        if group.is_none() && settings.is_empty() && servers.len() == 1 {
            return servers.remove(0);
        }
        let mut table = Table::new();
        set_list(&mut table, "servers", servers);
        table.extend(settings);
        // What only a quoted key can have is replaced.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let wanted = group.unwrap_or("app").replace(|c| !is_plain(c), "-");
        let mut name = wanted.clone();
        for number in 2.. {
            let known = self.upstreams.get(&name);
            match known.map(|other| other.to_string() == table.to_string()) {
                None => add(&mut self.upstreams, &name, table.clone()),
                Some(false) => name = format!("{wanted}-{number}"),
                Some(true) => break,
            }
        }
        name
    }

    /// Returns the document, with a first line that names its source.
    pub(super) fn document(mut self, source: &str) -> String {
        self.upstreams.set_implicit(true);
        add(&mut self.tls, "client", self.client);
        let mut document = DocumentMut::new();
        add(&mut document, "listen", self.listen);
        add(&mut document, "tls", self.tls);
        add(&mut document, "upstreams", self.upstreams);
        document.insert("routes", Item::ArrayOfTables(self.routes));
        let source = sanitize_to(source, MAX_SOURCE);
        let line = format!("# Imported from {source}. Relative paths are relative to this file.");
        document.decor_mut().set_prefix(line + "\n\n");
        document.to_string()
    }
}

/// Adds a table, unless it is empty.
fn add(parent: &mut Table, key: &str, table: Table) {
    if !table.is_empty() {
        parent.insert(key, Item::Table(table));
    }
}

/// Sets a key to one text, or to a list of several. An empty list leaves the default.
pub(super) fn set_list(table: &mut Table, key: &str, mut texts: Vec<String>) {
    match texts.len() {
        0 => {}
        1 => table[key] = value(texts.remove(0)),
        _ => table[key] = value(Array::from_iter(texts)),
    }
}

/// The secrets that the configuration names, each in a file of its own: the names of the files, and
/// descriptions of the secrets.
#[derive(Debug, Default)]
pub(super) struct SecretFiles(Vec<(String, String)>);

impl SecretFiles {
    /// Returns where a secret is to be found; the file is called after its kind.
    pub(super) fn ask(&mut self, kind: &str, what: &str) -> InlineTable {
        let known = self.0.iter().position(|(_, other)| other == what);
        if known.is_none() {
            let alike = self.0.iter().filter(|(name, _)| name.starts_with(kind));
            let name = match alike.count() {
                0 => format!("{kind}.secret"),
                others => format!("{kind}-{}.secret", others + 1),
            };
            self.0.push((name, what.to_owned()));
        }
        let (name, _) = &self.0[known.unwrap_or(self.0.len() - 1)];
        InlineTable::from_iter([("file", name)])
    }

    /// Returns the tasks to write the files.
    pub(super) fn tasks(&self) -> Vec<String> {
        let tasks = self.0.iter().map(|(name, what)| {
            format!("write {name}, beside the configuration, for this program alone: {what}")
        });
        tasks.collect()
    }
}
