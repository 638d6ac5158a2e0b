//! What conditions on requests demand of a client, whichever server's they are. What is not
//! understood closes the route.

use super::directive::Directive;
use super::report::Ledger;
use super::subject_match::{Comparison, Rendering, SubjectCheck};
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Subject(Rendering),
    /// Something of the subject that is not its common name.
    OtherSubject,
    Issuer,
    /// Whether the certificate is valid.
    Verification,
    Authorization,
    /// Anything else; the name of the variable, as NGINX has it.
    Other(String),
}

/// Requests whose input is one of these; or if `inverted`, none.
#[derive(Clone, Debug)]
pub(super) struct Requests<'t> {
    pub(super) input: Input,
    pub(super) patterns: Vec<AccessPattern<'t>>,
    pub(super) inverted: bool,
}

/// What an input is compared with, and where that stands.
#[derive(Clone, Debug)]
pub(super) struct AccessPattern<'t> {
    pub(super) text: String,
    pub(super) comparison: Comparison,
    pub(super) directive: &'t Directive,
}

impl AccessPattern<'_> {
    pub(super) fn check(&self, rendering: Rendering) -> SubjectCheck {
        SubjectCheck {
            rendering,
            text: self.text.clone(),
            comparison: self.comparison,
        }
    }
}

impl Requests<'_> {
    /// Whether the input is compared with this one text, or with an expression that has it.
    pub(super) fn is_about(&self, text: &str) -> bool {
        match self.patterns.as_slice() {
            [pattern] if pattern.comparison == Comparison::Whole => pattern.text == text,
            [pattern] => !text.is_empty() && pattern.text.contains(text),
            _ => false,
        }
    }
}

/// What is demanded besides what the handshake does.
#[derive(Debug, Default)]
pub(super) struct AccessRules<'t> {
    /// Whether it is for a webhook, which takes no other methods and no other media types anyway.
    pub(super) is_webhook: bool,
    /// A valid certificate.
    pub(super) certificate: bool,
    /// One of these common names; empty where the subject is looked at in a way that names none.
    pub(super) names: Option<Vec<String>>,
    /// The rule that does.
    pub(super) unread_subject: Option<&'t Directive>,
    pub(super) credentials: Vec<Credential<'t>>,
    /// Rules that are not understood, or cannot be carried over: nothing gets through without them.
    pub(super) unknown_rules: Vec<&'t Directive>,
}

/// A secret that is compared with the `Authorization` header.
#[derive(Debug)]
pub(super) struct Credential<'t> {
    /// Of Basic credentials.
    pub(super) user: Option<String>,
    /// Where it stands.
    pub(super) directive: &'t Directive,
}

/// What becomes of the requests of which a condition is true.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnMatch {
    Refuse,
    /// The others are refused.
    Serve,
}

impl<'t> AccessRules<'t> {
    pub(super) fn of(is_webhook: bool) -> Self {
        Self {
            is_webhook,
            ..Self::default()
        }
    }

    /// Lets nothing through, for a rule would have to be left out.
    pub(super) fn close(&mut self, directive: &'t Directive, remedy: &str, ledger: &Ledger) {
        self.unknown_rules.push(directive);
        ledger.not_carried(directive, remedy);
    }

    /// Demands that a condition has this end.
    pub(super) fn apply(
        &mut self,
        directive: &'t Directive,
        requests: &Requests<'t>,
        fate: OnMatch,
        ledger: &Ledger,
    ) {
        let only_these_pass = requests.inverted == (fate == OnMatch::Refuse);
        match (&requests.input, only_these_pass) {
            (Input::Subject(rendering), true) => {
                self.subject(directive, requests, *rendering, ledger)
            }
            (Input::Subject(_), false) if requests.is_about("") => {
                self.certificate(directive, ledger)
            }
            (Input::Subject(_), false) => {
                self.close(
                    directive,
                    "names are let in, not kept out: set tls.client.common_names",
                    ledger,
                );
            }
            (Input::Verification, only_these)
                if requests.is_about(if only_these { "SUCCESS" } else { "NONE" }) =>
            {
                self.certificate(directive, ledger);
            }
            (Input::Verification, _) => {
                self.close(
                    directive,
                    "a certificate is valid or it is not: set auth.client_certificate",
                    ledger,
                );
            }
            (Input::Authorization, true) => self.authorization(directive, requests, ledger),
            (Input::OtherSubject, _) => {
                self.certificate = true;
                self.names.get_or_insert_default();
                self.unread_subject.get_or_insert(directive);
                ledger.not_carried(
                    directive,
                    "of the subject, only the common name is compared: tls.client.common_names",
                );
            }
            (Input::Issuer, true) => {
                self.certificate = true;
                ledger.not_carried(
                    directive,
                    "have no other authority than this in tls.client.ca: any of them will do",
                );
            }
            // What is kept out by what it says of itself gets in by saying something else.
            (Input::Other(variable), false) if is_said_by_anyone(variable) => {
                ledger.not_carried(
                    directive,
                    "keeps nothing out that says something else: let the application look at it",
                );
            }
            (Input::Other(variable), _) => self.other(directive, variable, ledger),
            (Input::Authorization | Input::Issuer, false) => {
                self.close(
                    directive,
                    "only what passes can be named: set [routes.auth]",
                    ledger,
                );
            }
        }
    }

    pub(super) fn certificate(&mut self, directive: &'t Directive, ledger: &Ledger) {
        self.certificate = true;
        ledger.carried(directive, "auth.client_certificate");
    }

