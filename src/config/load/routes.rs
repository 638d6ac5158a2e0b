//! `[[routes]]`: what is passed on, and which credentials a request needs for that.

use super::queue::delivery;
use super::upstreams::Groups;
use super::{Loader, parsed, required};
use crate::auth::{Authorization, Requirements};
use crate::config::document::TableReader;
use crate::config::header_template::{HeaderTemplate, UnknownVariable, variables};
use crate::config::{Route, RouteKind, Tests, Verify};
use crate::http::header_class::{Class, class, is_reserved};
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
            root.document.complain(
                &location,
                "missing; name at least one: [[routes]] with path and upstream",
            );
        }
        let mut seen = HashSet::new();
        for (index, route) in routes.iter().enumerate() {
            if let Some(Route { path, .. }) = route
                && !seen.insert(path.to_string())
            {
                let location = root.locate(&["routes", &index.to_string(), "path"]);
                root.document.complain(
                    &location,
                    format!("two routes have the path \"{path}\": remove one of them"),
                );
            }
        }
        if routes.iter().all(Option::is_some) {
            warn_of_unreachable(root, &routes);
        }
        routes
    }

    fn route(&self, table: &mut TableReader<'_>, verify: Verify, groups: &Groups) -> Option<Route> {
        let kinds = [("webhook", RouteKind::Webhook), ("proxy", RouteKind::Proxy)];
        let kind = table.choice("kind", &kinds).unwrap_or(RouteKind::Webhook);
        let path = required(
            table,
            "path",
            "the path of the webhook, such as \"/webhooks/netdata\"",
        )
        .and_then(|path| parsed(table, path, PathPattern::parse));
        let upstream = self.route_upstream(table, groups);
        if kind == RouteKind::Proxy {
            for key in WEBHOOK_KEYS
                .into_iter()
                .filter(|key| table.names_any(&[key]))
            {
                table.complain(
                    key,
                    "is for routes of kind \"webhook\"; this one passes everything on",
                );
            }
        }
        let challenge_secret = self.challenge_secret(table);
        let schema = table.choice("schema", &SCHEMAS).unwrap_or_default();
        let spaces = table.strings("spaces").unwrap_or_default();
        for space in spaces.iter().filter(|space| space.value.is_empty()) {
            table.document.complain(
                &space.location,
                "must be the id, the slug or the name of a space",
            );
        }
        if schema == SchemaPolicy::Off {
            warn_of_what_is_not_looked_at(table, !spaces.is_empty());
        }
        Some(Route {
            kind,
            challenge_secret,
            challenge_requires_authorization: table
                .boolean("challenge_requires_authorization")
                .unwrap_or(false),
            schema,
            max_body: max_body(table, kind),
            buffer_body: buffer_body(table, kind),
            spaces: spaces.into_iter().map(|space| space.value).collect(),
            tests: table
                .choice(
                    "tests",
                    &[("answer", Tests::Answer), ("forward", Tests::Forward)],
                )
                .unwrap_or(Tests::Answer),
            signer: self.signer(table),
            delivery: delivery(table, kind),
            forward_authorization: table.boolean("forward_authorization").unwrap_or(false),
            set_headers: set_headers(table),
            pass_headers: pass_headers(table),
            requirements: self.requirements(table, verify),
            path: path?,
            upstream: upstream?,
        })
    }

    fn requirements(&self, table: &mut TableReader<'_>, verify: Verify) -> Requirements {
        if table.is_word("auth", "none") {
            let message =
                "any client may use this route: require client_certificate, basic or bearer";
            table.document.warn(&table.location_of("auth"), message);
            table.skip("auth");
            return Requirements::default();
        }
        let (location, document) = (table.location_of("auth"), table.document);
        let before = document.count();
        let requirements = table.table_like("auth", "a table, [routes.auth], or \"none\"", |table| {
            let client_certificate = table.boolean("client_certificate");
            if client_certificate == Some(true) && verify == Verify::Off {
                table.complain(
                    "client_certificate",
                    "cannot be true while client certificates are not asked for: set tls.client.verify to \"require\" \
                     or \"request\", with an https listener",
                );
            }
            Requirements {
                client_certificate: client_certificate.unwrap_or(verify != Verify::Off),
                authorization: self.authorization(table),
            }
        });
        let demands_nothing =
            !requirements.client_certificate && requirements.authorization.is_empty();
        // A demand that cannot be read is a demand nevertheless.
        if demands_nothing && document.count() == before {
            document.complain(
                &location,
                "would admit every client: require client_certificate, basic or bearer, or set auth = \"none\"",
            );
        }
        requirements
    }

    fn authorization(&self, table: &mut TableReader<'_>) -> Authorization {
        let basic = table.tables("basic", BASIC, |table| {
            table.be_discreet();
            let username = required(table, "username", "the user's name");
            let password = self.secret_digest(table, "password");
            let username = username?;
            if username.value.contains(':') {
                table
                    .document
                    .complain(&username.location, "must not contain \":\" (RFC 7617)");
            }
            Some((username.value, password?))
        });
        let bearer = table.tables("bearer", BEARER, |table| {
            table.be_discreet();
            self.secret_digest(table, "token")
        });
        let accepted = basic.into_iter().flatten().fold(
            Authorization::default(),
            |accepted, (username, password)| accepted.with_basic(&username, password),
        );
        bearer
            .into_iter()
            .flatten()
            .fold(accepted, Authorization::with_bearer)
    }
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
        let found = match path {
            PathPattern::Exact(path) => all.find(path),
            // Something below it that no other route has as its path.
            PathPattern::Subtree(prefix) => all.find(&format!("{prefix}/0-0")),
        };
        if found.is_err() {
            let location = root.locate(&["routes", &index.to_string(), "path"]);
            let message = format!(
                "no request reaches \"{path}\": applications may read it as the path of another route, which requires \
                 more: give it another path, or let both require the same"
            );
            root.document.warn(&location, message);
        }
    }
}

