//! The application that requests are passed on to.

use super::directive::{Directive, is_listed};
use super::scope::Scope;
use super::site::Obstacle;
use super::toml_writer::ConfigDraft;
use toml_edit::{Table, value};

const UNSUPPORTED: &str = "only HTTP upstreams with a fixed address are supported: \
    configure the application to listen at http://host:port, https://host:port or a unix socket";
const UNDEFINED: &str = "this variable is not defined here: set it in the environment";
const SPARE: &str =
    "every server of a group is used: add it to servers if it may always receive requests";
const NO_SERVER: &str = "no server always receives requests: name one in [upstreams]";
const TURNS: &str = "servers take turns now, or one is chosen at random: balance in [upstreams]";

/// Directives with the authority of an application.
const AUTHORITY: &str = "proxy_ssl_trusted_certificate SSLProxyCACertificateFile";

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
            _ if self.authority.contains("${") => Err(UNDEFINED.to_owned()),
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
    pub(super) keys: Table,
}

impl Upstream<'_> {
    /// Adds it to the configuration. Returns the `upstream` of a route.
    pub(super) fn write(self, draft: &mut ConfigDraft) -> String {
        let upstream = draft.upstream(self.group.as_deref(), self.servers, self.keys);
        let key = format!("routes.upstream: {upstream}; answers have to come within 30 s");
        self.directive.carried(key);
        upstream
    }
}

/// Reads the application at a URL: one server, or the group of this name.
pub(super) fn read<'t>(
    scope: &Scope<'t>,
    passing: &'t Directive,
    url: &UpstreamUrl<'_>,
) -> Result<Upstream<'t>, Obstacle<'t>> {
    let name = |it: &Directive| it.value().trim_start_matches("balancer://").to_owned();
    let is_named = |it: &&Directive| name(it).trim_end_matches('/') == url.authority;
    let group = scope.every("upstream Proxy").find(is_named);
    let servers = match group {
        Some(group) => members(scope, group, &url.scheme)?,
        None => vec![url.server(scope).map_err(|remedy| (passing, remedy))?],
    };
    let is_tls = servers.iter().any(|it| it.starts_with("https:"));
    Ok(Upstream {
        directive: passing,
        group: group.map(|_| url.authority.to_owned()),
        servers,
        keys: settings(scope, passing, is_tls),
    })
}

/// Returns the servers of a group that always receive requests.
fn members<'t>(
    scope: &Scope<'t>,
    group: &'t Directive,
    scheme: &str,
) -> Result<Vec<String>, Obstacle<'t>> {
    let mut servers = Vec::new();
    for member in group.children() {
        let mut arguments = member.arguments.iter();
        let is_server = member.is("server BalancerMember");
        if member.is("least_conn ip_hash hash random least_time sticky* balancer_by_lua* ProxySet")
        {
            member.not_carried(TURNS);
        } else if is_server && arguments.any(|it| is_listed("down backup status=*", it)) {
            member.not_carried(SPARE);
        } else if is_server {
            let address = member.value();
            let url = match address.contains("://") {
                true => address.to_owned(),
                false => format!("{scheme}://{address}"),
            };
            let server = UpstreamUrl::of(&url).server(scope);
            servers.push(server.map_err(|remedy| (member, remedy))?);
            member.carried("servers; each is checked every 5 s");
        }
    }
    match servers.is_empty() {
        true => Err((group, NO_SERVER.to_owned())),
        false => Ok(servers),
    }
}

/// Reads how TLS is used to reach an application.
fn settings(scope: &Scope<'_>, passing: &Directive, is_tls: bool) -> Table {
    let mut keys = Table::new();
    let authority = scope.one(AUTHORITY).filter(|_| is_tls);
    if let Some(path) = authority.and_then(|it| scope.path(it.value())) {
        keys["ca"] = value(path);
        authority.inspect(|it| it.carried("ca"));
    }
    let verify = scope.one("proxy_ssl_verify SSLProxyVerify");
    let verifies = verify.is_some_and(|it| is_listed("on require", it.value()));
    if is_tls && !verifies {
        verify.unwrap_or(passing).closed(UNVERIFIED);
    }
    keys
}
