//! The configuration that is written, as a TOML document.

use super::directive::Directive;
use crate::sanitize::sanitize_to;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value};

/// Characters of the source's path that are shown in the first line.
const MAX_SOURCE: usize = 400;

/// The tables of the configuration. Keys that keep their defaults are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigDraft {
    pub(super) listen: ConfigTable,
    pub(super) tls: ConfigTable,
    pub(super) client: ConfigTable,
    pub(super) limits: ConfigTable,
    /// The groups of servers with their names.
    pub(super) upstreams: Vec<(String, ConfigTable)>,
    pub(super) routes: Vec<ConfigTable>,
}

/// The keys of one table, in the order in which they were set.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigTable(Table);

impl ConfigTable {
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0[key] = toml_edit::value(value);
    }

    /// Sets a key to the value of a directive, or reports that there is none for it.
    pub(super) fn carry(
        &mut self,
        directive: &Directive,
        key: &str,
        value: Option<impl Into<Value>>,
    ) {
        match value {
            Some(value) => {
                self.set(key, value);
                directive.carried(key);
            }
            None => directive.not_carried(format!("this cannot be imported: set {key}")),
        }
    }

    /// Sets a key to one text, or to a list of several. An empty list leaves the default.
    pub(super) fn set_list(&mut self, key: &str, mut texts: Vec<String>) {
        match texts.len() {
            0 => {}
            1 => self.set(key, texts.remove(0)),
            _ => self.set(key, texts.into_iter().collect::<Array>()),
        }
    }

    /// Sets `set_headers`, unless there are none.
    pub(super) fn set_members(&mut self, headers: Vec<(String, String)>) {
        if !headers.is_empty() {
            self.set("set_headers", headers.into_iter().collect::<InlineTable>());
        }
    }

    /// Sets all keys of `more`.
    pub(super) fn append(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }
}

impl ConfigDraft {
    /// Adds servers of an application and returns their URL or the name of their group. A group is
    /// needed for several servers, for settings, and where there was one before.
    pub(super) fn upstream(
        &mut self,
        group: Option<&str>,
        mut servers: Vec<String>,
        settings: ConfigTable,
    ) -> String {
        if group.is_none() && settings.0.is_empty() && servers.len() == 1 {
            return servers.remove(0);
        }
        let mut table = ConfigTable::default();
        table.set_list("servers", servers);
        table.append(settings);
        self.group(&key_of(group.unwrap_or("app")), table)
    }

    /// Adds a group, unless there is the same, and returns its name.
    fn group(&mut self, wanted: &str, table: ConfigTable) -> String {
        let mut name = wanted.to_owned();
        let mut number = 1;
        while let Some((_, other)) = self.upstreams.iter().find(|(other, _)| *other == name) {
            if other.0.to_string() == table.0.to_string() {
                return name;
            }
            number += 1;
            name = format!("{wanted}-{number}");
        }
        self.upstreams.push((name.clone(), table));
        name
    }

    /// Returns the document, with a first line that names its source.
    pub(super) fn document(mut self, source: &str) -> String {
        add(&mut self.tls.0, "client", self.client.0);
        let mut document = DocumentMut::new();
        add(&mut document, "listen", self.listen.0);
        add(&mut document, "tls", self.tls.0);
        add(&mut document, "limits", self.limits.0);
        add(&mut document, "upstreams", groups(self.upstreams));
        let routes: ArrayOfTables = self.routes.into_iter().map(|route| route.0).collect();
        document.insert("routes", Item::ArrayOfTables(routes));
        let source = sanitize_to(source, MAX_SOURCE);
        let line = format!("# Imported from {source}. Relative paths are relative to this file.");
        document.decor_mut().set_prefix(line + "\n\n");
        document.to_string()
    }
}

fn groups(upstreams: Vec<(String, ConfigTable)>) -> Table {
    let mut groups = Table::new();
    groups.set_implicit(true);
    for (name, group) in upstreams {
        add(&mut groups, &name, group.0);
    }
    groups
}

/// Adds a table, unless it is empty.
fn add(parent: &mut Table, key: &str, table: Table) {
    if !table.is_empty() {
        parent.insert(key, Item::Table(table));
    }
}

/// Replaces what only a quoted key can have.
fn key_of(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.replace(|c| !is_plain(c), "-")
}

/// The secrets that the configuration names, each in a file of its own.
#[derive(Debug, Default)]
pub(super) struct SecretFiles {
    /// systemd passes the files on as credentials.
    pub(super) are_credentials: bool,
    /// The names of the files, and descriptions of the secrets.
    files: Vec<(String, String)>,
}

impl SecretFiles {
    /// Returns where a secret is to be found; the same secret is in the same file, which is called
    /// after the kind of secret.
    pub(super) fn ask(&mut self, kind: &str, what: &str) -> InlineTable {
        let mut files = self.files.iter();
        let known = files.find(|(_, other)| other == what);
        let name = known.map(|(name, _)| name.clone());
        let name = name.unwrap_or_else(|| self.add(kind, what));
        let key = match self.are_credentials {
            true => "credential",
            false => "file",
        };
        InlineTable::from_iter([(key, name)])
    }

    /// Adds a file and returns its name.
    fn add(&mut self, kind: &str, what: &str) -> String {
        let alike = self.files.iter().filter(|(name, _)| name.starts_with(kind));
        let name = match alike.count() {
            0 => format!("{kind}.secret"),
            others => format!("{kind}-{}.secret", others + 1),
        };
        self.files.push((name.clone(), what.to_owned()));
        name
    }

    /// Returns the names of the files.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.files.iter().map(|(name, _)| name)
    }

    /// Returns the tasks to write the files.
    pub(super) fn tasks(&self) -> Vec<String> {
        let reader = match self.are_credentials {
            true => "root",
            false => "this program",
        };
        let files = self.files.iter();
        let tasks = files.map(|(name, what)| {
            format!("write {name}, beside the configuration, for {reader} alone: {what}")
        });
        tasks.collect()
    }
}
