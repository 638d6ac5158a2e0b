//! The access rules of a route, as conditions on requests state them. A rule that is not understood
//! closes the route.

use super::directive::Directive;
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

impl MatchedRequests<'_> {
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
    pub(super) credentials: Vec<SecretInRule<'t>>,
    /// Rules that are not understood, or cannot be expressed: without them, the route is closed.
    pub(super) unknown_rules: Vec<&'t Directive>,
}

/// A secret that a rule compares with the `Authorization` header.
#[derive(Clone, Debug)]
pub(super) struct SecretInRule<'t> {
    /// The user of Basic credentials; `None` for a Bearer token.
    pub(super) user: Option<String>,
    pub(super) directive: &'t Directive,
}

/// The advice for a rule that is not understood.
pub(super) const UNREADABLE: &str = "this rule cannot be read: say what it does with [routes.auth]";

/// The advice for rules that compare more of a subject than its common name.
const ONLY_NAMES: &str = "of the subject, only the common name is compared";

impl<'t> AccessRules<'t> {
    pub(super) fn of(is_webhook: bool) -> Self {
        Self {
            is_webhook,
            ..Self::default()
        }
    }

    /// Closes the route, because a rule would have to be left out.
    pub(super) fn close(&mut self, directive: &'t Directive, remedy: &str, ledger: &Ledger) {
        self.unknown_rules.push(directive);
        ledger.not_carried(directive, remedy);
    }

    /// Adds the demand that a condition expresses.
    pub(super) fn apply(
        &mut self,
        directive: &'t Directive,
        requests: &MatchedRequests<'t>,
        on_match: OnMatch,
        ledger: &Ledger,
    ) {
        let only_these_pass = requests.inverted == (on_match == OnMatch::Refuse);
        let verified = if only_these_pass { "SUCCESS" } else { "NONE" };
        match (&requests.input, only_these_pass) {
            (Input::Subject(rendering), true) => {
                self.subject(directive, requests, *rendering, ledger);
            }
            (Input::Subject(_), false) if requests.is_about("") => {
                self.certificate(directive, ledger);
            }
            (Input::Verification, _) if requests.is_about(verified) => {
                self.certificate(directive, ledger);
            }
            (Input::Authorization, true) => self.authorization(directive, requests, ledger),
            (Input::OtherSubject, _) => {
                self.certificate = true;
                self.names.get_or_insert_default();
                self.unread_subject.get_or_insert(directive);
                ledger.not_carried(directive, ONLY_NAMES);
            }
            (Input::Issuer, true) => {
                self.certificate = true;
                let remedy = "remove every other authority from tls.client.ca: any of them will do";
                ledger.not_carried(directive, remedy);
            }
            (Input::Other(variable), _) => {
                self.other(directive, variable, only_these_pass, ledger);
            }
            _ => self.close(directive, UNREADABLE, ledger),
        }
    }

    pub(super) fn certificate(&mut self, directive: &'t Directive, ledger: &Ledger) {
        self.certificate = true;
        ledger.carried(directive, "auth.client_certificate");
    }

    fn subject(
        &mut self,
        directive: &'t Directive,
        requests: &MatchedRequests<'t>,
        rendering: Rendering,
        ledger: &Ledger,
    ) {
        self.certificate = true;
        let meaning = SubjectMeaning::of(&requests.patterns, rendering);
        let (names, forgeries) = (meaning.names, meaning.forgeries.join("; "));
        if names.is_empty() {
            self.unread_subject.get_or_insert(directive);
            let remedy = "no common name can be read from this: tls.client.common_names";
            ledger.not_carried(directive, remedy);
        } else {
            let names = names.join(", ");
            let key = format!("tls.client.common_names: {names}, compared whole");
            ledger.carried(directive, key);
        }
        if meaning.has_more {
            ledger.not_carried(directive, ONLY_NAMES);
        }
        if !forgeries.is_empty() {
            let start = "certificates of the same authority with these subjects got in";
            ledger.closed(directive, format!("{start}: {forgeries}"));
        }
        self.demand_names(directive, names, ledger);
    }

