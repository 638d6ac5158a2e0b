//! The access rules of a route, as conditions on requests state them. A rule that is not understood
//! closes the route.

use super::directive::{Directive, is_listed, starts_with};
use super::subject_match::{AccessPattern, Comparison, Rendering, SubjectMeaning};
use base64::prelude::{BASE64_STANDARD, Engine as _};

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
    /// Returns the requests whose input is, or is not, the text of a directive.
    pub(super) fn of(
        input: Input,
        directive: &'t Directive,
        text: &str,
        comparison: Comparison,
        inverted: bool,
    ) -> Self {
        let text = text.to_owned();
        let pattern = AccessPattern {
            text,
            comparison,
            directive,
        };
        Self {
            input,
            patterns: vec![pattern],
            inverted,
        }
    }

    /// Returns `true` if the input is compared with this text alone.
    fn is_about(&self, text: &str) -> bool {
        match self.patterns.as_slice() {
            [pattern] if pattern.comparison == Comparison::Whole => pattern.text == text,
            [pattern] => !text.is_empty() && pattern.text.contains(text),
            _ => false,
        }
    }

    /// Returns `true` if only requests with a valid certificate pass.
    fn demand_certificate(&self, only_these_pass: bool) -> bool {
        match (&self.input, only_these_pass) {
            (Input::Subject(_), false) => self.is_about(""),
            (Input::Verification, true) => self.is_about("SUCCESS"),
            (Input::Verification, false) => self.is_about("NONE"),
            _ => false,
        }
    }
}

/// The effect of a condition that matches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnMatch {
    Refuse,
    /// Requests that do not match are refused.
    Serve,
}

/// The secret that a rule compares with the `Authorization` header.
#[derive(Debug)]
pub(super) struct Secret<'t> {
    /// The user of Basic credentials; `None` for a Bearer token.
    pub(super) user: Option<String>,
    pub(super) directive: &'t Directive,
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
    pub(super) secrets: Vec<Secret<'t>>,
    /// The first rule that is not understood, or cannot be expressed: the route is closed.
    pub(super) unknown_rule: Option<&'t Directive>,
}

/// The advice for a rule that is not understood.
pub(super) const UNREADABLE: &str = "this rule is not understood: say what it does with the client \
    certificate, Basic or Bearer in [routes.auth]";

/// The advice for a file that is missing.
const MISSING: &str = "this file is missing and may restrict access: run import on the machine of \
    the server, or name its directory with --prefix";

/// Parts of the names of files without access rules.
const HARMLESS: &str = "*mime.types* *fastcgi* *uwsgi_params* *scgi_params* *proxy_params* \
    *options-ssl-* *ssl-ciphers* *acme-challenge* *modules-enabled*";

/// The advice for rules about addresses.
pub(super) const NETWORKS: &str = "name the networks that may connect in listen.allow";

/// The advice for rules that compare more of a subject than its common name.
const ONLY_NAMES: &str = "of the subject, only the common name is compared";

/// Parts of a request that each client chooses, and that identify no client.
const CHOSEN_BY_CLIENT: &str =
    "http_user_agent http_referer args query_string invalid_referer arg_*";

/// Parts of a request about which this program has rules of its own.
const OWN_RULES: &str = "request_filename host http_host server_name scheme https";

impl<'t> AccessRules<'t> {
    /// Closes the route, because a rule would have to be left out.
    pub(super) fn close(&mut self, directive: &'t Directive, remedy: &str) {
        directive.cover();
        self.unknown_rule.get_or_insert(directive);
        directive.not_carried(remedy);
    }

