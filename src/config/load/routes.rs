//! `[[routes]]`: what is passed on, and which credentials a request needs for that.

use super::headers::header_name;
use super::queue::delivery;
use super::upstreams::Groups;
use super::{Loader, parsed, required};
use crate::auth::secret::SecretDigest;
use crate::auth::{Authorization, Requirements};
use crate::config::document::{KeyLocation, Located, TableReader};
use crate::config::header_template::{HeaderTemplate, UnknownVariable, variables};
use crate::config::{Route, RouteKind, Tests, Verify};
use crate::http::header_class::{Class, class};
use crate::http::path::{PathPattern, Routes};
use crate::webhook::notification::SchemaPolicy;
use http::HeaderName;
use std::collections::HashSet;

/// The values that `schema` may have: how strictly bodies are judged.
const SCHEMAS: [(&str, SchemaPolicy); 4] = [
    ("enforce", SchemaPolicy::Enforce),
    ("strict", SchemaPolicy::Strict),
    ("warn", SchemaPolicy::Warn),
    ("off", SchemaPolicy::Off),
];

/// The values that `kind` may have.
const KINDS: [(&str, RouteKind); 2] =
    [("webhook", RouteKind::Webhook), ("proxy", RouteKind::Proxy)];

/// The values that `tests` may have.
const TESTS: [(&str, Tests); 2] = [("answer", Tests::Answer), ("forward", Tests::Forward)];

/// Keys that only a webhook can have.
const WEBHOOK_KEYS: [&str; 6] = [
    "challenge_secret",
    "challenge_requires_authorization",
    "schema",
    "sign",
    "spaces",
    "tests",
];

const BASIC: &str = "{ username = \"netdata\", password = { file = \"basic.secret\" } }";

const BEARER: &str = "{ token = { file = \"bearer.secret\" } }";

const NOT_ASKED_FOR: &str = "cannot be true while client certificates are not asked for: set tls.client.verify to \
                             \"require\" or \"request\", with an https listener";

impl Loader<'_> {
    pub(super) fn routes(
        &self,
        root: &mut TableReader<'_>,
        verify: Verify,
        groups: &Groups,
    ) -> Vec<Option<Route>> {
        let location = root.location_of("routes");
        let routes = root.tables("routes", "[[routes]] with path and upstream", |table| {
            self.route(table, verify, groups)
        });
        if routes.is_empty() {
            let message = "missing; name at least one: [[routes]] with path and upstream";
            root.document.complain(&location, message);
        }
        complain_of_duplicates(root, &routes);
        if routes.iter().all(Option::is_some) {
            warn_of_unreachable(root, &routes);
        }
        routes
    }

    fn route(&self, table: &mut TableReader<'_>, verify: Verify, groups: &Groups) -> Option<Route> {
        let kind = table.choice("kind", &KINDS).unwrap_or(RouteKind::Webhook);
        let path = path(table);
        let upstream = self.route_upstream(table, groups);
        if kind == RouteKind::Proxy {
            refuse_webhook_keys(table);
        }
        let challenge_secret = self.challenge_secret(table);
        let (schema, spaces) = schema_and_spaces(table);
        Some(Route {
            kind,
            challenge_secret,
            challenge_requires_authorization: flag(table, "challenge_requires_authorization"),
            schema,
            max_body: max_body(table, kind),
            buffer_body: buffer_body(table, kind),
            spaces,
            tests: table.choice("tests", &TESTS).unwrap_or(Tests::Answer),
            signer: self.signer(table),
            delivery: delivery(table, kind),
            forward_authorization: flag(table, "forward_authorization"),
            set_headers: set_headers(table),
            pass_headers: pass_headers(table),
            requirements: self.requirements(table, verify),
            path: path?,
            upstream: upstream?,
        })
    }

    fn requirements(&self, table: &mut TableReader<'_>, verify: Verify) -> Requirements {
        if table.is_word("auth", "none") {
            warn_of_openness(table);
            table.skip("auth");
            return Requirements::default();
        }
        let before = table.document.count();
        let expected = "a table, [routes.auth], or \"none\"";
        let requirements = table.table_like("auth", expected, |table| self.auth(table, verify));
        // A demand that cannot be read is a demand nevertheless.
        if demands_nothing(&requirements) && table.document.count() == before {
            let message = "would admit every client: require client_certificate, basic or bearer, or set auth = \"none\"";
            table.complain("auth", message);
        }
        requirements
    }

    /// Reads `[routes.auth]`.
    fn auth(&self, table: &mut TableReader<'_>, verify: Verify) -> Requirements {
        let client_certificate = table.boolean("client_certificate");
        if client_certificate == Some(true) && verify == Verify::Off {
            table.complain("client_certificate", NOT_ASKED_FOR);
        }
        Requirements {
            client_certificate: client_certificate.unwrap_or(verify != Verify::Off),
            authorization: self.authorization(table),
        }
    }

    fn authorization(&self, table: &mut TableReader<'_>) -> Authorization {
        let basic = table.tables("basic", BASIC, |table| self.basic(table));
        let bearer = table.tables("bearer", BEARER, |table| {
            table.be_discreet();
            self.secret_digest(table, "token")
        });
        let mut accepted = Authorization::default();
        for (username, password) in basic.into_iter().flatten() {
            accepted = accepted.with_basic(&username, password);
        }
        let tokens = bearer.into_iter().flatten();
        tokens.fold(accepted, Authorization::with_bearer)
    }

    /// Reads a user name and a password.
    fn basic(&self, table: &mut TableReader<'_>) -> Option<(String, SecretDigest)> {
        table.be_discreet();
        let username = required(table, "username", "the user's name");
        let password = self.secret_digest(table, "password");
        let username = username?;
        if username.value.contains(':') {
            let message = "must not contain \":\" (RFC 7617)";
            table.document.complain(&username.location, message);
        }
        Some((username.value, password?))
    }
}

