//! Who may pass: `Require`, `SSLRequire`, `AuthType Basic`, `<If>`, and `RewriteRule … [F]`.

use super::expression::{self, Test};
use super::host::{Host, Place, Section, is};
use crate::import::assembly::Access;
use crate::import::directive::Directive;
use crate::import::draft::{Secret, Secrets};
use crate::import::guard::{Fate, Guard, Input, Pattern, Requests};
use crate::import::htpasswd;
use crate::import::report::Ledger;
use crate::import::subject::Comparison;
use std::path::Path;

/// Reads who may pass at a path.
pub(super) struct Reader<'r, 't> {
    pub(super) host: &'r Host<'t>,
    pub(super) ledger: &'r Ledger,
    pub(super) root: &'r Path,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) access: Access,
    /// Whether nobody may pass.
    pub(super) is_denied: bool,
}

/// What is being found.
struct Finding<'r, 't> {
    reader: &'r Reader<'r, 't>,
    sections: Vec<Section<'t>>,
    guard: Guard<'t>,
    basic: Vec<(String, Secret)>,
    is_denied: bool,
}

impl<'t> Reader<'_, 't> {
    pub(super) fn access(&self, path: &str, secrets: &mut Secrets) -> Found {
        let sections: Vec<_> = self.host.sections().into_iter().filter(|section| section.covers(path)).collect();
        let mut finding =
            Finding { reader: self, sections, guard: Guard::default(), basic: Vec::new(), is_denied: false };
        finding.read(path, secrets);
        let Finding { guard, basic, is_denied, .. } = finding;
        Found { access: Access { basic, ..Access::default() }.with(guard, secrets), is_denied }
    }
}

