//! `ProxyPass` in its forms, `RewriteRule … [P]`, and balancers.

use super::host::{SectionScope, SiteSection, VirtualHost, is};
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::quantity::duration;
use crate::commands::import::regex_literal;
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::{ConfigDraft, ConfigTable};
use crate::http::path::PathPattern;

/// Stands for the URL of paths that are not passed on.
const EXCLUDED: &str = "!";

/// Requests that are passed on, or are excluded from that.
#[derive(Clone)]
pub(super) struct ProxyMapping<'t> {
    pub(super) directive: &'t Directive,
    /// Paths, as routes have them.
    pub(super) paths: Vec<String>,
    /// The start of the path, and what Apache replaces it with.
    rewrite: Option<(String, String)>,
    url: String,
}

/// The application that requests are passed on to.
pub(super) struct Backend {
    /// A URL, or the name of a group.
    pub(super) upstream: String,
    /// The `Host` that Apache sets by default; `None` if it differs between servers.
    pub(super) host: Option<String>,
}

/// Returns the paths that are passed on, in the order in which Apache looks.
pub(super) fn mappings<'t>(host: &VirtualHost<'t>, ledger: &Ledger) -> Vec<ProxyMapping<'t>> {
    let rules = host.own.iter().filter(|it| is(it, "RewriteRule"));
    let mut all: Vec<_> = rules
        .filter_map(|rule| rewrite_rule(rule, ledger))
        .collect();
    // Later sections override earlier ones.
    for section in host.sections().iter().rev() {
        all.extend(in_section(section, ledger));
    }
    for directive in host.directives() {
        let [path, url, ..] = directive.arguments.as_slice() else {
            continue;
        };
        if is(directive, "ProxyPassMatch") {
            all.extend(matching(directive, path, url, ledger));
        } else if is(directive, "ProxyPass") {
            let base = path.trim_end_matches('/');
            all.extend(prefix(directive, base, &format!("{base}/*"), url, ledger));
        }
    }
    all
}

/// Reads `ProxyPass` without a path, which is that of the section.
fn in_section<'t>(section: &SiteSection<'t>, ledger: &Ledger) -> Vec<ProxyMapping<'t>> {
    let (SectionScope::Paths(paths), Some(directive)) = (&section.scope, section.one("ProxyPass"))
    else {
        return Vec::new();
    };
    let mapping = |path: &String| {
        let base = path.trim_end_matches("/*");
        prefix(directive, base, path, directive.value(), ledger)
    };
    paths.iter().filter_map(mapping).collect()
}

fn prefix<'t>(
    directive: &'t Directive,
    base: &str,
    path: &str,
    url: &str,
    ledger: &Ledger,
) -> Option<ProxyMapping<'t>> {
    if let Err(message) = PathPattern::parse(path) {
        ledger.not_carried(directive, format!("the path of a route {message}"));
        return None;
    }
    let new = path_of(url).trim_end_matches('/');
    let is_changed = new != base && url != EXCLUDED;
    Some(ProxyMapping {
        directive,
        paths: vec![path.to_owned()],
        rewrite: is_changed.then(|| (format!("{base}/"), format!("{new}/"))),
        url: url.to_owned(),
    })
}

/// Reads `RewriteRule ^/(.*)$ http://…/$1 [P]`.
fn rewrite_rule<'t>(rule: &'t Directive, ledger: &Ledger) -> Option<ProxyMapping<'t>> {
    let [pattern, url, flags] = rule.arguments.as_slice() else {
        return None;
    };
    let mut flags = flags.trim_matches(['[', ']']).split(',');
    if !flags.any(|flag| flag.eq_ignore_ascii_case("P")) {
        return None;
    }
    if url.starts_with("ws://") || url.starts_with("wss://") {
        // Requests without an Upgrade are left to the rules that follow.
        ledger.not_carried(rule, "there are no WebSockets: Upgrade ends here");
        return None;
    }
    matching(rule, pattern, url, ledger)
}

fn matching<'t>(
    directive: &'t Directive,
    pattern: &str,
    url: &str,
    ledger: &Ledger,
) -> Option<ProxyMapping<'t>> {
    let plain = unchanged(pattern, url, is(directive, "RewriteRule"));
    let found = plain.and_then(|(pattern, url)| Some((regex_literal::paths(&pattern)?, url)));
    let Some((paths, url)) = found else {
        let remedy = "a route is not possible for a pattern that matches many paths or changes them: if the webhook's path \
                      is among them, pass it on with ProxyPass";
        ledger.not_carried(directive, remedy);
        return None;
    };
    Some(ProxyMapping {
        directive,
        paths,
        rewrite: None,
        url,
    })
}