fn complain_of_duplicates(root: &TableReader<'_>, routes: &[Option<Route>]) {
    let mut seen = HashSet::new();
    for (index, route) in routes.iter().enumerate() {
        if let Some(Route { path, .. }) = route
            && !seen.insert(path.to_string())
        {
            let message = format!("two routes have the path \"{path}\": remove one of them");
            root.document.complain(&path_of_route(root, index), message);
        }
    }
}

fn path_of_route(root: &TableReader<'_>, index: usize) -> KeyLocation {
    root.locate(&["routes", &index.to_string(), "path"])
}

fn warn_of_openness(table: &TableReader<'_>) {
    let message = "any client may use this route: require client_certificate, basic or bearer";
    table.warn("auth", message);
}

fn demands_nothing(requirements: &Requirements) -> bool {
    !requirements.client_certificate && requirements.authorization.is_empty()
}

fn path(table: &mut TableReader<'_>) -> Option<PathPattern> {
    let what = "the path of the webhook, such as \"/webhooks/netdata\"";
    let path = required(table, "path", what)?;
    parsed(table, path, PathPattern::parse)
}

fn flag(table: &mut TableReader<'_>, key: &'static str) -> bool {
    table.boolean(key).unwrap_or(false)
}

/// Complains of keys that only a webhook can have.
fn refuse_webhook_keys(table: &TableReader<'_>) {
    for key in WEBHOOK_KEYS {
        if table.names_any(&[key]) {
            let message = "is for routes of kind \"webhook\"; this one passes everything on";
            table.complain(key, message);
        }
    }
}

/// Reads the keys about the content of bodies.
fn schema_and_spaces(table: &mut TableReader<'_>) -> (SchemaPolicy, Vec<String>) {
    let schema = table.choice("schema", &SCHEMAS).unwrap_or_default();
    let spaces = table.strings("spaces").unwrap_or_default();
    for space in spaces.iter().filter(|space| space.value.is_empty()) {
        let message = "must be the id, the slug or the name of a space";
        table.document.complain(&space.location, message);
    }
    if schema == SchemaPolicy::Off {
        warn_of_what_is_not_looked_at(table, !spaces.is_empty());
    }
    let spaces = spaces.into_iter().map(|space| space.value);
    (schema, spaces.collect())
}

/// Warns of keys that are about the content of bodies: with `schema = "off"`, they do something
/// else than they say, or nothing.
fn warn_of_what_is_not_looked_at(table: &TableReader<'_>, has_spaces: bool) {
    if has_spaces {
        let message = "requires reading bodies although schema is \"off\": a body that cannot be read is refused with 403";
        table.document.warn(&table.location_of("spaces"), message);
    }
    if table.names_any(&["tests"]) {
        let message = "has no effect: with schema = \"off\", a Test notification is forwarded as any other body is";
        table.document.warn(&table.location_of("tests"), message);
    }
}

