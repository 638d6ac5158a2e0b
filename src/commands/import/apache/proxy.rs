//! `ProxyPass` in its forms, `RewriteRule … [P]`, and balancers.

use super::host::{SectionScope, VirtualHost, is};
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::quantity::duration;
use crate::commands::import::regex_literal;
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::{ConfigDraft, ConfigTable};
use crate::http::path::PathPattern;

/// Stands for the URL of paths that are not passed on.
const EXCLUDED: &str = "!";

const UNSUPPORTED: &str = "only HTTP upstreams with a fixed address are supported: configure the application to listen for HTTP";

/// Requests that are passed on, or are excluded from that.
#[derive(Clone)]
pub(super) struct ProxyMapping<'t> {
    pub(super) directive: &'t Directive,
    /// Paths, as routes have them.
    pub(super) paths: Vec<String>,
    url: String,
    /// The advice if Apache changes the path.
    change: Option<String>,
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
    let mut all = Vec::new();
    for rule in host.own.iter().filter(|it| is_proxy_rule(it)) {
        all.extend(matching(rule, ledger));
    }
    // Later sections override earlier ones. In a section, `ProxyPass` has no path of its own.
    for section in host.sections().iter().rev() {
        if let (SectionScope::Paths(paths), Some(directive)) =
            (&section.scope, section.one("ProxyPass"))
        {
            let url = directive.value();
            all.extend(
                paths
                    .iter()
                    .filter_map(|path| prefix(directive, path, url, ledger)),
            );
        }
    }
    for directive in host.directives().filter(|it| it.arguments.len() >= 2) {
        if is(directive, "ProxyPassMatch") {
            all.extend(matching(directive, ledger));
        } else if is(directive, "ProxyPass") {
            let path = directive.value().trim_end_matches('/').to_owned() + "/*";
            all.extend(prefix(directive, &path, &directive.arguments[1], ledger));
        }
    }
    all
}

/// Returns whether a `RewriteRule` passes requests on.
pub(super) fn is_proxy_rule(rule: &Directive) -> bool {
    let mut flags = rule.argument(2).trim_matches(['[', ']']).split(',');
    is(rule, "RewriteRule") && flags.any(|flag| flag.eq_ignore_ascii_case("P"))
}

fn prefix<'t>(
    directive: &'t Directive,
    path: &str,
    url: &str,
    ledger: &Ledger,
) -> Option<ProxyMapping<'t>> {
    if let Err(message) = PathPattern::parse(path) {
        ledger.not_carried(directive, format!("the path of a route {message}"));
        return None;
    }
    let old = path.trim_end_matches("/*");
    let new = BackendUrl::of(url).path.trim_end_matches('/');
    let change = format!(
        "the path: Apache passed {old}/ on as {new}/; now it is unchanged: configure the application to accept it, or set path = \
         \"{new}/\" here and in Netdata Cloud"
    );
    Some(ProxyMapping {
        directive,
        paths: vec![path.to_owned()],
        url: url.to_owned(),
        change: Some(change).filter(|_| new != old),
    })
}

/// Reads a pattern with a URL.
fn matching<'t>(directive: &'t Directive, ledger: &Ledger) -> Option<ProxyMapping<'t>> {
    let [pattern, url, ..] = directive.arguments.as_slice() else {
        return None;
    };
    if url.starts_with("ws://") || url.starts_with("wss://") {
        // Requests without an Upgrade are left to the rules that follow.
        ledger.not_carried(directive, "there are no WebSockets: Upgrade ends here");
        return None;
    }
    let found = unchanged(pattern, url, is(directive, "RewriteRule"));
    let found = found.and_then(|(pattern, url)| Some((regex_literal::paths(&pattern)?, url)));
    if found.is_none() {
        let remedy = "a route is not possible for a pattern that matches many paths or changes them: if the webhook's path is \
                      among them, pass it on with ProxyPass";
        ledger.not_carried(directive, remedy);
    }
    let (paths, url) = found?;
    let change = None;
    Some(ProxyMapping {
        directive,
        paths,
        url,
        change,
    })
}

/// Returns the pattern and the URL without its path, if the path reaches the application unchanged.
fn unchanged(pattern: &str, url: &str, is_rule: bool) -> Option<(String, String)> {
    let base = |path: &str| {
        let base = url.strip_suffix(&path.replace('\\', ""))?;
        let has_path = !BackendUrl::of(base).path.is_empty();
        (!has_path).then(|| base.to_owned())
    };
    if !is_rule && !url.contains('$') {
        // Apache appends the path to a URL without references.
        return Some((pattern.to_owned(), base("")?));
    }
    let path = pattern.strip_prefix('^')?.trim_end_matches('$');
    match path.split_once('(') {
        // `^(/a/.*)$ http://host$1`
        Some(("", group)) => {
            let path = group.strip_suffix(')').filter(|it| !it.contains('('))?;
            Some((format!("^{path}$"), base("$1")?))
        }
        // `^/a/(.*)$ http://host/a/$1`
        Some((start, group)) => {
            let (_, rest) = group.split_once(')')?;
            let base = base(&format!("{start}$1")).filter(|_| matches!(rest, "" | "?"));
            Some((pattern.to_owned(), base?))
        }
        // `^/a$ http://host/a`
        None => {
            let fixed = path.strip_suffix("/?").unwrap_or(path);
            Some((format!("^{path}$"), base(fixed)?))
        }
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
        let mut own = self.paths.iter();
        own.any(|own| regex_literal::covers(own, path))
    }
}

