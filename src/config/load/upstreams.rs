//! `[upstreams.NAME]`, and what a route may name as its upstream.

use super::tls::{both, complain_about_pair, lint_key_file};
use super::{Loader, count, parsed, required};
use crate::config::document::{KeyLocation, Located, TableReader, suggest};
use crate::config::files;
use crate::config::upstream::RETRY_FOR;
use crate::config::{Balance, Endpoint, HealthCheck, Upstream, UpstreamIdentity, UpstreamTls};
use crate::http::header_class::is_reserved;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use rustls::pki_types::{CertificateDer, ServerName};
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The forms of a server's address, for messages.
const FORMS: &str = "\"http://host:port\", \"https://host:port\" or \"unix:/path\"";

/// The interval between checks of a server, unless the configuration names another.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The keys that only `https://` servers have a use for.
const TLS_KEYS: [&str; 4] = [
    "ca",
    "server_name",
    "client_certificate",
    "client_private_key",
];

/// The groups by name; `None` where a problem has been noted.
pub(super) type Groups = BTreeMap<String, Option<Arc<Upstream>>>;

/// The system's trust, once it was asked for: reading it takes a while.
pub(super) type SystemTrust = OnceCell<Result<Arc<[CertificateDer<'static>]>, String>>;

impl Loader<'_> {
    pub(super) fn upstreams(&self, root: &mut TableReader<'_>) -> Groups {
        let groups = root.named_tables("upstreams", |name, table| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_plain) {
                table.document.complain(
                    &table.location(),
                    "the name may have letters, digits, \"-\", \"_\" and \".\" only",
                );
            }
            self.group(name, table).map(Arc::new)
        });
        groups.into_iter().collect()
    }

    fn group(&self, name: &str, table: &mut TableReader<'_>) -> Option<Upstream> {
        let servers = self.servers(table);
        let keepalive = count(table, "keepalive", 128);
        if keepalive > 65_536 {
            table.complain("keepalive", "must be at most 65536");
        }
        let balances = [
            ("round_robin", Balance::RoundRobin),
            ("random", Balance::Random),
        ];
        let balance = table
            .choice("balance", &balances)
            .unwrap_or(Balance::RoundRobin);
        let connect_timeout = table
            .duration("connect_timeout")
            .unwrap_or(Duration::from_secs(2));
        let response_timeout = table
            .duration("response_timeout")
            .unwrap_or(Duration::from_secs(30));
        let retry_for = table.duration_or_zero("retry_for").unwrap_or(RETRY_FOR);
        let health_check = Some(table.table("health_check", health_check));
        let tls = self.group_tls(table, &servers);
        let (name, servers, tls) = (name.to_owned(), located(servers)?, tls?);
        Some(Upstream {
            name,
            servers,
            balance,
            connect_timeout,
            response_timeout,
            retry_for,
            keepalive,
            health_check,
            tls,
        })
    }

    fn servers(&self, table: &mut TableReader<'_>) -> Vec<Located<Option<Endpoint>>> {
        let texts = match table.strings("servers") {
            Some(texts) if !texts.is_empty() => texts,
            texts => {
                if texts.is_some() || !table.names_any(&["servers"]) {
                    table.complain("servers", format!("missing; name at least one of {FORMS}"));
                }
                return Vec::new();
            }
        };
        let mut seen = HashSet::new();
        texts
            .into_iter()
            .map(|text| {
                let location = text.location.clone();
                let value = parsed(table, text, |text| self.endpoint(text));
                if value
                    .as_ref()
                    .is_some_and(|endpoint| !seen.insert(address_of(endpoint)))
                {
                    table
                        .document
                        .complain(&location, "is there already: name each server once");
                }
                Located { value, location }
            })
            .collect()
    }

    /// Reads the TLS settings of a group: `None` where a problem has been noted, `Some(None)` where
    /// no server speaks TLS.
    fn group_tls(
        &self,
        table: &mut TableReader<'_>,
        servers: &[Located<Option<Endpoint>>],
    ) -> Option<Option<UpstreamTls>> {
        let is_tls = |server: &&Located<Option<Endpoint>>| {
            server.value.as_ref().is_some_and(Endpoint::is_tls)
        };
        let Some(first) = servers.iter().find(is_tls) else {
            for key in TLS_KEYS {
                if table.names_any(&[key]) && !servers.is_empty() {
                    table.complain(key, "is for https:// servers, and there is none here");
                }
                table.skip(key);
            }
            return Some(None);
        };
        let authorities = match table.strings("ca") {
            None => self.system_trust(table, &first.location),
            Some(sources) => self.upstream_authorities(table, &sources),
        };
        let server_name = table.string("server_name").and_then(|name| {
            parsed(table, name, |name| match is_verifiable(name) {
                true => Ok(name.to_owned()),
                false => Err("must be the name, or the address, in the servers' certificates"),
            })
        });
        if server_name.is_none() {
            for server in servers.iter().filter(is_tls) {
                self.check_verifiable(table, server);
            }
        }
        let identity = self.identity(table);
        Some(Some(UpstreamTls {
            authorities: authorities?,
            server_name,
            identity: identity?,
        }))
    }

    fn upstream_authorities(
        &self,
        table: &TableReader<'_>,
        sources: &[Located<String>],
    ) -> Option<Arc<[CertificateDer<'static>]>> {
        if sources.is_empty() {
            table.complain(
                "ca",
                "must not be empty: set PEM files, or omit it to trust the authorities of the system",
            );
        }
        let loaded = sources.iter().map(|source| {
            let authorities = files::authorities(&self.file(&source.value));
            authorities
                .map_err(|message| table.document.complain(&source.location, message))
                .ok()
        });
        // Every source is read, so that every problem is noted.
        let loaded: Vec<_> = loaded.collect();
        loaded
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .map(|loaded| loaded.into_iter().flatten().collect())
    }

    fn system_trust(
        &self,
        table: &TableReader<'_>,
        location: &KeyLocation,
    ) -> Option<Arc<[CertificateDer<'static>]>> {
        let trust = self.system_trust.get_or_init(files::system_authorities);
        let complain = |message| {
            table.document.complain(
                location,
                format!("{message}, or name a ca in a group of [upstreams]"),
            )
        };
        trust.clone().map_err(complain).ok()
    }

    /// Complains of a name that no certificate can have: every connection to it would fail.
    fn check_verifiable(&self, table: &TableReader<'_>, server: &Located<Option<Endpoint>>) {
        if let Some(Endpoint::Tcp { host, .. }) = &server.value
            && !is_verifiable(host)
        {
            table.document.complain(
                &server.location,
                format!("no certificate can name \"{host}\"; set server_name"),
            );
        }
    }

    /// Reads the client certificate and its key; both or neither.
    fn identity(&self, table: &mut TableReader<'_>) -> Option<Option<Arc<UpstreamIdentity>>> {
        const BOTH: [&str; 2] = ["client_certificate", "client_private_key"];
        if !table.names_any(&BOTH) {
            BOTH.into_iter().for_each(|key| table.skip(key));
            return Some(None);
        }
        let certificate = self.required_file(
            table,
            BOTH[0],
            "the certificate for the servers, in PEM, leaf first",
        );
        let key = self.required_file(table, BOTH[1], "the certificate's key in PEM");
        let (certificate, key) = both(table, certificate, key)?;
        match files::identity(&certificate.value, &key.value) {
            Ok(identity) => {
                lint_key_file(table, &key);
                Some(Some(Arc::new(identity)))
            }
            Err(error) => {
                complain_about_pair(table, &certificate, &key, error);
                None
            }
        }
    }

    /// Reads the upstream of a route: one of `groups`, or a URL.
    pub(super) fn route_upstream(
        &self,
        table: &mut TableReader<'_>,
        groups: &Groups,
    ) -> Option<Arc<Upstream>> {
        let what = "the application, such as \"http://127.0.0.1:3000\", or one of [upstreams]";
        let text = required(table, "upstream", what)?;
        if let Some(group) = groups.get(&text.value) {
            return group.clone();
        }
        if !text.value.contains([':', '/']) {
            let name = &text.value;
            let message = match suggest(name, groups.keys().map(String::as_str)) {
                Some(suggestion) => format!("there is no [upstreams.{name}]{suggestion}"),
                None => format!(
                    "must be {FORMS}, or the name of one of [upstreams], and there are none"
                ),
            };
            table.document.complain(&text.location, message);
            return None;
        }
        let location = text.location.clone();
        let server = Located {
            value: parsed(table, text, |url| self.endpoint(url)),
            location,
        };
        let tls = match server.value.as_ref()?.is_tls() {
            false => None,
            true => {
                self.check_verifiable(table, &server);
                let authorities = self.system_trust(table, &server.location)?;
                Some(UpstreamTls {
                    authorities,
                    server_name: None,
                    identity: None,
                })
            }
        };
        Some(Arc::new(Upstream::url(server.value?, tls)))
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint, String> {
        if let Some(path) = url.strip_prefix("unix:") {
            return match path {
                "" => Err("must name a socket: \"unix:/run/app.sock\"".into()),
                path => {
                    let path = self.path(path);
                    let untouched = files::untouched(&path);
                    if !untouched.is_empty() {
                        return Err(format!("must be the path of a socket as it is{untouched}"));
                    }
                    // Too long a path, mostly.
                    SocketAddr::from_pathname(&path)
                        .map_err(|error| format!("is not a valid path of a socket: {error}"))?;
                    Ok(Endpoint::Unix(path))
                }
            };
        }
        let form = || format!("must be {FORMS}");
        let uri: http::Uri = url.parse().map_err(|_| form())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(form()),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(form)?;
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err("must not hold credentials; use set_headers".into());
        }
        if uri
            .path_and_query()
            .is_some_and(|path| path.as_str() != "/")
        {
            return Err(
                "must not have a path: the request's own path and query are passed on unchanged"
                    .into(),
            );
        }
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Endpoint::Tcp {
            host,
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
        })
    }
}

