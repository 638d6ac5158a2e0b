//! From the keys of the file to a [`Config`]; knows every key, its default and what it must be.

mod revocation;
mod routes;
mod upstreams;

use super::document::{Document, Located, Table};
use super::files::{self, KeyPairError};
use super::lints;
use super::stamp::Stamp;
use super::upgrade_socket;
use super::{
    AdminSettings, ClientTrust, Config, ConfigError, CrlCoverage, Limits, Listen, Log, LogFormat,
    LogLevel, MAX_BUFFERED, Problem, RevocationList, Route, RouteKind, ServerSettings, Tls,
    TlsVersion, Verify,
};
use crate::config::NETDATA_COMMON_NAME;
use crate::config::memory_limit::memory_limit;
use ipnet::IpNet;
use revocation::{current, uncovered};
use rustls::crypto::aws_lc_rs;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use upstreams::SystemTrust;

/// A configuration, the findings about it, and the files that were read for it.
pub(super) struct Parsed {
    pub(super) config: Config,
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) stamps: Vec<Stamp>,
}

/// Maximum length of a configuration, in bytes.
const MAX_CONFIG: u64 = 16 << 20;

/// Reads the text of a configuration.
pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    let text = files::read_within(file, MAX_CONFIG).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
    });
    text.map_err(|error| {
        let message = format!(
            "cannot read the configuration: {error}{}",
            files::untouched(file)
        );
        ConfigError(vec![Problem {
            file: file.to_owned(),
            line: 1,
            key: String::new(),
            message,
        }])
    })
}

/// Reads the configuration in `text`, and all files that it names.
pub(super) fn parse(file: &Path, text: &str) -> Result<Parsed, ConfigError> {
    let document = Document::new(file, text.to_owned());
    let loader = Loader {
        file,
        directory: file.parent().unwrap_or(Path::new("")),
        files: RefCell::default(),
        errors: RefCell::default(),
        system_trust: SystemTrust::default(),
    };
    let config = document.read(|root| loader.config(root)).flatten();
    let (problems, warnings) = document.into_findings();
    match config {
        Some(config) if problems.is_empty() => Ok(Parsed {
            config,
            errors: loader.errors.into_inner(),
            warnings,
            stamps: loader.files.into_inner(),
        }),
        _ => Err(ConfigError(problems)),
    }
}

/// Only `[admin]`, whatever the rest may be: neither secrets nor keys are read.
pub(super) fn load_admin(file: &Path) -> Result<Option<AdminSettings>, ConfigError> {
    let document = Document::new(file, read(file)?);
    let admin = document.read(|root| root.table("admin", admin)).flatten();
    let is_about_it =
        |problem: &Problem| problem.key.is_empty() || problem.key.starts_with("admin");
    let problems: Vec<_> = document
        .into_findings()
        .0
        .into_iter()
        .filter(is_about_it)
        .collect();
    if problems.is_empty() {
        Ok(admin)
    } else {
        Err(ConfigError(problems))
    }
}

struct Loader<'f> {
    file: &'f Path,
    /// What relative paths are relative to.
    directory: &'f Path,
    /// What was read, or was to be, as it was before.
    files: RefCell<Vec<Stamp>>,
    /// What `check` refuses, and a running program goes on with.
    errors: RefCell<Vec<Problem>>,
    system_trust: SystemTrust,
}

