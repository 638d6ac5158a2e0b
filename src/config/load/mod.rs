//! Reads every key of a configuration, checks its value, and applies defaults.

mod acme;
mod admin;
mod consistency;
mod credentials;
mod endpoint;
mod headers;
mod health_check;
mod limits;
mod listen;
mod log;
mod queue;
mod revocation;
mod routes;
mod secrets;
mod server;
mod tls;
mod upstreams;

use self::log::log;
use super::document::{Document, Located, TableReader};
use super::files;
use super::stamp::Stamp;
use super::{AdminSettings, Config, ConfigError, DatabaseSource, Problem, QueuePlace, Tls, Verify};
use admin::admin;
use consistency::Sections;
pub(super) use credentials::service_credentials;
use limits::{limits, warn_of_large_bodies};
use listen::listen;
use queue::demand_queue;
#[cfg(feature = "cli")]
pub(crate) use queue::usual_files;
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
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
    let bytes = files::read_within(file, MAX_CONFIG);
    let text = bytes.and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
    });
    text.map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &io::Error) -> ConfigError {
    let untouched = files::untouched(file);
    ConfigError(vec![Problem {
        file: file.to_owned(),
        place: None,
        key: String::new(),
        message: format!("cannot read the configuration: {error}{untouched}"),
    }])
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
    let (admin, problems) = load_section(file, "admin", |_, root| root.table("admin", admin))?;
    match problems.is_empty() {
        true => Ok(admin),
        false => Err(ConfigError(problems)),
    }
}

/// Reads only the place in `[queue]`, whatever the rest may be.
pub(super) fn load_queue_place(file: &Path) -> Result<Option<QueuePlace>, ConfigError> {
    let (queue, problems) = load_section(file, "queue", |loader, root| loader.queue(root))?;
    match queue {
        // The rest is for the proxy. Whether the file can be used shows when it is opened.
        Some(queue) => Ok(Some(queue.place)),
        None if problems.is_empty() => Ok(None),
        None => Err(ConfigError(problems)),
    }
}

/// Reads one section with `load`, and returns its problems. Those of others do not matter.
fn load_section<T>(
    file: &Path,
    name: &str,
    load: impl FnOnce(&Loader<'_>, &mut TableReader<'_>) -> Option<T>,
) -> Result<(Option<T>, Vec<Problem>), ConfigError> {
    let document = Document::new(file, read(file)?);
    let loader = Loader::new(file, None);
    let section = document.read(|root| load(&loader, root)).flatten();
    let is_about_it = |problem: &Problem| problem.key.is_empty() || problem.key.starts_with(name);
    let (problems, _) = document.into_findings();
    Ok((section, problems.into_iter().filter(is_about_it).collect()))
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
        let queue = self.queue(root);
        let database = queue.as_ref().and_then(|queue| queue.place.database());
        let (tls, verify) = self.tls_section(root, has_https, database);
        let server = root.table("server", |table| self.server(table));
        let (limits, max_buffered) = root.table("limits", |table| {
            (limits(table), table.location_of("max_buffered"))
        });
        let groups = self.upstreams(root);
        let routes = self.routes(root, verify, &groups);
        warn_of_large_bodies(root, routes.iter().flatten(), &limits, &max_buffered);
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
    fn tls_section(
        &self,
        root: &mut TableReader<'_>,
        has_https: bool,
        database: Option<&DatabaseSource>,
    ) -> (Option<Tls>, Verify) {
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
            self.tls(table, client, database)
        });
        if has_https && !is_present {
            let message = "missing; an HTTPS listener needs certificate = \"fullchain.pem\" and private_key = \"…\", or acme = { domains = [\"hooks.example\"] }";
            root.document.complain(&location, message);
        }
        (tls, verify)
    }

    fn path(&self, text: &str) -> PathBuf {
        self.directory.join(text)
    }

    /// Returns the path of a file that is read next, and stamps the file first.
    fn file(&self, text: &str) -> PathBuf {
        let path = self.path(text);
        self.files.borrow_mut().push(Stamp::of(&path));
        path
    }
}

/// Reads a number of things. Larger ones are mistakes.
fn count(table: &mut TableReader<'_>, key: &'static str, default: usize) -> usize {
    let Some(count) = table.integer(key) else {
        return default;
    };
    if count.value > 1_000_000_000 {
        let message = "must be at most 1000000000";
        table.document.complain(&count.location, message);
        return default;
    }
    count.value as usize
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

/// Parses each of `texts`, and reports the errors of `parse`.
fn parsed_each<T, E: Into<String>>(
    table: &TableReader<'_>,
    texts: impl IntoIterator<Item = Located<String>>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Vec<Located<T>> {
    let parse = |text: Located<String>| {
        let location = text.location.clone();
        let value = parsed(table, text, &parse)?;
        Some(Located { value, location })
    };
    texts.into_iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests;
