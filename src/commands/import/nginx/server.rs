//! The servers of a configuration, their locations, and which location serves a path.

use super::variables::NginxMaps;
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal;
use crate::commands::import::scope::Scope;
use crate::commands::import::site::SiteHead;
use crate::http::path::PathPattern;
use percent_encoding::percent_decode_str;
use regex::{Regex, RegexBuilder};

/// More locations than a real server has. Those that follow are not read.
const MAX_LOCATIONS: usize = 2000;

/// A block `server { … }`.
pub(super) struct ServerBlock<'r, 't> {
    pub(super) head: SiteHead<'t>,
    pub(super) maps: &'r NginxMaps<'t>,
    /// All locations, including nested ones.
    pub(super) locations: Vec<LocationBlock<'t>>,
}

/// A block `location … { … }`.
#[derive(Debug)]
pub(super) struct LocationBlock<'t> {
    pub(super) directive: &'t Directive,
    scope: Scope<'t>,
    /// One of `=`, `^~`, `~`, `~*` and `@`, or empty for an ordinary prefix.
    pub(super) modifier: &'t str,
    /// A path, an expression or a name.
    pub(super) text: &'t str,
    expression: Option<Regex>,
    /// The number of the location that it is nested in.
    outer: Option<usize>,
}

/// A location whose requests are passed on.
#[derive(Debug)]
pub(super) struct ProxiedLocation<'l, 't> {
    pub(super) location: &'l LocationBlock<'t>,
    pub(super) proxy_pass: &'t Directive,
    /// The scope of `proxy_pass`.
    pub(super) scope: Scope<'t>,
    /// The `if` around `proxy_pass`.
    pub(super) condition: Option<&'t Directive>,
}

impl<'t> ProxiedLocation<'_, 't> {
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
            let scope = http.within(directive.children());
            let head = SiteHead {
                program: "NGINX",
                directive,
                is_tls: scope.own("listen").any(|it| is_tls_listen(&scope, it)),
                scope: scope.clone(),
            };
            let mut server = Self {
                head,
                maps,
                locations: Vec::new(),
            };
            server.add_locations(None, &scope);
            server
        };
        blocks.map(read).collect()
    }

    /// Adds the locations of the innermost block of `scope`, each followed by those nested in it.
    fn add_locations(&mut self, outer: Option<usize>, scope: &Scope<'t>) {
        for directive in scope.own("location") {
            let location = LocationBlock::read(directive, outer, scope);
            if let Some(location) = location.filter(|_| self.locations.len() < MAX_LOCATIONS) {
                let inner = location.scope.clone();
                self.locations.push(location);
                self.add_locations(Some(directive.id), &inner);
            }
        }
    }

    /// Returns the location that NGINX chooses for the path of a route.
    pub(super) fn choose(&self, path: &str) -> Option<&LocationBlock<'t>> {
        let path = match path.strip_suffix('*') {
            Some(prefix) => format!("{prefix}x"),
            None => path.to_owned(),
        };
        let path = percent_decode_str(&path).decode_utf8_lossy();
        Some(self.choose_in(None, &path)?.0)
    }

    /// Chooses among the locations in another. The flag says that the choice is final.
    fn choose_in(&self, outer: Option<usize>, path: &str) -> Option<(&LocationBlock<'t>, bool)> {
        let all = self.locations.iter().filter(|it| it.outer == outer);
        let all: Vec<_> = all.filter(|it| it.matches(path)).collect();
        if let Some(exact) = all.iter().find(|it| it.modifier == "=") {
            return Some((exact, true));
        }
        let within = |it: &LocationBlock<'_>| self.choose_in(Some(it.directive.id), path);
        let prefixes = all.iter().copied().filter(|it| it.is_prefix());
        let prefix = prefixes.max_by_key(|it| it.text.len());
        let best = prefix.map(|it| within(it).unwrap_or((it, false)));
        let is_final = best.is_some_and(|(_, is_final)| is_final);
        if is_final || prefix.is_some_and(|it| it.modifier == "^~") {
            return best;
        }
        let expression = all.iter().find(|it| it.modifier.starts_with('~'));
        let expression = expression.map(|it| (within(it).map_or(*it, |(inner, _)| inner), true));
        expression.or(best)
    }

    /// Returns where a location passes requests on: itself, in an `if`, or where `try_files` ends.
    pub(super) fn passes_on<'l>(
        &self,
        location: &'l LocationBlock<'t>,
    ) -> Option<ProxiedLocation<'l, 't>> {
        let scope = &location.scope;
        if has(&self.head.scope, "return") || has(scope, "internal") {
            return None;
        }
        let own = (!has(scope, "return")).then(|| (scope.clone(), None));
        let conditional = scope.own("if");
        let conditional = conditional.map(|it| (scope.within(it.children()), Some(it)));
        let named = self.ends_at(location).map(|it| (it.scope.clone(), None));
        let mut places = own.into_iter().chain(conditional).chain(named);
        places.find_map(|(scope, condition)| {
            Some(ProxiedLocation {
                location,
                proxy_pass: scope.own("proxy_pass").next()?,
                scope,
                condition,
            })
        })
    }

    /// Returns the named location where `try_files` ends.
    fn ends_at(&self, location: &LocationBlock<'t>) -> Option<&LocationBlock<'t>> {
        let tried = location.scope.own("try_files").next()?;
        let name = tried.arguments.last()?.strip_prefix('@')?;
        let mut named = self.locations.iter().filter(|it| it.modifier == "@");
        named.find(|it| it.text == name)
    }
}

