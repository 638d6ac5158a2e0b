//! From a location to what is planned for it.

use super::guard::Guards;
use super::headers::Headers;
use super::scope::Scope;
use super::server::{Location, Passing, Pattern, Server};
use super::upstream::{Target, Upstreams};
use super::variables::{Constants, Variables};
use crate::import::assembly::{Access, Plan};
use crate::import::directive::Directive;
use crate::import::draft::{Group, Secret, Secrets};
use crate::import::htpasswd;
use crate::import::quantity::{bytes, size};
use crate::import::report::Ledger;
use std::path::Path;

/// More than any notification has, and as much as may be held in memory.
const LARGEST_WEBHOOK: u64 = 16 << 20;

/// NGINX's limit, and that of this program's webhooks.
const DEFAULT_BODY: u64 = 1 << 20;

/// A location that becomes a route, or several.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'t> {
    pub(super) server: Server<'t>,
    pub(super) location: Location<'t>,
    pub(super) passing: Passing<'t>,
    /// Of the routes.
    pub(super) paths: Vec<String>,
    pub(super) is_webhook: bool,
}

/// Plans routes.
pub(super) struct Planner<'r, 't> {
    pub(super) ledger: &'r Ledger,
    pub(super) variables: &'r Variables<'t>,
    pub(super) http: &'t [Directive],
    pub(super) prefix: &'r Path,
    pub(super) is_tls: bool,
    /// Where there is only one.
    pub(super) port: Option<u16>,
    /// Whether `allow` and `deny` cannot be carried over.
    pub(super) has_lost_networks: bool,
    /// Where something is demanded of paths for which no route can be: at this path, or anywhere.
    pub(super) scattered: &'r [Option<String>],
}

impl<'t> Candidate<'t> {
    /// Where it may stand who gets through.
    pub(super) fn demanding(&self) -> impl Iterator<Item = &Scope<'t>> {
        let elsewhere = Some(&self.passing.scope).filter(|_| self.passing.is_elsewhere);
        std::iter::once(&self.location.scope).chain(elsewhere)
    }
}