impl<'t> Finding<'_, 't> {
    fn ledger(&self) -> &Ledger {
        self.reader.ledger
    }

    fn read(&mut self, path: &str, secrets: &mut Secrets) {
        // Of several sections, the last that says something is right.
        let demanding = self.sections.iter().rev().map(|section| section.directive.children());
        let demands = demanding.map(demands).find(|demands| !demands.is_empty()).unwrap_or_default();
        self.any(&demands, secrets);
        for section in self.sections.clone() {
            for directive in section.directive.children() {
                self.always(directive);
            }
        }
        for directive in self.reader.host.every("SSLRequire").chain(self.reader.host.every("If")) {
            self.always(directive);
        }
        self.rewrites(path);
        if self.guard.names.is_none() {
            self.never_run();
        }
    }

    /// Each of these is enough, as Apache has it unless it says otherwise.
    fn any(&mut self, demands: &[&'t Directive], secrets: &mut Secrets) {
        match demands {
            [] => {}
            [one] => self.one(one, secrets),
            several => {
                let is_by_certificate = |it: &&&Directive| {
                    it.holds(&|it| {
                        is(it, "Require")
                            && it.arguments.iter().any(|argument| argument.to_ascii_uppercase().contains("SSL"))
                    })
                };
                let strictest = several.iter().find(is_by_certificate).unwrap_or(&several[0]);
                self.one(strictest, secrets);
                for other in several.iter().filter(|other| other.id != strictest.id) {
                    self.ledger().cover(other);
                    self.ledger()
                        .not_carried(other, "it was enough instead of others; now only one of them is demanded");
                }
            }
        }
    }

    fn one(&mut self, directive: &'t Directive, secrets: &mut Secrets) {
        match directive.name.to_ascii_lowercase().as_str() {
            "requireall" => directive.children().iter().for_each(|it| self.one(it, secrets)),
            "requireany" => self.any(&demands(directive.children()), secrets),
            "require" => self.require(directive, secrets),
            _ => self.lose(directive, "what is not to be let in cannot be named: set [routes.auth]"),
        }
    }

    fn require(&mut self, directive: &'t Directive, secrets: &mut Secrets) {
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        match arguments[..] {
            ["expr", ref words @ ..] => self.expression(directive, &words.join(" "), Fate::Served),
            ["ssl-verify-client"] => {
                self.guard.certificate = true;
                self.ledger().carried(directive, "auth.client_certificate");
            }
            ["ssl"] => self.ledger().not_needed(directive, "Netdata Cloud sends over HTTPS only"),
            ["all", "granted"] => self.ledger().not_needed(directive, "is so, unless [routes.auth] demands more"),
            ["all", "denied"] => {
                self.is_denied = true;
                self.ledger().carried(directive, "there is no way through");
            }
            ["valid-user"] => self.users(directive, &[], secrets),
            ["user", ref names @ ..] => self.users(directive, names, secrets),
            ["method", ..] => {
                self.guard.limits_methods = true;
                self.ledger().not_needed(directive, "a webhook takes GET (the challenge) and POST");
            }
            ["ip" | "host" | "local" | "forward-dns", ..] => {
                self.lose(directive, "name the networks that may connect in listen.allow");
            }
            _ => self.lose(directive, "only certificates and credentials are demanded here: set [routes.auth]"),
        }
    }

    fn lose(&mut self, directive: &Directive, remedy: &str) {
        self.guard.has_lost = true;
        self.ledger().not_carried(directive, remedy);
    }

    /// What counts beside `Require`.
    fn always(&mut self, directive: &'t Directive) {
        match directive.name.to_ascii_lowercase().as_str() {
            "sslrequire" => self.expression(directive, &directive.arguments.join(" "), Fate::Served),
            "sslverifyclient" if directive.value().eq_ignore_ascii_case("require") => {
                self.guard.certificate = true;
                self.ledger().carried(directive, "auth.client_certificate, asked for in the first handshake");
                let hole = "Apache asks after the request has come, which Netdata Cloud's client does not answer; now the \
                            certificate is asked for in the first handshake";
                self.ledger().closed(directive, hole);
            }
            "limit" | "limitexcept" => {
                self.guard.limits_methods = true;
                self.ledger().cover(directive);
                self.ledger().not_carried(directive, "a webhook takes GET and POST; other routes take every method");
            }
            "allow" if directive.arguments.iter().any(|it| it.eq_ignore_ascii_case("all")) => {
                self.ledger().not_needed(directive, "is so, unless [routes.auth] demands more");
            }
            "allow" | "deny" => self.lose(directive, "name the networks that may connect in listen.allow"),
            "authtype" if !directive.value().eq_ignore_ascii_case("basic") => {
                self.lose(directive, "only Basic and Bearer credentials are known here: set [routes.auth]");
            }
            "if" if demands(directive.children()).iter().any(|it| it.arguments == ["all", "denied"]) => {
                self.ledger().cover(directive);
                self.expression(directive, &directive.arguments.join(" "), Fate::Refused);
            }
            _ => {}
        }
    }

    fn expression(&mut self, directive: &'t Directive, text: &str, fate: Fate) {
        match expression::tests(text).as_deref() {
            // What is not refused by two tests together may fail one of them.
            Some([_, _, ..]) | None if fate == Fate::Refused => {
                self.lose(directive, "this condition cannot be read: say what it does with [routes.auth]");
            }
            None => self.lose(directive, "this condition cannot be read: say what it does with [routes.auth]"),
            Some(tests) => tests.iter().for_each(|test| self.test(directive, test, fate)),
        }
    }

    fn test(&mut self, directive: &'t Directive, test: &Test, fate: Fate) {
        self.guard.apply(directive, &requests(directive, test), fate, self.reader.ledger);
    }

    /// The users of `AuthUserFile`, or those of them that are named.
    fn users(&mut self, directive: &'t Directive, names: &[&str], secrets: &mut Secrets) {
        let kind = self.sections.iter().rev().find_map(|section| section.one("AuthType"));
        if kind.is_some_and(|it| !it.value().eq_ignore_ascii_case("basic")) {
            return self.lose(directive, "only Basic and Bearer credentials are known here: set [routes.auth]");
        }
        let inner = self.sections.iter().rev().find_map(|section| section.one("AuthUserFile"));
        let Some(file) = inner.or_else(|| self.reader.host.one("AuthUserFile")) else {
            return self.lose(directive, "no AuthUserFile says who that is: set auth.basic");
        };
        let users = htpasswd::carry(file, &self.reader.root.join(file.value()), self.reader.ledger, secrets);
        let is_named = |user: &(String, Secret)| names.is_empty() || names.contains(&user.0.as_str());
        self.basic.extend(users.into_iter().filter(is_named));
        self.ledger().carried(directive, "auth.basic");
    }

    /// `RewriteCond %{SSL:SSL_CLIENT_S_DN_CN} !^app\.netdata\.cloud$` and `RewriteRule ^ - [F]`.
    fn rewrites(&mut self, path: &str) {
        let mut conditions: Vec<&'t Directive> = Vec::new();
        let host = self.reader.host;
        let inner = self.sections.clone().into_iter().map(|section| section.directive.children());
        for directive in host.own().iter().chain(inner.flatten()) {
            if is(directive, "RewriteCond") {
                conditions.push(directive);
            } else if is(directive, "RewriteRule") {
                self.rewrite(directive, &std::mem::take(&mut conditions), path);
            }
        }
    }

    fn rewrite(&mut self, rule: &'t Directive, conditions: &[&'t Directive], path: &str) {
        let flags = rule.arguments.get(2).map_or("", String::as_str).trim_matches(['[', ']']);
        let refuses = flags.split(',').any(|flag| {
            let (name, code) = flag.trim().split_once('=').unwrap_or((flag.trim(), ""));
            matches!(name.to_ascii_uppercase().as_str(), "F" | "FORBIDDEN") || matches!(code, "401" | "403" | "404")
        });
        let path = path.strip_suffix('*').unwrap_or(path);
        let is_for_it = regex::Regex::new(rule.value()).is_ok_and(|pattern| pattern.is_match(path));
        if !refuses || !is_for_it {
            return;
        }
        let is_or =
            |it: &&Directive| it.arguments.get(2).is_some_and(|flags| flags.to_ascii_uppercase().contains("OR"));
        // Each of several is enough to be refused only if all but the last say so.
        let are_alternatives = conditions.iter().rev().skip(1).all(is_or);
        match conditions {
            [] => self.is_denied = true,
            _ if !are_alternatives => self.lose(rule, "these conditions together cannot be read: set [routes.auth]"),
            _ => conditions.iter().for_each(|it| self.condition(it)),
        }
        self.ledger().carried(rule, "what its conditions demand");
    }

    fn condition(&mut self, directive: &'t Directive) {
        let [subject, pattern, ..] = directive.arguments.as_slice() else { return };
        let variable = subject.strip_prefix("%{").and_then(|rest| rest.strip_suffix('}')).unwrap_or(subject);
        let ignores_case = directive.arguments.get(2).is_some_and(|flags| flags.to_ascii_uppercase().contains("NC"));
        let (is_negated, pattern) = pattern.strip_prefix('!').map_or((false, pattern.as_str()), |rest| (true, rest));
        let pattern = match pattern.strip_prefix('=') {
            Some(text) => (text.trim_matches('"').to_owned(), Comparison::Whole),
            None => (pattern.to_owned(), Comparison::Expression { ignores_case }),
        };
        let test = Test { variable: variable.to_owned(), patterns: vec![pattern], is_negated };
        self.test(directive, &test, Fate::Refused);
    }

    /// What was meant to look at names, but stands in a `<Directory>`, which requests that are passed on never come to.
    fn never_run(&mut self) {
        for section in self.reader.host.sections().into_iter().filter(|section| section.place == Place::Files) {
            for directive in demands(section.directive.children()) {
                let words = directive.arguments.strip_prefix(&["expr".to_owned()]).map(|words| words.join(" "));
                let Some(tests) = words.and_then(|text| expression::tests(&text)) else { continue };
                for test in tests.iter().filter(|test| matches!(test.input(), Input::Subject(_))) {
                    // What else it would have let in is of no interest.
                    self.guard.apply(directive, &requests(directive, test), Fate::Served, &Ledger::default());
                    let names = self.guard.names.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
                    self.ledger().carried(directive, format!("tls.client.common_names: {names}, compared whole"));
                    let hole = "it never ran: requests that are passed on come to no <Directory>, so any certificate of the \
                                authority got in";
                    self.ledger().closed(directive, hole);
                }
            }
        }
    }
}

fn requests<'t>(directive: &'t Directive, test: &Test) -> Requests<'t> {
    let pattern =
        |(text, comparison): &(String, Comparison)| Pattern { text: text.clone(), comparison: *comparison, directive };
    let patterns = test.patterns.iter().map(pattern).collect();
    Requests { input: test.input(), patterns, inverted: test.is_negated }
}

/// What is demanded in a section.
fn demands(section: &[Directive]) -> Vec<&Directive> {
    let names = ["require", "requireall", "requireany", "requirenone"];
    section.iter().filter(|it| names.contains(&it.name.to_ascii_lowercase().as_str())).collect()
}