/// Warns of routes that no request reaches at their own paths, because others that demand more pass
/// for the same.
fn warn_of_unreachable(root: &TableReader<'_>, routes: &[Option<Route>]) {
    let all = Routes::new(routes.iter().flatten().collect());
    for (index, Route { path, .. }) in routes.iter().flatten().enumerate() {
        if !is_reachable(path, &all) {
            let message = format!(
                "no request reaches \"{path}\": applications may read it as the path of another route, which requires \
                 more: give it another path, or let both require the same"
            );
            root.document.warn(&path_of_route(root, index), message);
        }
    }
}

/// Returns `true` if a request at `path` finds a route.
fn is_reachable(path: &PathPattern, all: &Routes<&Route>) -> bool {
    match path {
        PathPattern::Exact(path) => all.find(path).is_ok(),
        // Something below it that no other route has as its path.
        PathPattern::Subtree(prefix) => all.find(&format!("{prefix}/0-0")).is_ok(),
    }
}

/// Reads `max_body`, which has no default bound where bodies are passed on as they come.
fn max_body(table: &mut TableReader<'_>, kind: RouteKind) -> u64 {
    let size = table.size("max_body").map(|size| size.value);
    if kind == RouteKind::Proxy {
        return size.unwrap_or(0);
    }
    if size == Some(0) {
        let message =
            "must be more than 0: a webhook's body is held in memory until it is verified";
        table.complain("max_body", message);
    }
    size.unwrap_or(1 << 20)
}

/// Reads `buffer_body`. The default is as much as a webhook's body may have.
fn buffer_body(table: &mut TableReader<'_>, kind: RouteKind) -> u64 {
    let size = table.size("buffer_body").map(|size| size.value);
    if kind == RouteKind::Webhook && size.is_some() {
        table.complain(
            "buffer_body",
            "is for routes of kind \"proxy\"; a webhook's body is always held until it is whole",
        );
    }
    size.unwrap_or(1 << 20)
}

fn pass_headers(table: &mut TableReader<'_>) -> Vec<HeaderName> {
    let names = table.strings("pass_headers").unwrap_or_default();
    let names = names.into_iter();
    names
        .filter_map(|name| parsed(table, name, parse_passed))
        .collect()
}

/// Parses the name of a header that would be removed otherwise.
fn parse_passed(name: &str) -> Result<HeaderName, &'static str> {
    let header = HeaderName::from_bytes(name.as_bytes());
    let header = header.map_err(|_| "is not the name of a header")?;
    match class(header.as_str().as_bytes()) {
        Some(Class::Identity | Class::Forwarding) => Ok(header),
        None => Err("is passed on anyway, unless set_headers sets it or it is Authorization"),
        Some(Class::HopByHop | Class::Framing) => Err("ends here"),
        Some(Class::Ours | Class::Preset) => Err("is set by this program"),
    }
}

fn set_headers(table: &mut TableReader<'_>) -> Vec<(HeaderName, HeaderTemplate)> {
    let headers = table.string_map("set_headers").into_iter();
    headers
        .filter_map(|(name, template)| set_header(table, &name, &template))
        .collect()
}

fn set_header(
    table: &TableReader<'_>,
    name: &str,
    template: &Located<String>,
) -> Option<(HeaderName, HeaderTemplate)> {
    let complain = |message: &str| table.document.complain(&template.location, message);
    let header = header_name(table, name, template)?;
    if template.value.contains(char::is_control) {
        complain("must not hold control characters");
    }
    let parsed = HeaderTemplate::parse(&template.value)
        .map_err(|unknown| complain(&name_unknown(&unknown, &template.value)));
    Some((header, parsed.ok()?))
}

/// Names the variable that does not exist where there is nothing else. Otherwise what follows a
/// dollar sign may be the middle of a password.
fn name_unknown(unknown: &UnknownVariable, value: &str) -> String {
    let is_alone = value.strip_prefix('$') == Some(&unknown.0);
    let mut bytes = unknown.0.bytes();
    match is_alone && bytes.all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        true => unknown.to_string(),
        false => format!(
            "names a variable that does not exist; there are {}",
            variables()
        ),
    }
}