impl<'t> Planner<'_, 't> {
    /// `None` where it cannot be carried over, which has been said then.
    pub(super) fn plan(
        &self,
        candidate: &Candidate<'t>,
        groups: &mut Vec<Group>,
        secrets: &mut Secrets,
    ) -> Option<Plan<'t>> {
        let Candidate { server, location, passing, paths, is_webhook } = candidate;
        if candidate.demanding().any(denies_everybody) {
            self.ledger.carried(location.directive, "there is no way through");
            return None;
        }
        let constants = Constants::of(&passing.scope);
        let upstreams = Upstreams { http: self.http, ledger: self.ledger, prefix: self.prefix, constants: &constants };
        let target = upstreams.target(passing, groups)?;
        let guards = Guards { variables: self.variables, ledger: self.ledger };
        let guard = guards.read(location, passing, *is_webhook);
        self.challenge_steps(&location.scope);
        let limits_methods = self.methods(candidate);
        let headers = Headers {
            ledger: self.ledger,
            variables: self.variables,
            constants: &constants,
            host: &target.host,
            server_name: server.names().first().copied().unwrap_or_default(),
            is_tls: self.is_tls,
            port: self.port,
        };
        let headers = headers.carry(&passing.scope);
        self.say_target(candidate, &target);
        Some(Plan {
            directive: location.directive,
            paths: paths.clone(),
            is_webhook: *is_webhook,
            upstream: target.upstream,
            max_body: self.max_body(&passing.scope, *is_webhook),
            streams_bodies: !is_webhook && self.streams_bodies(&passing.scope),
            forwards_authorization: headers.forwards_authorization,
            set_headers: headers.members,
            access: Access {
                basic: self.users(candidate, secrets),
                has_lost: self.has_lost(candidate),
                limits_methods,
                ..Access::default()
            }
            .with(guard, secrets),
        })
    }

    /// Whether something is demanded there that is not looked at here.
    fn has_lost(&self, candidate: &Candidate<'t>) -> bool {
        let has_networks = |scope: &Scope<'t>| !scope.all_of(&["allow", "deny"]).is_empty();
        let is_here = |path: &Option<String>| path.as_ref().is_none_or(|path| candidate.paths.contains(path));
        (self.has_lost_networks && candidate.demanding().any(has_networks))
            || self.scattered.iter().any(is_here)
            // Nobody may be in two files.
            || candidate.demanding().filter_map(demanded_file).count() > 1
    }

    fn say_target(&self, candidate: &Candidate<'t>, target: &Target) {
        let Passing { proxy_pass, scope, .. } = &candidate.passing;
        let patience = match scope.one("proxy_read_timeout") {
            None => "; it has 30 s to answer, with NGINX it had 60 (response_timeout, in a group of [upstreams])",
            Some(_) => "",
        };
        self.ledger.carried(proxy_pass, format!("routes.upstream: {}{patience}", target.upstream));
        // NGINX replaces a location's own path by that of `proxy_pass`.
        if let (Some(new), Pattern::Exact(old) | Pattern::Prefix { text: old, .. }) =
            (&target.path, candidate.location.pattern)
            && new != old
        {
            let remedy = format!(
                "the path: NGINX sent {old} on as {new}; now the application gets it as it came, so let it answer there, or \
                 set path = \"{new}\" and the same in Netdata Cloud"
            );
            self.ledger.not_carried(proxy_pass, remedy);
        }
    }

    /// `limit_except GET POST { deny all; }`
    fn methods(&self, candidate: &Candidate<'t>) -> bool {
        let limits: Vec<_> = candidate.demanding().flat_map(|scope| scope.all("limit_except")).collect();
        for directive in &limits {
            self.ledger.cover(directive);
            match candidate.is_webhook {
                true => self.ledger.not_needed(directive, "a webhook takes GET (the challenge) and POST"),
                false => self.ledger.not_carried(directive, "a route of kind \"proxy\" passes every method on"),
            }
        }
        !limits.is_empty()
    }

    fn max_body(&self, scope: &Scope<'t>, is_webhook: bool) -> Option<String> {
        let limit = match scope.one("client_max_body_size") {
            None if is_webhook => return None,
            None => DEFAULT_BODY,
            Some(directive) => match bytes(directive.value()) {
                Some(0 | LARGEST_WEBHOOK..) if is_webhook => {
                    let remedy = "a webhook's body is held in memory, and 1 MiB is a lot for a notification: max_body";
                    self.ledger.not_carried(directive, remedy);
                    return None;
                }
                Some(limit) => {
                    let limited = if limit == 0 { "no limit".into() } else { size(limit) };
                    self.ledger.carried(directive, format!("routes.max_body: {limited}"));
                    limit
                }
                None => {
                    self.ledger.not_carried(directive, "max_body is a size");
                    return None;
                }
            },
        };
        let default = if is_webhook { DEFAULT_BODY } else { 0 };
        (limit != default).then(|| size(limit))
    }

    /// Whether a body goes on as it comes: to an HTTP/1.0 application it cannot, if its length is not known.
    fn streams_bodies(&self, scope: &Scope<'t>) -> bool {
        let Some(directive) = scope.one("proxy_request_buffering") else { return false };
        let speaks_chunks = !matches!(scope.value("proxy_http_version"), "" | "1.0");
        match (directive.value(), speaks_chunks) {
            ("off", true) => self.ledger.carried(directive, "routes.buffer_body = 0"),
            ("off", false) => self.ledger.not_needed(
                directive,
                "without proxy_http_version 1.1, NGINX gathered a body of unknown length all the same; here, routes.buffer_body \
                 does, up to 1 MiB",
            ),
            _ => self.ledger.not_needed(
                directive,
                "a body of unknown length is gathered here as well, up to 1 MiB; a longer one goes on in chunks: \
                 routes.buffer_body",
            ),
        }
        directive.value() == "off" && speaks_chunks
    }

    /// Of `auth_basic`, each with the file for the password; who has to be in two files is in both.
    fn users(&self, candidate: &Candidate<'t>, secrets: &mut Secrets) -> Vec<(String, Secret)> {
        let mut files: Vec<(&Directive, &Directive)> = candidate.demanding().filter_map(demanded_file).collect();
        files.dedup_by_key(|(_, file)| file.value());
        let of = |(realm, file): &(&Directive, &Directive)| {
            self.ledger.carried(realm, "auth.basic");
            htpasswd::carry(file, &self.prefix.join(file.value()), &[], self.ledger, secrets)
        };
        let all: Vec<_> = files.iter().map(of).collect();
        let both = |one: Vec<(String, Secret)>, other: Vec<(String, Secret)>| {
            one.into_iter().filter(|(name, _)| other.iter().any(|(other, _)| other == name)).collect()
        };
        all.into_iter().reduce(both).unwrap_or_default()
    }

    /// What sends challenges elsewhere: `if ($request_method = GET) { rewrite ^ /challenge last; }`.
    fn challenge_steps(&self, scope: &Scope<'t>) {
        let asks = ["$request_method", "$arg_crc_token", "$args", "$query_string", "$is_args"];
        let is_about =
            |it: &&Directive| it.arguments.iter().any(|argument| asks.iter().any(|ask| argument.contains(ask)));
        let leads_elsewhere = |it: &&Directive| {
            it.children()
                .iter()
                .any(|it| matches!(it.name.as_str(), "rewrite" | "return" | "js_content" | "error_page"))
        };
        for directive in scope.steps().filter(|it| it.name == "if").filter(is_about).filter(leads_elsewhere) {
            if !self.ledger.mentions(directive) {
                self.ledger.not_needed(directive, "the challenge is answered here, with challenge_secret");
                self.ledger.cover(directive);
            }
        }
    }
}

