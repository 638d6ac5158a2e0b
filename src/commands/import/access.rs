//! The access rules of a route, as conditions on requests state them. A rule that is not understood
//! closes the route.

use super::directive::{Directive, is_listed, starts_with};
use super::report::Ledger;
use super::subject_match::{Comparison, Rendering, SubjectMeaning};
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

/// A text or an expression, and the directive that contains it.
#[derive(Clone, Debug)]
pub(super) struct AccessPattern<'t> {
    pub(super) text: String,
    pub(super) comparison: Comparison,
    pub(super) directive: &'t Directive,
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
}

/// The effect of a condition that matches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnMatch {
    Refuse,
    /// Requests that do not match are refused.
    Serve,
}

/// The demands on a client in addition to those of the handshake.
#[derive(Debug)]
pub(super) struct AccessRules<'r, 't> {
    pub(super) ledger: &'r Ledger,
    /// A webhook accepts no other methods and media types anyway.
    is_webhook: bool,
    /// A valid certificate is demanded.
    pub(super) certificate: bool,
    /// The common names of which one is demanded; empty if none can be read from the rule.
    pub(super) names: Option<Vec<String>>,
    /// The rule whose names cannot be read.
    pub(super) unread_subject: Option<&'t Directive>,
    /// The secrets that rules compare with the `Authorization` header: the users of Basic
    /// credentials, or `None` for Bearer tokens, and the directives that have them.
    pub(super) credentials: Vec<(Option<String>, &'t Directive)>,
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

impl<'r, 't> AccessRules<'r, 't> {
    pub(super) fn new(is_webhook: bool, ledger: &'r Ledger) -> Self {
        Self {
            ledger,
            is_webhook,
            certificate: false,
            names: None,
            unread_subject: None,
            credentials: Vec::new(),
            unknown_rule: None,
        }
    }

    /// Closes the route, because a rule would have to be left out.
    pub(super) fn close(&mut self, directive: &'t Directive, remedy: &str) {
        self.ledger.cover(directive);
        self.unknown_rule.get_or_insert(directive);
        self.ledger.not_carried(directive, remedy);
    }

    /// Adds a file that is missing.
    pub(super) fn missing(&mut self, directive: &'t Directive) {
        if is_listed(HARMLESS, directive.value()) {
            let remedy = "this file is missing, but probably has no rule for a webhook";
            self.ledger.not_carried(directive, remedy);
        } else {
            self.close(directive, MISSING);
        }
    }

    /// Adds a rule on methods or media types, which a webhook does not need.
    pub(super) fn methods(&mut self, directive: &'t Directive) {
        self.ledger.cover(directive);
        if self.is_webhook {
            let why = "a webhook takes GET (the challenge) and POST with JSON anyway";
            self.ledger.not_needed(directive, why);
        } else {
            self.close(directive, "a route of kind \"proxy\" has every method");
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
        let verified = if only_these_pass { "SUCCESS" } else { "NONE" };
        match (&requests.input, only_these_pass) {
            (Input::Subject(rendering), true) => self.subject(directive, requests, *rendering),
            (Input::Subject(_), false) if requests.is_about("") => self.certificate(directive),
            (Input::Verification, _) if requests.is_about(verified) => self.certificate(directive),
            (Input::Authorization, true) => {
                for pattern in &requests.patterns {
                    self.authorization(directive, pattern);
                }
            }
            (Input::OtherSubject, _) => self.demand_names(directive, Vec::new()),
            (Input::Issuer, true) => {
                self.certificate = true;
                let remedy = "remove every other authority from tls.client.ca: any of them will do";
                self.ledger.not_carried(directive, remedy);
            }
            (Input::Other(variable), _) => self.other(directive, variable, only_these_pass),
            _ => self.close(directive, UNREADABLE),
        }
    }

    pub(super) fn certificate(&mut self, directive: &'t Directive) {
        self.certificate = true;
        self.ledger.carried(directive, "auth.client_certificate");
    }

    fn subject(
        &mut self,
        directive: &'t Directive,
        requests: &MatchedRequests<'t>,
        rendering: Rendering,
    ) {
        let meaning = SubjectMeaning::of(&requests.patterns, rendering);
        if meaning.has_more {
            self.ledger.not_carried(directive, ONLY_NAMES);
        }
        if !meaning.forgeries.is_empty() {
            let hole = "certificates of the same authority with these subjects got in";
            let hole = format!("{hole}: {}", meaning.forgeries.join("; "));
            self.ledger.closed(directive, hole);
        }
        self.demand_names(directive, meaning.names);
    }

    /// Demands one of `names`, and of those that other conditions demand; none is a rule from which
    /// no name can be read.
    fn demand_names(&mut self, directive: &'t Directive, names: Vec<String>) {
        self.certificate = true;
        let mut both = self.names.take().unwrap_or_default();
        if names.is_empty() {
            self.unread_subject.get_or_insert(directive);
            let remedy = "no common name can be read from this: tls.client.common_names";
            self.ledger.not_carried(directive, remedy);
        } else {
            let key = format!(
                "tls.client.common_names: {}, compared whole",
                names.join(", ")
            );
            self.ledger.carried(directive, key);
            if both.is_empty() {
                both.clone_from(&names);
            }
            both.retain(|name| names.contains(name));
            if both.is_empty() {
                let remedy = "no name meets all of these conditions: tls.client.common_names";
                self.close(directive, remedy);
            }
        }
        self.names = Some(both);
    }

    fn authorization(&mut self, directive: &'t Directive, pattern: &AccessPattern<'t>) {
        let Some(user) = user(pattern) else {
            let remedy = "no single secret can be read from this: write it to a file, and name \
                          that in auth.basic or auth.bearer";
            return self.close(directive, remedy);
        };
        let key = user.as_ref().map_or("auth.bearer", |_| "auth.basic");
        self.ledger.carried(directive, key);
        let mut known = self.credentials.iter();
        if known.all(|(_, it)| it.id != pattern.directive.id) {
            self.credentials.push((user, pattern.directive));
        }
    }

    /// Adds a condition on another variable, which must be true of every webhook or be enforced.
    fn other(&mut self, directive: &'t Directive, variable: &str, only_these_pass: bool) {
        if !only_these_pass && is_listed(CHOSEN_BY_CLIENT, variable) {
            // A client that such a rule refuses can send another value.
            let remedy = "clients can send another value: check it in the application";
            self.ledger.not_carried(directive, remedy);
        } else if is_listed("request_method content_type http_content_type", variable) {
            self.methods(directive);
        } else if is_listed(OWN_RULES, variable) {
            let why = "Netdata Cloud uses HTTPS, the path selects the route, and no file is served";
            self.ledger.not_needed(directive, why);
        } else {
            let is_address = variable.ends_with("remote_addr");
            self.close(directive, if is_address { NETWORKS } else { UNREADABLE });
        }
    }
}

/// Returns the user of the one secret in a pattern for `Basic …`, or none for `Bearer …`.
fn user(pattern: &AccessPattern<'_>) -> Option<Option<String>> {
    let text = pattern.text.trim_start_matches('^').trim_end_matches('$');
    let schemes = ["bearer", "basic"];
    let scheme = schemes.into_iter().find(|it| starts_with(text, it))?;
    let rest = &text[scheme.len()..];
    let spaces = ["\\s+", "\\s", "\\ ", " "];
    let secret = spaces.iter().find_map(|space| rest.strip_prefix(space))?;
    let is_expression = pattern.comparison != Comparison::Whole;
    if secret.is_empty() || secret.contains('$') || is_expression && stands_for_several(secret) {
        return None;
    } else if scheme == "bearer" {
        return Some(None);
    }
    let decoded = BASE64_STANDARD.decode(secret.replace('\\', "")).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    Some(Some(text.split_once(':')?.0.to_owned()))
}

/// Returns `true` if an expression matches more than one text.
fn stands_for_several(expression: &str) -> bool {
    let mut escapes = expression.split('\\').skip(1);
    expression.contains(['(', '[', '|', '*', '?', '+', '{'])
        || escapes.any(|rest| rest.starts_with(char::is_alphanumeric))
}
