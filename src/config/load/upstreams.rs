//! `[upstreams.NAME]`, and what a route may name as its upstream.

use super::endpoint::FORMS;
use super::health_check::health_check;
use super::tls::{both, complain_about_pair, lint_key_file};
use super::{Loader, count, parsed, required};
use crate::config::document::{KeyLocation, Located, TableReader, suggest};
use crate::config::upstream::RETRY_FOR;
use crate::config::{Balance, Endpoint, Upstream, UpstreamIdentity, UpstreamTls};
use crate::config::{files, key_pair};
use rustls::pki_types::{CertificateDer, ServerName};
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The keys that only `https://` servers have a use for.
const TLS_KEYS: [&str; 4] = [
    "ca",
    "server_name",
    "client_certificate",
    "client_private_key",
];

/// The client certificate and its key.
const IDENTITY: [&str; 2] = ["client_certificate", "client_private_key"];

/// The values that `balance` may have.
const BALANCES: [(&str, Balance); 2] = [
    ("round_robin", Balance::RoundRobin),
    ("random", Balance::Random),
];

/// The groups by name; `None` where a problem has been noted.
pub(super) type Groups = BTreeMap<String, Option<Arc<Upstream>>>;

/// The system's trust, once it was asked for: reading it takes a while.
pub(super) type SystemTrust = OnceCell<Result<Arc<[CertificateDer<'static>]>, String>>;

impl Loader<'_> {
    pub(super) fn upstreams(&self, root: &mut TableReader<'_>) -> Groups {
        let groups = root.named_tables("upstreams", |name, table| {
            check_name(table, name);
            self.group(name, table).map(Arc::new)
        });
        groups.into_iter().collect()
    }

    fn group(&self, name: &str, table: &mut TableReader<'_>) -> Option<Upstream> {
        let servers = self.servers(table);
        let keepalive = keepalive(table);
        let balance = table.choice("balance", &BALANCES);
        let connect_timeout = table.duration("connect_timeout");
        let response_timeout = table.duration("response_timeout");
        let retry_for = table.duration_or_zero("retry_for").unwrap_or(RETRY_FOR);
        let health_check = Some(table.table("health_check", health_check));
        let tls = self.group_tls(table, &servers);
        let (name, servers, tls) = (name.to_owned(), located(servers)?, tls?);
        Some(Upstream {
            name,
            servers,
            balance: balance.unwrap_or(Balance::RoundRobin),
            connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(2)),
            response_timeout: response_timeout.unwrap_or(Duration::from_secs(30)),
            retry_for,
            keepalive,
            health_check,
            tls,
        })
    }

    fn servers(&self, table: &mut TableReader<'_>) -> Vec<Located<Option<Endpoint>>> {
        let texts = server_texts(table);
        let mut seen = HashSet::new();
        let read = |text| {
            let server = self.server_at(table, text);
            complain_if_duplicate(table, &server, &mut seen);
            server
        };
        texts.into_iter().map(read).collect()
    }

    /// Parses the address of a server.
    fn server_at(
        &self,
        table: &TableReader<'_>,
        text: Located<String>,
    ) -> Located<Option<Endpoint>> {
        let location = text.location.clone();
        let value = parsed(table, text, |text| self.endpoint(text));
        Located { value, location }
    }

    /// Reads the TLS settings of a group: `None` where a problem has been noted, `Some(None)` where
    /// no server speaks TLS.
    fn group_tls(
        &self,
        table: &mut TableReader<'_>,
        servers: &[Located<Option<Endpoint>>],
    ) -> Option<Option<UpstreamTls>> {
        let Some(first) = servers.iter().find(|server| is_tls(server)) else {
            refuse_tls_keys(table, !servers.is_empty());
            return Some(None);
        };
        let authorities = match table.strings("ca") {
            None => self.system_trust(table, &first.location),
            Some(sources) => self.upstream_authorities(table, &sources),
        };
        let server_name = server_name(table);
        if server_name.is_none() {
            let servers = servers.iter().filter(|server| is_tls(server));
            servers.for_each(|server| check_verifiable(table, server));
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
        let load = |source| self.authorities_at(table, source);
        // Every source is read, so that every problem is noted.
        let loaded: Vec<_> = sources.iter().map(load).collect();
        let loaded: Vec<_> = loaded.into_iter().collect::<Option<_>>()?;
        Some(loaded.into_iter().flatten().collect())
    }

    fn authorities_at(
        &self,
        table: &TableReader<'_>,
        source: &Located<String>,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let complain = |message| table.document.complain(&source.location, message);
        let authorities = files::authorities(&self.file(&source.value));
        authorities.map_err(complain).ok()
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

    /// Reads the client certificate and its key; both or neither.
    fn identity(&self, table: &mut TableReader<'_>) -> Option<Option<Arc<UpstreamIdentity>>> {
        if !table.names_any(&IDENTITY) {
            IDENTITY.into_iter().for_each(|key| table.skip(key));
            return Some(None);
        }
        let what = "the certificate for the servers, in PEM, leaf first";
        let certificate = self.required_file(table, IDENTITY[0], what);
        let key = self.required_file(table, IDENTITY[1], "the certificate's key in PEM");
        let (certificate, key) = both(table, certificate, key)?;
        read_identity(table, &certificate, &key).map(Some)
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
            complain_of_unknown_group(table, &text, groups);
            return None;
        }
        let server = self.server_at(table, text);
        let tls = match server.value.as_ref()?.is_tls() {
            true => Some(self.default_tls(table, &server)?),
            false => None,
        };
        Some(Arc::new(Upstream::url(server.value?, tls)))
    }

    /// Returns the TLS settings of a server that is not in a group.
    fn default_tls(
        &self,
        table: &TableReader<'_>,
        server: &Located<Option<Endpoint>>,
    ) -> Option<UpstreamTls> {
        check_verifiable(table, server);
        Some(UpstreamTls {
            authorities: self.system_trust(table, &server.location)?,
            server_name: None,
            identity: None,
        })
    }
}

