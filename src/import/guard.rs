//! Who passes somewhere: what conditions on requests demand, whichever server's they are.

use super::directive::Directive;
use super::report::Ledger;
use super::subject::{Check, Comparison, Rendering};
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Subject(Rendering),
    /// Whether the certificate is valid.
    Verdict,
    Authorization,
    /// Anything else; the name of the variable, as NGINX has it.
    Other(String),
}

/// Requests whose input is one of these; or if `inverted`, none.
#[derive(Clone, Debug)]
pub(super) struct Requests<'t> {
    pub(super) input: Input,
    pub(super) patterns: Vec<Pattern<'t>>,
    pub(super) inverted: bool,
}

/// What an input is compared with, and where that stands.
#[derive(Clone, Debug)]
pub(super) struct Pattern<'t> {
    pub(super) text: String,
    pub(super) comparison: Comparison,
    pub(super) directive: &'t Directive,
}

impl Pattern<'_> {
    pub(super) fn check(&self, rendering: Rendering) -> Check {
        Check { rendering, text: self.text.clone(), comparison: self.comparison }
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
pub(super) struct Guard<'t> {
    /// Whether it is for a webhook, which takes no other methods and no other media types anyway.
    pub(super) is_webhook: bool,
    /// A valid certificate.
    pub(super) certificate: bool,
    /// One of these common names; empty where the subject is looked at in a way that names none.
    pub(super) names: Option<Vec<String>>,
    pub(super) credentials: Vec<Credential<'t>>,
    /// Whether there is a demand that cannot be carried over.
    pub(super) has_lost: bool,
    /// Whether only some methods are let in.
    pub(super) limits_methods: bool,
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
pub(super) enum Fate {
    Refused,
    /// The others are refused.
    Served,
}

impl<'t> Guard<'t> {
    pub(super) fn of(is_webhook: bool) -> Self {
        Self { is_webhook, ..Self::default() }
    }

    /// Demands that a condition has this end.
    pub(super) fn apply(&mut self, directive: &'t Directive, requests: &Requests<'t>, fate: Fate, ledger: &Ledger) {
        let only_these_pass = requests.inverted == (fate == Fate::Refused);
        match (&requests.input, only_these_pass) {
            (Input::Subject(rendering), true) => self.subject(directive, requests, *rendering, ledger),
            (Input::Subject(_), false) if requests.is_about("") => {
                self.certificate = true;
                ledger.carried(directive, "auth.client_certificate");
            }
            (Input::Subject(_), false) => {
                self.has_lost = true;
                let remedy = "names are let in, not kept out: tls.client.common_names has all that pass";
                ledger.not_needed(directive, remedy);
            }
            (Input::Verdict, only_these) if requests.is_about(if only_these { "SUCCESS" } else { "NONE" }) => {
                self.certificate = true;
                ledger.carried(directive, "auth.client_certificate");
            }
            (Input::Verdict, _) => {
                self.has_lost = true;
                ledger.not_carried(directive, "a certificate is valid or it is not: see auth.client_certificate");
            }
            (Input::Authorization, true) => self.authorization(directive, requests, ledger),
            (Input::Authorization, false) => {
                self.has_lost = true;
                ledger.not_carried(directive, "only what passes can be named: set auth.basic or auth.bearer");
            }
            (Input::Other(variable), true) if variable.starts_with("ssl_client_i_dn") => {
                self.certificate = true;
                ledger
                    .not_carried(directive, "have no other authority than this in tls.client.ca: any of them will do");
            }
            // Who is kept out by what he says of himself gets in by saying something else.
            (Input::Other(variable), false) if is_said_by_anybody(variable) => {
                ledger.not_carried(
                    directive,
                    format!("{variable} keeps nobody out here: let the application look at it"),
                );
            }
            (Input::Other(variable), _) => self.other(directive, variable, ledger),
        }
    }

    fn subject(&mut self, directive: &'t Directive, requests: &Requests<'t>, rendering: Rendering, ledger: &Ledger) {
        self.certificate = true;
        let found: Option<Vec<Vec<String>>> = requests.patterns.iter().map(|it| it.check(rendering).names()).collect();
        let names = found.map(|names| names.concat()).unwrap_or_default();
        if names.is_empty() {
            let remedy = "no common name can be read from this; app.netdata.cloud is demanded now: if that is not what \
                          was meant, set tls.client.common_names";
            ledger.not_carried(directive, remedy);
        } else {
            ledger.carried(directive, format!("tls.client.common_names: {}, compared whole", names.join(", ")));
        }
        if requests.patterns.iter().any(|it| it.check(rendering).has_more_than_names()) {
            ledger
                .not_carried(directive, "of the subject, only the common name is compared: others cannot be demanded");
        }
        let mut forgeries: Vec<_> =
            requests.patterns.iter().flat_map(|it| it.check(rendering).forgeries(&names)).collect();
        forgeries.dedup();
        if !forgeries.is_empty() {
            let hole =
                format!("certificates of the same authority with these subjects got in: {}", forgeries.join("; "));
            ledger.closed(directive, hole);
        }
        self.names = Some(match self.names.take() {
            // Several conditions, all of which must hold.
            Some(before) if !before.is_empty() && !names.is_empty() => {
                before.into_iter().filter(|name| names.contains(name)).collect()
            }
            Some(before) if names.is_empty() => before,
            _ => names,
        });
    }

    fn authorization(&mut self, directive: &'t Directive, requests: &Requests<'t>, ledger: &Ledger) {
        for pattern in &requests.patterns {
            match credential(pattern) {
                Some(credential) => {
                    let key = if credential.user.is_some() { "auth.basic" } else { "auth.bearer" };
                    ledger.carried(directive, key);
                    self.credentials.push(credential);
                }
                None => {
                    self.has_lost = true;
                    let remedy = "no single secret can be read from this: write it to a file, and name that in auth.basic or \
                                  auth.bearer";
                    ledger.not_carried(directive, remedy);
                }
            }
        }
    }

    /// A condition on something else.
    fn other(&mut self, directive: &Directive, variable: &str, ledger: &Ledger) {
        let why = match variable {
            "request_method" if self.is_webhook => {
                self.limits_methods = true;
                "a webhook takes GET (the challenge) and POST; others are answered with 405"
            }
            "request_method" => {
                self.limits_methods = true;
                return ledger.not_carried(directive, "a route of kind \"proxy\" passes every method on");
            }
            "request_filename" => "no files are served",
            "host" | "http_host" | "server_name" => "the path decides about a request, and never its Host",
            "scheme" | "https" => "Netdata Cloud sends over HTTPS only",
            "content_type" | "http_content_type" if self.is_webhook => {
                "a webhook's body must be JSON: others are answered with 415"
            }
            "ssl_protocol" => {
                self.has_lost = true;
                return ledger.not_carried(directive, "tls.min_version decides, for all routes: set it");
            }
            "remote_addr" | "binary_remote_addr" | "realip_remote_addr" => {
                self.has_lost = true;
                return ledger.not_carried(directive, "name the networks that may connect in listen.allow");
            }
            _ => {
                self.has_lost = true;
                return ledger.not_carried(
                    directive,
                    format!("{variable} decides nothing here: let the application look at it"),
                );
            }
        };
        ledger.not_needed(directive, why);
    }
}

/// Whether something is of the sender's own choice, and says nothing about what he may do.
fn is_said_by_anybody(variable: &str) -> bool {
    let variable = variable.to_ascii_lowercase();
    let names = ["http_user_agent", "http:user-agent", "http_referer", "http:referer", "args", "query_string"];
    names.contains(&variable.as_str()) || variable.starts_with("arg_") || variable == "invalid_referer"
}

/// What `Bearer …` or `Basic …` is compared with.
fn credential<'t>(pattern: &Pattern<'t>) -> Option<Credential<'t>> {
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
    // A variable, or an expression for several, is no secret that somebody has.
    let has_class = || secret.match_indices('\\').any(|(at, _)| secret[at + 1..].starts_with(char::is_alphanumeric));
    let is_several = is_expression && (secret.contains(['(', '[', '|', '*', '?', '+', '{']) || has_class());
    let is_one = !secret.is_empty() && !secret.contains('$') && !is_several;
    let user = match scheme.as_deref() {
        Some("bearer") => None,
        _ => {
            let decoded = BASE64_STANDARD.decode(secret.replace('\\', "")).ok()?;
            Some(String::from_utf8(decoded).ok()?.split_once(':')?.0.to_owned())
        }
    };
    is_one.then_some(Credential { user, directive: pattern.directive })
}