/// Returns whether a `listen` is for TLS.
pub(super) fn is_tls_listen(scope: &Scope<'_>, listen: &Directive) -> bool {
    scope.value("ssl") == "on" || listen.arguments.iter().skip(1).any(|it| it == "ssl")
}

fn has(scope: &Scope<'_>, name: &'static str) -> bool {
    scope.own(name).next().is_some()
}

/// Splits a pattern that is written without a space behind its modifier.
fn split_modifier(text: &str) -> (&str, &str) {
    let modifiers = ["@", "=", "^~", "~*", "~"];
    let modifier = modifiers.iter().find(|it| text.starts_with(**it));
    text.split_at(modifier.map_or(0, |it| it.len()))
}

impl<'t> LocationBlock<'t> {
    fn read(directive: &'t Directive, outer: Option<usize>, scope: &Scope<'t>) -> Option<Self> {
        let (modifier, text) = match directive.words()[..] {
            [modifier, text] => (modifier, text),
            [text] => split_modifier(text),
            _ => return None,
        };
        let is_expression = modifier.starts_with('~');
        let mut expression = RegexBuilder::new(if is_expression { text } else { "" });
        expression.case_insensitive(modifier == "~*");
        Some(Self {
            directive,
            scope: scope.within(directive.children()),
            modifier,
            text,
            expression: expression.build().ok(),
            outer,
        })
    }

    pub(super) fn is_prefix(&self) -> bool {
        matches!(self.modifier, "" | "^~")
    }

    fn matches(&self, path: &str) -> bool {
        match self.modifier {
            "=" => self.text == path,
            "@" => false,
            "~" | "~*" => self.expression.as_ref().is_some_and(|it| it.is_match(path)),
            _ => path.starts_with(self.text),
        }
    }

    /// Returns the paths of routes that match the same requests; none where there are not few.
    pub(super) fn paths(&self) -> Vec<String> {
        let path = match self.modifier {
            "~" | "~*" => return regex_literal::paths(self.text).unwrap_or_default(),
            "=" => self.text.to_owned(),
            _ => format!("{}/*", self.text.trim_end_matches('/')),
        };
        let is_path = PathPattern::parse(&path).is_ok();
        is_path.then_some(path).into_iter().collect()
    }
}
