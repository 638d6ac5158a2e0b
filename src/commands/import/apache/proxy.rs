//! `ProxyPass` in its forms, `RewriteRule … [P]`, and balancers.

use super::host::{SectionRequests, SiteSection};
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal;
use crate::commands::import::scope::Scope;
use crate::commands::import::site::{Obstacle, changed_path};
use crate::commands::import::upstream::{UNSUPPORTED, Upstream, UpstreamUrl, is_used, settings};
use crate::http::path::PathPattern;
use regex::Regex;

/// Stands for the URL of paths that are not passed on.
const EXCLUDED: &str = "!";

/// Requests that are passed on, or are excluded from that.
#[derive(Clone)]
pub(super) struct ProxyMapping<'t> {
    pub(super) directive: &'t Directive,
    /// Paths, as routes have them; none for a pattern that is for more than a few.
    pub(super) paths: Vec<String>,
    /// Requests are selected by a pattern.
    is_pattern: bool,
    url: String,
    /// The advice if Apache changes the path.
    pub(super) change: Option<String>,
}

/// Returns the paths that are passed on, in the order in which Apache looks.
pub(super) fn mappings<'t>(
    scope: &Scope<'t>,
    sections: &[SiteSection<'t>],
) -> Vec<ProxyMapping<'t>> {
    let rules = scope.own("RewriteRule").filter(|it| is_proxy_rule(it));
    let mut all: Vec<_> = rules.map(matching).collect();
    // Later sections override earlier ones.
    all.extend(sections.iter().rev().flat_map(in_section));
    for directive in scope.every("ProxyPass ProxyPassMatch") {
        match &directive.words()[..] {
            [_, _, ..] if directive.is("ProxyPassMatch") => all.push(matching(directive)),
            [path, url, ..] => all.push(prefix(directive, &below(path), url)),
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
            let paths = paths.iter();
            paths
                .map(|path| prefix(directive, path, directive.value()))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the path of a route for everything below a path.
pub(super) fn below(path: &str) -> String {
    path.trim_end_matches('/').to_owned() + "/*"
}

/// Returns whether a `RewriteRule` passes requests on.
fn is_proxy_rule(rule: &Directive) -> bool {
    let mut flags = rule.argument(2).trim_matches(['[', ']']).split(',');
    flags.any(|flag| flag.trim().eq_ignore_ascii_case("P"))
}

fn prefix<'t>(directive: &'t Directive, path: &str, url: &str) -> ProxyMapping<'t> {
    let is_path = PathPattern::parse(path).is_ok();
    let old = path.trim_end_matches("/*");
    let new = UpstreamUrl::of(url).path.trim_end_matches('/');
    let change = (new != old).then(|| changed_path(&format!("{old}/"), &format!("{new}/")));
    ProxyMapping {
        directive,
        paths: is_path.then(|| path.to_owned()).into_iter().collect(),
        is_pattern: false,
        url: url.to_owned(),
        change,
    }
}

/// Reads a pattern, which may stand for a few paths; best for those that Apache does not change.
fn matching(directive: &Directive) -> ProxyMapping<'_> {
    let paths = regex_literal::paths(&whole(directive)).unwrap_or_default();
    let with_target = |path: String| Some((target(directive, &path)?.1.is_none(), path));
    let paths: Vec<_> = paths.into_iter().filter_map(with_target).collect();
    let best = paths.iter().any(|(is_same, _)| *is_same);
    let paths = paths.into_iter().filter(|(is_same, _)| *is_same == best);
    ProxyMapping {
        directive,
        paths: paths.map(|(_, path)| path).collect(),
        is_pattern: true,
        url: directive.argument(1).to_owned(),
        change: None,
    }
}

/// Returns a pattern without needless parentheses, and with its end where one path is meant.
fn whole(directive: &Directive) -> String {
    let pattern = directive.value();
    let inner = pattern.strip_prefix("^(");
    let inner = inner.and_then(|it| it.strip_suffix(")$"));
    match inner.filter(|it| !it.contains('(')) {
        Some(path) => format!("^{path}$"),
        // A `RewriteRule` without references is for one path.
        None if directive.is("RewriteRule") && !directive.argument(1).contains('$') => {
            format!("{}$", pattern.trim_end_matches('$'))
        }
        None => pattern.to_owned(),
    }
}

