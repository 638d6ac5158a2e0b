//! The servers of a configuration, and their locations.

use super::listen::Listen;
use super::scope::Scope;
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal;
use percent_encoding::percent_decode_str;
use regex::RegexBuilder;

/// `server { … }`.
#[derive(Clone, Debug)]
pub(super) struct Server<'t> {
    pub(super) directive: &'t Directive,
    pub(super) scope: Scope<'t>,
    /// Nested ones, too.
    pub(super) locations: Vec<Location<'t>>,
}

/// `location … { … }`.
#[derive(Clone, Debug)]
pub(super) struct Location<'t> {
    pub(super) directive: &'t Directive,
    pub(super) scope: Scope<'t>,
    pub(super) pattern: Pattern<'t>,
    /// The location that it stands in.
    parent: Option<usize>,
}

/// Which paths a location is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern<'t> {
    Exact(&'t str),
    /// `goes_first`: before any expression.
    Prefix {
        text: &'t str,
        goes_first: bool,
    },
    Expression {
        text: &'t str,
        ignores_case: bool,
    },
    /// `@name`
    Named(&'t str),
}

impl<'t> Server<'t> {
    /// Every server of `http`.
    pub(super) fn all(http: &'t [Directive]) -> Vec<Self> {
        let scope = Scope::of(http);
        let servers = http
            .iter()
            .filter(|it| it.name == "server" && it.block.is_some());
        servers
            .map(|directive| {
                let scope = scope.within(directive);
                let locations = locations(directive, None, &scope);
                Self {
                    directive,
                    scope,
                    locations,
                }
            })
            .collect()
    }

    pub(super) fn names(&self) -> Vec<&'t str> {
        let names = self
            .scope
            .innermost()
            .iter()
            .filter(|it| it.name == "server_name");
        names
            .flat_map(|it| &it.arguments)
            .map(String::as_str)
            .collect()
    }

    /// Whether it asks for client certificates.
    fn verifies(&self) -> bool {
        !matches!(self.scope.value("ssl_verify_client"), "" | "off")
    }

    /// Whether no request gets in without one.
    pub(super) fn demands_certificates(&self) -> bool {
        self.scope.value("ssl_verify_client") == "on"
    }

    /// Whether it looks at client certificates.
    pub(super) fn looks_at_certificates(&self) -> bool {
        let looks_at_names = |it: &Directive| {
            it.name == "if"
                && it
                    .arguments
                    .iter()
                    .any(|argument| argument.contains("$ssl_client_s_dn"))
        };
        self.verifies() || self.directive.holds(&looks_at_names)
    }

    /// Whether there is TLS.
    pub(super) fn is_tls(&self) -> bool {
        Listen::all(self).iter().any(|listen| listen.is_tls)
    }

    /// Where a location's requests are passed on: there, in an `if` of it, or where `try_files`
    /// ends.
    pub(super) fn passes_on(&self, location: &Location<'t>) -> Option<Passing<'t>> {
        let is_proxy_pass = |it: &&Directive| it.name == "proxy_pass";
        let block = location.directive.children();
        let always_returns = |block: &[Directive]| block.iter().any(|it| it.name == "return");
        if always_returns(self.scope.innermost()) || block.iter().any(|it| it.name == "internal") {
            return None;
        }
        if let Some(proxy_pass) = block
            .iter()
            .find(is_proxy_pass)
            .filter(|_| !always_returns(block))
        {
            return Some(Passing {
                proxy_pass,
                scope: location.scope.clone(),
                condition: None,
                is_elsewhere: false,
            });
        }
        if let Some(condition) = block
            .iter()
            .find(|it| it.name == "if" && it.children().iter().any(|it| is_proxy_pass(&it)))
        {
            let proxy_pass = condition.children().iter().find(is_proxy_pass)?;
            let scope = location.scope.within(condition);
            return Some(Passing {
                proxy_pass,
                scope,
                condition: Some(condition),
                is_elsewhere: false,
            });
        }
        let last = block
            .iter()
            .find(|it| it.name == "try_files")?
            .arguments
            .last()?;
        let named = self
            .locations
            .iter()
            .find(|it| it.pattern == Pattern::Named(last))?;
        let proxy_pass = named.directive.children().iter().find(is_proxy_pass)?;
        Some(Passing {
            proxy_pass,
            scope: named.scope.clone(),
            condition: None,
            is_elsewhere: true,
        })
    }

    /// The location that NGINX chooses for a path.
    pub(super) fn location_of(&self, path: &str) -> Option<&Location<'t>> {
        self.choose(None, &percent_decode_str(path).decode_utf8_lossy())
            .map(|(chosen, _)| chosen)
    }

    /// The same among those that stand in `parent`. Says besides whether no other is looked for.
    fn choose(&self, parent: Option<usize>, path: &str) -> Option<(&Location<'t>, bool)> {
        let level = || self.locations.iter().filter(move |it| it.parent == parent);
        if let Some(exact) = level().find(|it| it.pattern == Pattern::Exact(path)) {
            return Some((exact, true));
        }
        let prefixes = level().filter_map(|it| match it.pattern {
            Pattern::Prefix { text, goes_first } if path.starts_with(text) => {
                Some((text.len(), goes_first, it))
            }
            _ => None,
        });
        let prefix = prefixes
            .max_by_key(|(length, ..)| *length)
            .map(|(_, goes_first, it)| (goes_first, it));
        let mut best = None;
        if let Some((goes_first, prefix)) = prefix {
            match self.choose(Some(prefix.directive.id), path) {
                Some((inner, true)) => return Some((inner, true)),
                inner => best = Some((inner.map_or(prefix, |(inner, _)| inner), false)),
            }
            if goes_first {
                return best;
            }
        }
        let Some(expression) = level().find(|it| it.is_expression_for(path)) else {
            return best;
        };
        let inner = self.choose(Some(expression.directive.id), path);
        Some((inner.map_or(expression, |(inner, _)| inner), true))
    }
}

