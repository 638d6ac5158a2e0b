//! A configuration for this program in the making, and its text.

use super::report::SecretFile;
use std::collections::HashSet;
use std::fmt::{self, Display, Write as _};

/// What is written; what is empty or `None` is left to its default.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigDraft {
    /// What it was made of.
    pub(super) source: String,
    pub(super) listen: Keys,
    pub(super) tls: Keys,
    pub(super) client: Keys,
    pub(super) limits: Keys,
    pub(super) upstreams: Vec<Group>,
    pub(super) routes: Vec<Route>,
}

/// A group of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) keys: Keys,
}

/// One of `[[routes]]`.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    pub(super) keys: Keys,
    pub(super) auth: Auth,
}

/// What is demanded of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Auth {
    /// The client certificate, as is the default.
    #[default]
    Default,
    /// `auth = "none"`
    Open,
    /// Nothing passes.
    Closed,
    Of {
        client_certificate: Option<bool>,
        /// User names, and where the passwords are.
        basic: Vec<(String, SecretSource)>,
        /// Where the tokens are.
        bearer: Vec<SecretSource>,
    },
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SecretSource {
    /// In a file, which is named relative to the configuration.
    File(String),
    /// Where systemd passes it on.
    Credential(String),
}

impl SecretSource {
    /// The same, passed on by systemd.
    pub(super) fn pass_on(&mut self) {
        if let Self::File(name) = self {
            *self = Self::Credential(std::mem::take(name));
        }
    }
}

/// Keys of a table, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys(Vec<(String, Value)>);

/// What a key may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
    Table(Vec<(String, String)>),
    Secret(SecretSource),
}

impl Keys {
    /// The key's value, unless that is empty.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        let is_empty = match &value {
            Value::List(items) => items.is_empty(),
            Value::Table(members) => members.is_empty(),
            _ => false,
        };
        match self.get_mut(key) {
            Some(_) if is_empty => self.0.retain(|(other, _)| other != key),
            Some(old) => *old = value,
            None if is_empty => {}
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// All of `more`, behind what is there.
    pub(super) fn append(&mut self, more: Self) {
        more.0
            .into_iter()
            .for_each(|(key, value)| self.set(&key, value));
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0
            .iter_mut()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// One of them needs no brackets.
impl From<Vec<String>> for Value {
    fn from(mut items: Vec<String>) -> Self {
        match items.len() {
            1 => Self::Text(items.remove(0)),
            _ => Self::List(items),
        }
    }
}

impl From<SecretSource> for Value {
    fn from(secret: SecretSource) -> Self {
        Self::Secret(secret)
    }
}

impl From<Vec<(String, String)>> for Value {
    fn from(members: Vec<(String, String)>) -> Self {
        Self::Table(members)
    }
}

/// A string of TOML, which has the escapes of JSON; but for one character.
fn quote(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    items.iter().map(show).collect::<Vec<_>>().join(", ")
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quote(text)),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::List(items) => write!(f, "[{}]", list(items, |item| quote(item))),
            Self::Table(members) => {
                write!(
                    f,
                    "{{ {} }}",
                    list(members, |(key, value)| format!(
                        "{} = {}",
                        quote_key(key),
                        quote(value)
                    ))
                )
            }
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

impl Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(name) => write!(f, "{{ file = {} }}", quote(name)),
            Self::Credential(name) => write!(f, "{{ credential = {} }}", quote(name)),
        }
    }
}

impl Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))
    }
}

impl Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Open => writeln!(f, "auth = \"none\""),
            Self::Closed => writeln!(
                f,
                "auth = {{ bearer = [{{ token = {{ sha256 = \"{}\" }} }}] }} # closed: no token has this digest",
                "0".repeat(64)
            ),
            Self::Of {
                client_certificate,
                basic,
                bearer,
            } => {
                let mut members = Vec::new();
                members.extend(
                    client_certificate.map(|demanded| format!("client_certificate = {demanded}")),
                );
                if !basic.is_empty() {
                    let user = |(name, password): &(String, SecretSource)| {
                        format!("{{ username = {}, password = {password} }}", quote(name))
                    };
                    members.push(format!("basic = [{}]", list(basic, user)));
                }
                if !bearer.is_empty() {
                    let token = |token: &SecretSource| format!("{{ token = {token} }}");
                    members.push(format!("bearer = [{}]", list(bearer, token)));
                }
                writeln!(f, "auth = {{ {} }}", members.join(", "))
            }
        }
    }
}

