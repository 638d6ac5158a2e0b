//! Reads every key of a configuration, checks its value, and applies defaults.

mod consistency;
mod credentials;
mod limits;
mod listen;
mod queue;
mod revocation;
mod routes;
mod secrets;
mod tls;
mod upstreams;

use super::document::{Document, KeyLocation, Located, TableReader};
use super::files;
use super::stamp::Stamp;
use super::upgrade_socket;
use super::{
    AdminSettings, Config, ConfigError, Limits, Log, LogFormat, LogLevel, Problem, Route,
    RouteKind, ServerSettings, Tls, Verify,
};
use consistency::Sections;
use limits::limits;
use listen::listen;
use queue::demand_queue;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
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
            place: None,
            key: String::new(),
            message,
        }])
    })
}

/// Reads the configuration in `text`, and all files that it names. Credentials of systemd are in
/// `credentials`, or else where the environment says.
pub(super) fn parse(
    file: &Path,
    text: &str,
    credentials: Option<&Path>,
) -> Result<Parsed, ConfigError> {
    let document = Document::new(file, text.to_owned());
    let loader = Loader::new(file, credentials);
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

/// Reads only `[admin]`, whatever the rest may be: neither secrets nor keys are read.
pub(super) fn load_admin(file: &Path) -> Result<Option<AdminSettings>, ConfigError> {
    load_section(file, "admin", |_, root| root.table("admin", admin))
}

/// Reads only the path in `[queue]`, whatever the rest may be.
pub(super) fn load_queue_path(file: &Path) -> Result<Option<PathBuf>, ConfigError> {
    let queue = load_section(file, "queue", |loader, root| loader.queue(root));
    Ok(queue?.map(|queue| queue.path))
}

/// Reads one section with `load`. Problems of others do not matter.
fn load_section<T>(
    file: &Path,
    name: &str,
    load: impl FnOnce(&Loader<'_>, &mut TableReader<'_>) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let document = Document::new(file, read(file)?);
    let loader = Loader::new(file, None);
    let section = document.read(|root| load(&loader, root)).flatten();
    let is_about_it = |problem: &Problem| problem.key.is_empty() || problem.key.starts_with(name);
    let (problems, _) = document.into_findings();
    let problems: Vec<_> = problems.into_iter().filter(is_about_it).collect();
    if problems.is_empty() {
        Ok(section)
    } else {
        Err(ConfigError(problems))
    }
}

struct Loader<'f> {
    file: &'f Path,
    /// The directory that relative paths start from.
    directory: &'f Path,
    /// The directory of systemd's credentials, if there are any.
    credentials: Option<PathBuf>,
    /// Every file that was to be read, stamped before.
    files: RefCell<Vec<Stamp>>,
    /// Errors of `check` with which a process still starts.
    errors: RefCell<Vec<Problem>>,
    system_trust: SystemTrust,
}

impl<'f> Loader<'f> {
    fn new(file: &'f Path, credentials: Option<&Path>) -> Self {
        Self {
            file,
            directory: file.parent().unwrap_or(Path::new("")),
            credentials: credentials::directory(credentials),
            files: RefCell::default(),
            errors: RefCell::default(),
            system_trust: SystemTrust::default(),
        }
    }
}

