//! The application that requests are passed on to.

use super::directive::{Directive, is_listed};
use super::quantity::duration;
use super::scope::Scope;
use super::toml_writer::{ConfigDraft, ConfigTable};

/// The remedy for an application that is not supported.
pub(super) const UNSUPPORTED: &str = "only HTTP upstreams with a fixed address are supported: \
    configure the application to listen at http://host:port, https://host:port or a unix socket";

/// The remedy for a server that receives requests only if others cannot.
const SPARE: &str =
    "every server of a group is used: add it to servers if it may always receive requests";

/// Directives with a duration, parameters of `ProxyPass` that override them, and keys in a group.
const TIMEOUTS: [(&str, &str, &str); 2] = [
    (
        "proxy_connect_timeout",
        "connectiontimeout",
        "connect_timeout",
    ),
    (
        "proxy_read_timeout ProxyTimeout",
        "timeout",
        "response_timeout",
    ),
];

/// Directives with a file, and their keys in a group.
const FILES: [(&str, &str); 3] = [
    (
        "proxy_ssl_trusted_certificate SSLProxyCACertificateFile",
        "ca",
    ),
    ("proxy_ssl_certificate", "client_certificate"),
    ("proxy_ssl_certificate_key", "client_private_key"),
];

const UNVERIFIED: &str = "the certificate of the application was not verified; it is now: name its \
    authority in ca, unless the system has it";

/// The URL of an application, in NGINX's form or in Apache's.
pub(super) struct UpstreamUrl<'u> {
    /// In lower case.
    pub(super) scheme: String,
    /// The path of a unix socket.
    socket: Option<&'u str>,
    /// A host with a port or without, or the name of a group.
    pub(super) authority: &'u str,
    pub(super) path: &'u str,
}

impl<'u> UpstreamUrl<'u> {
    /// Reads `http://host/path`, `http://unix:/socket:/path` or `unix:/socket|http://host/path`.
    pub(super) fn of(url: &'u str) -> Self {
        let unix = url.strip_prefix("unix:").and_then(|it| it.split_once('|'));
        let (mut socket, url) = unix.map_or((None, url), |(socket, url)| (Some(socket), url));
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (mut authority, mut path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if let Some(inner) = rest.strip_prefix("unix:") {
            let (file, after) = inner.split_once(':').unwrap_or((inner, ""));
            (socket, authority, path) = (Some(file), "localhost", after);
        }
        Self {
            scheme: scheme.to_ascii_lowercase(),
            socket,
            authority,
            path,
        }
    }

    /// Returns the `Host` that is sent by default.
    pub(super) fn host(&self) -> &'u str {
        let is_tls = self.scheme == "https";
        let port = if is_tls { ":443" } else { ":80" };
        self.authority.strip_suffix(port).unwrap_or(self.authority)
    }

    /// Returns the entry of `servers`. The error is a remedy.
    pub(super) fn server(&self, scope: &Scope<'_>) -> Result<String, String> {
        let is_http = matches!(self.scheme.as_str(), "http" | "https");
        let is_fixed = !self.authority.is_empty() && !self.authority.contains(['$', '%', '@']);
        match self.socket.map(|socket| scope.path(socket)) {
            Some(Some(socket)) if is_http => Ok(format!("unix:{socket}")),
            None if is_http && is_fixed => Ok(format!("{}://{}", self.scheme, self.authority)),
            _ if self.authority.contains("${") => {
                Err("this variable is not defined here: set it in the environment".to_owned())
            }
            _ => Err(UNSUPPORTED.to_owned()),
        }
    }
}

/// The servers of an application, and how requests reach them.
#[derive(Debug)]
pub(super) struct Upstream<'t> {
    /// The directive that passes requests on to it.
    pub(super) directive: &'t Directive,
    /// The name of the group, if it has one.
    pub(super) group: Option<String>,
    pub(super) servers: Vec<String>,
    pub(super) keys: ConfigTable,
}

impl Upstream<'_> {
    /// Adds it to the configuration. Returns the `upstream` of a route.
    pub(super) fn write(self, draft: &mut ConfigDraft) -> String {
        let timeout = match self.keys.has("response_timeout") {
            true => "",
            false => "; answers have to come within 30 s now: response_timeout in [upstreams]",
        };
        let upstream = draft.upstream(self.group.as_deref(), self.servers, self.keys);
        let key = format!("routes.upstream: {upstream}{timeout}");
        self.directive.carried(key);
        upstream
    }
}

/// Returns whether a server of a group always receives requests, which is reported.
pub(super) fn is_used(server: &Directive) -> bool {
    let mut arguments = server.arguments.iter();
    let is_used = !arguments.any(|it| is_listed("down backup status=*", it));
    match is_used {
        true => server.carried("servers; each is checked every 5 s"),
        false => server.not_carried(SPARE),
    }
    is_used
}

/// Reads timeouts, and how TLS is used to reach an application.
pub(super) fn settings(scope: &Scope<'_>, passing: &Directive, is_tls: bool) -> ConfigTable {
    let mut keys = ConfigTable::default();
    for (names, parameter, key) in TIMEOUTS {
        if let Some(timeout) = passing.parameter(parameter).and_then(duration) {
            keys.set(key, timeout);
        } else if let Some(directive) = scope.one(names) {
            keys.carry(directive, key, duration(directive.value()));
        }
    }
    if is_tls {
        set_tls(scope, passing, &mut keys);
    }
    keys
}

fn set_tls(scope: &Scope<'_>, passing: &Directive, keys: &mut ConfigTable) {
    for (names, key) in FILES {
        if let Some(directive) = scope.one(names) {
            keys.carry(directive, key, scope.path(directive.value()));
        }
    }
    if let Some(directive) = scope.one("proxy_ssl_name") {
        let name = Some(directive.value()).filter(|name| !name.contains('$'));
        keys.carry(directive, "server_name", name);
    }
    let verify = scope.one("proxy_ssl_verify SSLProxyVerify");
    if !verify.is_some_and(|it| is_listed("on require", it.value())) {
        verify.unwrap_or(passing).closed(UNVERIFIED);
    }
}
