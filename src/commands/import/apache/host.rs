//! Virtual hosts, and their sections.

use super::syntax::ApacheConfig;
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
    pub(super) root: &'t Path,
    sections: OnceCell<Vec<SiteSection<'t>>>,
}

/// Returns whether a directive has a name, whatever its case.
pub(super) fn is(directive: &Directive, name: &str) -> bool {
    directive.name.eq_ignore_ascii_case(name)
}

impl<'t> VirtualHost<'t> {
    pub(super) fn all(config: &'t ApacheConfig) -> Vec<Self> {
        let all = &config.directives[..];
        let new = |section, own, main| Self {
            section,
            own,
            main,
            root: &config.root,
            sections: OnceCell::new(),
        };
        let sections = all.iter().filter(|it| is(it, "VirtualHost"));
        let mut hosts: Vec<_> = sections
            .map(|section| new(Some(section), section.children(), all))
            .collect();
        if hosts.is_empty() {
            hosts.push(new(None, all, &[]));
        }
        hosts
    }

    /// The directive that stands for the whole host in messages.
    pub(super) fn directive(&self) -> Option<&'t Directive> {
        self.section.or(self.own.first())
    }

    /// The directives of the main server, then its own.
    pub(super) fn directives(&self) -> impl Iterator<Item = &'t Directive> + use<'t> {
        self.main.iter().chain(self.own)
    }

    /// Every directive with a name.
    pub(super) fn every(&self, name: &str) -> impl Iterator<Item = &'t Directive> {
        self.directives().filter(move |it| is(it, name))
    }

    /// Returns whether a directive has a value, whatever its case.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        let directive = self.one(name);
        directive.is_some_and(|it| it.value().eq_ignore_ascii_case(value))
    }

    /// The file that a directive names.
    pub(super) fn file(&self, directive: &Directive) -> String {
        self.path(directive.value())
    }

    /// A file name, which may be relative.
    pub(super) fn path(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }

    /// `ServerName` and `ServerAlias`.
    pub(super) fn names(&self) -> Vec<&'t str> {
        let is_name = |it: &&Directive| is(it, "ServerName") || is(it, "ServerAlias");
        let directives = self.own.iter().filter(is_name);
        let names = directives.flat_map(|it| &it.arguments);
        names.map(String::as_str).collect()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.has("SSLEngine", "on") || self.holds(&|it| is(it, "SSLCertificateFile"))
    }

    /// Returns whether the host, or a section of it, has such a directive.
    pub(super) fn holds(&self, is: &dyn Fn(&Directive) -> bool) -> bool {
        self.own.iter().any(|it| it.holds(is))
    }

    /// The sections in the order in which Apache merges them.
    pub(super) fn sections(&self) -> &[SiteSection<'t>] {
        self.sections.get_or_init(|| {
            let mut sections: Vec<_> = self.directives().filter_map(SiteSection::of).collect();
            sections.sort_by_key(|section| matches!(section.scope, SectionScope::Paths(_)));
            sections
        })
    }

    /// The sections for requests of a route for `path` that are passed on to `url`.
    pub(super) fn sections_for(&self, path: &str, url: &str) -> Vec<&SiteSection<'t>> {
        let sections = self.sections().iter();
        sections.filter(|it| it.covers(path, url)).collect()
    }
}

impl<'t> InEffect<'t> for VirtualHost<'t> {
    /// Its own directives, or else those of the main server.
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

/// The requests that a section applies to.
pub(super) enum SectionScope {
    /// Paths, as routes have them.
    Paths(Vec<String>),
    /// Paths that a pattern matches. One that cannot be read matches all.
    PathPattern(Option<Regex>),
    /// Requests that are passed on to a URL that a pattern matches.
    Proxied(Option<Regex>),
    /// Files, which requests that are passed on never reach.
    Files,
}

impl<'t> SiteSection<'t> {
    fn of(directive: &'t Directive) -> Option<Self> {
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let scope = match (directive.name.to_ascii_lowercase().as_str(), &arguments[..]) {
            ("location", ["~", pattern]) | ("locationmatch", [pattern]) => {
                let plain = regex_literal::paths(pattern).map(SectionScope::Paths);
                plain.unwrap_or_else(|| SectionScope::PathPattern(Regex::new(pattern).ok()))
            }
            ("location", [path]) if path.contains('[') => SectionScope::PathPattern(None),
            ("location", [path]) if path.contains(['*', '?']) => {
                let pattern = regex::escape(path).replace(r"\*", ".*").replace(r"\?", ".");
                SectionScope::PathPattern(Regex::new(&format!("^{pattern}$")).ok())
            }
            ("location", [path]) => {
                SectionScope::Paths(vec![format!("{}/*", path.trim_end_matches('/'))])
            }
            ("proxy", [url]) => {
                let start = regex::escape(url.trim_end_matches('*'));
                SectionScope::Proxied(Regex::new(&format!("^{start}")).ok())
            }
            ("proxymatch", [pattern]) => SectionScope::Proxied(Regex::new(pattern).ok()),
            ("directory" | "directorymatch" | "files" | "filesmatch", _) => SectionScope::Files,
            _ => return None,
        };
        Some(Self { directive, scope })
    }

    fn covers(&self, path: &str, url: &str) -> bool {
        let matches = |pattern: &Option<Regex>, text: &str| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(text))
        };
        match &self.scope {
            // A section for exactly `/a` does not apply to the whole of `/a/*`.
            SectionScope::Paths(paths) => paths.iter().any(|own| {
                own == path || (own.ends_with("/*") && regex_literal::covers(own, path))
            }),
            SectionScope::PathPattern(pattern) => match path.strip_suffix('*') {
                Some(start) => matches(pattern, start) || matches(pattern, &format!("{start}x")),
                None => matches(pattern, path),
            },
            SectionScope::Proxied(pattern) => matches(pattern, url),
            SectionScope::Files => false,
        }
    }

    /// The directive with a name in the section that is in effect.
    pub(super) fn one(&self, name: &str) -> Option<&'t Directive> {
        self.directive.children().iter().rfind(|it| is(it, name))
    }
}
