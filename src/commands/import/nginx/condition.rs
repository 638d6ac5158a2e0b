//! What `if` tells apart: which requests a condition is true of, through `map` and `set`.

use super::scope::Scope;
use super::variables::{Map, Variables};
use crate::commands::import::access::{AccessPattern, Input, Requests};
use crate::commands::import::directive::Directive;
use crate::commands::import::subject_match::{Comparison, Rendering};

/// How far a variable is followed through others.
const MAX_STEPS: usize = 8;

/// `if (…)`, read.
struct Condition<'t> {
    /// Without its `$`.
    variable: &'t str,
    operator: Operator,
    value: &'t str,
}

#[derive(Clone, Copy)]
enum Operator {
    /// Neither empty nor 0.
    IsTrue,
    Is,
    IsNot,
    Matches {
        ignores_case: bool,
    },
    MatchesNot {
        ignores_case: bool,
    },
}

impl<'t> Condition<'t> {
    /// `None` for tests of files, and for what NGINX would refuse.
    fn of(directive: &'t Directive) -> Option<Self> {
        let mut words: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let first = words.first_mut()?;
        *first = first.strip_prefix('(')?;
        let last = words.last_mut()?;
        *last = last.strip_suffix(')')?;
        words.retain(|word| !word.is_empty());
        let (variable, rest) = words.split_first()?;
        let variable = variable.strip_prefix('$')?;
        let (operator, value) = match *rest {
            [] => (Operator::IsTrue, ""),
            // An empty string, which was dropped above.
            ["="] => (Operator::Is, ""),
            ["!="] => (Operator::IsNot, ""),
            [operator, value] => (Operator::of(operator)?, value),
            _ => return None,
        };
        Some(Self {
            variable,
            operator,
            value,
        })
    }

    /// Whether it is true of a value that is known.
    fn is_true_of(&self, value: &str) -> Option<bool> {
        Some(match self.operator {
            Operator::IsTrue => !matches!(value, "" | "0"),
            Operator::Is => value == self.value,
            Operator::IsNot => value != self.value,
            Operator::Matches { .. } | Operator::MatchesNot { .. } => return None,
        })
    }
}

impl Operator {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Is,
            "!=" => Self::IsNot,
            "~" => Self::Matches {
                ignores_case: false,
            },
            "~*" => Self::Matches { ignores_case: true },
            "!~" => Self::MatchesNot {
                ignores_case: false,
            },
            "!~*" => Self::MatchesNot { ignores_case: true },
            _ => return None,
        })
    }
}

/// The requests that an `if` is true of; `None` where that cannot be read.
pub(super) fn requests<'t>(
    directive: &'t Directive,
    scope: &Scope<'t>,
    variables: &Variables<'t>,
) -> Option<Requests<'t>> {
    Reader { scope, variables }.requests(directive, MAX_STEPS)
}

/// What a variable, or a text of several, is made of.
pub(super) fn input(source: &str, variables: &Variables<'_>) -> Input {
    input_within(source, variables, MAX_STEPS)
}

fn input_within(source: &str, variables: &Variables<'_>, steps: usize) -> Input {
    let has = |name: &str| source.contains(name);
    if has("$ssl_client_s_dn_legacy") {
        return Input::Subject(Rendering::Oneline);
    }
    let name = source.trim_start_matches('$').trim_matches(['{', '}']);
    if let Some(map) = variables.map(name).filter(|_| steps > 0) {
        let extracts = |(key, value): &(&str, &str)| key.contains("CN=") && value.starts_with('$');
        if matches!(
            input_within(map.source, variables, steps - 1),
            Input::Subject(_)
        ) && map.cases.iter().any(extracts)
        {
            return Input::Subject(Rendering::CommonName);
        }
    }
    if has("$ssl_client_s_dn") && variables.map(name).is_none() {
        return Input::Subject(Rendering::Rfc2253);
    }
    match name {
        "ssl_client_i_dn" | "ssl_client_i_dn_legacy" => Input::Issuer,
        "ssl_client_verify" => Input::Verification,
        "http_authorization" => Input::Authorization,
        other => Input::Other(other.to_owned()),
    }
}

