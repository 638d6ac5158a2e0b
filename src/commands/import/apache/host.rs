//! Virtual hosts, and their sections.

use super::proxy::{self, ProxyMapping, ProxyTarget};
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal;
use crate::commands::import::scope::Scope;
use crate::commands::import::site::SiteHead;
use regex::Regex;

/// A `<VirtualHost>`, or the main server if there is none.
pub(super) struct VirtualHost<'t> {
    /// The section, or the first directive of the main server; and the main server's directives,
    /// which apply as well, before its own.
    pub(super) head: SiteHead<'t>,
    /// In the order in which Apache merges them.
    pub(super) sections: Vec<SiteSection<'t>>,
    /// What is passed on, in the order in which Apache looks.
    pub(super) mappings: Vec<ProxyMapping<'t>>,
}

impl<'t> VirtualHost<'t> {
    /// Returns every virtual host.
    pub(super) fn all(main: &Scope<'t>) -> Vec<Self> {
        let sections = main.own("VirtualHost");
        let hosts = sections.map(|it| Self::new(it, main.within(it.children())));
        let hosts: Vec<_> = hosts.collect();
        match main.innermost().first() {
            Some(first) if hosts.is_empty() => vec![Self::new(first, main.clone())],
            _ => hosts,
        }
    }

    fn new(directive: &'t Directive, scope: Scope<'t>) -> Self {
        let all = scope.every("location* proxy proxymatch directory* files*");
        let mut sections: Vec<_> = all.filter_map(SiteSection::of).collect();
        sections.sort_by_key(|it| matches!(it.requests, SectionRequests::Paths(_)));
        let mappings = proxy::mappings(&scope, &sections);
        let is_on = scope.value("SSLEngine").eq_ignore_ascii_case("on");
        let head = SiteHead {
            program: "Apache",
            directive,
            is_tls: is_on || scope.own("SSLCertificateFile").next().is_some(),
            scope,
        };
        Self {
            head,
            sections,
            mappings,
        }
    }

    /// Returns where requests for a route's path are passed on to.
    pub(super) fn target(&self, path: &str) -> Option<ProxyTarget<'t>> {
        let target = self.mappings.iter().find_map(|it| it.target(path));
        target.filter(|it| it.url != proxy::EXCLUDED)
    }

    /// Returns the sections for requests of a route's path.
    pub(super) fn sections_for(&self, path: &str) -> impl Iterator<Item = &SiteSection<'t>> {
        let sections = self.sections.iter();
        sections.filter(move |it| it.requests.cover(path))
    }
}

/// A `<Location>`, `<Directory>` or the like.
pub(super) struct SiteSection<'t> {
    pub(super) directive: &'t Directive,
    pub(super) requests: SectionRequests,
}

/// The requests that a section applies to. A pattern that cannot be read matches all.
pub(super) enum SectionRequests {
    /// Paths, as routes have them.
    Paths(Vec<String>),
    /// Paths that a pattern matches.
    Matching(Option<Regex>),
    /// Files, which requests that are passed on never reach.
    Files,
}

impl<'t> SiteSection<'t> {
    fn of(directive: &'t Directive) -> Option<Self> {
        let name = directive.name.to_ascii_lowercase();
        let requests = match (name.as_str(), &directive.words()[..]) {
            ("location", ["~", pattern]) | ("locationmatch", [pattern]) => matching(pattern),
            ("location", [path]) if !path.contains(['*', '?', '[']) => {
                SectionRequests::Paths(vec![proxy::below(path)])
            }
            // What is in `<Proxy>` may be for another application only, which makes rules stricter.
            ("location" | "proxy" | "proxymatch", [_]) => SectionRequests::Matching(None),
            _ if directive.is("directory* files*") => SectionRequests::Files,
            _ => return None,
        };
        Some(Self {
            directive,
            requests,
        })
    }
}

fn matching(pattern: &str) -> SectionRequests {
    match regex_literal::paths(pattern) {
        Some(paths) => SectionRequests::Paths(paths),
        None => SectionRequests::Matching(Regex::new(pattern).ok()),
    }
}

impl SectionRequests {
    fn cover(&self, path: &str) -> bool {
        // A section for exactly `/a` does not apply to the whole of `/a/*`.
        let covers =
            |own: &str| own == path || own.ends_with("/*") && regex_literal::covers(own, path);
        let (start, below) = (path.trim_end_matches('*'), path.replace('*', "x"));
        let is_match = |it: &Regex| it.is_match(start) || it.is_match(&below);
        match self {
            Self::Paths(paths) => paths.iter().any(|own| covers(own)),
            Self::Matching(pattern) => pattern.as_ref().is_none_or(is_match),
            Self::Files => false,
        }
    }
}