/// `auth_basic` and `auth_basic_user_file`, where they are in effect.
fn demanded_file<'t>(scope: &Scope<'t>) -> Option<(&'t Directive, &'t Directive)> {
    let (realm, file) = (scope.one("auth_basic")?, scope.one("auth_basic_user_file")?);
    (realm.value() != "off").then_some((realm, file))
}

/// Whether `deny all` stands before any `allow`.
fn denies_everybody(scope: &Scope<'_>) -> bool {
    let first = scope.all_of(&["allow", "deny"]).first().map(|it| (it.name.as_str(), it.value()));
    first == Some(("deny", "all")) && scope.value("satisfy") != "any"
}

/// Says what becomes of a location whose requests are not passed on over HTTP.
pub(super) fn say_why_not(location: &Location<'_>, ledger: &Ledger) {
    let directive = location.directive;
    let has = |is: &dyn Fn(&str) -> bool| directive.children().iter().any(|it| is(&it.name));
    let is_acme = directive.arguments.iter().any(|argument| argument.contains("acme-challenge"));
    if directive.children().iter().any(super::server::answers_challenges) {
        ledger.not_needed(directive, "the challenge is answered here, with challenge_secret");
    } else if location.paths().is_none() && location.directory().is_some() {
        ledger.not_carried(directive, "no route can be for these paths alone: write wider ones by hand");
    } else if location.paths().is_none() && !matches!(location.pattern, Pattern::Named(_)) {
        let remedy =
            "no route can be for these paths alone: where a wider one is for them, such requests are passed on now";
        ledger.not_carried(directive, remedy);
    } else if super::guard::refuses(directive.children()) || has(&|name| name == "internal") {
        ledger.not_needed(directive, "every path without a route is answered with 404");
    } else if is_acme {
        ledger.not_carried(directive, "certificates are not fetched here: leave port 80 to what renews them");
    } else if has(&|name| name == "return") {
        ledger.not_carried(directive, "nothing is answered here but challenges and tests: let the application do that");
    } else if has(&|name| name == "stub_status") {
        ledger.not_needed(directive, "[admin] has metrics and a status page");
    } else if has(&|name| name.ends_with("_pass")) {
        ledger.not_carried(
            directive,
            "applications are spoken HTTP with: let this one listen for that, on a port or a unix socket",
        );
    } else if matches!(location.pattern, Pattern::Named(_)) {
        ledger.not_needed(directive, "no location that is carried over names it");
    } else {
        ledger.not_carried(directive, "no files are served: let the application, or NGINX on another port, do that");
    }
}