/// Returns the URL that a pattern has for a path, and the advice if Apache changes the path.
fn target(directive: &Directive, path: &str) -> Option<(String, Option<String>)> {
    let pattern = Regex::new(directive.value()).ok()?;
    let path = path.replace('*', "x");
    let groups = pattern.captures(&path)?;
    let mut url = directive.argument(1).to_owned();
    for (number, group) in groups.iter().enumerate() {
        url = url.replace(&format!("${number}"), group.map_or("", |it| it.as_str()));
    }
    if directive.is("ProxyPassMatch") && url == directive.argument(1) {
        // Apache appends the path to a URL without references.
        url.push_str(&path);
    }
    let new = UpstreamUrl::of(&url).path.to_owned();
    let change = (new != path).then(|| changed_path(&path, &new));
    // Requests without an Upgrade are left to the rules that follow one for WebSockets.
    (!url.starts_with("ws")).then_some((url, change))
}

impl<'t> ProxyMapping<'t> {
    /// Returns the mapping for the path of a route, if it applies to the whole of that.
    pub(super) fn for_path(&self, path: &str) -> Option<Self> {
        let mut own = self.paths.iter();
        let is_covered = own.any(|own| regex_literal::covers(own, path));
        if !self.is_pattern {
            return is_covered.then(|| self.clone());
        } else if !is_covered && path.ends_with('*') {
            return None;
        }
        let (url, change) = target(self.directive, path)?;
        Some(Self {
            url,
            change,
            ..self.clone()
        })
    }

    /// Returns whether it excludes its paths.
    pub(super) fn is_exclusion(&self) -> bool {
        self.url == EXCLUDED
    }

    /// Returns the URL that `<Proxy>` is compared with.
    pub(super) fn url(&self) -> &str {
        self.url.split_once('|').map_or(&self.url, |(_, url)| url)
    }

    /// Returns the application, and the `Host` that Apache sets by default, unless it differs
    /// between servers.
    pub(super) fn upstream(
        &self,
        scope: &Scope<'t>,
    ) -> Result<(Upstream<'t>, Option<String>), Obstacle<'t>> {
        let url = UpstreamUrl::of(&self.url);
        let balancer = Some(url.authority).filter(|_| url.scheme == "balancer");
        let servers = match balancer {
            Some(name) => members(scope, name)?,
            None => vec![
                url.server(scope)
                    .map_err(|remedy| (self.directive, remedy))?,
            ],
        };
        if servers.is_empty() {
            return Err((self.directive, UNSUPPORTED.to_owned()));
        }
        let host = host(&url, &servers).map(str::to_owned);
        let upstream = Upstream {
            directive: self.directive,
            group: balancer.map(str::to_owned),
            servers,
            keys: settings(scope, self.directive, url.scheme == "https"),
        };
        Ok((upstream, host))
    }
}

/// Returns the `Host` of the only server.
fn host<'s>(url: &UpstreamUrl<'s>, servers: &'s [String]) -> Option<&'s str> {
    match servers {
        [only] if url.scheme == "balancer" => Some(UpstreamUrl::of(only).host()),
        [_] => Some(url.host()),
        _ => None,
    }
}

/// Returns the servers in `<Proxy balancer://name>` that always receive requests.
fn members<'t>(scope: &Scope<'t>, name: &str) -> Result<Vec<String>, Obstacle<'t>> {
    let url = format!("balancer://{name}");
    let sections = scope.every("Proxy");
    let own = sections.filter(|it| it.value().trim_end_matches('/') == url);
    let members = own.flat_map(Directive::children);
    let used = members.filter(|it| it.is("BalancerMember") && is_used(it));
    let servers = used.map(|member| {
        let server = UpstreamUrl::of(member.value()).server(scope);
        server.map_err(|remedy| (member, remedy))
    });
    servers.collect()
}