    fn subject(
        &mut self,
        directive: &'t Directive,
        requests: &Requests<'t>,
        rendering: Rendering,
        ledger: &Ledger,
    ) {
        self.certificate = true;
        let checks: Vec<_> = requests
            .patterns
            .iter()
            .map(|it| it.check(rendering))
            .collect();
        let found: Option<Vec<Vec<String>>> = checks.iter().map(SubjectCheck::names).collect();
        let names = found.map(|names| names.concat()).unwrap_or_default();
        if names.is_empty() {
            self.unread_subject.get_or_insert(directive);
            ledger.not_carried(
                directive,
                "no common name can be read from this: tls.client.common_names",
            );
        } else {
            ledger.carried(
                directive,
                format!(
                    "tls.client.common_names: {}, compared whole",
                    names.join(", ")
                ),
            );
        }
        if checks.iter().any(SubjectCheck::has_more_than_names) {
            ledger.not_carried(
                directive,
                "of the subject, only the common name is compared: others cannot be demanded",
            );
        }
        let mut forgeries: Vec<_> = checks
            .iter()
            .flat_map(|check| check.forgeries(&names))
            .collect();
        forgeries.dedup();
        if !forgeries.is_empty() {
            let hole = format!(
                "certificates of the same authority with these subjects got in: {}",
                forgeries.join("; ")
            );
            ledger.closed(directive, hole);
        }
        self.names = Some(match self.names.take() {
            // Several conditions, all of which must hold.
            Some(before) if !before.is_empty() && !names.is_empty() => {
                let both: Vec<_> = before
                    .into_iter()
                    .filter(|name| names.contains(name))
                    .collect();
                if both.is_empty() {
                    self.close(
                        directive,
                        "no name meets all of these conditions: tls.client.common_names",
                        ledger,
                    );
                }
                both
            }
            Some(before) if names.is_empty() => before,
            _ => names,
        });
    }

    fn authorization(
        &mut self,
        directive: &'t Directive,
        requests: &Requests<'t>,
        ledger: &Ledger,
    ) {
        for pattern in &requests.patterns {
            match credential(pattern) {
                Some(credential) => {
                    ledger.carried(
                        directive,
                        if credential.user.is_some() {
                            "auth.basic"
                        } else {
                            "auth.bearer"
                        },
                    );
                    self.credentials.push(credential);
                }
                None => {
                    let remedy = "no single secret can be read from this: write it to a file, and name that in auth.basic or \
                                  auth.bearer";
                    self.close(directive, remedy, ledger);
                }
            }
        }
    }

    /// A condition on something else.
    fn other(&mut self, directive: &'t Directive, variable: &str, ledger: &Ledger) {
        let why = match variable {
            "request_method" if self.is_webhook => {
                "a webhook takes GET (the challenge) and POST; others get 405"
            }
            "request_filename" => "no files are served",
            "host" | "http_host" | "server_name" => {
                "the path decides about a request, and never its Host"
            }
            "scheme" | "https" => "Netdata Cloud sends over HTTPS only",
            "content_type" | "http_content_type" if self.is_webhook => {
                "a webhook's body must be JSON; others get 415"
            }
            "remote_addr" | "binary_remote_addr" | "realip_remote_addr" => {
                return self.close(
                    directive,
                    "name the networks that may connect in listen.allow",
                    ledger,
                );
            }
            _ => return self.close(directive, UNREADABLE, ledger),
        };
        ledger.not_needed(directive, why);
    }
}

/// What is to be done about a rule that is not understood.
pub(super) const UNREADABLE: &str = "this rule cannot be read: say what it does with [routes.auth]";

/// Whether something is of the client's own choice, and says nothing about what it may do.
fn is_said_by_anyone(variable: &str) -> bool {
    let variable = variable.to_ascii_lowercase();
    let names = [
        "http_user_agent",
        "http:user-agent",
        "http_referer",
        "http:referer",
        "args",
        "query_string",
        "invalid_referer",
    ];
    names.contains(&variable.as_str()) || variable.starts_with("arg_")
}

/// What `Bearer …` or `Basic …` is compared with.
fn credential<'t>(pattern: &AccessPattern<'t>) -> Option<Credential<'t>> {
    let is_expression = pattern.comparison != Comparison::Whole;
    let text = pattern.text.trim_start_matches('^').trim_end_matches('$');
    let scheme = text.get(..6).map(str::to_ascii_lowercase);
    let secret = match scheme.as_deref() {
        Some("bearer") => &text[6..],
        Some(text_) if text_.starts_with("basic") => &text[5..],
        _ => return None,
    };
    let spaces = ["\\s+", "\\s", "\\ ", " "];
    let secret = spaces.iter().find_map(|space| secret.strip_prefix(space))?;
    // A variable, or an expression for several, is not a secret that can be written to a file.
    let has_class = || {
        secret
            .match_indices('\\')
            .any(|(at, _)| secret[at + 1..].starts_with(char::is_alphanumeric))
    };
    let is_several =
        is_expression && (secret.contains(['(', '[', '|', '*', '?', '+', '{']) || has_class());
    let is_one = !secret.is_empty() && !secret.contains('$') && !is_several;
    let user = match scheme.as_deref() {
        Some("bearer") => None,
        _ => {
            let decoded = BASE64_STANDARD.decode(secret.replace('\\', "")).ok()?;
            Some(
                String::from_utf8(decoded)
                    .ok()?
                    .split_once(':')?
                    .0
                    .to_owned(),
            )
        }
    };
    is_one.then_some(Credential {
        user,
        directive: pattern.directive,
    })
}