fn max_body(table: &mut TableReader<'_>, kind: RouteKind) -> u64 {
    let size = table.size("max_body").map(|size| size.value);
    match kind {
        RouteKind::Proxy => size.unwrap_or(0),
        RouteKind::Webhook => {
            if size == Some(0) {
                let message =
                    "must be more than 0: a webhook's body is held in memory until it is verified";
                table.complain("max_body", message);
            }
            size.unwrap_or(1 << 20)
        }
    }
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
    let parse = |name: &str| {
        let header =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is not the name of a header")?;
        match class(header.as_str().as_bytes()) {
            Some(Class::Identity | Class::Forwarding) => Ok(header),
            None => Err("is passed on anyway, unless set_headers sets it or it is Authorization"),
            Some(Class::HopByHop | Class::Framing) => Err("ends here"),
            Some(Class::Ours | Class::Preset) => Err("is set by this program"),
        }
    };
    let names = table.strings("pass_headers").unwrap_or_default();
    names
        .into_iter()
        .filter_map(|name| parsed(table, name, parse))
        .collect()
}

fn set_headers(table: &mut TableReader<'_>) -> Vec<(HeaderName, HeaderTemplate)> {
    let headers = table.string_map("set_headers");
    headers
        .into_iter()
        .filter_map(|(name, template)| {
            let location = template.location.clone();
            let complain = |message: String| table.document.complain(&location, message);
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                complain("is not the name of a header".into());
                return None;
            };
            if is_reserved(header.as_str()) {
                complain("is set by this program and cannot be changed".into());
            }
            if template.value.contains(char::is_control) {
                complain("must not hold control characters".into());
            }
            let template = HeaderTemplate::parse(&template.value)
                .map_err(|unknown| complain(name_unknown(&unknown, &template.value)))
                .ok()?;
            Some((header, template))
        })
        .collect()
}

/// Names the variable that does not exist where there is nothing else. Otherwise what follows a
/// dollar sign may be the middle of a password.
fn name_unknown(unknown: &UnknownVariable, value: &str) -> String {
    let is_alone = value.strip_prefix('$') == Some(&unknown.0);
    match is_alone
        && unknown
            .0
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    {
        true => unknown.to_string(),
        false => format!(
            "names a variable that does not exist; there are {}",
            variables()
        ),
    }
}