fn check_name(table: &TableReader<'_>, name: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        let message = "the name may have letters, digits, \"-\", \"_\" and \".\" only";
        table.document.complain(&table.location(), message);
    }
}

/// Reads the addresses of servers, and complains if there is none.
fn server_texts(table: &mut TableReader<'_>) -> Vec<Located<String>> {
    let texts = table.strings("servers");
    // One that is there and no text has been complained of.
    let is_read = texts.is_some() || !table.names_any(&["servers"]);
    let texts = texts.unwrap_or_default();
    if is_read && texts.is_empty() {
        table.complain("servers", format!("missing; name at least one of {FORMS}"));
    }
    texts
}

fn keepalive(table: &mut TableReader<'_>) -> usize {
    let keepalive = count(table, "keepalive", 128);
    if keepalive > 65_536 {
        table.complain("keepalive", "must be at most 65536");
    }
    keepalive
}

fn complain_if_duplicate(
    table: &TableReader<'_>,
    server: &Located<Option<Endpoint>>,
    seen: &mut HashSet<Endpoint>,
) {
    let address = server.value.as_ref().map(address_of);
    if address.is_some_and(|address| !seen.insert(address)) {
        let message = "is there already: name each server once";
        table.document.complain(&server.location, message);
    }
}

/// Complains of a name that no certificate can have: every connection to it would fail.
fn check_verifiable(table: &TableReader<'_>, server: &Located<Option<Endpoint>>) {
    if let Some(Endpoint::Tcp { host, .. }) = &server.value
        && !is_verifiable(host)
    {
        let message = format!("no certificate can name \"{host}\"; set server_name");
        table.document.complain(&server.location, message);
    }
}

fn read_identity(
    table: &TableReader<'_>,
    certificate: &Located<PathBuf>,
    key: &Located<PathBuf>,
) -> Option<Arc<UpstreamIdentity>> {
    match key_pair::identity(&certificate.value, &key.value) {
        Ok(identity) => {
            lint_key_file(table, key);
            Some(Arc::new(identity))
        }
        Err(error) => {
            complain_about_pair(table, certificate, key, error);
            None
        }
    }
}

fn is_tls(server: &Located<Option<Endpoint>>) -> bool {
    server.value.as_ref().is_some_and(Endpoint::is_tls)
}

fn server_name(table: &mut TableReader<'_>) -> Option<String> {
    let name = table.string("server_name")?;
    parsed(table, name, |name| match is_verifiable(name) {
        true => Ok(name.to_owned()),
        false => Err("must be the name, or the address, in the servers' certificates"),
    })
}

/// Skips the keys that only `https://` servers have a use for, and complains of them if there are
/// servers.
fn refuse_tls_keys(table: &mut TableReader<'_>, has_servers: bool) {
    for key in TLS_KEYS {
        if table.names_any(&[key]) && has_servers {
            table.complain(key, "is for https:// servers, and there is none here");
        }
        table.skip(key);
    }
}

fn complain_of_unknown_group(table: &TableReader<'_>, text: &Located<String>, groups: &Groups) {
    let name = &text.value;
    let message = match suggest(name, groups.keys().map(String::as_str)) {
        Some(suggestion) => format!("there is no [upstreams.{name}]{suggestion}"),
        None => {
            format!("must be {FORMS}, or the name of one of [upstreams], and there are none")
        }
    };
    table.document.complain(&text.location, message);
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
