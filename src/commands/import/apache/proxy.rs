//! `ProxyPass`, in its forms, and balancers.

use super::host::{Host, Section, SectionPlace, is};
use crate::commands::import::directive::Directive;
use crate::commands::import::quantity::duration;
use crate::commands::import::regex_literal::{self, covers};
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::{self, Group, Keys};
use crate::http::path::PathPattern;
use std::path::Path;

/// What stands in the place of a URL where nothing is passed on.
const EXCLUDED: &str = "!";

/// Requests that are passed on, or are not.
#[derive(Clone, Debug)]
pub(super) struct Mapping<'t> {
    pub(super) directive: &'t Directive,
    /// Of routes.
    pub(super) paths: Vec<String>,
    /// What Apache puts a path in the place of, and what in its place.
    rewrite: Option<(String, String)>,
    url: String,
    parameters: Vec<&'t str>,
}

/// Where they go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// A URL, or the name of a group.
    pub(super) upstream: String,
    /// What Apache puts into `Host` unless it is told otherwise; `None` where it differs between
    /// servers.
    pub(super) host: Option<String>,
}

/// Reads where requests go.
pub(super) struct Proxy<'r, 't> {
    pub(super) host: &'r Host<'t>,
    pub(super) ledger: &'r Ledger,
    pub(super) root: &'r Path,
}

