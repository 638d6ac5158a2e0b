//! The servers of a configuration, their locations, and which location serves a path.

use super::scope::NginxScope;
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal;
use crate::http::path::PathPattern;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use regex::RegexBuilder;

/// Characters that are encoded in the path of a route: NGINX compares decoded paths.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'*');

/// A block `server { … }`.
#[derive(Clone, Debug)]
pub(super) struct ServerBlock<'t> {
    pub(super) directive: &'t Directive,
    pub(super) scope: NginxScope<'t>,
    /// All locations, including nested ones.
    pub(super) locations: Vec<LocationBlock<'t>>,
}

/// A block `location … { … }`.
#[derive(Clone, Debug)]
pub(super) struct LocationBlock<'t> {
    pub(super) directive: &'t Directive,
    pub(super) scope: NginxScope<'t>,
    /// The modifier of the location: one of `=`, `^~`, `~`, `~*` and `@`, or empty for an ordinary
    /// prefix.
    pub(super) modifier: &'t str,
    /// A path, an expression or a name.
    pub(super) text: &'t str,
    /// The location that it is nested in.
    parent: Option<usize>,
}

/// A location whose requests are passed on.
#[derive(Clone, Debug)]
pub(super) struct ProxiedLocation<'t> {
    pub(super) location: LocationBlock<'t>,
    pub(super) proxy_pass: &'t Directive,
    /// The scope of `proxy_pass`.
    pub(super) scope: NginxScope<'t>,
    /// The `if` around `proxy_pass`.
    pub(super) condition: Option<&'t Directive>,
    /// `true` if `proxy_pass` is in another location, whose rules apply, too.
    pub(super) is_elsewhere: bool,
    /// The paths of its routes.
    pub(super) paths: Vec<String>,
    pub(super) is_webhook: bool,
}

impl<'t> ProxiedLocation<'t> {
    /// Returns the scopes whose access rules apply.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &NginxScope<'t>> {
        let elsewhere = self.is_elsewhere.then_some(&self.scope);
        std::iter::once(&self.location.scope).chain(elsewhere)
    }

    /// Returns every directive that is in effect.
    pub(super) fn directives(&self) -> impl Iterator<Item = &'t Directive> + use<'t> {
        let own = self.location.scope.directives();
        own.chain(self.scope.directives())
    }
}