/// Returns all of `servers`, unless there was a problem with one.
fn located(servers: Vec<Located<Option<Endpoint>>>) -> Option<Vec<Endpoint>> {
    let servers: Vec<_> = servers
        .into_iter()
        .map(|server| server.value)
        .collect::<Option<_>>()?;
    Some(servers).filter(|servers: &Vec<Endpoint>| !servers.is_empty())
}

/// Returns what tells servers of a group apart, whatever they speak.
fn address_of(endpoint: &Endpoint) -> Endpoint {
    match endpoint {
        Endpoint::Tcp { host, port, .. } => Endpoint::Tcp {
            host: host.to_ascii_lowercase(),
            port: *port,
            tls: false,
        },
        Endpoint::Unix(path) => Endpoint::Unix(path.clone()),
    }
}

/// Returns `true` if a certificate can be for this name. Pingora would look for `a-b.example` in
/// place of `a_b.example`.
fn is_verifiable(name: &str) -> bool {
    !name.contains('_') && ServerName::try_from(name).is_ok()
}

fn health_check(table: &mut TableReader<'_>) -> HealthCheck {
    let path = table.string("path").and_then(|path| {
        parsed(table, path, |path| {
            match path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
                true => Ok(path.to_owned()),
                false => Err("must be a path, such as \"/healthz\""),
            }
        })
    });
    if path.is_none() && !table.names_any(&["path"]) {
        for key in ["host", "headers", "status"]
            .into_iter()
            .filter(|key| table.names_any(&[key]))
        {
            table.complain(key, "requires path: without it, a check only connects");
        }
    }
    let host = table.string("host").and_then(|host| {
        parsed(table, host, |host| match host.parse::<Authority>() {
            Ok(_) if !host.contains('@') => Ok(host.to_owned()),
            _ => Err("must be the host name for the request, such as \"hooks.example.com\""),
        })
    });
    let headers = table.string_map("headers").into_iter();
    let headers = headers
        .filter_map(|(name, value)| check_header(table, &name, &value))
        .collect();
    let statuses = match table.strings("status") {
        None => vec![200..=399],
        Some(statuses) => {
            if statuses.is_empty() {
                table.complain(
                    "status",
                    "is empty: no check could pass; the default is [\"2xx\", \"3xx\"]",
                );
            }
            statuses
                .into_iter()
                .filter_map(|status| parsed(table, status, parse_statuses))
                .collect()
        }
    };
    let interval = table.duration("interval").unwrap_or(CHECK_INTERVAL);
    HealthCheck {
        path,
        host,
        headers,
        statuses,
        interval,
    }
}

fn check_header(
    table: &TableReader<'_>,
    name: &str,
    value: &Located<String>,
) -> Option<(HeaderName, HeaderValue)> {
    let complain = |message: &str| table.document.complain(&value.location, message);
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        complain("is not the name of a header");
        return None;
    };
    if header == HOST {
        complain("has a key of its own: host");
    } else if is_reserved(header.as_str()) {
        complain("is set by this program and cannot be changed");
    }
    let Ok(mut value) = HeaderValue::from_str(&value.value) else {
        complain("must be printable ASCII");
        return None;
    };
    // It may be a credential.
    value.set_sensitive(true);
    Some((header, value))
}

/// Parses `"404"`, or `"2xx"` for all that begin with that digit.
fn parse_statuses(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    const FORMS: &str = "must be a status such as \"404\", or \"2xx\" for a class of them";
    let (first, last) = match text.strip_suffix("xx") {
        Some(class) => (format!("{class}00"), format!("{class}99")),
        None => (text.to_owned(), text.to_owned()),
    };
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if text.len() == 3 && (200..600).contains(&first) => Ok(first..=last),
        _ => Err(FORMS),
    }
}