/// How a location passes requests on.
#[derive(Clone, Debug)]
pub(super) struct Passing<'t> {
    pub(super) proxy_pass: &'t Directive,
    pub(super) scope: Scope<'t>,
    /// The `if` around it.
    pub(super) condition: Option<&'t Directive>,
    /// Whether it stands in another location, which demands something, too.
    pub(super) is_elsewhere: bool,
}

fn locations<'t>(
    block: &'t Directive,
    parent: Option<usize>,
    scope: &Scope<'t>,
) -> Vec<Location<'t>> {
    let mut found = Vec::new();
    for directive in block.children().iter().filter(|it| it.name == "location") {
        let arguments = directive.words();
        let pattern = match arguments[..] {
            ["=", path] => Pattern::Exact(path),
            ["^~", text] => Pattern::Prefix {
                text,
                goes_first: true,
            },
            ["~", text] => Pattern::Expression {
                text,
                ignores_case: false,
            },
            ["~*", text] => Pattern::Expression {
                text,
                ignores_case: true,
            },
            [text] => match (
                text.strip_prefix('@'),
                text.strip_prefix('='),
                text.strip_prefix('~'),
            ) {
                (Some(_), ..) => Pattern::Named(text),
                (_, Some(path), _) => Pattern::Exact(path),
                (.., Some(text)) => match text.strip_prefix('*') {
                    Some(text) => Pattern::Expression {
                        text,
                        ignores_case: true,
                    },
                    None => Pattern::Expression {
                        text,
                        ignores_case: false,
                    },
                },
                _ => Pattern::Prefix {
                    text,
                    goes_first: false,
                },
            },
            _ => continue,
        };
        let scope = scope.within(directive);
        let nested = locations(directive, Some(directive.id), &scope);
        found.push(Location {
            directive,
            scope,
            pattern,
            parent,
        });
        found.extend(nested);
    }
    found
}

/// A path as it comes over the wire: NGINX compares what it stands for.
fn encoded(path: &str) -> String {
    let encode = |byte: u8| match byte.is_ascii_graphic() && !b"%?#*".contains(&byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.bytes().map(encode).collect()
}

impl Location<'_> {
    pub(super) fn is(&self, other: &Self) -> bool {
        self.directive.id == other.directive.id
    }

    fn is_expression_for(&self, path: &str) -> bool {
        let Pattern::Expression { text, ignores_case } = self.pattern else {
            return false;
        };
        let expression = RegexBuilder::new(text)
            .case_insensitive(ignores_case)
            .build();
        expression.is_ok_and(|expression| expression.is_match(path))
    }

    /// What it has instead of a path.
    pub(super) fn text(&self) -> &str {
        match self.pattern {
            Pattern::Exact(text)
            | Pattern::Prefix { text, .. }
            | Pattern::Expression { text, .. }
            | Pattern::Named(text) => text,
        }
    }

    /// The paths of routes for it; `None` where there are none that match the same.
    pub(super) fn paths(&self) -> Option<Vec<String>> {
        let paths = match self.pattern {
            Pattern::Exact(path) => vec![encoded(path)],
            Pattern::Prefix { text, .. } => {
                vec![format!("{}/*", encoded(text.trim_end_matches('/')))]
            }
            Pattern::Named(_) => return None,
            Pattern::Expression { text, .. } => return regex_literal::paths(text),
        };
        let is_plain = |path: &String| crate::http::path::PathPattern::parse(path).is_ok();
        paths.iter().all(is_plain).then_some(paths)
    }
}