impl<'t> Proxy<'_, 't> {
    /// Every path that is passed on, in the order in which Apache looks.
    pub(super) fn mappings(&self) -> Vec<Mapping<'t>> {
        let rewrites = self.host.own().iter().filter(|it| is(it, "RewriteRule"));
        let mut mappings: Vec<_> = rewrites.filter_map(|it| self.rewrite_rule(it)).collect();
        // Of sections, the last that says something is right.
        for section in self.host.sections().iter().rev() {
            mappings.extend(self.in_section(section));
        }
        for directive in self.host.both().into_iter().flatten() {
            let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
            let [path, url, parameters @ ..] = &arguments[..] else {
                continue;
            };
            if is(directive, "ProxyPassMatch") {
                mappings.extend(self.matching(directive, path, url, parameters));
            } else if is(directive, "ProxyPass") {
                mappings.extend(self.prefix(directive, path, url, parameters));
            }
        }
        mappings
    }

    /// `ProxyPass` without a path, which is the section's.
    fn in_section(&self, section: &Section<'t>) -> Vec<Mapping<'t>> {
        let (SectionPlace::Paths { paths, is_exact }, Some(directive)) =
            (&section.place, section.one("ProxyPass"))
        else {
            return Vec::new();
        };
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let [url, parameters @ ..] = &arguments[..] else {
            return Vec::new();
        };
        let mut mappings: Vec<_> = paths
            .iter()
            .filter_map(|path| self.prefix(directive, path, url, parameters))
            .collect();
        if *is_exact {
            mappings
                .iter_mut()
                .zip(paths)
                .for_each(|(mapping, path)| mapping.paths = vec![path.clone()]);
        }
        mappings
    }

    fn prefix(
        &self,
        directive: &'t Directive,
        path: &str,
        url: &str,
        parameters: &[&'t str],
    ) -> Option<Mapping<'t>> {
        let mapping = Mapping::prefix(directive, path, url, parameters);
        if let Some(Err(message)) = mapping.paths.first().map(|path| PathPattern::parse(path)) {
            self.ledger
                .not_carried(directive, format!("the path of a route {message}"));
            return None;
        }
        Some(mapping)
    }

    fn matching(
        &self,
        directive: &'t Directive,
        pattern: &str,
        url: &str,
        parameters: &[&'t str],
    ) -> Option<Mapping<'t>> {
        let mapping = expression(directive, pattern, url, parameters);
        if mapping.is_none() {
            let remedy = "an expression for more than a few paths, or one that changes them, is no route: if the webhook's is among \
                          them, pass it on with ProxyPass";
            self.ledger.not_carried(directive, remedy);
        }
        mapping
    }

    /// `RewriteRule ^/(.*)$ http://…/$1 [P]`
    fn rewrite_rule(&self, directive: &'t Directive) -> Option<Mapping<'t>> {
        let [pattern, url, flags] = directive.arguments.as_slice() else {
            return None;
        };
        let is_proxy = flags
            .trim_matches(['[', ']'])
            .split(',')
            .any(|flag| flag.eq_ignore_ascii_case("P"));
        if !is_proxy {
            return None;
        }
        if ["ws://", "wss://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            // What does not ask for an Upgrade goes on to what follows.
            self.ledger
                .not_carried(directive, "there are no WebSockets: Upgrade ends here");
            return None;
        }
        self.matching(directive, pattern, url, &[])
    }

    /// `None` where it cannot be carried over, which has been said then.
    pub(super) fn target(&self, mapping: &Mapping<'t>, groups: &mut Vec<Group>) -> Option<Target> {
        let directive = mapping.directive;
        let url = mapping.url.as_str();
        let (socket, url) = match url
            .strip_prefix("unix:")
            .and_then(|rest| rest.split_once('|'))
        {
            Some((socket, url)) => (Some(socket), url),
            None => (None, url),
        };
        let Some((scheme, rest)) = url.split_once("://") else {
            if url != EXCLUDED {
                self.ledger.not_carried(
                    directive,
                    "an upstream is http://host:port, https://host:port or unix:/path",
                );
            }
            return None;
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let is_tls = scheme.eq_ignore_ascii_case("https");
        let mut keys = self.keys(mapping, is_tls);
        let servers = match (scheme.to_ascii_lowercase().as_str(), socket) {
            ("balancer", _) => self.members(authority, &mut keys),
            ("http" | "https" | "h2" | "h2c", Some(socket)) => {
                vec![format!("unix:{}", self.root.join(socket).display())]
            }
            ("http" | "https", None) if authority.contains("${") => {
                let remedy = "this variable is not defined here: set it in the environment, as Apache's has it";
                self.ledger.not_carried(directive, remedy);
                return None;
            }
            ("http" | "https", None) if authority.contains(['$', '%', '@']) => Vec::new(),
            ("http" | "https", None) => {
                vec![format!("{}://{authority}", scheme.to_ascii_lowercase())]
            }
            _ => Vec::new(),
        };
        if servers.is_empty() {
            let remedy = "applications are spoken HTTP with, at addresses that are known: let this one listen for that";
            self.ledger.not_carried(directive, remedy);
            return None;
        }
        let host = match (scheme.eq_ignore_ascii_case("balancer"), &servers[..]) {
            (false, _) => Some(host_of(url)),
            (true, [only]) => Some(host_of(only)),
            (true, _) => None,
        };
        let is_group = keys != Keys::default() || servers.len() > 1 || scheme == "balancer";
        let upstream = match is_group {
            false => servers[0].clone(),
            true => {
                let name = if scheme == "balancer" {
                    authority
                } else {
                    "app"
                };
                let mut group = Keys::default();
                group.set("servers", servers);
                group.append(keys);
                toml_writer::add_group(groups, name, group)
            }
        };
        let patience = match self.host.one("ProxyTimeout").is_some()
            || mapping
                .parameters
                .iter()
                .any(|it| it.starts_with("timeout="))
        {
            true => "",
            false => {
                "; it has 30 s to answer, with Apache it had Timeout (response_timeout, in a group of [upstreams])"
            }
        };
        self.ledger
            .carried(directive, format!("routes.upstream: {upstream}{patience}"));
        if let Some((old, new)) = &mapping.rewrite {
            let remedy = format!(
                "the path: Apache sent {old} on as {new}; now the application gets it as it came, so let it answer there, or \
                 set path = \"{new}\" and the same in Netdata Cloud"
            );
            self.ledger.not_carried(directive, remedy);
        }
        Some(Target { upstream, host })
    }

    /// Timeouts, and how TLS is spoken.
    fn keys(&self, mapping: &Mapping<'t>, is_tls: bool) -> Keys {
        let mut keys = Keys::default();
        let parameter = |name: &str| {
            mapping
                .parameters
                .iter()
                .find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
        };
        if let Some(timeout) = parameter("connectiontimeout").and_then(duration) {
            keys.set("connect_timeout", timeout);
        }
        let own = parameter("timeout").and_then(duration);
        let general = self.host.one("ProxyTimeout").filter(|_| own.is_none());
        if let Some(directive) = general {
            self.ledger.carried(directive, "response_timeout");
        }
        if let Some(timeout) = own.or_else(|| duration(general?.value())) {
            keys.set("response_timeout", timeout);
        }
        if is_tls {
            self.tls_keys(mapping.directive, &mut keys);
        }
        keys
    }

    fn tls_keys(&self, place: &'t Directive, keys: &mut Keys) {
        if let Some(directive) = self.host.one("SSLProxyCACertificateFile") {
            keys.set(
                "ca",
                self.root.join(directive.value()).display().to_string(),
            );
            self.ledger.carried(directive, "ca");
        }
        if let Some(directive) = self.host.one("SSLProxyMachineCertificateFile") {
            let file = self.root.join(directive.value()).display().to_string();
            keys.set("client_certificate", file.as_str());
            keys.set("client_private_key", file);
            self.ledger
                .carried(directive, "client_certificate and client_private_key");
        }
        if !self
            .host
            .value("SSLProxyVerify")
            .eq_ignore_ascii_case("require")
        {
            let hole = "the certificate of the application was not verified; it is now: name its authority in ca, unless the \
                        system knows it";
            self.ledger.closed(place, hole);
        }
    }

    /// Of `<Proxy balancer://name>`.
    fn members(&self, name: &str, keys: &mut Keys) -> Vec<String> {
        let is_it = |it: &&Directive| {
            it.value()
                .strip_prefix("balancer://")
                .is_some_and(|rest| rest.trim_end_matches('/') == name)
        };
        let sections = self.host.every("Proxy").filter(is_it);
        let mut servers = Vec::new();
        for directive in sections.flat_map(Directive::children) {
            if is(directive, "BalancerMember") {
                servers.extend(self.member(directive));
            } else if is(directive, "ProxySet") {
                self.proxy_set(directive, keys);
            }
        }
        toml_writer::unique(servers)
    }

    fn member(&self, directive: &'t Directive) -> Option<String> {
        let status = directive
            .arguments
            .iter()
            .filter_map(|parameter| parameter.strip_prefix("status="));
        if status
            .into_iter()
            .any(|status| status.contains(['H', 'D', 'S']))
        {
            let remedy =
                "every server of a group takes part: add it to servers if it may do so always";
            self.ledger.not_carried(directive, remedy);
            return None;
        }
        let url = directive.value();
        let server = match url
            .strip_prefix("unix:")
            .and_then(|rest| rest.split_once('|'))
        {
            Some((socket, _)) => format!("unix:{}", self.root.join(socket).display()),
            None => url.trim_end_matches('/').to_owned(),
        };
        if !server.starts_with("http") && !server.starts_with("unix:") {
            self.ledger.not_carried(
                directive,
                "applications are spoken HTTP with: let this one listen for that",
            );
            return None;
        }
        self.ledger
            .carried(directive, "servers; each is checked every 5 s");
        Some(server)
    }

    fn proxy_set(&self, directive: &'t Directive, keys: &mut Keys) {
        let timeout = directive
            .arguments
            .iter()
            .find_map(|parameter| duration(parameter.strip_prefix("timeout=")?));
        if let Some(timeout) = timeout {
            keys.set("response_timeout", timeout);
            self.ledger.carried(directive, "response_timeout");
        }
    }
}

impl<'t> Mapping<'t> {
    fn prefix(directive: &'t Directive, path: &str, url: &str, parameters: &[&'t str]) -> Self {
        let own = path.trim_end_matches('/');
        let paths = vec![format!("{own}/*")];
        let new = path_of(url).trim_end_matches('/');
        let rewrite =
            (new != own && url != EXCLUDED).then(|| (format!("{own}/"), format!("{new}/")));
        let (url, parameters) = (url.to_owned(), parameters.to_vec());
        Self {
            directive,
            paths,
            rewrite,
            url,
            parameters,
        }
    }

    /// Whether it says that these paths are not passed on.
    pub(super) fn is_exclusion(&self) -> bool {
        self.url == EXCLUDED
    }

    /// Where requests go, as `<Proxy>` sees it.
    pub(super) fn url(&self) -> &str {
        self.url.split_once('|').map_or(&self.url, |(_, url)| url)
    }

    /// Whether it is for `path`, too, which may end with `/*`.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|own| covers(own, path))
    }
}

