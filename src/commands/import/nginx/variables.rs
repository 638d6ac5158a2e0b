//! What variables of the configuration's own hold: `map` and `set`.

use super::scope::Scope;
use crate::commands::import::directive::Directive;
use crate::commands::import::template::expand;
use std::cell::Cell;
use std::collections::HashMap;

/// How far a variable is followed through others.
const MAX_STEPS: usize = 8;

/// What a text may grow to.
const MAX_LENGTH: usize = 8192;

/// How many conditions are looked at in all. Conditions on variables that depend on conditions
/// could go on for ever.
const MAX_CONDITIONS: usize = 1_000_000;

/// Every `map`, by its variable.
#[derive(Debug)]
pub(super) struct Variables<'t> {
    maps: HashMap<&'t str, Map<'t>>,
    budget: Cell<usize>,
}

/// Values by what a source holds.
#[derive(Clone, Debug)]
pub(super) struct Map<'t> {
    pub(super) directive: &'t Directive,
    /// With its `$`.
    pub(super) source: &'t str,
    pub(super) default: &'t str,
    /// Each with what the source is compared with: `~` and `~*` begin expressions.
    pub(super) cases: Vec<(&'t str, &'t str)>,
}

impl<'t> Variables<'t> {
    pub(super) fn of(http: &'t [Directive]) -> Self {
        let maps = http
            .iter()
            .filter(|it| it.name == "map")
            .filter_map(|directive| {
                let [source, variable] = directive.arguments.as_slice() else {
                    return None;
                };
                let mut map = Map {
                    directive,
                    source,
                    default: "",
                    cases: Vec::new(),
                };
                for entry in directive.children() {
                    match (entry.name.as_str(), entry.value()) {
                        ("default", value) => map.default = value,
                        ("hostnames" | "volatile", "") => {}
                        (key, value) => map
                            .cases
                            .push((key.strip_prefix('\\').unwrap_or(key), value)),
                    }
                }
                Some((variable.strip_prefix('$')?, map))
            });
        Self {
            maps: maps.collect(),
            budget: Cell::new(MAX_CONDITIONS),
        }
    }

    /// The `map` that makes a variable, whose name has no `$`.
    pub(super) fn map(&self, name: &str) -> Option<&Map<'t>> {
        self.maps.get(name)
    }

    /// Counts a condition that is looked at; `None` where there have been too many.
    pub(super) fn spend(&self) -> Option<()> {
        self.budget.set(self.budget.get().checked_sub(1)?);
        Some(())
    }
}

/// What `set` says in a scope, and `map` of a server's name, where that depends on nothing else.
#[derive(Debug)]
pub(super) struct Constants<'t>(HashMap<&'t str, Option<&'t str>>);

impl<'t> Constants<'t> {
    /// Of a server with these names.
    pub(super) fn of(
        scope: &Scope<'t>,
        variables: &Variables<'t>,
        names: &[&str],
        is_tls: bool,
    ) -> Self {
        let mut constants = HashMap::new();
        for step in scope.steps() {
            let sets_for_some = step
                .children()
                .iter()
                .filter(|it| it.name == "set")
                .map(|it| (it, true));
            let sets = [(step, false)]
                .into_iter()
                .filter(|(it, _)| it.name == "set")
                .chain(sets_for_some);
            for (set, is_for_some) in sets {
                let Some(name) = set.value().strip_prefix('$') else {
                    continue;
                };
                let value = set
                    .arguments
                    .get(1)
                    .map(String::as_str)
                    .filter(|_| !is_for_some);
                // Set twice, it depends on when it is looked at.
                constants
                    .entry(name)
                    .and_modify(|it| *it = None)
                    .or_insert(value);
            }
        }
        // What is set is another variable from then on.
        for (variable, map) in &variables.maps {
            let is_by_name = matches!(
                map.source,
                "$host" | "$http_host" | "$server_name" | "$ssl_server_name"
            );
            let value = |name: &&str| {
                map.cases
                    .iter()
                    .find(|(case, _)| case == name)
                    .map_or(map.default, |(_, value)| value)
            };
            if let ([name], true) = (names, is_by_name) {
                constants
                    .entry(variable)
                    .or_insert_with(|| Some(value(name)));
            }
        }
        constants.insert("scheme", Some(if is_tls { "https" } else { "http" }));
        Self(constants)
    }

    /// `text` with what is known of its variables; the others stay.
    pub(super) fn resolve(&self, text: &str) -> String {
        let known = |name: &str| match self.0.get(name) {
            Some(Some(value)) => Some((*value).to_owned()),
            _ => Some(format!("${{{name}}}")),
        };
        let mut resolved = text.to_owned();
        for _ in 0..MAX_STEPS {
            let next = expand(&resolved, &known).unwrap_or_default();
            // Each step could double it.
            if next == resolved || next.len() > MAX_LENGTH {
                break;
            }
            resolved = next;
        }
        // As it is usually written.
        match resolved
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .filter(|name| !name.contains('}'))
        {
            Some(name) => format!("${name}"),
            None => resolved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::import::nginx::tree;

    #[test]
    fn what_is_set_once_is_constant() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "set $a b; if ($x) { set $c d; } set $e ${a}f; set $g 1; set $g 2; set $h $h$h; set $i $uri;";
        std::fs::write(
            file.path(),
            format!("server {{ {text} }} map $host $j {{ a.example here; }}"),
        )
        .unwrap();
        let tree = tree::read(file.path(), std::path::Path::new("")).unwrap();
        let constants = Constants::of(
            &Scope::of(&tree).within(&tree[0]),
            &Variables::of(&tree),
            &["a.example"],
            true,
        );
        for (text, resolved) in [
            ("x", "x"),
            ("$a", "b"),
            ("${a}c$a", "bcb"),
            ("$e", "bf"),
            ("$c", "$c"),
            ("$g", "$g"),
            ("$i/", "${uri}/"),
            ("$host", "$host"),
            ("$scheme://x", "https://x"),
            ("$j", "here"),
        ] {
            assert_eq!(constants.resolve(text), resolved, "{text}");
        }
        assert!(constants.resolve("$h").len() <= MAX_LENGTH);
    }
}
