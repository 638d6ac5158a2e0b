//! The access rules of a route. One that is not understood closes the route.

use super::directive::{Directive, is_listed};
use super::site::PassedOn;
use super::subject_match::{self, AccessPattern, Rendering};

/// The part of a request that a condition examines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Subject(Rendering),
    /// An attribute of the subject other than its common name.
    OtherSubject,
    Issuer,
    /// The result of verifying the certificate.
    Verification,
    Authorization,
    /// Any other variable, by its name in NGINX.
    Other(String),
}

/// The requests whose input matches one of the patterns, or none of them if `inverted`.
#[derive(Clone, Debug)]
pub(super) struct MatchedRequests<'t> {
    pub(super) input: Input,
    pub(super) patterns: Vec<AccessPattern<'t>>,
    pub(super) inverted: bool,
}

impl<'t> MatchedRequests<'t> {
    /// Returns all other requests.
    pub(super) fn others(self) -> Self {
        Self {
            inverted: !self.inverted,
            ..self
        }
    }

    /// Returns `true` if the input is compared with this text alone.
    fn is_about(&self, text: &str) -> bool {
        match self.patterns.as_slice() {
            [pattern] if !pattern.is_expression => pattern.text == text,
            [pattern] => !text.is_empty() && pattern.text.contains(text),
            _ => false,
        }
    }

    /// Returns `true` if all of them have a valid certificate.
    fn have_certificate(&self) -> bool {
        match (&self.input, self.inverted) {
            (Input::Subject(_), true) => self.is_about(""),
            (Input::Verification, false) => self.is_about("SUCCESS"),
            (Input::Verification, true) => self.is_about("NONE"),
            _ => false,
        }
    }
}

/// The demands on a client in addition to those of the handshake.
#[derive(Debug, Default)]
pub(super) struct AccessRules<'t> {
    /// A webhook accepts no other methods and media types anyway.
    pub(super) is_webhook: bool,
    /// A valid certificate is demanded.
    pub(super) certificate: bool,
    /// The common names of which one is demanded; empty if none can be read from the rule.
    pub(super) names: Option<Vec<String>>,
    /// The rule whose names cannot be read.
    pub(super) unread_subject: Option<&'t Directive>,
    /// Conditions that compare the `Authorization` header with a Bearer token.
    pub(super) tokens: Vec<&'t Directive>,
    /// The first rule that is not understood, or cannot be expressed: the route is closed.
    pub(super) unknown_rule: Option<&'t Directive>,
}

pub(super) const UNREADABLE: &str = "this rule is not understood: say what it does with the client \
    certificate, Basic or Bearer in [routes.auth]";
pub(super) const NETWORKS: &str = "name the networks that may connect in listen.allow";
const MISSING: &str = "this file is missing and may restrict access: run import on the machine of \
    the server, or name its directory with --prefix";
const ONLY_NAMES: &str = "of the subject, only the common name is compared";
const ANY_ISSUER: &str = "any authority in tls.client.ca will do: remove the others";
const NO_TOKEN: &str = "no single Bearer token can be read from this: write what it demands to a \
    file, and name that in auth.basic or auth.bearer";

/// Directives that let something else decide.
pub(super) const DECIDING: &str = "auth_basic auth_request auth_jwt* auth_digest* auth_ldap* \
    access_by_lua* rewrite_by_lua* secure_link* js_access RequireNone";

/// Parts of the names of files without access rules.
const HARMLESS: &str = "*mime.types* *fastcgi* *uwsgi_params* *scgi_params* *proxy_params* \
    *options-ssl-* *ssl-ciphers* *acme-challenge* *modules-enabled*";

/// Parts of a request that each client chooses, and that identify no client.
const CHOSEN_BY_CLIENT: &str =
    "http_user_agent http_referer args query_string invalid_referer arg_*";

/// Parts of a request about which this program has rules of its own.
const OWN_RULES: &str = "request_filename host http_host server_name scheme https";

impl<'t> AccessRules<'t> {
    pub(super) fn of(requests: &PassedOn<'_>) -> Self {
        Self {
            is_webhook: requests.is_webhook,
            ..Self::default()
        }
    }

    /// Closes the route, because a rule would have to be left out.
    pub(super) fn close(&mut self, directive: &'t Directive, remedy: &str) {
        directive.cover();
        self.unknown_rule.get_or_insert(directive);
        directive.not_carried(remedy);
    }

    /// Adds a directive that is no condition, but may restrict access.
    pub(super) fn directive(&mut self, directive: &'t Directive) {
        if directive.is("limit_except Limit LimitExcept AllowMethods") {
            self.methods(directive);
        } else if directive.is("include") && is_listed(HARMLESS, directive.value()) {
            directive.not_carried("this file is missing, but probably has no access rule");
        } else if directive.is("include") {
            self.close(directive, MISSING);
        } else if directive.is("deny") {
            self.close(directive, NETWORKS);
        } else if directive.is(DECIDING) && directive.value() != "off" {
            self.close(directive, UNREADABLE);
        }
    }