/// Returns the pattern and the URL without its path, if the path reaches the application unchanged.
fn unchanged(pattern: &str, url: &str, is_rule: bool) -> Option<(String, String)> {
    let base = |path: &str| {
        let base = url.strip_suffix(&path.replace('\\', ""))?;
        path_of(base).is_empty().then(|| base.to_owned())
    };
    if let Some(base) = base("$0") {
        return Some((pattern.to_owned(), base));
    }
    if !is_rule && !url.contains('$') {
        // Apache appends the path to a URL without references.
        return Some((pattern.to_owned(), base("")?));
    }
    let path = pattern.strip_prefix('^')?.trim_end_matches('$');
    match path.split_once('(') {
        // `^(/a/.*)$ http://host$1`
        Some(("", group)) => {
            let whole = group.strip_suffix(')').filter(|it| !it.contains('('))?;
            Some((format!("^{whole}$"), base("$1")?))
        }
        // `^/a/(.*)$ http://host/a/$1`
        Some((start, group)) => {
            let (_, rest) = group.split_once(')')?;
            let base = base(&format!("{start}$1")).filter(|_| matches!(rest, "" | "?"));
            Some((pattern.to_owned(), base?))
        }
        // `^/a$ http://host/a`
        None if is_rule => {
            let fixed = path.strip_suffix("/?").unwrap_or(path);
            Some((format!("^{path}$"), base(fixed)?))
        }
        None => None,
    }
}

impl<'t> ProxyMapping<'t> {
    /// Returns whether it excludes its paths.
    pub(super) fn is_exclusion(&self) -> bool {
        self.url == EXCLUDED
    }

    /// The URL that `<Proxy>` is compared with.
    pub(super) fn url(&self) -> &str {
        self.url.split_once('|').map_or(&self.url, |(_, url)| url)
    }

    /// Returns whether it applies to the whole of a route's path.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.paths
            .iter()
            .any(|own| regex_literal::covers(own, path))
    }

    /// Returns the application; `None` if it is not supported, which has been reported then.
    pub(super) fn backend(
        &self,
        host: &VirtualHost<'t>,
        draft: &mut ConfigDraft,
        ledger: &Ledger,
    ) -> Option<Backend> {
        let mut keys = self.timeouts(host, ledger);
        if self.url().to_ascii_lowercase().starts_with("https:") {
            self.tls(host, &mut keys, ledger);
        }
        let balancer = self.url.strip_prefix("balancer://");
        let balancer = balancer.map(|rest| rest.split('/').next().unwrap_or_default());
        let servers = match balancer {
            Some(name) => members(host, name, &mut keys, ledger),
            None => vec![server(host, self.directive, &self.url, ledger)?],
        };
        let host = match &servers[..] {
            [] => {
                ledger.not_carried(self.directive, UNSUPPORTED);
                return None;
            }
            [only] if balancer.is_some() => host_of(only),
            [_] => host_of(self.url()),
            _ => None,
        };
        let limit = match keys.has("response_timeout") {
            true => "",
            false => "; response_timeout is 30 s now, and was Timeout with Apache",
        };
        let upstream = draft.upstream(balancer, servers, keys);
        ledger.carried(
            self.directive,
            format!("routes.upstream: {upstream}{limit}"),
        );
        if let Some((old, new)) = &self.rewrite {
            let remedy = format!(
                "the path: Apache passed {old} on as {new}; now it is unchanged: configure the application to accept it, or set \
                 path = \"{new}\" here and in Netdata Cloud"
            );
            ledger.not_carried(self.directive, remedy);
        }
        Some(Backend { upstream, host })
    }

    fn timeouts(&self, host: &VirtualHost<'t>, ledger: &Ledger) -> ConfigTable {
        let mut keys = ConfigTable::default();
        if let Some(timeout) = parameter(self.directive, "connectiontimeout=") {
            keys.set("connect_timeout", timeout);
        }
        if let Some(timeout) = parameter(self.directive, "timeout=") {
            keys.set("response_timeout", timeout);
        } else if let Some(directive) = host.one("ProxyTimeout")
            && let Some(timeout) = duration(directive.value())
        {
            keys.set("response_timeout", timeout);
            ledger.carried(directive, "response_timeout");
        }
        keys
    }

    fn tls(&self, host: &VirtualHost<'t>, keys: &mut ConfigTable, ledger: &Ledger) {
        if let Some(directive) = host.one("SSLProxyCACertificateFile") {
            keys.set("ca", host.file(directive));
            ledger.carried(directive, "ca");
        }
        if let Some(directive) = host.one("SSLProxyMachineCertificateFile") {
            keys.set("client_certificate", host.file(directive));
            keys.set("client_private_key", host.file(directive));
            ledger.carried(directive, "client_certificate and client_private_key");
        }
        if !host.has("SSLProxyVerify", "require") {
            let hole = "the certificate of the application was not verified; it is now: name its authority in ca, unless it \
                        is one of the system's";
            ledger.closed(self.directive, hole);
        }
    }
}