impl Loader<'_> {
    /// `None` only where a problem has been noted.
    fn config(&self, root: &mut Table<'_>) -> Option<Config> {
        let listen = root.table("listen", listen);
        let has_https = !listen.https.is_empty();
        let tls_place = root.place_of("tls");
        let mut verify = Verify::Off;
        let mut has_tls = false;
        let tls = root.table("tls", |table| {
            has_tls = table.is_present();
            if !has_tls && !has_https {
                return None;
            }
            let client = table.table("client", |table| self.client_trust(table));
            verify = client.verify;
            self.tls(table, client)
        });
        if has_https && !has_tls {
            let message = "missing; an HTTPS listener needs certificate = \"fullchain.pem\" and private_key = \"…\"";
            root.document.complain(&tls_place, message);
        }
        let server = root.table("server", |table| self.server(table));
        let (limits, max_buffered_place) = root.table("limits", |table| {
            (limits(table), table.place_of("max_buffered"))
        });
        let groups = self.upstreams(root);
        let routes = self.routes(root, verify, &groups);
        for route in routes
            .iter()
            .flatten()
            .filter(|route| held_by(route) > limits.max_buffered)
        {
            let (path, held, limit) = (&route.path, held_by(route), limits.max_buffered);
            let message = format!(
                "{path} takes bodies of up to {held} bytes, of which those over {limit} get 503"
            );
            root.document.warn(&max_buffered_place, message);
        }
        let admin = root.table("admin", admin);
        let log = root.table("log", log);
        let upstreams = groups.into_values().flatten().collect();
        let tls = if has_https { Some(tls?) } else { None };
        let mut config = Config {
            listen,
            tls,
            server,
            limits,
            upstreams,
            routes: routes?,
            admin,
            log,
        };
        config.name_checked_hosts();
        Some(config)
    }

    fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }

    /// The path of a file that is to be made. That it is not there says nothing about its name.
    fn path_to_make(&self, table: &Table<'_>, named: &Located<String>) -> PathBuf {
        let path = self.path(&named.value);
        let untouched = files::untouched(&path);
        if !untouched.is_empty() {
            table.document.warn(
                &named.place,
                format!("the name is taken as it is{untouched}"),
            );
        }
        path
    }

    /// The path of a file that is read next.
    fn file(&self, text: &str) -> PathBuf {
        let path = self.path(text);
        self.files.borrow_mut().push(Stamp::of(&path));
        path
    }

    fn tls(&self, table: &mut Table<'_>, client: ClientTrust) -> Option<Tls> {
        let certificate = required(
            table,
            "certificate",
            "the server's chain in PEM, leaf first",
        );
        let private_key = required(table, "private_key", "the certificate's key in PEM");
        let min_version = table
            .choice(
                "min_version",
                &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)],
            )
            .unwrap_or(TlsVersion::Tls12);
        let (certificate, private_key) = (certificate?, private_key?);
        let paths = (self.file(&certificate.value), self.file(&private_key.value));
        match files::server_certificate(&paths.0, &paths.1, &aws_lc_rs::default_provider()) {
            Ok(server) => {
                let now = x509_parser::time::ASN1Time::now().timestamp();
                if let Some(message) = lints::on_leaf(&server.cert, now) {
                    self.errors
                        .borrow_mut()
                        .push(table.document.problem(&certificate.place, message));
                }
                for message in lints::on_chain(&server.cert, now, lints::is_known_to_system) {
                    table.document.warn(&certificate.place, message);
                }
                if let Some(message) = lints::on_key_file(&paths.1) {
                    table.document.warn(&private_key.place, message);
                }
                Some(Tls {
                    certificate: server,
                    min_version,
                    client,
                })
            }
            Err(KeyPairError::Certificate(message)) => {
                table.document.complain(&certificate.place, message);
                None
            }
            Err(KeyPairError::Key(message)) => {
                table.document.complain(&private_key.place, message);
                None
            }
        }
    }

    fn client_trust(&self, table: &mut Table<'_>) -> ClientTrust {
        let choices = [
            ("require", Verify::Require),
            ("request", Verify::Request),
            ("off", Verify::Off),
        ];
        let verify = table.choice("verify", &choices).unwrap_or(Verify::Require);
        let noted = table.document.count();
        let authorities = match table.strings("ca") {
            None => files::builtin_authorities(),
            Some(sources) => {
                if sources.is_empty() && verify != Verify::Off {
                    table.complain("ca", "is empty: name \"builtin:netdata\" or PEM files");
                }
                sources
                    .iter()
                    .flat_map(|source| self.authorities(table, source))
                    .collect()
            }
        };
        let choices = [("all", CrlCoverage::All), ("listed", CrlCoverage::Listed)];
        let crl_coverage = table
            .choice("crl_coverage", &choices)
            .unwrap_or(CrlCoverage::All);
        let lists = self.revocation_lists(table);
        let uncovered = uncovered(&authorities, &lists, crl_coverage);
        // Where something could not be read, it may be just that.
        if table.document.count() == noted && verify != Verify::Off {
            uncovered
                .into_iter()
                .for_each(|message| table.complain("crl", message));
        }
        let revocation_lists = current(table, lists);
        let common_names = match table.strings("common_names") {
            None => vec![NETDATA_COMMON_NAME.to_owned()],
            Some(names) => {
                if names.is_empty() {
                    table.complain(
                        "common_names",
                        "is empty: nobody could pass; the default is [\"app.netdata.cloud\"]",
                    );
                }
                for name in names
                    .iter()
                    .filter(|name| name.value.is_empty() || name.value.contains(char::is_control))
                {
                    table
                        .document
                        .complain(&name.place, "must be a name without control characters");
                }
                names.into_iter().map(|name| name.value).collect()
            }
        };
        ClientTrust {
            verify,
            authorities,
            revocation_lists,
            crl_coverage,
            common_names,
        }
    }

    fn authorities(
        &self,
        table: &Table<'_>,
        source: &Located<String>,
    ) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        let loaded = match source.value.strip_prefix("builtin:") {
            Some("netdata") => Ok(files::builtin_authorities()),
            Some(_) => Err("the only built-in authority is \"builtin:netdata\"".to_owned()),
            None => files::authorities(&self.file(&source.value)),
        };
        loaded.unwrap_or_else(|message| {
            table.document.complain(&source.place, message);
            Vec::new()
        })
    }

    fn revocation_lists(&self, table: &mut Table<'_>) -> Vec<Located<RevocationList>> {
        let sources = table.strings("crl").unwrap_or_default();
        let of_source =
            |source: Located<String>| match files::revocation_lists(&self.file(&source.value)) {
                Ok(lists) => lists
                    .into_iter()
                    .map(|value| Located {
                        value,
                        place: source.place.clone(),
                    })
                    .collect(),
                Err(message) => {
                    table.document.complain(&source.place, message);
                    Vec::new()
                }
            };
        sources.into_iter().flat_map(of_source).collect()
    }

    fn server(&self, table: &mut Table<'_>) -> ServerSettings {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = table.integer("threads").map_or(0, |threads| {
            if threads.value > 1024 {
                table.complain("threads", "must be at most 1024");
            }
            threads.value as usize
        });
        let pid_file = table
            .string("pid_file")
            .filter(|path| !path.value.is_empty());
        let pid_file = pid_file.map(|path| self.path_to_make(table, &path));
        ServerSettings {
            upgrade_socket: self.upgrade_socket(table, pid_file.as_deref()),
            pid_file,
            threads: if threads == 0 { cores } else { threads },
            shutdown_timeout: table
                .duration("shutdown_timeout")
                .unwrap_or(Duration::from_secs(30)),
        }
    }

    fn upgrade_socket(&self, table: &mut Table<'_>, pid_file: Option<&Path>) -> PathBuf {
        // Pingora's own name for it is known, too.
        let named = table
            .string("upgrade_socket")
            .or(table.string("upgrade_sock"));
        let Some(named) = named.filter(|path| !path.value.is_empty()) else {
            return upgrade_socket::default_path(pid_file, self.file);
        };
        let path = self.path_to_make(table, &named);
        if path.as_os_str().len() > upgrade_socket::MAX_LENGTH {
            let message = format!(
                "must have at most {} bytes, as every socket's path",
                upgrade_socket::MAX_LENGTH
            );
            table.document.complain(&named.place, message);
        }
        path
    }
}