    /// Adds a rule on methods or media types, which a webhook does not need.
    pub(super) fn methods(&mut self, directive: &'t Directive) {
        directive.cover();
        match self.is_webhook {
            true => directive.not_needed("a webhook takes GET (the challenge) and POST with JSON"),
            false => self.close(directive, "a route of kind \"proxy\" has every method"),
        }
    }

    /// Adds the demand of a condition that lets only these requests in.
    pub(super) fn apply(&mut self, directive: &'t Directive, requests: &MatchedRequests<'t>) {
        let patterns = &requests.patterns;
        match (&requests.input, requests.inverted) {
            _ if requests.have_certificate() => self.certificate(directive),
            (Input::Subject(rendering), false) => self.subject(directive, patterns, *rendering),
            (Input::Authorization, false) => self.authorization(directive, patterns),
            (Input::OtherSubject, _) => self.demand_names(directive, Vec::new()),
            (Input::Issuer, false) => {
                self.certificate = true;
                directive.not_carried(ANY_ISSUER);
            }
            (Input::Other(variable), is_none_of) => self.other(directive, variable, is_none_of),
            _ => self.close(directive, UNREADABLE),
        }
    }

    pub(super) fn certificate(&mut self, directive: &'t Directive) {
        self.certificate = true;
        directive.carried("auth.client_certificate");
    }

    fn subject(
        &mut self,
        directive: &'t Directive,
        patterns: &[AccessPattern<'t>],
        rendering: Rendering,
    ) {
        let names = subject_match::names(patterns, rendering);
        let forgeries = subject_match::forgeries(patterns, rendering, &names).join("; ");
        if patterns.iter().any(AccessPattern::has_more_than_names) {
            directive.not_carried(ONLY_NAMES);
        }
        if !forgeries.is_empty() {
            let hole = "certificates of the same authority with these subjects got in";
            directive.closed(format!("{hole}: {forgeries}"));
        }
        self.demand_names(directive, names);
    }

    /// Demands one of `names`; there are none if they cannot be read from the rule.
    fn demand_names(&mut self, directive: &'t Directive, names: Vec<String>) {
        self.certificate = true;
        if names.is_empty() {
            self.unread_subject.get_or_insert(directive);
            self.names.get_or_insert_default();
            let remedy = "no common name can be read from this: tls.client.common_names";
            return directive.not_carried(remedy);
        }
        let listed = names.join(", ");
        directive.carried(format!("tls.client.common_names: {listed}, compared whole"));
        let others = self.names.take().unwrap_or_default();
        let is_other = !others.is_empty() && others != names;
        self.names = Some(names);
        if is_other {
            self.close(directive, "another condition demands other names");
        }
    }

    fn authorization(&mut self, directive: &'t Directive, patterns: &[AccessPattern<'t>]) {
        if !patterns.iter().all(is_token) {
            return self.close(directive, NO_TOKEN);
        }
        directive.carried("auth.bearer");
        self.tokens.extend(patterns.iter().map(|it| it.directive));
        self.tokens.dedup_by_key(|it| it.id);
    }

    /// Adds a condition on another variable, which must be true of every webhook.
    fn other(&mut self, directive: &'t Directive, variable: &str, is_none_of: bool) {
        if is_none_of && is_listed(CHOSEN_BY_CLIENT, variable) {
            directive.not_carried("clients can send another value: check it in the application");
        } else if is_listed("request_method content_type http_content_type", variable) {
            self.methods(directive);
        } else if is_listed(OWN_RULES, variable) {
            let why = "Netdata Cloud uses HTTPS, the path selects the route, and no file is served";
            directive.not_needed(why);
        } else if variable.ends_with("remote_addr") {
            self.close(directive, NETWORKS);
        } else {
            self.close(directive, UNREADABLE);
        }
    }
}

/// Returns `true` if a pattern is for one Bearer token.
fn is_token(pattern: &AccessPattern<'_>) -> bool {
    let text = pattern.text.trim_start_matches('^').trim_end_matches('$');
    let rest = text.get("bearer".len()..).unwrap_or_default();
    let mut spaces = ["\\s+", "\\s", "\\ ", " "].into_iter();
    let token = spaces.find_map(|space| rest.strip_prefix(space));
    let is_several = |it: &str| pattern.is_expression && stands_for_several(it);
    let is_one = |it: &str| !it.contains('$') && !is_several(it);
    is_listed("bearer*", text) && token.is_some_and(|it| !it.is_empty() && is_one(it))
}

/// Returns `true` if an expression matches more than one text.
fn stands_for_several(expression: &str) -> bool {
    let mut escapes = expression.split('\\').skip(1);
    expression.contains(['(', '[', '|', '*', '?', '+', '{'])
        || escapes.any(|rest| rest.starts_with(char::is_alphanumeric))
}