struct Reader<'r, 't> {
    scope: &'r Scope<'t>,
    variables: &'r Variables<'t>,
}

impl<'t> Reader<'_, 't> {
    fn requests(&self, directive: &'t Directive, steps: usize) -> Option<Requests<'t>> {
        self.variables.spend()?;
        let condition = Condition::of(directive)?;
        let input = input(&format!("${}", condition.variable), self.variables);
        if let (Input::Other(_), Some(map)) = (&input, self.variables.map(condition.variable)) {
            return self.mapped(&condition, map);
        }
        if matches!(input, Input::Other(_))
            && let Some(requests) = steps
                .checked_sub(1)
                .and_then(|steps| self.set(&condition, steps))
        {
            return Some(requests);
        }
        let pattern = |text: &str, comparison| AccessPattern {
            text: text.to_owned(),
            comparison,
            directive,
        };
        let expression =
            |ignores_case| pattern(condition.value, Comparison::Expression { ignores_case });
        let (patterns, inverted) = match condition.operator {
            Operator::IsTrue => (
                vec![
                    pattern("", Comparison::Whole),
                    pattern("0", Comparison::Whole),
                ],
                true,
            ),
            Operator::Is => (vec![pattern(condition.value, Comparison::Whole)], false),
            Operator::IsNot => (vec![pattern(condition.value, Comparison::Whole)], true),
            Operator::Matches { ignores_case } => (vec![expression(ignores_case)], false),
            Operator::MatchesNot { ignores_case } => (vec![expression(ignores_case)], true),
        };
        Some(Requests {
            input,
            patterns,
            inverted,
        })
    }

    /// A condition on what a `map` makes of its source.
    fn mapped(&self, condition: &Condition<'t>, map: &Map<'t>) -> Option<Requests<'t>> {
        let inverted = condition.is_true_of(map.default)?;
        let entries = map.directive.children();
        let mut patterns = Vec::new();
        for (key, value) in &map.cases {
            if condition.is_true_of(value)? == inverted {
                continue;
            }
            let (text, comparison) = match (key.strip_prefix("~*"), key.strip_prefix('~')) {
                (Some(text), _) => (text, Comparison::Expression { ignores_case: true }),
                (None, Some(text)) => (
                    text,
                    Comparison::Expression {
                        ignores_case: false,
                    },
                ),
                (None, None) => (*key, Comparison::Whole),
            };
            let directive = entries
                .iter()
                .find(|entry| entry.name.ends_with(key))
                .unwrap_or(map.directive);
            patterns.push(AccessPattern {
                text: text.to_owned(),
                comparison,
                directive,
            });
        }
        Some(Requests {
            input: input(map.source, self.variables),
            patterns,
            inverted,
        })
    }

    /// A condition on what `set` says, where that depends on another condition: `if (…) { set $ok
    /// 1; }`.
    fn set(&self, condition: &Condition<'t>, steps: usize) -> Option<Requests<'t>> {
        let sets = |it: &Directive| {
            it.name == "set" && it.value().strip_prefix('$') == Some(condition.variable)
        };
        let value = |it: &'t Directive| it.arguments.get(1).map_or("", String::as_str);
        let (mut default, mut found): (_, Option<Requests<'t>>) = ("", None);
        for step in self.scope.steps() {
            self.variables.spend()?;
            if sets(step) {
                default = value(step);
                found = None;
                continue;
            }
            let Some(set) = step
                .children()
                .iter()
                .find(|it| sets(it))
                .filter(|_| step.name == "if")
            else {
                continue;
            };
            let requests = self.requests(step, steps)?;
            if condition.is_true_of(value(set))? == condition.is_true_of(default)? {
                continue;
            }
            found = Some(match found {
                None => requests,
                // One condition after the other, each of which is enough.
                Some(mut found)
                    if !requests.inverted && !found.inverted && found.input == requests.input =>
                {
                    found.patterns.extend(requests.patterns);
                    found
                }
                Some(_) => return None,
            });
        }
        let mut found = found?;
        found.inverted ^= condition.is_true_of(default)?;
        Some(found)
    }
}