/// What stands in `Host` for a URL.
fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };
    authority.strip_suffix(port).unwrap_or(authority).to_owned()
}

/// The path of a URL, or nothing.
fn path_of(url: &str) -> &str {
    let rest = url.rsplit_once("://").map_or("", |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// An expression for a few paths, which reach the application as they came.
fn expression<'t>(
    directive: &'t Directive,
    pattern: &str,
    url: &str,
    parameters: &[&'t str],
) -> Option<Mapping<'t>> {
    // `^/a(/.*)$ http://host/a$1`, `^(/a/.*)$ http://host$1`, and with $0.
    let whole = || {
        // Where ProxyPassMatch refers to nothing, the path follows by itself.
        let follows =
            !url.contains('$') && is(directive, "ProxyPassMatch") && path_of(url).is_empty();
        url.strip_suffix("$0")
            .or(follows.then_some(url))
            .map(|url| (pattern.to_owned(), url))
    };
    let group = || {
        let (inner, end) = [(")?$", ")?$"), (")$", "$"), (")", "$")]
            .iter()
            .find_map(|(end, kept)| Some((pattern.strip_suffix(end)?, *kept)))?;
        let (before, group) = inner.rsplit_once('(')?;
        let url = url
            .strip_suffix("$1")?
            .strip_suffix(before.strip_prefix('^')?)?;
        let open = if end.starts_with(')') { "(" } else { "" };
        Some((format!("{before}{open}{group}{end}"), url))
    };
    // `^/a$ http://host/a`
    let fixed = || {
        if !is(directive, "RewriteRule") {
            return None;
        }
        let path = pattern.strip_prefix('^')?;
        let (path, end) = ["/?$", "$"]
            .iter()
            .find_map(|end| Some((path.strip_suffix(end)?, *end)))
            .unwrap_or((path, "$"));
        Some((
            format!("^{path}{end}"),
            url.strip_suffix(path.replace('\\', "").as_str())?,
        ))
    };
    let (pattern, url) = whole().or_else(group).or_else(fixed)?;
    let paths = regex_literal::paths(&pattern)?;
    let url = url.to_owned();
    Some(Mapping {
        directive,
        paths,
        rewrite: None,
        url,
        parameters: parameters.to_vec(),
    })
}