impl Display for ConfigDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain: String = self
            .source
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        writeln!(
            f,
            "# Imported from {plain}. Relative paths are relative to this file."
        )?;
        let mut table = |heading: &str, body: String| match body.is_empty() {
            true => Ok(()),
            false => write!(f, "\n{heading}\n{body}"),
        };
        table("[listen]", self.listen.to_string())?;
        table("[tls]", self.tls.to_string())?;
        table("[tls.client]", self.client.to_string())?;
        table("[limits]", self.limits.to_string())?;
        for Group { name, keys } in &self.upstreams {
            table(
                &format!("[upstreams.{}]", quote_key(name)),
                keys.to_string(),
            )?;
        }
        for Route { keys, auth } in &self.routes {
            let mut body = keys.to_string();
            write!(body, "{auth}")?;
            table("[[routes]]", body)?;
        }
        Ok(())
    }
}

/// A key, with quotes where it needs them.
fn quote_key(key: &str) -> String {
    match !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    {
        true => key.to_owned(),
        false => quote(key),
    }
}

/// Without those that are there already: a group has each server once.
pub(super) fn unique(servers: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    servers
        .into_iter()
        .filter(|server| seen.insert(server.to_ascii_lowercase()))
        .collect()
}

/// The name of a group with these keys: of one that is there, or a new one.
pub(super) fn add_group(groups: &mut Vec<Group>, wanted: &str, keys: Keys) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let wanted: String = wanted.chars().map(plain).collect();
    let mut name = wanted.clone();
    let mut number = 1;
    while let Some(group) = groups.iter().find(|group| group.name == name) {
        if group.keys == keys {
            return name;
        }
        number += 1;
        name = format!("{wanted}-{number}");
    }
    groups.push(Group {
        name: name.clone(),
        keys,
    });
    name
}

/// The secrets that are asked for, each by a name of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(Vec<SecretFile>);

impl Secrets {
    /// Asks for a secret, in a file that is called after `name`. The same secret has the same file.
    pub(super) fn ask(&mut self, name: &str, what: &str) -> SecretSource {
        SecretSource::File(self.file(name, what))
    }

    fn file(&mut self, name: &str, what: &str) -> String {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        };
        let name: String = name.chars().map(plain).collect();
        for number in 1.. {
            let file = if number == 1 {
                format!("{name}.secret")
            } else {
                format!("{name}-{number}.secret")
            };
            match self.0.iter().find(|needed| needed.file == file) {
                Some(needed) if needed.what == what => return file,
                Some(_) => {}
                None => {
                    self.0.push(SecretFile {
                        file: file.clone(),
                        what: what.to_owned(),
                    });
                    return file;
                }
            }
        }
        unreachable!("there is always another number")
    }

    pub(super) fn into_needed(self) -> Vec<SecretFile> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use toml::de::DeTable;

    proptest! {
        #[test]
        fn every_string_is_read_back_as_it_was(text in "\\PC{0,20}|[\\x00-\\x7f]{0,20}", key in "\\PC{1,8}") {
            let mut draft = ConfigDraft { source: text.clone(), ..ConfigDraft::default() };
            draft.listen.set("a", text.as_str());
            draft.listen.set("b", vec![(key.clone(), text.clone())]);
            draft.listen.set("c", vec![text.clone(), key.clone()]);
            let written = draft.to_string();
            let root = DeTable::parse(&written).unwrap();
            let listen = root.get_ref()["listen"].get_ref().as_table().unwrap();
            let get = |key: &str| listen[key].get_ref();
            prop_assert_eq!(get("a").as_str(), Some(text.as_str()));
            prop_assert_eq!(get("b").as_table().unwrap()[key.as_str()].get_ref().as_str(), Some(text.as_str()));
            prop_assert_eq!(get("c").as_array().unwrap()[0].get_ref().as_str(), Some(text.as_str()));
        }
    }

    #[test]
    fn two_secrets_have_two_files() {
        let mut secrets = Secrets::default();
        assert_eq!(secrets.file("bearer", "one"), "bearer.secret");
        assert_eq!(secrets.file("bearer", "two"), "bearer-2.secret");
        assert_eq!(secrets.file("bearer", "one"), "bearer.secret");
        assert_eq!(secrets.file("../a b", "one"), "..-a-b.secret");
    }
}