    /// Demands one of `names`, and of those that other conditions demand.
    fn demand_names(&mut self, directive: &'t Directive, names: Vec<String>, ledger: &Ledger) {
        let mut both = self.names.take().unwrap_or_default();
        if both.is_empty() || names.is_empty() {
            both.extend(names);
        } else {
            both.retain(|name| names.contains(name));
            if both.is_empty() {
                let remedy = "no name meets all of these conditions: tls.client.common_names";
                self.close(directive, remedy, ledger);
            }
        }
        self.names = Some(both);
    }

    fn authorization(
        &mut self,
        directive: &'t Directive,
        requests: &MatchedRequests<'t>,
        ledger: &Ledger,
    ) {
        for pattern in &requests.patterns {
            let Some(credential) = credential(pattern) else {
                let remedy = "no single secret can be read from this: write it to a file, and name \
                              that in auth.basic or auth.bearer";
                self.close(directive, remedy, ledger);
                continue;
            };
            let key = match credential.user {
                Some(_) => "auth.basic",
                None => "auth.bearer",
            };
            ledger.carried(directive, key);
            self.credentials.push(credential);
        }
    }

    /// Adds a condition on another variable, which must be true of every webhook or be enforced.
    fn other(
        &mut self,
        directive: &'t Directive,
        variable: &str,
        only_these_pass: bool,
        ledger: &Ledger,
    ) {
        if !only_these_pass && is_chosen_by_client(variable) {
            // A client that such a rule refuses can send another value.
            let remedy = "clients can send another value: check it in the application";
            return ledger.not_carried(directive, remedy);
        }
        let why = match variable {
            "request_method" | "content_type" | "http_content_type" if self.is_webhook => {
                "a webhook takes GET (the challenge) and POST with JSON anyway"
            }
            "request_filename" => "no files are served",
            "host" | "http_host" | "server_name" => "the path selects the route, never the Host",
            "scheme" | "https" => "Netdata Cloud sends over HTTPS only",
            "remote_addr" | "binary_remote_addr" | "realip_remote_addr" => {
                let remedy = "name the networks that may connect in listen.allow";
                return self.close(directive, remedy, ledger);
            }
            _ => return self.close(directive, UNREADABLE, ledger),
        };
        ledger.not_needed(directive, why);
    }
}

/// Returns `true` for parts of a request that each client chooses, and that identify no client.
fn is_chosen_by_client(variable: &str) -> bool {
    const NAMES: &str = "http_user_agent http:user-agent http_referer http:referer args \
        query_string invalid_referer";
    let variable = variable.to_ascii_lowercase();
    NAMES.split(' ').any(|name| name == variable) || variable.starts_with("arg_")
}

/// Reads the one secret of a pattern for `Bearer …` or `Basic …`.
fn credential<'t>(pattern: &AccessPattern<'t>) -> Option<SecretInRule<'t>> {
    let text = pattern.text.trim_start_matches('^').trim_end_matches('$');
    let starts_with = |scheme: &str| {
        let start = text.get(..scheme.len())?;
        let is_scheme = start.eq_ignore_ascii_case(scheme);
        is_scheme.then(|| &text[scheme.len()..])
    };
    let bearer = starts_with("bearer");
    let rest = bearer.or_else(|| starts_with("basic"))?;
    let spaces = ["\\s+", "\\s", "\\ ", " "];
    let secret = spaces.iter().find_map(|space| rest.strip_prefix(space))?;
    let is_expression = pattern.comparison != Comparison::Whole;
    let is_several = is_expression && stands_for_several(secret);
    if secret.is_empty() || secret.contains('$') || is_several {
        return None;
    }
    let user = match bearer {
        Some(_) => None,
        None => {
            let decoded = BASE64_STANDARD.decode(secret.replace('\\', "")).ok()?;
            let text = String::from_utf8(decoded).ok()?;
            Some(text.split_once(':')?.0.to_owned())
        }
    };
    let directive = pattern.directive;
    Some(SecretInRule { user, directive })
}

/// Returns `true` if an expression matches more than one text.
fn stands_for_several(expression: &str) -> bool {
    let mut escapes = expression.split('\\').skip(1);
    expression.contains(['(', '[', '|', '*', '?', '+', '{'])
        || escapes.any(|rest| rest.starts_with(char::is_alphanumeric))
}
