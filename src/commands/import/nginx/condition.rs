//! Reads `if` conditions, through `map` and `set`.

use super::variables::{NginxMap, NginxMaps};
use crate::commands::import::access::{Input, MatchedRequests};
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal::expression;
use crate::commands::import::scope::Scope;
use crate::commands::import::subject_match::{AccessPattern, Rendering};
use regex::Regex;
use std::sync::LazyLock;

/// More steps than a location has.
const MAX_STEPS: usize = 1000;

static CONDITION: LazyLock<Regex> =
    LazyLock::new(|| expression(r"(?s)^\(\s*\$(\w+)(?:\s+(=|!=|!?~\*?)\s+(.*?))?\s*\)$"));

/// A condition `($variable operator value)`.
struct IfCondition {
    variable: String,
    /// One of `=`, `!=`, `~`, `~*`, `!~` and `!~*`, or empty: the variable is neither empty nor 0.
    operator: String,
    value: String,
}

impl IfCondition {
    /// Reads the condition of an `if`; `None` for tests of files and invalid ones.
    fn read(directive: &Directive) -> Option<Self> {
        let text = directive.arguments.join(" ");
        let found = CONDITION.captures(&text)?;
        let part = |at| found.get(at).map_or("", |it| it.as_str()).to_owned();
        Some(Self {
            variable: part(1),
            operator: part(2),
            value: part(3),
        })
    }

    /// Returns whether the condition holds for a value, if that can be told.
    fn holds_for(&self, value: &str) -> Option<bool> {
        match self.operator.as_str() {
            _ if value.contains('$') => None,
            "" => Some(!matches!(value, "" | "0")),
            "=" => Some(value == self.value),
            "!=" => Some(value != self.value),
            _ => None,
        }
    }

    /// Returns the requests for which it holds, where this is what the variable has.
    fn requests<'t>(&self, input: Input, directive: &'t Directive) -> MatchedRequests<'t> {
        let operator = self.operator.trim_start_matches('!');
        MatchedRequests {
            input,
            patterns: vec![AccessPattern::of(operator, &self.value, directive)],
            // A variable alone is compared with nothing and with 0.
            inverted: self.operator.is_empty() || self.operator.starts_with('!'),
        }
    }

    /// Reads the condition on a variable that others may set: `if (…) { set $bad 1; }`. All of them
    /// have to look at the same thing, which must not be a certificate.
    fn set<'t>(
        &self,
        directive: &'t Directive,
        scope: &Scope<'t>,
        maps: &NginxMaps<'t>,
    ) -> Option<MatchedRequests<'t>> {
        let sets =
            |it: &Directive| it.is("set") && it.value().strip_prefix('$') == Some(&self.variable);
        let steps: Vec<_> = scope.steps().take(MAX_STEPS + 1).collect();
        let default = steps.iter().rfind(|it| sets(it));
        let setting = steps.iter().filter(|it| it.children().iter().any(sets));
        let inputs = setting.map(|it| Some(input(&Self::read(it)?.variable, maps)));
        let mut inputs = inputs.collect::<Option<Vec<_>>>()?;
        inputs.dedup();
        match &inputs[..] {
            _ if steps.len() > MAX_STEPS => None,
            [] if default.is_none() => {
                let own = Input::Other(self.variable.clone());
                Some(self.requests(own, directive))
            }
            [input @ Input::Other(_)] => Some(MatchedRequests {
                input: input.clone(),
                patterns: Vec::new(),
                inverted: self.holds_for(default.map_or("", |it| it.argument(1)))?,
            }),
            _ => None,
        }
    }

    /// Reads the condition on the variable of a `map`.
    fn mapped<'t>(&self, map: &NginxMap<'t>, maps: &NginxMaps<'t>) -> Option<MatchedRequests<'t>> {
        let by_default = self.holds_for(map.default)?;
        let mut patterns = Vec::new();
        for entry in &map.entries {
            if self.holds_for(entry.value())? != by_default {
                patterns.push(pattern(entry));
            }
        }
        (!patterns.is_empty()).then_some(MatchedRequests {
            input: input(map.source, maps),
            patterns,
            inverted: by_default,
        })
    }
}

/// Returns the requests for which the condition of an `if` holds, if it can be read.
pub(super) fn requests<'t>(
    directive: &'t Directive,
    scope: &Scope<'t>,
    maps: &NginxMaps<'t>,
) -> Option<MatchedRequests<'t>> {
    let condition = IfCondition::read(directive)?;
    let map = maps.get(&*condition.variable);
    match (input(&condition.variable, maps), map) {
        (Input::Other(_), Some(map)) => condition.mapped(map, maps),
        (Input::Other(_), None) => condition.set(directive, scope, maps),
        (input, _) => Some(condition.requests(input, directive)),
    }
}

/// Returns what a variable, or a text of several, says about a request.
fn input(source: &str, maps: &NginxMaps<'_>) -> Input {
    let name = source.trim_start_matches('$').trim_matches(['{', '}']);
    match (name, maps.get(name)) {
        (_, Some(map)) if map.takes_common_name() => Input::Subject(Rendering::CommonName),
        (_, Some(_)) => Input::Other(name.to_owned()),
        _ if source.contains("ssl_client_s_dn_legacy") => Input::Subject(Rendering::Oneline),
        _ if source.contains("ssl_client_s_dn") => Input::Subject(Rendering::Rfc2253),
        ("ssl_client_i_dn" | "ssl_client_i_dn_legacy", _) => Input::Issuer,
        ("ssl_client_verify", _) => Input::Verification,
        ("http_authorization", _) => Input::Authorization,
        _ => Input::Other(name.to_owned()),
    }
}

/// Returns the values that an entry of a `map` is for.
fn pattern(entry: &Directive) -> AccessPattern<'_> {
    let key = &entry.name;
    let operators = ["~*", "~", "\\", ""];
    let operator = operators.iter().find(|it| key.starts_with(**it));
    let (operator, text) = key.split_at(operator.map_or(0, |it| it.len()));
    AccessPattern::of(operator, text, entry)
}