impl<'t> ServerBlock<'t> {
    /// Returns every server of `http`.
    pub(super) fn all(http: &'t [Directive]) -> Vec<Self> {
        let outer = NginxScope::default().within(http);
        let blocks = outer.own("server").filter(|it| it.block.is_some());
        let read = |directive: &'t Directive| {
            let mut server = Self {
                directive,
                scope: outer.within(directive.children()),
                locations: Vec::new(),
            };
            server.add_locations(None, &server.scope.clone());
            server
        };
        blocks.map(read).collect()
    }

    /// Adds the locations of the innermost block of `scope`, each followed by those nested in it.
    fn add_locations(&mut self, parent: Option<usize>, scope: &NginxScope<'t>) {
        for directive in scope.own("location") {
            let (modifier, text) = match directive.words()[..] {
                [modifier, text] => (modifier, text),
                [text] => split_modifier(text),
                _ => continue,
            };
            let scope = scope.within(directive.children());
            self.locations.push(LocationBlock {
                directive,
                scope: scope.clone(),
                modifier,
                text,
                parent,
            });
            self.add_locations(Some(directive.id), &scope);
        }
    }

    pub(super) fn names(&self) -> Vec<&'t str> {
        let named = self.scope.own("server_name");
        let names = named.flat_map(|it| &it.arguments);
        names.map(String::as_str).collect()
    }

    pub(super) fn is_tls(&self) -> bool {
        let mut listens = self.scope.own("listen");
        listens.any(|listen| self.is_tls_listen(listen))
    }

    pub(super) fn is_tls_listen(&self, listen: &Directive) -> bool {
        self.scope.value("ssl") == "on" || listen.arguments.iter().skip(1).any(|it| it == "ssl")
    }

    /// Returns every location with a path of its own that passes requests on.
    pub(super) fn proxied(&self) -> Vec<ProxiedLocation<'t>> {
        let locations = self.locations.iter().filter(|it| it.modifier != "@");
        locations.filter_map(|it| self.passes_on(it)).collect()
    }

    /// Returns the location that NGINX chooses for the path of a route, if it passes requests on.
    pub(super) fn proxies(&self, path: &str) -> Option<ProxiedLocation<'t>> {
        let path = match path.strip_suffix('*') {
            Some(prefix) => format!("{prefix}x"),
            None => path.to_owned(),
        };
        let path = percent_decode_str(&path).decode_utf8_lossy();
        self.passes_on(self.choose(None, &path)?.0)
    }

    /// Returns how a location passes requests on: by itself, in an `if`, or where its `try_files`
    /// ends.
    fn passes_on(&self, location: &LocationBlock<'t>) -> Option<ProxiedLocation<'t>> {
        let scope = &location.scope;
        let returns = |scope: &NginxScope<'t>| scope.own("return").next().is_some();
        if returns(&self.scope) || scope.own("internal").next().is_some() {
            return None;
        }
        let proxied = |scope: NginxScope<'t>| {
            Some(ProxiedLocation {
                location: location.clone(),
                proxy_pass: scope.own("proxy_pass").next()?,
                scope,
                condition: None,
                is_elsewhere: false,
                paths: Vec::new(),
                is_webhook: false,
            })
        };
        if let Some(direct) = proxied(scope.clone()).filter(|_| !returns(scope)) {
            return Some(direct);
        }
        for condition in scope.own("if") {
            if let Some(mut found) = proxied(scope.within(condition.children())) {
                found.condition = Some(condition);
                return Some(found);
            }
        }
        let name = scope.own("try_files").next()?.arguments.last()?;
        let name = name.strip_prefix('@')?;
        let mut named = self.locations.iter().filter(|it| it.modifier == "@");
        let mut found = proxied(named.find(|it| it.text == name)?.scope.clone())?;
        found.is_elsewhere = true;
        Some(found)
    }

    /// Chooses among the locations in `parent`. The flag says that the choice is final.
    fn choose(&self, parent: Option<usize>, path: &str) -> Option<(&LocationBlock<'t>, bool)> {
        let level = || self.locations.iter().filter(move |it| it.parent == parent);
        if let Some(exact) = level().find(|it| it.modifier == "=" && it.text == path) {
            return Some((exact, true));
        }
        let prefixes = level().filter(|it| it.is_prefix() && path.starts_with(it.text));
        let prefix = prefixes.max_by_key(|it| it.text.len());
        let nested = prefix.and_then(|it| self.choose(Some(it.directive.id), path));
        if let Some((_, true)) = nested {
            return nested;
        }
        let best = nested.or(prefix.map(|it| (it, false)));
        if prefix.is_some_and(|it| it.modifier == "^~") {
            return best;
        }
        let Some(expression) = level().find(|it| it.is_expression_for(path)) else {
            return best;
        };
        let nested = self.choose(Some(expression.directive.id), path);
        Some((nested.map_or(expression, |(inner, _)| inner), true))
    }
}

/// Splits a pattern that is written without a space behind its modifier.
fn split_modifier(text: &str) -> (&str, &str) {
    let modifiers = ["@", "=", "^~", "~*", "~"];
    let modifier = modifiers.iter().find(|it| text.starts_with(**it));
    text.split_at(modifier.map_or(0, |it| it.len()))
}

impl LocationBlock<'_> {
    pub(super) fn is_prefix(&self) -> bool {
        matches!(self.modifier, "" | "^~")
    }

    fn is_expression_for(&self, path: &str) -> bool {
        let mut builder = RegexBuilder::new(self.text);
        let expression = builder.case_insensitive(self.modifier == "~*");
        self.modifier.starts_with('~') && expression.build().is_ok_and(|it| it.is_match(path))
    }

    /// Returns the paths of routes that match the same requests; `None` where there are none.
    pub(super) fn paths(&self) -> Option<Vec<String>> {
        let prefix = self.text.trim_end_matches('/');
        let path = match self.modifier {
            "~" | "~*" => return regex_literal::paths(self.text),
            "=" => utf8_percent_encode(self.text, ENCODED).to_string(),
            _ => format!("{}/*", utf8_percent_encode(prefix, ENCODED)),
        };
        PathPattern::parse(&path).is_ok().then(|| vec![path])
    }
}