/// How many bytes of a body a route holds in memory.
fn held_by(route: &Route) -> u64 {
    match (route.kind, route.max_body) {
        (RouteKind::Webhook, max_body) => max_body,
        (RouteKind::Proxy, 0) => route.buffer_body,
        (RouteKind::Proxy, max_body) => route.buffer_body.min(max_body),
    }
}

fn listen(table: &mut Table<'_>) -> Listen {
    let document = table.document;
    let noted = document.count();
    let listen = Listen {
        https: addresses(table, "https"),
        http: addresses(table, "http"),
        http2: table.boolean("http2").unwrap_or(true),
        proxy_protocol: table.boolean("proxy_protocol").unwrap_or(false),
        trusted_proxies: networks(table, "trusted_proxies"),
        allow: networks(table, "allow"),
    };
    if listen.https.is_empty() && listen.http.is_empty() && document.count() == noted {
        table.complain("https", "missing; name an address such as \"0.0.0.0:8443\"");
    }
    if listen.proxy_protocol && listen.trusted_proxies.is_empty() && document.count() == noted {
        table.complain(
            "proxy_protocol",
            "needs trusted_proxies, the addresses whose headers are believed",
        );
    }
    listen
}

fn addresses(table: &mut Table<'_>, key: &'static str) -> Vec<SocketAddr> {
    let texts = table.strings(key).unwrap_or_default();
    let texts = texts.into_iter().filter(|text| !text.value.is_empty());
    texts
        .filter_map(|text| {
            parsed(table, text, |text| {
                text.parse().map_err(
                    |_| "must be an address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"",
                )
            })
        })
        .collect()
}

