//! Reads `if` conditions, through `map` and `set`.

use super::variables::{NginxMap, NginxMaps};
use crate::commands::import::access::{Input, MatchedRequests};
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal::expression;
use crate::commands::import::scope::Scope;
use crate::commands::import::subject_match::{AccessPattern, Comparison, Rendering};
use regex::Regex;
use std::sync::LazyLock;

/// More steps than a location has.
const MAX_STEPS: usize = 1000;

static CONDITION: LazyLock<Regex> =
    LazyLock::new(|| expression(r"(?s)^\(\s*\$(\w+)(?:\s+(=|!=|!?~\*?)\s+(.*?))?\s*\)$"));

/// A condition `($variable operator value)`.
struct IfCondition {
    variable: String,
    /// The operator: one of `=`, `!=`, `~`, `~*`, `!~` and `!~*`, or empty: the variable is neither
    /// empty nor 0.
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
        let comparison = comparison(self.operator.trim_start_matches('!'));
        // A variable alone is compared with nothing and with 0.
        let is_inverted = self.operator.is_empty() || self.operator.starts_with('!');
        MatchedRequests::of(input, directive, &self.value, comparison, is_inverted)
    }
}

fn comparison(operator: &str) -> Comparison {
    match operator {
        "~" | "~*" => Comparison::Expression {
            ignores_case: operator == "~*",
        },
        _ => Comparison::Whole,
    }
}

/// Reads the conditions of a server.
pub(super) struct Conditions<'r, 't>(pub(super) &'r NginxMaps<'t>);

impl<'t> Conditions<'_, 't> {
    /// Returns the requests for which the condition of an `if` holds, if it can be read.
    pub(super) fn requests(
        &self,
        directive: &'t Directive,
        scope: &Scope<'t>,
    ) -> Option<MatchedRequests<'t>> {
        let condition = IfCondition::read(directive)?;
        let map = self.0.get(&*condition.variable);
        match (self.input(&condition.variable), map) {
            (Input::Other(_), Some(map)) => self.mapped(&condition, map),
            (input @ Input::Other(_), None) => self.set(&condition, input, directive, scope),
            (input, _) => Some(condition.requests(input, directive)),
        }
    }

    /// Returns what a variable, or a text of several, says about a request.
    fn input(&self, source: &str) -> Input {
        let name = source.trim_start_matches('$').trim_matches(['{', '}']);
        match (name, self.0.get(name)) {
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

    /// Reads a condition on a variable that other conditions may set: `if (…) { set $bad 1; }`. All
    /// of them have to look at the same thing, which must not be a certificate.
    fn set(
        &self,
        condition: &IfCondition,
        own: Input,
        directive: &'t Directive,
        scope: &Scope<'t>,
    ) -> Option<MatchedRequests<'t>> {
        let steps: Vec<_> = scope.steps().take(MAX_STEPS + 1).collect();
        let sets = |it: &Directive| {
            it.is("set") && it.value().strip_prefix('$') == Some(&*condition.variable)
        };
        let default = steps.iter().rfind(|it| sets(it));
        let setting = steps.iter().filter(|it| it.children().iter().any(sets));
        let mut inputs = self.inputs(setting)?;
        match inputs.pop() {
            _ if steps.len() > MAX_STEPS || !inputs.is_empty() => None,
            None => default
                .is_none()
                .then(|| condition.requests(own, directive)),
            Some(input @ Input::Other(_)) => Some(MatchedRequests {
                input,
                patterns: Vec::new(),
                inverted: condition.holds_for(default.map_or("", |it| it.argument(1)))?,
            }),
            _ => None,
        }
    }

    /// Returns what conditions look at; each of several in a row that look at the same once.
    fn inputs<'c>(&self, conditions: impl Iterator<Item = &'c &'t Directive>) -> Option<Vec<Input>>
    where
        't: 'c,
    {
        let inputs = conditions.map(|it| Some(self.input(&IfCondition::read(it)?.variable)));
        let mut inputs = inputs.collect::<Option<Vec<_>>>()?;
        inputs.dedup();
        Some(inputs)
    }

    /// Reads a condition on the variable of a `map`.
    fn mapped(&self, condition: &IfCondition, map: &NginxMap<'t>) -> Option<MatchedRequests<'t>> {
        let by_default = condition.holds_for(map.default)?;
        let mut patterns = Vec::new();
        for entry in &map.entries {
            if condition.holds_for(entry.value())? != by_default {
                patterns.push(pattern(entry));
            }
        }
        (!patterns.is_empty()).then_some(MatchedRequests {
            input: self.input(map.source),
            patterns,
            inverted: by_default,
        })
    }
}

/// Returns the values that an entry of a `map` is for.
fn pattern(entry: &Directive) -> AccessPattern<'_> {
    let key = &entry.name;
    let (operator, text) = match (key.strip_prefix("~*"), key.strip_prefix('~')) {
        (Some(text), _) => ("~*", text),
        (None, Some(text)) => ("~", text),
        (None, None) => ("=", key.strip_prefix('\\').unwrap_or(key)),
    };
    AccessPattern {
        text: text.to_owned(),
        comparison: comparison(operator),
        directive: entry,
    }
}