const UNSUPPORTED: &str = "only HTTP upstreams with a fixed address are supported: configure the application to listen for HTTP";

/// Returns a member of `servers`; `None` if it is not supported, which has been reported then.
fn server(
    host: &VirtualHost<'_>,
    directive: &Directive,
    url: &str,
    ledger: &Ledger,
) -> Option<String> {
    let socket = url
        .strip_prefix("unix:")
        .and_then(|rest| rest.split_once('|'));
    if let Some((socket, "http" | "https")) = socket.map(|(socket, url)| (socket, scheme(url))) {
        return Some(format!("unix:{}", host.path(socket)));
    }
    let authority = authority(url);
    if authority.contains("${") {
        let remedy = "this variable is not defined here: set it in the environment, as for Apache";
        ledger.not_carried(directive, remedy);
        return None;
    }
    let scheme = scheme(url).to_ascii_lowercase();
    let is_fixed = !authority.is_empty() && !authority.contains(['$', '%', '@']);
    if !is_fixed || !matches!(scheme.as_str(), "http" | "https") {
        ledger.not_carried(directive, UNSUPPORTED);
        return None;
    }
    Some(format!("{scheme}://{authority}"))
}

/// Reads `<Proxy balancer://name>`.
fn members(
    host: &VirtualHost<'_>,
    name: &str,
    keys: &mut ConfigTable,
    ledger: &Ledger,
) -> Vec<String> {
    let is_it = |it: &&Directive| authority(it.value()) == name && scheme(it.value()) == "balancer";
    let sections = host.every("Proxy").filter(is_it);
    let mut servers = Vec::new();
    for directive in sections.flat_map(Directive::children) {
        if is(directive, "BalancerMember") {
            servers.extend(member(host, directive, ledger));
        } else if let Some(timeout) = parameter(directive, "timeout=")
            && is(directive, "ProxySet")
        {
            keys.set("response_timeout", timeout);
            ledger.carried(directive, "response_timeout");
        }
    }
    servers
}

fn member(host: &VirtualHost<'_>, directive: &Directive, ledger: &Ledger) -> Option<String> {
    let mut status = directive
        .arguments
        .iter()
        .filter_map(|it| it.strip_prefix("status="));
    if status.any(|status| status.contains(['H', 'D', 'S'])) {
        let remedy = "every server of a group is used: add it to servers if it may always be";
        ledger.not_carried(directive, remedy);
        return None;
    }
    let server = server(host, directive, directive.value(), ledger)?;
    ledger.carried(directive, "servers; each is checked every 5 s");
    Some(server)
}

/// Returns the duration that a parameter such as `timeout=` sets.
fn parameter(directive: &Directive, name: &str) -> Option<String> {
    let mut values = directive
        .arguments
        .iter()
        .filter_map(|it| it.strip_prefix(name));
    values.next().and_then(duration)
}

fn scheme(url: &str) -> &str {
    url.split_once("://").map_or("", |(scheme, _)| scheme)
}

fn authority(url: &str) -> &str {
    let rest = url.rsplit_once("://").map_or("", |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// The path of a URL, which may be empty.
fn path_of(url: &str) -> &str {
    let rest = url.rsplit_once("://").map_or("", |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// The `Host` header for a URL; `None` for a socket.
fn host_of(url: &str) -> Option<String> {
    let authority = authority(url);
    let port = match scheme(url) {
        "https" => ":443",
        _ => ":80",
    };
    let host = authority.strip_suffix(port).unwrap_or(authority);
    (!host.is_empty()).then(|| host.to_owned())
}
