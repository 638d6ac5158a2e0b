//! Who may pass: `Require`, `SSLRequire`, `AuthType Basic`, `<If>`, and `RewriteRule … [F]`.

use super::expression::{self, Test};
use super::host::{Host, Place, Section, is};
use super::proxy::Mapping;
use crate::import::assembly::Access;
use crate::import::directive::Directive;
use crate::import::draft::{Secret, Secrets};
use crate::import::guard::{Fate, Guard, Input, Pattern, Requests};
use crate::import::htpasswd;
use crate::import::literal;
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
    mapping: &'r Mapping<'t>,
    sections: Vec<Section<'t>>,
    guard: Guard<'t>,
    basic: Vec<(String, Secret)>,
    is_denied: bool,
}

impl<'t> Reader<'_, 't> {
    /// Of requests that `mapping` passes on.
    pub(super) fn access(&self, path: &str, is_webhook: bool, mapping: &Mapping<'t>, secrets: &mut Secrets) -> Found {
        let covers = |section: &Section<'t>| section.covers(path, mapping.url());
        let sections: Vec<_> = self.host.sections().into_iter().filter(covers).collect();
        let guard = Guard::of(is_webhook);
        let mut finding = Finding { reader: self, mapping, sections, guard, basic: Vec::new(), is_denied: false };
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
            let children = section.directive.children();
            children.iter().for_each(|directive| self.always(directive));
            self.conditionals(children);
        }
        for directives in self.reader.host.both() {
            directives.iter().filter(|it| is(it, "SSLRequire")).for_each(|it| self.always(it));
            self.conditionals(directives);
        }
        self.rewrites(path);
        self.elsewhere(path);
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
            ["ssl"] => self.tls_only(directive),
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

    fn tls_only(&mut self, directive: &Directive) {
        match self.reader.host.is_tls() {
            true => self.ledger().not_needed(directive, "there is no way around TLS"),
            false => {
                self.is_denied = true;
                self.ledger().not_carried(directive, "Apache refused everybody here, for there is no TLS");
            }
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
            "sslrequiressl" => self.tls_only(directive),
            "limit" | "limitexcept" | "allowmethods" => {
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
            _ => {}
        }
    }

    /// `<If>`, `<ElseIf>` and `<Else>` among these.
    fn conditionals(&mut self, directives: &'t [Directive]) {
        for (index, directive) in directives.iter().enumerate() {
            let otherwise = directives.get(index + 1).filter(|it| is(it, "Else"));
            let is_read = || index.checked_sub(1).is_some_and(|before| self.ledger().mentions(&directives[before]));
            if is(directive, "If") {
                self.conditional(directive, otherwise);
            } else if (is(directive, "ElseIf") || is(directive, "Else") && !is_read()) && has_demands(directive) {
                self.ledger().cover(directive);
                self.lose(directive, UNREADABLE);
            }
        }
    }

    fn conditional(&mut self, directive: &'t Directive, otherwise: Option<&'t Directive>) {
        let everybody_is = |it: &Directive, what: &str| matches!(demands(it.children())[..], [one] if is(one, "Require") && one.arguments == ["all", what]);
        let fate = match otherwise {
            None if everybody_is(directive, "denied") => Some(Fate::Refused),
            Some(other) if everybody_is(directive, "granted") && everybody_is(other, "denied") => Some(Fate::Served),
            _ => None,
        };
        if fate.is_none() && !has_demands(directive) && !otherwise.is_some_and(has_demands) {
            return;
        }
        for section in [Some(directive), otherwise].into_iter().flatten() {
            self.ledger().cover(section);
        }
        match fate {
            Some(fate) => self.expression(directive, &directive.arguments.join(" "), fate),
            None => self.lose(directive, UNREADABLE),
        }
        if let Some(other) = otherwise {
            self.ledger().not_needed(other, "is what becomes of all others");
        }
    }

    fn expression(&mut self, directive: &'t Directive, text: &str, fate: Fate) {
        match expression::tests(text).as_deref() {
            // What is not refused by two tests together may fail one of them.
            Some([_, _, ..]) | None if fate == Fate::Refused => {
                self.lose(directive, UNREADABLE);
            }
            None => self.lose(directive, UNREADABLE),
            Some(tests) => tests.iter().for_each(|test| self.test(directive, test, fate)),
        }
    }

    fn test(&mut self, directive: &'t Directive, test: &Test, fate: Fate) {
        self.guard.apply(directive, &requests(directive, test), fate, self.reader.ledger);
    }

    /// The users of `AuthUserFile`, or those of them that are named.
    fn users(&mut self, directive: &'t Directive, names: &[&str], secrets: &mut Secrets) {
        if self.has_subjects_for_users() {
            self.guard.certificate = true;
            self.guard.names.get_or_insert_default();
            let remedy = "the subject of the certificate is the user here; app.netdata.cloud is demanded now: if that is not \
                          what was meant, set tls.client.common_names";
            return self.ledger().not_carried(directive, remedy);
        }
        let kind = self.sections.iter().rev().find_map(|section| section.one("AuthType"));
        if kind.is_some_and(|it| !it.value().eq_ignore_ascii_case("basic")) {
            return self.lose(directive, "only Basic and Bearer credentials are known here: set [routes.auth]");
        }
        let inner = self.sections.iter().rev().find_map(|section| section.one("AuthUserFile"));
        let Some(file) = inner.or_else(|| self.reader.host.one("AuthUserFile")) else {
            return self.lose(directive, "no AuthUserFile says who that is: set auth.basic");
        };
        let path = self.reader.root.join(file.value());
        self.basic.extend(htpasswd::carry(file, &path, names, self.reader.ledger, secrets));
        self.ledger().carried(directive, "auth.basic");
    }

    /// `SSLOptions +FakeBasicAuth`
    fn has_subjects_for_users(&self) -> bool {
        let fakes = |it: &Directive| {
            is(it, "SSLOptions")
                && it
                    .arguments
                    .iter()
                    .any(|option| option.trim_start_matches('+').eq_ignore_ascii_case("FakeBasicAuth"))
        };
        let inner = self.sections.iter().flat_map(|section| section.directive.children());
        inner.chain(self.reader.host.both().into_iter().flatten()).any(fakes)
    }

    /// `RewriteCond %{SSL:SSL_CLIENT_S_DN_CN} !^app\.netdata\.cloud$` and `RewriteRule ^ - [F]`.
    fn rewrites(&mut self, path: &str) {
        self.rules(self.reader.host.own(), path);
        for section in self.sections.clone() {
            self.rules(section.directive.children(), path);
        }
    }

    fn rules(&mut self, directives: &'t [Directive], path: &str) {
        let mut conditions: Vec<&'t Directive> = Vec::new();
        for directive in directives {
            if is(directive, "RewriteCond") {
                conditions.push(directive);
            } else if is(directive, "RewriteRule") {
                let conditions = std::mem::take(&mut conditions);
                if directive.id == self.mapping.directive.id {
                    // What follows is not looked at any more.
                    return self.passing(directive, &conditions);
                }
                self.rewrite(directive, &conditions, path);
            }
        }
    }

    /// `RewriteRule … [P]`: only what meets the conditions is passed on.
    fn passing(&mut self, rule: &'t Directive, conditions: &[&'t Directive]) {
        match conditions.iter().any(is_or) {
            true => self.lose(rule, "these conditions together cannot be read: set [routes.auth]"),
            false => conditions.iter().for_each(|it| self.condition(it, Fate::Served)),
        }
    }

    fn rewrite(&mut self, rule: &'t Directive, conditions: &[&'t Directive], path: &str) {
        if !refuses(rule) {
            return;
        }
        let first = path.strip_suffix('*').unwrap_or(path);
        if !regex::Regex::new(rule.value()).is_ok_and(|pattern| pattern.is_match(first)) {
            return self.rewrite_some(rule, conditions, path);
        }
        // Each of several is enough to be refused only if all but the last say so.
        let are_alternatives = conditions.iter().rev().skip(1).all(is_or);
        let had_lost = std::mem::take(&mut self.guard.has_lost);
        match conditions {
            [] => self.is_denied = true,
            _ if !are_alternatives => self.lose(rule, "these conditions together cannot be read: set [routes.auth]"),
            _ => conditions.iter().for_each(|it| self.condition(it, Fate::Refused)),
        }
        if !self.guard.has_lost {
            self.ledger().carried(rule, "what its conditions demand");
        }
        self.guard.has_lost |= had_lost;
    }

    /// Some of the requests of a path are refused. Where it can be said which, there is a route for them.
    fn rewrite_some(&mut self, rule: &'t Directive, conditions: &[&'t Directive], path: &str) {
        let start = literal::start(rule.value());
        let is_elsewhere = literal::paths(rule.value()).is_some() || !literal::may_meet(&start, path);
        if is_elsewhere {
            return;
        }
        if conditions.is_empty() && start.len() <= 1 {
            return self.ledger().not_carried(rule, SCATTERED);
        }
        conditions.iter().for_each(|it| self.ledger().not_carried(it, NO_ROUTE));
        self.lose(rule, NO_ROUTE);
    }

    /// What sections demand of which it cannot be said whether they are for this path.
    fn elsewhere(&mut self, path: &str) {
        for section in self.reader.host.sections() {
            if !section.may_concern(path, self.mapping.url()) || !has_demands(section.directive) {
                continue;
            }
            self.ledger().cover(section.directive);
            match section.is_for_scattered_paths() && denies_everybody(section.directive) {
                // Such as hidden files, which an application does not have.
                true => self.ledger().not_carried(section.directive, SCATTERED),
                false => self.lose(section.directive, NO_ROUTE),
            }
        }
    }

    fn condition(&mut self, directive: &'t Directive, fate: Fate) {
        let [subject, pattern, ..] = directive.arguments.as_slice() else { return };
        if ["REQUEST_FILENAME", "SCRIPT_FILENAME", "DOCUMENT_ROOT"].iter().any(|name| subject.contains(name)) {
            return self.ledger().not_needed(directive, "no files are served");
        }
        let variable = subject.strip_prefix("%{").and_then(|rest| rest.strip_suffix('}')).unwrap_or(subject);
        let ignores_case = directive.arguments.get(2).is_some_and(|flags| flags.to_ascii_uppercase().contains("NC"));
        let (is_negated, pattern) = pattern.strip_prefix('!').map_or((false, pattern.as_str()), |rest| (true, rest));
        let pattern = match pattern.strip_prefix('=') {
            Some(text) => (text.trim_matches('"').to_owned(), Comparison::Whole),
            None => (pattern.to_owned(), Comparison::Expression { ignores_case }),
        };
        let test = Test { variable: variable.to_owned(), patterns: vec![pattern], is_negated };
        self.test(directive, &test, fate);
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

/// Why something that is demanded cannot be.
const UNREADABLE: &str = "this condition cannot be read: say what it does with [routes.auth]";

/// The same, where it is demanded of some requests.
const NO_ROUTE: &str = "no route can be for these requests alone: demand this of a wider one, with [routes.auth]";

/// The same, where nobody may have some paths here and there.
const SCATTERED: &str = "such requests get through now, where a route is for them: let the application refuse them";

/// Whether nobody gets through, and nothing else is said.
fn denies_everybody(section: &Directive) -> bool {
    matches!(section.children(), [only] if is(only, "Require") && only.arguments == ["all", "denied"])
}

/// Whether one of several conditions is enough.
fn is_or(condition: &&Directive) -> bool {
    condition.arguments.get(2).is_some_and(|flags| flags.to_ascii_uppercase().contains("OR"))
}

/// Whether a `RewriteRule` lets nobody through.
pub(super) fn refuses(rule: &Directive) -> bool {
    let flags = rule.arguments.get(2).map_or("", String::as_str).trim_matches(['[', ']']);
    flags.split(',').any(|flag| {
        let (name, code) = flag.trim().split_once('=').unwrap_or((flag.trim(), ""));
        let is_code = matches!(name.to_ascii_uppercase().as_str(), "R" | "REDIRECT") && code.starts_with(['4', '5']);
        is_code || matches!(name.to_ascii_uppercase().as_str(), "F" | "FORBIDDEN" | "G" | "GONE")
    })
}

/// Whether something in a section keeps somebody out.
fn has_demands(section: &Directive) -> bool {
    let names = ["sslrequire", "sslrequiressl", "deny", "limit", "limitexcept", "allowmethods", "requirenone"];
    section.children().iter().any(|child| {
        child.holds(&|it| match it.name.to_ascii_lowercase().as_str() {
            "require" => it.arguments != ["all", "granted"],
            "sslverifyclient" => !it.value().eq_ignore_ascii_case("none"),
            "rewriterule" => refuses(it),
            name => names.contains(&name),
        })
    })
}

/// What is demanded in a section.
fn demands(section: &[Directive]) -> Vec<&Directive> {
    let names = ["require", "requireall", "requireany", "requirenone"];
    section.iter().filter(|it| names.contains(&it.name.to_ascii_lowercase().as_str())).collect()
}