impl Loader<'_> {
    /// Reads the whole file. Returns `None` only if an error has been reported.
    fn config(&self, root: &mut TableReader<'_>) -> Option<Config> {
        let (listen, listeners) = root.table("listen", listen);
        let has_https = !listen.https.is_empty();
        let (tls, verify) = self.tls_section(root, has_https);
        let server = root.table("server", |table| self.server(table));
        let (limits, max_buffered) = root.table("limits", |table| {
            (limits(table), table.location_of("max_buffered"))
        });
        let groups = self.upstreams(root);
        let routes = self.routes(root, verify, &groups);
        warn_of_large_bodies(root, routes.iter().flatten(), &limits, &max_buffered);
        let queue = self.queue(root);
        demand_queue(root, routes.iter().flatten(), queue.is_some());
        let admin = root.table("admin", admin);
        let log = root.table("log", log);
        consistency::check(
            root,
            &Sections {
                listeners: &listeners,
                admin: admin.as_ref(),
                groups: &groups,
                routes: &routes,
            },
        );
        let mut config = Config {
            listen,
            tls: if has_https { Some(tls?) } else { None },
            server,
            limits,
            upstreams: groups.into_values().flatten().collect(),
            routes: routes.into_iter().collect::<Option<_>>()?,
            queue,
            admin,
            log,
        };
        config.name_checked_hosts();
        Some(config)
    }

    /// Reads `[tls]`. Without an HTTPS listener, the section may be absent; if it is present, it is
    /// checked anyway.
    fn tls_section(&self, root: &mut TableReader<'_>, has_https: bool) -> (Option<Tls>, Verify) {
        let location = root.location_of("tls");
        let mut verify = Verify::Off;
        let mut is_present = false;
        let tls = root.table("tls", |table| {
            is_present = table.is_present();
            if !is_present && !has_https {
                return None;
            }
            let client = table.table("client", |table| self.client_trust(table));
            verify = client.verify;
            self.tls(table, client)
        });
        if has_https && !is_present {
            let message = "missing; an HTTPS listener needs certificate = \"fullchain.pem\" and private_key = \"…\"";
            root.document.complain(&location, message);
        }
        (tls, verify)
    }

    fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }

    /// Returns the path of a file that this program creates. Unlike for an input file, a mistake in
    /// its name does not show when it is opened.
    fn path_to_make(&self, table: &TableReader<'_>, named: &Located<String>) -> PathBuf {
        let path = self.path(&named.value);
        let untouched = files::untouched(&path);
        if !untouched.is_empty() {
            table.document.warn(
                &named.location,
                format!("the name is taken as it is{untouched}"),
            );
        }
        path
    }

    /// Returns the path of a file that is read next, and stamps the file first.
    fn file(&self, text: &str) -> PathBuf {
        let path = self.path(text);
        self.files.borrow_mut().push(Stamp::of(&path));
        path
    }

    fn server(&self, table: &mut TableReader<'_>) -> ServerSettings {
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

    fn upgrade_socket(&self, table: &mut TableReader<'_>, pid_file: Option<&Path>) -> PathBuf {
        // `upgrade_sock` is Pingora's own name for this key.
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
            table.document.complain(&named.location, message);
        }
        path
    }
}

/// Warns of routes whose bodies may exceed the memory for all bodies.
fn warn_of_large_bodies<'r>(
    root: &TableReader<'_>,
    routes: impl Iterator<Item = &'r Route>,
    limits: &Limits,
    max_buffered: &KeyLocation,
) {
    for route in routes {
        let (path, held, limit) = (&route.path, held_by(route), limits.max_buffered);
        if held > limit {
            let message = format!(
                "{path} takes bodies of up to {held} bytes, of which those over {limit} get 503"
            );
            root.document.warn(max_buffered, message);
        }
    }
}

/// Returns the number of bytes of a body that a route holds in memory.
fn held_by(route: &Route) -> u64 {
    match (route.kind, route.max_body) {
        (RouteKind::Webhook, max_body) => max_body,
        (RouteKind::Proxy, 0) => route.buffer_body,
        (RouteKind::Proxy, max_body) => route.buffer_body.min(max_body),
    }
}

fn count(table: &mut TableReader<'_>, key: &'static str, default: usize) -> usize {
    match table.integer(key) {
        Some(count) if count.value > 1_000_000_000 => {
            table
                .document
                .complain(&count.location, "must be at most 1000000000");
            default
        }
        Some(count) => count.value as usize,
        None => default,
    }
}

fn admin(table: &mut TableReader<'_>) -> Option<AdminSettings> {
    let text = table
        .string("listen")
        .filter(|text| !text.value.is_empty())?;
    let location = text.location.clone();
    let parse = |text: &str| {
        text.parse::<SocketAddr>()
            .map_err(|_| "must be an address and a port, such as \"127.0.0.1:9464\"")
    };
    let listen = parsed(table, text, parse)?;
    if !listen.ip().to_canonical().is_loopback() {
        let message = "is not a loopback address: the admin listener has no authentication, and any client that reaches it \
                       sees the tokens of Test notifications";
        table.document.warn(&location, message);
    }
    Some(AdminSettings { listen })
}

fn log(table: &mut TableReader<'_>) -> Log {
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
                &[
                    ("auto", LogFormat::Auto),
                    ("text", LogFormat::Text),
                    ("json", LogFormat::Json),
                ],
            )
            .unwrap_or(default.format),
        level: table.choice("level", &levels).unwrap_or(default.level),
        access: table.boolean("access").unwrap_or(default.access),
    }
}

/// Reads a string that must be present.
fn required(table: &mut TableReader<'_>, key: &'static str, what: &str) -> Option<Located<String>> {
    let is_named = table.names_any(&[key]);
    let value = table.string(key);
    if !is_named {
        table.complain(key, format!("missing; name {what}"));
    }
    value
}

/// Parses `text`, and reports the error of `parse`.
fn parsed<T, E: Into<String>>(
    table: &TableReader<'_>,
    text: Located<String>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    parse(&text.value)
        .map_err(|message| table.document.complain(&text.location, message.into()))
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
