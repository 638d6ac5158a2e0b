//! The values of variables that the configuration itself defines, with `map` and `set`.

use crate::commands::import::directive::Directive;
use crate::commands::import::scope::Scope;
use crate::commands::import::template::expand;
use std::collections::HashMap;

/// Maximum number of variables through which one is followed.
const MAX_STEPS: usize = 8;

/// The length to which a text may expand.
const MAX_LENGTH: usize = 8192;

/// Every `map`, by the name of its variable without `$`.
pub(super) type NginxMaps<'t> = HashMap<&'t str, NginxMap<'t>>;

/// A `map`: values that depend on another variable.
#[derive(Debug)]
pub(super) struct NginxMap<'t> {
    /// The text that is compared, with its `$`.
    pub(super) source: &'t str,
    pub(super) default: &'t str,
    /// The other entries. Names that begin with `~` are expressions.
    pub(super) entries: Vec<&'t Directive>,
}

impl<'t> NginxMap<'t> {
    /// Reads a `map`. Returns the name of its variable, too.
    pub(super) fn read(directive: &'t Directive) -> Option<(&'t str, Self)> {
        let [source, variable] = &directive.arguments[..] else {
            return None;
        };
        let mut map = Self {
            source,
            default: "",
            entries: Vec::new(),
        };
        for entry in directive.children() {
            match entry.name.as_str() {
                "default" => map.default = entry.value(),
                "hostnames" | "volatile" if entry.arguments.is_empty() => {}
                _ => map.entries.push(entry),
            }
        }
        Some((variable.strip_prefix('$')?, map))
    }

    /// Returns whether the value is a part of the subject: its common name.
    pub(super) fn takes_common_name(&self) -> bool {
        let takes = |it: &&Directive| it.name.contains("CN=") && it.value().starts_with('$');
        self.source.contains("$ssl_client_s_dn") && self.entries.iter().any(takes)
    }

    /// Returns the value for requests to a server with one name, if it depends on that alone.
    fn value_for(&self, names: &[&str]) -> Option<&'t str> {
        let sources = ["$host", "$http_host", "$server_name", "$ssl_server_name"];
        let ([name], true) = (names, sources.contains(&self.source)) else {
            return None;
        };
        let entry = self.entries.iter().find(|it| it.name == *name);
        Some(entry.map_or(self.default, |it| it.value()))
    }
}

/// The variables that are set or mapped, with their values if these are the same for all requests.
#[derive(Debug, Default)]
pub(super) struct Constants(HashMap<String, Option<String>>);

impl Constants {
    /// Reads the constants of a place in a server with these names.
    pub(super) fn of(
        scope: &Scope<'_>,
        maps: &NginxMaps<'_>,
        names: &[&str],
        is_tls: bool,
    ) -> Self {
        let mut constants = Self::default();
        for step in scope.steps() {
            constants.add(step, true);
            let inner = step.children().iter();
            inner.for_each(|it| constants.add(it, false));
        }
        for (variable, map) in maps {
            if map.takes_common_name() {
                constants.insert(variable, "$client_cn");
            } else if let Some(value) = map.value_for(names) {
                let entry = constants.0.entry((*variable).to_owned());
                entry.or_insert_with(|| Some(value.to_owned()));
            }
        }
        constants.insert("scheme", if is_tls { "https" } else { "http" });
        constants.insert("server_name", names.first().unwrap_or(&""));
        constants
    }

    /// Adds a variable that is the same for all requests.
    pub(super) fn insert(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), Some(value.to_owned()));
    }

    /// Adds a `set`. A variable that is set twice depends on when it is read.
    fn add(&mut self, set: &Directive, is_certain: bool) {
        if let ("set", [variable, value]) = (set.name.as_str(), &set.arguments[..])
            && let Some(name) = variable.strip_prefix('$')
        {
            let value = is_certain.then(|| value.clone());
            let entry = self.0.entry(name.to_owned()).and_modify(|it| *it = None);
            entry.or_insert(value);
        }
    }

    /// Replaces the constants in a text. Other variables stay.
    pub(super) fn resolve(&self, text: &str) -> String {
        let known = |name: &str| {
            let value = self.0.get(name).cloned().flatten();
            Some(value.unwrap_or_else(|| format!("${name}")))
        };
        let mut resolved = text.to_owned();
        for _ in 0..MAX_STEPS {
            let next = expand(&resolved, &known).unwrap_or_default();
            // Each step could double the length.
            if next == resolved || next.len() > MAX_LENGTH {
                break;
            }
            resolved = next;
        }
        resolved
    }
}
