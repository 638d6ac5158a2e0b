//! The servers of a configuration, their locations, and which location serves a path.

use super::variables::NginxMaps;
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal;
use crate::commands::import::scope::Scope;
use crate::http::path::PathPattern;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use regex::RegexBuilder;

/// Characters that are encoded in the path of a route: NGINX compares decoded paths.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'*');

/// More locations than a real server has. Those that follow are not read.
const MAX_LOCATIONS: usize = 2000;

/// A block `server { … }`.
pub(super) struct ServerBlock<'r, 't> {
    pub(super) directive: &'t Directive,
    pub(super) scope: Scope<'t>,
    pub(super) maps: &'r NginxMaps<'t>,
    /// All locations, including nested ones.
    pub(super) locations: Vec<LocationBlock<'t>>,
}

/// A block `location … { … }`.
#[derive(Clone, Debug)]
pub(super) struct LocationBlock<'t> {
    pub(super) directive: &'t Directive,
    pub(super) scope: Scope<'t>,
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
    pub(super) scope: Scope<'t>,
    /// The `if` around `proxy_pass`.
    pub(super) condition: Option<&'t Directive>,
}

impl<'t> ProxiedLocation<'t> {
    /// Returns the scopes whose rules apply: two where `proxy_pass` is in another location.
    pub(super) fn scopes(&self) -> Vec<Scope<'t>> {
        let is_passing = |it: &Directive| it.id == self.proxy_pass.id;
        let location = &self.location;
        let outer = (!location.directive.holds(&is_passing)).then(|| location.scope.clone());
        outer.into_iter().chain([self.scope.clone()]).collect()
    }
}

impl<'r, 't> ServerBlock<'r, 't> {
    /// Returns every server of `http`.
    pub(super) fn all(http: &Scope<'t>, maps: &'r NginxMaps<'t>) -> Vec<Self> {
        let blocks = http.own("server").filter(|it| it.block.is_some());
        let read = |directive: &'t Directive| {
            let mut server = Self {
                directive,
                scope: http.within(directive.children()),
                maps,
                locations: Vec::new(),
            };
            server.add_locations(None, &server.scope.clone());
            server
        };
        blocks.map(read).collect()
    }

    /// Adds the locations of the innermost block of `scope`, each followed by those nested in it.
    fn add_locations(&mut self, parent: Option<usize>, scope: &Scope<'t>) {
        for directive in scope.own("location") {
            let (modifier, text) = match directive.words()[..] {
                [modifier, text] => (modifier, text),
                [text] => split_modifier(text),
                _ => continue,
            };
            if self.locations.len() == MAX_LOCATIONS {
                return;
            }
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

    /// Returns whether a `listen` is for TLS.
    pub(super) fn is_tls_listen(&self, listen: &Directive) -> bool {
        self.scope.value("ssl") == "on" || listen.arguments.iter().skip(1).any(|it| it == "ssl")
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
    pub(super) fn passes_on(&self, location: &LocationBlock<'t>) -> Option<ProxiedLocation<'t>> {
        let scope = &location.scope;
        if has(&self.scope, "return") || has(scope, "internal") {
            return None;
        }
        if !has(scope, "return")
            && let Some(direct) = location.proxied(scope.clone(), None)
        {
            return Some(direct);
        }
        let mut conditions = scope.own("if");
        let inner = |it: &'t Directive| location.proxied(scope.within(it.children()), Some(it));
        conditions
            .find_map(inner)
            .or_else(|| self.ends_at(location))
    }

    /// Returns the named location where `try_files` ends.
    fn ends_at(&self, location: &LocationBlock<'t>) -> Option<ProxiedLocation<'t>> {
        let tried = location.scope.own("try_files").next()?;
        let name = tried.arguments.last()?.strip_prefix('@')?;
        let mut named = self.locations.iter().filter(|it| it.modifier == "@");
        location.proxied(named.find(|it| it.text == name)?.scope.clone(), None)
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
        let best = nested.or(prefix.map(|it| (it, false)));
        if nested.is_some_and(|(_, is_final)| is_final)
            || prefix.is_some_and(|it| it.modifier == "^~")
        {
            return best;
        }
        let expression = level().find(|it| it.is_expression_for(path));
        expression.map(|it| (self.within(it, path), true)).or(best)
    }

    /// Returns the location in one with an expression, or that itself.
    fn within<'l>(&'l self, outer: &'l LocationBlock<'t>, path: &str) -> &'l LocationBlock<'t> {
        let inner = self.choose(Some(outer.directive.id), path);
        inner.map_or(outer, |(inner, _)| inner)
    }
}

fn has(scope: &Scope<'_>, name: &str) -> bool {
    scope.own(name).next().is_some()
}

/// Splits a pattern that is written without a space behind its modifier.
fn split_modifier(text: &str) -> (&str, &str) {
    let modifiers = ["@", "=", "^~", "~*", "~"];
    let modifier = modifiers.iter().find(|it| text.starts_with(**it));
    text.split_at(modifier.map_or(0, |it| it.len()))
}

impl<'t> LocationBlock<'t> {
    pub(super) fn is_prefix(&self) -> bool {
        matches!(self.modifier, "" | "^~")
    }

    fn is_expression_for(&self, path: &str) -> bool {
        let mut builder = RegexBuilder::new(self.text);
        let expression = builder.case_insensitive(self.modifier == "~*");
        self.modifier.starts_with('~') && expression.build().is_ok_and(|it| it.is_match(path))
    }

    /// Returns the location with the `proxy_pass` of a scope.
    fn proxied(
        &self,
        scope: Scope<'t>,
        condition: Option<&'t Directive>,
    ) -> Option<ProxiedLocation<'t>> {
        Some(ProxiedLocation {
            location: self.clone(),
            proxy_pass: scope.own("proxy_pass").next()?,
            scope,
            condition,
        })
    }

    /// Returns the paths of routes that match the same requests; none where there are not few.
    pub(super) fn paths(&self) -> Vec<String> {
        let prefix = self.text.trim_end_matches('/');
        let path = match self.modifier {
            "~" | "~*" => return regex_literal::paths(self.text).unwrap_or_default(),
            "=" => utf8_percent_encode(self.text, ENCODED).to_string(),
            _ => format!("{}/*", utf8_percent_encode(prefix, ENCODED)),
        };
        let is_path = PathPattern::parse(&path).is_ok();
        is_path.then_some(path).into_iter().collect()
    }
}
