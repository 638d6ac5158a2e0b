//! `ProxyPass` in its forms, `RewriteRule … [P]`, and balancers.

use super::host::{SectionRequests, SiteSection};
use crate::commands::import::directive::{Directive, is_listed};
use crate::commands::import::regex_literal;
use crate::commands::import::scope::Scope;
use crate::commands::import::site::{Obstacle, changed_path};
use crate::commands::import::upstream::{self, Upstream, UpstreamUrl};
use crate::http::path::PathPattern;
use regex::Regex;

/// Stands for the URL of paths that are not passed on.
pub(super) const EXCLUDED: &str = "!";

/// Requests that are passed on, or are excluded from that.
pub(super) struct ProxyMapping<'t> {
    pub(super) directive: &'t Directive,
    /// Paths, as routes have them; none for a pattern that is for more than a few.
    pub(super) paths: Vec<String>,
    /// The requests, if the pattern can be read.
    pattern: Option<Regex>,
    /// The URL, which may refer to groups of the pattern.
    pub(super) url: String,
}

/// The place that requests for one path are passed on to.
pub(super) struct ProxyTarget<'t> {
    pub(super) directive: &'t Directive,
    pub(super) url: String,
    /// The advice if Apache changes the path.
    pub(super) change: Option<String>,
}

/// Returns what is passed on, in the order in which Apache looks.
pub(super) fn mappings<'t>(
    scope: &Scope<'t>,
    sections: &[SiteSection<'t>],
) -> Vec<ProxyMapping<'t>> {
    let rules = scope.own("RewriteRule").filter(|it| has_flag(it, "P"));
    let mut all: Vec<_> = rules.map(ProxyMapping::matching).collect();
    // Later sections override earlier ones.
    all.extend(sections.iter().rev().flat_map(in_section));
    for directive in scope.every("ProxyPass ProxyPassMatch") {
        match &directive.words()[..] {
            [_, _, ..] if directive.is("ProxyPassMatch") => {
                all.push(ProxyMapping::matching(directive));
            }
            [path, url, ..] => all.push(ProxyMapping::below(directive, &below(path), url)),
            _ => {}
        }
    }
    all
}

/// Returns what the `ProxyPass` of a section passes on, which has no path of its own.
fn in_section<'t>(section: &SiteSection<'t>) -> Vec<ProxyMapping<'t>> {
    let mut passing = section.directive.children().iter().rev();
    match (&section.requests, passing.find(|it| it.is("ProxyPass"))) {
        (SectionRequests::Paths(paths), Some(directive)) => {
            let below = |path: &String| ProxyMapping::below(directive, path, directive.value());
            paths.iter().map(below).collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the path of a route for everything below a path.
pub(super) fn below(path: &str) -> String {
    path.trim_end_matches('/').to_owned() + "/*"
}

/// Returns whether a `RewriteRule` has one of several flags: see [`is_listed`].
pub(super) fn has_flag(rule: &Directive, names: &str) -> bool {
    let mut flags = rule.argument(2).trim_matches(['[', ']']).split(',');
    flags.any(|flag| is_listed(names, flag.trim()))
}

impl<'t> ProxyMapping<'t> {
    /// Returns the mapping of a route's path, and of everything below it.
    fn below(directive: &'t Directive, path: &str, url: &str) -> Self {
        let is_path = PathPattern::parse(path).is_ok();
        let start = regex::escape(path.trim_end_matches("/*"));
        let url = match url {
            EXCLUDED => url.to_owned(),
            _ => url.trim_end_matches('/').to_owned() + "$1",
        };
        Self {
            directive,
            paths: is_path.then(|| path.to_owned()).into_iter().collect(),
            pattern: Regex::new(&format!("^{start}(/.*)?$")).ok(),
            url,
        }
    }

    /// Reads a pattern, which may stand for a few paths; best for those that Apache does not change.
    fn matching(directive: &'t Directive) -> Self {
        let mut url = directive.argument(1).to_owned();
        if directive.is("ProxyPassMatch") && !url.contains('$') {
            // Apache appends the path.
            url.push_str("$0");
        }
        let mut mapping = Self {
            directive,
            paths: regex_literal::paths(directive.value()).unwrap_or_default(),
            pattern: Regex::new(directive.value()).ok(),
            url,
        };
        let mut paths = mapping.paths.clone();
        paths.retain(|path| mapping.target(path).is_some_and(|it| it.change.is_none()));
        if !paths.is_empty() {
            mapping.paths = paths;
        }
        mapping
    }

    /// Returns where all requests for the path of a route are passed on to.
    pub(super) fn target(&self, path: &str) -> Option<ProxyTarget<'t>> {
        let mut own = self.paths.iter();
        if path.ends_with('*') && !own.any(|own| regex_literal::covers(own, path)) {
            return None;
        }
        let path = path.replace('*', "x");
        let groups = self.pattern.as_ref()?.captures(&path)?;
        let mut url = self.url.clone();
        for (number, group) in groups.iter().enumerate() {
            url = url.replace(&format!("${number}"), group.map_or("", |it| it.as_str()));
        }
        let new = UpstreamUrl::of(&url).path.to_owned();
        let change = (new != path).then(|| changed_path(&path, &new));
        let directive = self.directive;
        // Requests without an Upgrade are left to the rules that follow one for WebSockets.
        (!url.starts_with("ws")).then_some(ProxyTarget {
            directive,
            url,
            change,
        })
    }
}

impl<'t> ProxyTarget<'t> {
    /// Returns the application, and the `Host` that Apache sets, if it is the same for all servers.
    pub(super) fn upstream(
        &self,
        scope: &Scope<'t>,
    ) -> Result<(Upstream<'t>, Option<String>), Obstacle<'t>> {
        let url = UpstreamUrl::of(&self.url);
        let upstream = upstream::read(scope, self.directive, &url)?;
        let host = match (&upstream.group, &upstream.servers[..]) {
            (None, _) => Some(url.host()),
            (_, [only]) => Some(UpstreamUrl::of(only).host()),
            _ => None,
        };
        let host = host.map(str::to_owned);
        Ok((upstream, host))
    }
}