/// Reads applications.
pub(super) struct BackendReader<'r, 't> {
    pub(super) host: &'r VirtualHost<'t>,
    pub(super) ledger: &'r Ledger,
}

impl BackendReader<'_, '_> {
    /// Returns the application; `None` if it is not supported, which has been reported then.
    pub(super) fn read(
        &self,
        mapping: &ProxyMapping<'_>,
        draft: &mut ConfigDraft,
    ) -> Option<Backend> {
        let ProxyMapping { directive, url, .. } = mapping;
        let url = BackendUrl::of(url);
        let mut keys = self.keys(directive, &url);
        let balancer = Some(url.authority).filter(|_| url.scheme == "balancer");
        let servers = match balancer {
            Some(name) => self.members(name, &mut keys),
            None => vec![self.server(directive, &url)?],
        };
        let host = match &servers[..] {
            [] => {
                self.ledger.not_carried(directive, UNSUPPORTED);
                return None;
            }
            [only] if balancer.is_some() => BackendUrl::of(only).host(),
            [_] => url.host(),
            _ => None,
        };
        let timeout = match keys.has("response_timeout") {
            true => "",
            false => "; response_timeout is 30 s now, and was Timeout with Apache",
        };
        let upstream = draft.upstream(balancer, servers, keys);
        let key = format!("routes.upstream: {upstream}{timeout}");
        self.ledger.carried(directive, key);
        if let Some(remedy) = &mapping.change {
            self.ledger.not_carried(directive, remedy);
        }
        Some(Backend { upstream, host })
    }

    /// Reads timeouts, and the authority of the application's certificate.
    fn keys(&self, directive: &Directive, url: &BackendUrl<'_>) -> ConfigTable {
        let mut keys = ConfigTable::default();
        let parameter = |name| directive.parameter(name).and_then(duration);
        if let Some(timeout) = parameter("connectiontimeout") {
            keys.set("connect_timeout", timeout);
        }
        if let Some(timeout) = parameter("timeout") {
            keys.set("response_timeout", timeout);
        } else if let Some(general) = self.host.one("ProxyTimeout")
            && let Some(timeout) = duration(general.value())
        {
            keys.set("response_timeout", timeout);
            self.ledger.carried(general, "response_timeout");
        }
        if url.scheme == "https" {
            if let Some(authority) = self.host.one("SSLProxyCACertificateFile") {
                keys.set("ca", self.host.path(authority.value()));
                self.ledger.carried(authority, "ca");
            }
            if !self.host.has("SSLProxyVerify", "require") {
                let hole = "the certificate of the application was not verified; now it is: name its authority in ca";
                self.ledger.closed(directive, hole);
            }
        }
        keys
    }

    /// Reads `<Proxy balancer://name>`.
    fn members(&self, name: &str, keys: &mut ConfigTable) -> Vec<String> {
        let mut servers = Vec::new();
        let url = format!("balancer://{name}");
        let sections = self
            .host
            .every("Proxy")
            .filter(|it| it.value().trim_end_matches('/') == url);
        for directive in sections.flat_map(Directive::children) {
            if is(directive, "BalancerMember") {
                servers.extend(self.member(directive));
            } else if let Some(timeout) = directive.parameter("timeout").and_then(duration) {
                // `ProxySet`
                keys.set("response_timeout", timeout);
                self.ledger.carried(directive, "response_timeout");
            }
        }
        servers
    }

    fn member(&self, directive: &Directive) -> Option<String> {
        let status = directive.parameter("status").unwrap_or_default();
        if status.contains(['H', 'D', 'S']) {
            let remedy = "every server of a group is used: add it to servers if it may always be";
            self.ledger.not_carried(directive, remedy);
            return None;
        }
        let server = self.server(directive, &BackendUrl::of(directive.value()))?;
        self.ledger
            .carried(directive, "servers; each is checked every 5 s");
        Some(server)
    }

    fn server(&self, directive: &Directive, url: &BackendUrl<'_>) -> Option<String> {
        let BackendUrl {
            scheme, authority, ..
        } = url;
        let is_http = matches!(scheme.as_str(), "http" | "https");
        let remedy = match url.socket {
            Some(socket) if is_http => return Some(format!("unix:{}", self.host.path(socket))),
            None if is_http && !authority.contains(['$', '%', '@']) => {
                return Some(format!("{scheme}://{authority}"));
            }
            _ if authority.contains("${") => {
                "this variable is not defined here: set it in the environment, as for Apache"
            }
            _ => UNSUPPORTED,
        };
        self.ledger.not_carried(directive, remedy);
        None
    }
}

/// The URL of an application.
struct BackendUrl<'u> {
    socket: Option<&'u str>,
    scheme: String,
    authority: &'u str,
    path: &'u str,
}

impl<'u> BackendUrl<'u> {
    fn of(url: &'u str) -> Self {
        let unix = url.strip_prefix("unix:").and_then(|it| it.split_once('|'));
        let (socket, url) = unix.map_or((None, url), |(socket, url)| (Some(socket), url));
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self {
            socket,
            scheme: scheme.to_ascii_lowercase(),
            authority,
            path,
        }
    }

    /// The `Host` header.
    fn host(&self) -> Option<String> {
        let port = if self.scheme == "https" {
            ":443"
        } else {
            ":80"
        };
        let host = self.authority.strip_suffix(port).unwrap_or(self.authority);
        (!host.is_empty()).then(|| host.to_owned())
    }
}
