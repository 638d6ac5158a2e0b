//! `proxy_pass`, and the `upstream` that it may name.

use super::scope::Scope;
use super::server::Passing;
use super::variables::Constants;
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::quantity::duration;
use crate::commands::import::report::Ledger;
use crate::commands::import::template::expand;
use crate::commands::import::toml_writer::{ConfigDraft, ConfigTable};
use std::path::Path;

/// Where a location's requests go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// A URL, or the name of a group.
    pub(super) upstream: String,
    /// What NGINX puts into `Host` unless it is told otherwise.
    pub(super) host: String,
    /// What NGINX puts in the place of the location's own path.
    pub(super) path: Option<String>,
}

/// Reads where requests go.
pub(super) struct Upstreams<'r, 't> {
    pub(super) http: &'t [Directive],
    pub(super) ledger: &'r Ledger,
    /// What relative names of files are relative to.
    pub(super) prefix: &'r Path,
    pub(super) constants: &'r Constants<'t>,
}

/// What a group has that a URL has not.
const TIMEOUTS: [(&str, &str); 2] = [
    ("proxy_connect_timeout", "connect_timeout"),
    ("proxy_read_timeout", "response_timeout"),
];

impl<'t> Upstreams<'_, 't> {
    /// `None` where it cannot be carried over, which has been said then.
    pub(super) fn target(&self, passing: &Passing<'t>, draft: &mut ConfigDraft) -> Option<Target> {
        let Passing {
            proxy_pass, scope, ..
        } = passing;
        let refuse = |remedy: String| {
            self.ledger.not_carried(proxy_pass, remedy);
            None
        };
        let resolved = self.constants.resolve(proxy_pass.value());
        // The path as it came, which is what this program passes on.
        let is_whole = |url: &str| {
            Some(
                url.strip_suffix("${request_uri}")
                    .or(url.strip_suffix("${uri}${is_args}${args}"))?
                    .to_owned(),
            )
        };
        let as_it_came = is_whole(&resolved);
        let is_as_it_came = as_it_came.is_some();
        let url = match expand(&as_it_came.unwrap_or(resolved), &|_| None) {
            Ok(url) => url,
            Err(name) => {
                return refuse(format!(
                    "${name} is known for each request only: name the server in upstream"
                ));
            }
        };
        let Some((scheme, rest)) = url
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
        else {
            return refuse(
                "an upstream is http://host:port, https://host:port or unix:/path".into(),
            );
        };
        let is_tls = scheme == "https";
        let (authority, path) = match rest.strip_prefix("unix:") {
            Some(rest) => match rest.split_once(':') {
                Some((socket, path)) => (format!("unix:{socket}"), Some(path)),
                None => (format!("unix:{rest}"), None),
            },
            None => match rest.find('/') {
                Some(at) => (rest[..at].to_owned(), Some(&rest[at..])),
                None => (rest.to_owned(), None),
            },
        };
        if authority.contains('@') {
            return refuse("an upstream has no credentials: let the application do without, or use set_headers".into());
        }
        let has_variables = proxy_pass.value().contains('$');
        let path = path
            .filter(|path| !path.is_empty() && !is_as_it_came)
            .map(str::to_owned);
        if has_variables && path.is_some() {
            self.ledger.not_carried(
                proxy_pass,
                "every request went to this one path; now the application gets it as it came",
            );
        }
        let path = path.filter(|_| !has_variables);
        let block = self
            .http
            .iter()
            .find(|it| it.name == "upstream" && it.value() == authority);
        let host = match authority.starts_with("unix:") {
            true => "localhost".to_owned(),
            false => authority
                .strip_suffix(if is_tls { ":443" } else { ":80" })
                .unwrap_or(&authority)
                .to_owned(),
        };
        let upstream = match block {
            Some(block) => self.group_of(block, scope, is_tls, draft)?,
            None => self.server(server(&authority, is_tls), scope, is_tls, draft),
        };
        let patience = match scope.one("proxy_read_timeout") {
            None => {
                "; it has 30 s to answer, with NGINX it had 60 (response_timeout, in a group of [upstreams])"
            }
            Some(_) => "",
        };
        self.ledger
            .carried(proxy_pass, format!("routes.upstream: {upstream}{patience}"));
        Some(Target {
            upstream,
            host,
            path,
        })
    }

    /// A URL, if that is enough, or else a group with its keys.
    fn server(
        &self,
        url: String,
        scope: &Scope<'t>,
        is_tls: bool,
        draft: &mut ConfigDraft,
    ) -> String {
        let keys = self.keys(scope, is_tls);
        draft.upstream(None, vec![url], keys)
    }

    fn group_of(
        &self,
        block: &'t Directive,
        scope: &Scope<'t>,
        is_tls: bool,
        draft: &mut ConfigDraft,
    ) -> Option<String> {
        let mut keys = ConfigTable::default();
        let (mut servers, mut left_out) = (Vec::new(), 0);
        for directive in block.children() {
            match directive.name.as_str() {
                "server" => match self.member(directive, is_tls) {
                    Some(server) => servers.push(server),
                    None => left_out += 1,
                },
                "keepalive" => match directive.value().parse::<i64>() {
                    Ok(keepalive @ 0..=65_536) => {
                        keys.set("keepalive", keepalive);
                        self.ledger
                            .carried(directive, format!("upstreams.{}.keepalive", block.value()));
                    }
                    _ => self
                        .ledger
                        .not_carried(directive, "keepalive is a number of at most 65536"),
                },
                "random" => {
                    keys.set("balance", "random");
                    self.ledger.carried(directive, "balance = \"random\"");
                }
                "least_conn" | "ip_hash" | "hash" | "least_time" => {
                    self.ledger
                        .not_carried(directive, "servers take turns, or any is taken: balance");
                }
                name if name.ends_with("_by_lua_block") => {
                    self.ledger.not_carried(
                        directive,
                        "the servers are chosen by a program: name them in servers",
                    );
                }
                _ => {}
            }
        }
        if servers.is_empty() {
            let what = if left_out == 0 {
                "it names no server"
            } else {
                "it has no server that always takes part"
            };
            self.ledger
                .not_carried(block, format!("{what}: name one in a group of [upstreams]"));
            return None;
        }
        keys.append(self.keys(scope, is_tls));
        let name = draft.upstream(Some(block.value()), servers, keys);
        self.ledger.carried(block, format!("upstreams.{name}"));
        Some(name)
    }

    /// A server of a group; `None` where it takes part only at times.
    fn member(&self, directive: &Directive, is_tls: bool) -> Option<String> {
        for parameter in &directive.arguments[1.min(directive.arguments.len())..] {
            match parameter.as_str() {
                "down" => {
                    self.ledger.not_needed(directive, "it is down");
                    return None;
                }
                "backup" => {
                    let remedy = "every server of a group takes part: add it to servers if it may do so always";
                    self.ledger.not_carried(directive, remedy);
                    return None;
                }
                // A server that fails a check or a request is left out by itself.
                _ => {}
            }
        }
        self.ledger
            .carried(directive, "servers; each is checked every 5 s");
        Some(server(directive.value(), is_tls))
    }

    /// Timeouts, and how TLS is spoken.
    fn keys(&self, scope: &Scope<'t>, is_tls: bool) -> ConfigTable {
        let mut keys = ConfigTable::default();
        for (name, key) in TIMEOUTS {
            let Some(directive) = scope.one(name) else {
                continue;
            };
            match duration(directive.value()) {
                Some(duration) => {
                    keys.set(key, duration);
                    self.ledger.carried(directive, key);
                }
                None => self
                    .ledger
                    .not_carried(directive, format!("{key} is a duration of more than zero")),
            }
        }
        if is_tls {
            self.tls_keys(scope, &mut keys);
        }
        keys
    }

    fn tls_keys(&self, scope: &Scope<'t>, keys: &mut ConfigTable) {
        const FILES: [(&str, &str); 3] = [
            ("proxy_ssl_trusted_certificate", "ca"),
            ("proxy_ssl_certificate", "client_certificate"),
            ("proxy_ssl_certificate_key", "client_private_key"),
        ];
        for (name, key) in FILES {
            let Some(directive) = scope.one(name) else {
                continue;
            };
            keys.set(
                key,
                self.prefix.join(directive.value()).display().to_string(),
            );
            self.ledger.carried(directive, key);
        }
        if let Some(directive) = scope.one("proxy_ssl_name") {
            match expand(&self.constants.resolve(directive.value()), &|_| None) {
                Ok(name) => {
                    keys.set("server_name", name);
                    self.ledger.carried(directive, "server_name");
                }
                Err(_) => self
                    .ledger
                    .not_carried(directive, "the name is that of the URL, or server_name"),
            }
        }
        if scope.value("proxy_ssl_verify") != "on" {
            let place = scope.one("proxy_ssl_verify").or(scope.one("proxy_pass"));
            let hole = "the certificate of the application was not verified; it is now: name its authority in ca, unless \
                        the system knows it";
            place
                .into_iter()
                .for_each(|it| self.ledger.closed(it, hole));
        }
    }
}

/// As `servers` has it.
fn server(text: &str, is_tls: bool) -> String {
    match text.starts_with("unix:") {
        true => text.to_owned(),
        false => format!("{}://{text}", if is_tls { "https" } else { "http" }),
    }
}
