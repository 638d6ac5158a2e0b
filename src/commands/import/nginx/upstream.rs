//! Reads `proxy_pass` and the `upstream` that it names.

use super::reader::LocationReader;
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::quantity::duration;
use crate::commands::import::template::expand;
use crate::commands::import::toml_writer::{ConfigDraft, ConfigTable};

/// Directives with a duration, and their keys in a group.
const TIMEOUTS: [(&str, &str); 2] = [
    ("proxy_connect_timeout", "connect_timeout"),
    ("proxy_read_timeout", "response_timeout"),
];

/// Directives with a file, and their keys in a group.
const FILES: [(&str, &str); 3] = [
    ("proxy_ssl_trusted_certificate", "ca"),
    ("proxy_ssl_certificate", "client_certificate"),
    ("proxy_ssl_certificate_key", "client_private_key"),
];

/// The URL of `proxy_pass`.
pub(super) struct ProxyUrl {
    is_tls: bool,
    /// A host with a port or without, a socket, or the name of an `upstream`.
    authority: String,
    /// The path that NGINX sends in place of the location's own.
    pub(super) path: Option<String>,
}

impl ProxyUrl {
    /// Returns the `Host` that NGINX sends by default.
    pub(super) fn host(&self) -> &str {
        let default_port = if self.is_tls { ":443" } else { ":80" };
        match self.authority.starts_with("unix:") {
            true => "localhost",
            false => self
                .authority
                .strip_suffix(default_port)
                .unwrap_or(&self.authority),
        }
    }

    /// Returns the entry of `servers` for an address.
    fn server(&self, address: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        match address.starts_with("unix:") {
            true => address.to_owned(),
            false => format!("{scheme}://{address}"),
        }
    }
}

impl<'t> LocationReader<'_, 't> {
    /// Reads the URL of `proxy_pass`. The error is a remedy.
    pub(super) fn proxy_url(&self) -> Result<ProxyUrl, String> {
        let resolved = self.constants.resolve(self.target.proxy_pass.value());
        // The path of the request, which this program passes on, too.
        let suffixes = ["${request_uri}", "${uri}${is_args}${args}"];
        let own = suffixes.iter().find_map(|it| resolved.strip_suffix(it));
        let url = expand(own.unwrap_or(&resolved), &|_| None).map_err(|name| {
            format!("${name} is known for each request only: name the server in upstream")
        })?;
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        if !matches!(scheme, "http" | "https") || rest.contains('@') {
            return Err("an upstream is http://host:port, https://host:port or unix:/path".into());
        }
        let end = match rest.strip_prefix("unix:") {
            Some(socket) => socket.find(':').map(|at| at + "unix:".len()),
            None => rest.find('/'),
        };
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        let path = path.trim_start_matches(':');
        let appended = own.map_or("", |_| self.target.location.text);
        Ok(ProxyUrl {
            is_tls: scheme == "https",
            authority: authority.to_owned(),
            path: (!path.is_empty()).then(|| format!("{path}{appended}")),
        })
    }

    /// Returns the upstream of a route: a URL, or the name of a group. `None` where there is none,
    /// which has been reported then.
    pub(super) fn upstream(&self, url: &ProxyUrl, draft: &mut ConfigDraft) -> Option<String> {
        let connection = self.connection(url.is_tls);
        let mut blocks = self.site.http.iter().filter(|it| it.name == "upstream");
        let Some(block) = blocks.find(|it| it.value() == url.authority) else {
            return Some(draft.upstream(None, vec![url.server(&url.authority)], connection));
        };
        let servers = self.servers(block, url);
        if servers.is_empty() {
            let remedy = "no server always receives requests: name one in [upstreams]";
            self.ledger.not_carried(block, remedy);
            return None;
        }
        let mut group = ConfigTable::default();
        for directive in block.children() {
            self.balance(directive, &mut group);
        }
        group.append(connection);
        let name = draft.upstream(Some(block.value()), servers, group);
        self.ledger.carried(block, format!("upstreams.{name}"));
        Some(name)
    }

    /// Returns the servers of an `upstream` that always receive requests.
    fn servers(&self, block: &Directive, url: &ProxyUrl) -> Vec<String> {
        let mut servers = Vec::new();
        for server in block.children().iter().filter(|it| it.name == "server") {
            let mut parameters = server.arguments.iter().skip(1);
            match parameters.find(|it| matches!(it.as_str(), "down" | "backup")) {
                None => {
                    servers.push(url.server(server.value()));
                    let said = "servers; each is checked every 5 s";
                    self.ledger.carried(server, said);
                }
                Some(parameter) if parameter == "down" => {
                    self.ledger.not_needed(server, "it is marked as down")
                }
                Some(_) => {
                    let remedy = "there are no backup servers: add it to servers if it may always \
                                  receive requests";
                    self.ledger.not_carried(server, remedy);
                }
            }
        }
        servers
    }

    /// Reads how the servers of a group are chosen, and how many connections are kept.
    fn balance(&self, directive: &Directive, group: &mut ConfigTable) {
        match directive.name.as_str() {
            "keepalive" => {
                let count = directive.value().parse::<i64>().ok();
                let count = count.filter(|count| (0..=65_536).contains(count));
                self.carry(directive, "keepalive", count, group);
            }
            "random" => self.carry(directive, "balance", Some("random"), group),
            "least_conn" | "ip_hash" | "hash" | "least_time" | "balancer_by_lua_block" => {
                self.carry(directive, "balance", None::<&str>, group);
            }
            _ => {}
        }
    }

    /// Reads timeouts, and how TLS is used.
    fn connection(&self, is_tls: bool) -> ConfigTable {
        let scope = &self.target.scope;
        let mut keys = ConfigTable::default();
        for (name, key) in TIMEOUTS {
            if let Some(directive) = scope.one(name) {
                self.carry(directive, key, duration(directive.value()), &mut keys);
            }
        }
        for (name, key) in FILES {
            if let Some(directive) = scope.one(name).filter(|_| is_tls) {
                let path = self.site.prefix.join(directive.value());
                let path = path.to_str().filter(|path| !path.contains('$'));
                self.carry(directive, key, path, &mut keys);
            }
        }
        if let Some(directive) = scope.one("proxy_ssl_name").filter(|_| is_tls) {
            let name = expand(&self.constants.resolve(directive.value()), &|_| None);
            self.carry(directive, "server_name", name.ok(), &mut keys);
        }
        let verify = scope.one("proxy_ssl_verify");
        if is_tls && scope.value("proxy_ssl_verify") != "on" {
            let hole = "the certificate of the application was not verified; it is now: name its \
                        authority in ca, unless the system has it";
            let place = verify.unwrap_or(self.target.proxy_pass);
            self.ledger.closed(place, hole);
        }
        keys
    }
}