fn networks(table: &mut Table<'_>, key: &'static str) -> Vec<IpNet> {
    let texts = table.strings(key).unwrap_or_default();
    let parse = |text: &str| {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| "must be a network or an address, such as \"10.0.0.0/8\"")
    };
    texts
        .into_iter()
        .filter_map(|text| parsed(table, text, parse))
        .collect()
}

fn limits(table: &mut Table<'_>) -> Limits {
    let default = Limits::default();
    let max_header_size =
        table
            .size("max_header_size")
            .map_or(default.max_header_size as u64, |size| {
                if !(1024..=1024 * 1024).contains(&size.value) {
                    table.complain("max_header_size", "must be from 1KiB to 1MiB");
                }
                size.value
            });
    let max_buffered = table
        .size("max_buffered")
        .map_or_else(default_max_buffered, |size| {
            if size.value == 0 {
                table.complain(
                    "max_buffered",
                    "must be more than 0: a webhook's body is held in memory until it is verified",
                );
            }
            size.value
        });
    let max_connections = count(table, "max_connections", default.max_connections);
    if max_connections == 0 {
        table.complain("max_connections", "must be more than 0");
    }
    Limits {
        max_connections,
        max_connections_per_address: count(
            table,
            "max_connections_per_address",
            default_per_address(max_connections),
        ),
        requests_per_second: count(table, "requests_per_second", 0) as u32,
        burst: count(table, "burst", 0) as u32,
        handshake_timeout: table
            .duration("handshake_timeout")
            .unwrap_or(default.handshake_timeout),
        header_timeout: table
            .duration("header_timeout")
            .unwrap_or(default.header_timeout),
        body_timeout: table
            .duration("body_timeout")
            .unwrap_or(default.body_timeout),
        idle_timeout: table
            .duration("idle_timeout")
            .unwrap_or(default.idle_timeout),
        max_header_size: max_header_size as usize,
        max_buffered,
    }
}

/// A quarter of all, so that no single address takes every connection; where there are few, a
/// handful is no attack.
fn default_per_address(max_connections: usize) -> usize {
    (max_connections / 4).max(16)
}

/// A quarter of what the process may have: connections take memory as well, and so does what the
/// system holds for them.
fn default_max_buffered() -> u64 {
    memory_limit().map_or(MAX_BUFFERED, |limit| {
        (limit / 4).clamp(1 << 20, MAX_BUFFERED)
    })
}

fn count(table: &mut Table<'_>, key: &'static str, default: usize) -> usize {
    match table.integer(key) {
        Some(count) if count.value > 1_000_000_000 => {
            table
                .document
                .complain(&count.place, "must be at most 1000000000");
            default
        }
        Some(count) => count.value as usize,
        None => default,
    }
}

fn admin(table: &mut Table<'_>) -> Option<AdminSettings> {
    let text = table
        .string("listen")
        .filter(|text| !text.value.is_empty())?;
    let place = text.place.clone();
    let parse = |text: &str| {
        text.parse::<SocketAddr>()
            .map_err(|_| "must be an address and a port, such as \"127.0.0.1:9464\"")
    };
    let listen = parsed(table, text, parse)?;
    if !listen.ip().to_canonical().is_loopback() {
        let message = "is not a loopback address: the admin listener has no authentication, and whoever reaches it sees \
                       the tokens of Test notifications";
        table.document.warn(&place, message);
    }
    Some(AdminSettings { listen })
}

