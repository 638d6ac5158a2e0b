//! Virtual hosts, and their sections.

use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::regex_literal;
use regex::Regex;
use std::cell::OnceCell;
use std::path::Path;

/// A `<VirtualHost>`, or the main server if there is none.
pub(super) struct VirtualHost<'t> {
    /// The section; `None` for the main server.
    pub(super) section: Option<&'t Directive>,
    pub(super) own: &'t [Directive],
    /// The directives of the main server, which apply as well.
    main: &'t [Directive],
    /// The directory that relative file names start from.
    pub(super) root: &'t Path,
    sections: OnceCell<Vec<SiteSection<'t>>>,
}

/// Returns whether a directive has a name, whatever its case.
pub(super) fn is(directive: &Directive, name: &str) -> bool {
    directive.name.eq_ignore_ascii_case(name)
}

/// Returns whether a directive has one of several names.
pub(super) fn is_one_of(directive: &Directive, names: &str) -> bool {
    names.split(' ').any(|name| is(directive, name))
}

impl<'t> VirtualHost<'t> {
    pub(super) fn read_all(directives: &'t [Directive], root: &'t Path) -> Vec<Self> {
        let new = |section, own, main| Self {
            section,
            own,
            main,
            root,
            sections: OnceCell::new(),
        };
        let sections = directives.iter().filter(|it| is(it, "VirtualHost"));
        let host = |it: &'t Directive| new(Some(it), it.children(), directives);
        let mut hosts: Vec<_> = sections.map(host).collect();
        if hosts.is_empty() {
            hosts.push(new(None, directives, &[]));
        }
        hosts
    }

    /// Returns the directive that stands for the whole host in messages.
    pub(super) fn directive(&self) -> Option<&'t Directive> {
        self.section.or(self.own.first())
    }

    /// Returns the directives of the main server, then its own.
    pub(super) fn directives(&self) -> impl Iterator<Item = &'t Directive> + use<'t> {
        self.main.iter().chain(self.own)
    }

    /// Returns every directive with a name.
    pub(super) fn every(&self, name: &str) -> impl Iterator<Item = &'t Directive> {
        self.directives().filter(move |it| is(it, name))
    }

    /// Returns whether a directive has a value, whatever its case.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.one(name).is_some_and(|it| it.keyword() == value)
    }

    /// Completes a file name, which may be relative.
    pub(super) fn path(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        let mut names = self.names().into_iter();
        names.any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Returns the names of `ServerName` and `ServerAlias`.
    pub(super) fn names(&self) -> Vec<&'t str> {
        let names = self.own.iter();
        let names = names.filter(|it| is_one_of(it, "ServerName ServerAlias"));
        names
            .flat_map(|it| &it.arguments)
            .map(String::as_str)
            .collect()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.has("SSLEngine", "on") || self.holds(&|it| is(it, "SSLCertificateFile"))
    }

    /// Returns whether the host, or a section of it, has such a directive.
    pub(super) fn holds(&self, is: &dyn Fn(&Directive) -> bool) -> bool {
        self.own.iter().any(|it| it.holds(is))
    }

    /// Returns the sections in the order in which Apache merges them.
    pub(super) fn sections(&self) -> &[SiteSection<'t>] {
        self.sections.get_or_init(|| {
            let mut sections: Vec<_> = self.directives().filter_map(SiteSection::of).collect();
            sections.sort_by_key(|it| matches!(it.scope, SectionScope::Paths(_)));
            sections
        })
    }

    /// Returns the sections for requests of a route for `path` that are passed on to `url`.
    pub(super) fn sections_for(&self, path: &str, url: &str) -> Vec<&SiteSection<'t>> {
        let sections = self.sections().iter();
        sections.filter(|it| it.scope.covers(path, url)).collect()
    }
}

impl<'t> InEffect<'t> for VirtualHost<'t> {
    /// Returns its own directives, or else those of the main server.
    fn all(&self, name: &str) -> Vec<&'t Directive> {
        let own: Vec<_> = self.own.iter().filter(|it| is(it, name)).collect();
        match own.is_empty() {
            true => self.every(name).collect(),
            false => own,
        }
    }
}

/// A `<Location>`, `<Directory>` or the like.
pub(super) struct SiteSection<'t> {
    pub(super) directive: &'t Directive,
    pub(super) scope: SectionScope,
}

impl<'t> SiteSection<'t> {
    fn of(directive: &'t Directive) -> Option<Self> {
        let name = directive.name.to_ascii_lowercase();
        let scope = match (name.as_str(), &directive.words()[..]) {
            ("location", ["~", pattern]) | ("locationmatch", [pattern]) => {
                let paths = regex_literal::paths(pattern).map(SectionScope::Paths);
                paths.unwrap_or_else(|| SectionScope::PathPattern(Regex::new(pattern).ok()))
            }
            ("location", [path]) if path.contains(['*', '?', '[']) => {
                SectionScope::PathPattern(None)
            }
            ("location", [path]) => {
                SectionScope::Paths(vec![path.trim_end_matches('/').to_owned() + "/*"])
            }
            ("proxy", [url]) => {
                let start = format!("^{}", regex::escape(url.trim_end_matches('*')));
                SectionScope::Proxied(Regex::new(&start).ok())
            }
            ("proxymatch", [pattern]) => SectionScope::Proxied(Regex::new(pattern).ok()),
            ("directory" | "directorymatch" | "files" | "filesmatch", _) => SectionScope::Files,
            _ => return None,
        };
        Some(Self { directive, scope })
    }

    /// Returns the directive with a name in the section that is in effect.
    pub(super) fn one(&self, name: &str) -> Option<&'t Directive> {
        self.directive.children().iter().rfind(|it| is(it, name))
    }
}

/// The requests that a section applies to. A pattern that cannot be read matches all.
pub(super) enum SectionScope {
    /// Paths, as routes have them.
    Paths(Vec<String>),
    /// Paths that a pattern matches.
    PathPattern(Option<Regex>),
    /// Requests that are passed on to a URL that a pattern matches.
    Proxied(Option<Regex>),
    /// Files, which requests that are passed on never reach.
    Files,
}

impl SectionScope {
    fn covers(&self, path: &str, url: &str) -> bool {
        match self {
            // A section for exactly `/a` does not apply to the whole of `/a/*`.
            Self::Paths(paths) => paths.iter().any(|own| {
                own == path || (own.ends_with("/*") && regex_literal::covers(own, path))
            }),
            Self::PathPattern(pattern) => {
                let start = path.trim_end_matches('*');
                let below = path.replace('*', "x");
                let is_match =
                    |pattern: &Regex| pattern.is_match(start) || pattern.is_match(&below);
                pattern.as_ref().is_none_or(is_match)
            }
            Self::Proxied(pattern) => pattern.as_ref().is_none_or(|it| it.is_match(url)),
            Self::Files => false,
        }
    }
}