    /// Adds a file that is missing.
    pub(super) fn missing(&mut self, directive: &'t Directive) {
        match is_listed(HARMLESS, directive.value()) {
            true => directive.not_carried("this file is missing, but probably has no access rule"),
            false => self.close(directive, MISSING),
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

    /// Adds the demand that a condition expresses.
    pub(super) fn apply(
        &mut self,
        directive: &'t Directive,
        requests: &MatchedRequests<'t>,
        on_match: OnMatch,
    ) {
        let only_these_pass = requests.inverted == (on_match == OnMatch::Refuse);
        if requests.demand_certificate(only_these_pass) {
            return self.certificate(directive);
        }
        let patterns = &requests.patterns;
        match (&requests.input, only_these_pass) {
            (Input::Subject(rendering), true) => self.subject(directive, patterns, *rendering),
            (Input::Authorization, true) => self.authorizations(directive, patterns),
            (Input::OtherSubject, _) => self.demand_names(directive, Vec::new()),
            (Input::Issuer, true) => self.issuer(directive),
            (Input::Other(variable), _) => self.other(directive, variable, only_these_pass),
            _ => self.close(directive, UNREADABLE),
        }
    }

    pub(super) fn certificate(&mut self, directive: &'t Directive) {
        self.certificate = true;
        directive.carried("auth.client_certificate");
    }

    fn issuer(&mut self, directive: &'t Directive) {
        self.certificate = true;
        directive.not_carried("any authority in tls.client.ca will do: remove the others");
    }

    fn subject(
        &mut self,
        directive: &'t Directive,
        patterns: &[AccessPattern<'t>],
        rendering: Rendering,
    ) {
        let meaning = SubjectMeaning::of(patterns, rendering);
        if meaning.has_more {
            directive.not_carried(ONLY_NAMES);
        }
        if !meaning.forgeries.is_empty() {
            let hole = "certificates of the same authority with these subjects got in";
            directive.closed(format!("{hole}: {}", meaning.forgeries.join("; ")));
        }
        self.demand_names(directive, meaning.names);
    }

    /// Demands one of `names`, and of those that other conditions demand; none is a rule from which
    /// no name can be read.
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
        self.demand_one_of(directive, names);
    }

    fn demand_one_of(&mut self, directive: &'t Directive, names: Vec<String>) {
        let mut others = self.names.take().unwrap_or_default();
        if !others.is_empty() {
            others.retain(|name| names.contains(name));
            if others.is_empty() {
                self.close(directive, "no name meets all of these conditions");
            }
        }
        self.names = Some(if others.is_empty() { names } else { others });
    }

    fn authorizations(&mut self, directive: &'t Directive, patterns: &[AccessPattern<'t>]) {
        for pattern in patterns {
            self.authorization(directive, pattern);
        }
    }

    fn authorization(&mut self, directive: &'t Directive, pattern: &AccessPattern<'t>) {
        let Some(secret) = secret(pattern) else {
            let remedy = "no single secret can be read from this: write it to a file, and name \
                          that in auth.basic or auth.bearer";
            return self.close(directive, remedy);
        };
        let key = secret.user.as_ref().map_or("auth.bearer", |_| "auth.basic");
        directive.carried(key);
        let mut known = self.secrets.iter();
        if known.all(|it| it.directive.id != pattern.directive.id) {
            self.secrets.push(secret);
        }
    }

    /// Adds a condition on another variable, which must be true of every webhook or be enforced.
    fn other(&mut self, directive: &'t Directive, variable: &str, only_these_pass: bool) {
        if !only_these_pass && is_listed(CHOSEN_BY_CLIENT, variable) {
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

/// Returns the one secret in a pattern for `Basic …` or `Bearer …`.
fn secret<'t>(pattern: &AccessPattern<'t>) -> Option<Secret<'t>> {
    let text = pattern.text.trim_start_matches('^').trim_end_matches('$');
    let schemes = ["bearer", "basic"];
    let scheme = schemes.into_iter().find(|it| starts_with(text, it))?;
    let spaces = ["\\s+", "\\s", "\\ ", " "];
    let rest = &text[scheme.len()..];
    let secret = spaces.iter().find_map(|space| rest.strip_prefix(space))?;
    let is_expression = pattern.comparison != Comparison::Whole;
    if secret.is_empty() || secret.contains('$') || is_expression && stands_for_several(secret) {
        return None;
    }
    let user = match scheme {
        "basic" => Some(user(secret)?),
        _ => None,
    };
    let directive = pattern.directive;
    Some(Secret { user, directive })
}

fn user(credentials: &str) -> Option<String> {
    let decoded = BASE64_STANDARD.decode(credentials.replace('\\', "")).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.split_once(':')?.0.to_owned())
}

/// Returns `true` if an expression matches more than one text.
fn stands_for_several(expression: &str) -> bool {
    let mut escapes = expression.split('\\').skip(1);
    expression.contains(['(', '[', '|', '*', '?', '+', '{'])
        || escapes.any(|rest| rest.starts_with(char::is_alphanumeric))
}
