//! Virtual hosts, and their sections.

use super::proxy::{self, ProxyMapping};
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal;
use crate::commands::import::scope::Scope;
use regex::Regex;

/// A `<VirtualHost>`, or the main server if there is none.
pub(super) struct VirtualHost<'t> {
    /// The section; `None` for the main server.
    pub(super) section: Option<&'t Directive>,
    /// The main server's directives, which apply as well, and its own.
    pub(super) scope: Scope<'t>,
    /// In the order in which Apache merges them.
    pub(super) sections: Vec<SiteSection<'t>>,
    /// What is passed on, in the order in which Apache looks.
    pub(super) mappings: Vec<ProxyMapping<'t>>,
}

impl<'t> VirtualHost<'t> {
    /// Returns every virtual host.
    pub(super) fn all(main: &Scope<'t>) -> Vec<Self> {
        let sections = main.own("VirtualHost");
        let host = |it: &'t Directive| Self::new(Some(it), main.within(it.children()));
        let mut hosts: Vec<_> = sections.map(host).collect();
        if hosts.is_empty() {
            hosts.push(Self::new(None, main.clone()));
        }
        hosts
    }

    fn new(section: Option<&'t Directive>, scope: Scope<'t>) -> Self {
        let all = scope.every("location* proxy proxymatch directory* files*");
        let mut sections: Vec<_> = all.filter_map(SiteSection::of).collect();
        sections.sort_by_key(|it| matches!(it.requests, SectionRequests::Paths(_)));
        let mappings = proxy::mappings(&scope, &sections);
        Self {
            section,
            scope,
            sections,
            mappings,
        }
    }

    /// Returns what passes requests of a route's path on.
    pub(super) fn mapping(&self, path: &str) -> Option<ProxyMapping<'t>> {
        let mapping = self.mappings.iter().find_map(|it| it.for_path(path));
        mapping.filter(|it| !it.is_exclusion())
    }

    /// Returns the sections for requests of a route for `path` that are passed on to `url`.
    pub(super) fn sections_for(&self, path: &str, url: &str) -> Vec<&SiteSection<'t>> {
        let sections = self.sections.iter();
        sections.filter(|it| it.requests.cover(path, url)).collect()
    }
}

/// A `<Location>`, `<Directory>` or the like.
pub(super) struct SiteSection<'t> {
    pub(super) directive: &'t Directive,
    pub(super) requests: SectionRequests,
}

impl<'t> SiteSection<'t> {
    fn of(directive: &'t Directive) -> Option<Self> {
        let name = directive.name.to_ascii_lowercase();
        let requests = match (name.as_str(), &directive.words()[..]) {
            ("location", ["~", pattern]) | ("locationmatch", [pattern]) => matching(pattern),
            ("location", [path]) => location(path),
            ("proxy", [url]) => proxied(&format!("^{}", regex::escape(url.trim_end_matches('*')))),
            ("proxymatch", [pattern]) => proxied(pattern),
            _ if directive.is("directory* files*") => SectionRequests::Files,
            _ => return None,
        };
        Some(Self {
            directive,
            requests,
        })
    }
}

fn location(path: &str) -> SectionRequests {
    match path.contains(['*', '?', '[']) {
        true => SectionRequests::Matching(None),
        false => SectionRequests::Paths(vec![proxy::below(path)]),
    }
}

fn proxied(pattern: &str) -> SectionRequests {
    SectionRequests::Proxied(Regex::new(pattern).ok())
}

fn matching(pattern: &str) -> SectionRequests {
    match regex_literal::paths(pattern) {
        Some(paths) => SectionRequests::Paths(paths),
        None => SectionRequests::Matching(Regex::new(pattern).ok()),
    }
}

/// The requests that a section applies to. A pattern that cannot be read matches all.
pub(super) enum SectionRequests {
    /// Paths, as routes have them.
    Paths(Vec<String>),
    /// Paths that a pattern matches.
    Matching(Option<Regex>),
    /// Requests that are passed on to a URL that a pattern matches.
    Proxied(Option<Regex>),
    /// Files, which requests that are passed on never reach.
    Files,
}

impl SectionRequests {
    fn cover(&self, path: &str, url: &str) -> bool {
        // A section for exactly `/a` does not apply to the whole of `/a/*`.
        let covers =
            |own: &str| own == path || own.ends_with("/*") && regex_literal::covers(own, path);
        let (start, below) = (path.trim_end_matches('*'), path.replace('*', "x"));
        let is_match = |it: &Regex| it.is_match(start) || it.is_match(&below);
        match self {
            Self::Paths(paths) => paths.iter().any(|own| covers(own)),
            Self::Matching(pattern) => pattern.as_ref().is_none_or(is_match),
            Self::Proxied(pattern) => pattern.as_ref().is_none_or(|it| it.is_match(url)),
            Self::Files => false,
        }
    }
}
