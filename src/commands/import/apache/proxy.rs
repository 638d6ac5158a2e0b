//! `ProxyPass` in its forms, `RewriteRule … [P]`, and balancers.

use super::host::{SectionScope, VirtualHost, is};
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::quantity::duration;
use crate::commands::import::regex_literal;
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::{ConfigDraft, ConfigTable};
use crate::http::path::PathPattern;
use regex::Regex;

/// Stands for the URL of paths that are not passed on.
const EXCLUDED: &str = "!";

const UNSUPPORTED: &str = "only HTTP upstreams with a fixed address are supported: configure the \
                           application to listen for HTTP";

const NO_ROUTE: &str = "a pattern for many or changed paths, or for WebSockets, is not a route: \
                        pass the webhook's path on with ProxyPass";

const UNVERIFIED: &str = "the certificate of the application was not verified; now it is: name its \
                          authority in ca";

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
            for path in paths {
                all.extend(prefix(directive, path, url, ledger));
            }
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
        "the path: Apache passed {old}/ on as {new}/; now it is unchanged: configure the \
         application to accept it, or set path = \"{new}/\" here and in Netdata Cloud"
    );
    Some(ProxyMapping {
        directive,
        paths: vec![path.to_owned()],
        url: url.to_owned(),
        change: Some(change).filter(|_| new != old),
    })
}

/// Reads a pattern that stands for a few paths, which reach the application unchanged.
fn matching<'t>(directive: &'t Directive, ledger: &Ledger) -> Option<ProxyMapping<'t>> {
    let (pattern, url) = (directive.value(), directive.argument(1));
    let whole = pattern
        .strip_prefix("^(")
        .and_then(|it| it.strip_suffix(")$"));
    let plain = match whole.filter(|it| !it.contains('(')) {
        Some(path) => format!("^{path}$"),
        // A `RewriteRule` without references is for one path.
        None if is_proxy_rule(directive) && !url.contains('$') => {
            format!("{}$", pattern.trim_end_matches('$'))
        }
        None => pattern.to_owned(),
    };
    let mut paths = regex_literal::paths(&plain).unwrap_or_default();
    paths.retain(|path| base_url(directive, path).is_some());
    let Some(url) = paths.first().and_then(|path| base_url(directive, path)) else {
        ledger.not_carried(directive, NO_ROUTE);
        return None;
    };
    let change = None;
    Some(ProxyMapping {
        directive,
        paths,
        url,
        change,
    })
}

/// Returns the URL without its path if a path reaches the application unchanged.
fn base_url(directive: &Directive, path: &str) -> Option<String> {
    let pattern = Regex::new(directive.value()).ok()?;
    let path = path.replace('*', "x");
    let groups = pattern.captures(&path)?;
    let mut url = directive.argument(1).to_owned();
    for (number, group) in groups.iter().enumerate() {
        url = url.replace(&format!("${number}"), group.map_or("", |it| it.as_str()));
    }
    if is(directive, "ProxyPassMatch") && url == directive.argument(1) {
        // Apache appends the path to a URL without references.
        url.push_str(&path);
    }
    let base = url.strip_suffix(&path)?;
    // Requests without an Upgrade are left to the rules that follow one for WebSockets.
    let is_http = !base.starts_with("ws");
    (is_http && BackendUrl::of(base).path.is_empty()).then(|| base.to_owned())
}

impl<'t> ProxyMapping<'t> {
    /// Returns whether it excludes its paths.
    pub(super) fn is_exclusion(&self) -> bool {
        self.url == EXCLUDED
    }

    /// Returns the URL that `<Proxy>` is compared with.
    pub(super) fn url(&self) -> &str {
        self.url.split_once('|').map_or(&self.url, |(_, url)| url)
    }

    /// Returns whether it applies to the whole of a route's path.
    pub(super) fn covers(&self, path: &str) -> bool {
        let mut own = self.paths.iter();
        own.any(|own| regex_literal::covers(own, path))
    }
}

/// Reads the application that a virtual host proxies to.
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
            self.authority(directive, &mut keys);
        }
        keys
    }

    fn authority(&self, mapping: &Directive, keys: &mut ConfigTable) {
        if let Some(directive) = self.host.one("SSLProxyCACertificateFile") {
            keys.set("ca", self.host.path(directive.value()));
            self.ledger.carried(directive, "ca");
        }
        if !self.host.has("SSLProxyVerify", "require") {
            self.ledger.closed(mapping, UNVERIFIED);
        }
    }

    /// Reads the servers of `<Proxy balancer://name>`.
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
                // A `ProxySet` directive, for all members.
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

    /// Returns the value of the `Host` header that Apache sends to the application.
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