fn log(table: &mut Table<'_>) -> Log {
    let default = Log::default();
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    Log {
        format: table
            .choice(
                "format",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )
            .unwrap_or(default.format),
        level: table.choice("level", &levels).unwrap_or(default.level),
        access: table.boolean("access").unwrap_or(default.access),
    }
}

/// The string of a key that must be there.
fn required(table: &mut Table<'_>, key: &'static str, what: &str) -> Option<Located<String>> {
    let is_named = table.names_any(&[key]);
    let value = table.string(key);
    if !is_named {
        table.complain(key, format!("missing; name {what}"));
    }
    value
}

/// `text` as `parse` reads it; what it says against it is noted.
fn parsed<T, E: Into<String>>(
    table: &Table<'_>,
    text: Located<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    parse(&text.value)
        .map_err(|message| table.document.complain(&text.place, message.into()))
        .ok()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use std::path::Path;

    /// A file with this in `[listen]`, at its end, and what is wrong with it.
    fn problems(listen: &str, more: &str) -> Vec<String> {
        let text = format!(
            "[listen]\nhttp = \"127.0.0.1:0\"\n{listen}\n[[routes]]\npath = \"/a\"\n\
             upstream = \"http://127.0.0.1:1\"\nauth = \"none\"\n{more}\n"
        );
        match Config::from_toml(&text, Path::new("")) {
            Ok(_) => Vec::new(),
            Err(error) => error.0.iter().map(ToString::to_string).collect(),
        }
    }

    #[track_caller]
    fn check(listen: &str, more: &str, expected: Option<&str>) {
        let found = problems(listen, more);
        let is_expected = match expected {
            None => found.is_empty(),
            Some(key) => found.len() == 1 && found[0].contains(&format!(" {key}: ")),
        };
        assert!(is_expected, "{expected:?} {listen} {more}: {found:?}");
    }

    /// The values at both sides of every bound.
    #[test]
    fn bounds_are_where_they_are_said_to_be() {
        let group = "[upstreams.a]\nservers = \"http://127.0.0.1:1\"\n";
        for (table, key, good, bad) in [
            ("[limits]", "limits.max_header_size", "1024", "1023"),
            ("[limits]", "limits.max_header_size", "\"1MiB\"", "1048577"),
            ("[limits]", "limits.max_buffered", "1048576", "0"),
            ("[limits]", "limits.max_connections", "1", "0"),
            (
                "[limits]",
                "limits.max_connections",
                "1000000000",
                "1000000001",
            ),
            (
                "[limits]",
                "limits.max_connections_per_address",
                "1000000000",
                "1000000001",
            ),
            (
                "[limits]",
                "limits.requests_per_second",
                "1000000000",
                "1000000001",
            ),
            ("[limits]", "limits.burst", "1000000000", "1000000001"),
            ("[server]", "server.threads", "1024", "1025"),
            (group, "upstreams.a.keepalive", "65536", "65537"),
            (
                "[server]",
                "server.upgrade_socket",
                &format!("\"/{}\"", "a".repeat(106)),
                &format!("\"/{}\"", "a".repeat(107)),
            ),
        ] {
            let name = key.rsplit('.').next().unwrap_or_default();
            check("", &format!("{table}\n{name} = {good}"), None);
            check("", &format!("{table}\n{name} = {bad}"), Some(key));
        }
        check("", "max_body = 1", None);
        check("", "max_body = 0", Some("routes[0].max_body"));
        check("", "kind = \"proxy\"\nmax_body = 0", None);
        for (status, passes) in [
            ("199", false),
            ("200", true),
            ("599", true),
            ("600", false),
            ("1xx", false),
            ("2xx", true),
            ("5xx", true),
            ("6xx", false),
            ("xx", false),
            ("+20", false),
            ("2000", false),
        ] {
            let more =
                format!("{group}[upstreams.a.health_check]\npath = \"/\"\nstatus = [\"{status}\"]");
            check(
                "",
                &more,
                (!passes).then_some("upstreams.a.health_check.status[0]"),
            );
        }
    }

    /// Every key that only one kind of route, or of check, has a use for.
    #[test]
    fn keys_are_for_what_has_a_use_for_them() {
        for (key, value) in [
            ("challenge_secret", "{ env = \"PATH\" }"),
            ("challenge_requires_authorization", "true"),
            ("schema", "\"strict\""),
            ("spaces", "[\"a\"]"),
            ("tests", "\"answer\""),
        ] {
            check("", &format!("{key} = {value}"), None);
            let more = format!("kind = \"proxy\"\n{key} = {value}");
            check("", &more, Some(&format!("routes[0].{key}")));
        }
        check("", "kind = \"proxy\"\nbuffer_body = 1", None);
        check("", "buffer_body = 1", Some("routes[0].buffer_body"));
        let group = "[upstreams.a]\nservers = \"http://127.0.0.1:1\"\n";
        for key in [
            "ca",
            "server_name",
            "client_certificate",
            "client_private_key",
        ] {
            let more = format!("{group}{key} = \"a\"");
            check("", &more, Some(&format!("upstreams.a.{key}")));
        }
        for (key, value) in [
            ("host", "\"a\""),
            ("headers", "{ X-A = \"a\" }"),
            ("status", "\"200\""),
        ] {
            let more = format!("{group}[upstreams.a.health_check]\n{key} = {value}");
            check("", &format!("{more}\npath = \"/\""), None);
            check("", &more, Some(&format!("upstreams.a.health_check.{key}")));
        }
    }

    /// What may stand in a name or a value, sign by sign.
    #[test]
    fn each_sign_is_taken_where_it_may_stand() {
        for sign in (1..=127).map(char::from) {
            let quoted = format!("\"a\\u{:04x}b\"", u32::from(sign));
            let is_plain = sign.is_ascii_alphanumeric() || "-_.".contains(sign);
            let server = "servers = \"http://127.0.0.1:1\"";
            let found = problems("", &format!("[upstreams.{quoted}]\n{server}"));
            assert_eq!(found.is_empty(), is_plain, "{sign:?}: {found:?}");
            let found = problems("", &format!("set_headers = {{ X-A = {quoted} }}"));
            assert_eq!(
                found.is_empty(),
                !sign.is_control() && sign != '$',
                "{sign:?}: {found:?}"
            );
            let path = format!(
                "[upstreams.a]\n{server}\n[upstreams.a.health_check]\npath = \"/\\u{:04x}\"",
                u32::from(sign)
            );
            let found = problems("", &path);
            assert_eq!(
                found.is_empty(),
                sign.is_ascii_graphic(),
                "{sign:?}: {found:?}"
            );
        }
        for name in ["", "..", "a/b", "/a"] {
            let token = format!("auth.bearer = [{{ token = {{ credential = \"{name}\" }} }}]");
            let text = format!(
                "[listen]\nhttp = \"127.0.0.1:0\"\n[[routes]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:1\"\n{token}\n"
            );
            let error = Config::from_toml(&text, Path::new("")).unwrap_err();
            assert!(
                error.to_string().contains("the name of a credential"),
                "{name}: {error}"
            );
        }
        check("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]", "", None);
        for network in ["10.0.0.0/33", "10.0.0", "a", ""] {
            let listen = format!("allow = [\"{network}\"]");
            check(&listen, "", Some("listen.allow[0]"));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\[\\[?(listen|tls|tls.client|routes|routes.auth|limits)\\]\\]?\\n|[a-z_]{1,12} = (\"[ -~]{0,9}\"|[0-9]{1,22}|\\[\\]|\\{\\}|true)\\n|\\PC){0,30}") {
            let _ = Config::from_toml(&text, Path::new(""));
        }

        #[test]
        fn no_change_to_a_good_file_makes_it_panic(at in 0..3000_usize, byte in "\\PC") {
            let mut text = include_str!("../../../conf/example.toml").to_owned();
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.insert_str(at, &byte);
            let _ = Config::from_toml(&text, Path::new(""));
        }
    }
}
