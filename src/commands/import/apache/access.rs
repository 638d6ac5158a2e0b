//! What is demanded at a path: `Require`, `SSLRequire`, `<If>`, and `RewriteRule … [F]`.

use super::expression::{self, Test};
use super::host::{Host, SectionPlace, is};
use super::proxy::Mapping;
use crate::commands::import::access::{
    AccessPattern, AccessRules, Input, OnMatch, Requests, UNREADABLE,
};
use crate::commands::import::directive::Directive;
use crate::commands::import::report::Ledger;
use crate::commands::import::subject_match::Comparison;

/// Every rule that requests of `path` have to meet, which `mapping` passes on.
pub(super) fn read<'t>(
    host: &Host<'t>,
    path: &str,
    mapping: &Mapping<'t>,
    is_webhook: bool,
    ledger: &Ledger,
) -> AccessRules<'t> {
    let sections = host.sections_for(path, mapping.url());
    let mut reader = Reader {
        host,
        mapping,
        guard: AccessRules::of(is_webhook),
        ledger,
    };
    // Of several sections, the last that says something is right.
    let demanding = sections
        .iter()
        .rev()
        .map(|section| section.directive.children());
    let found = demanding
        .map(demands)
        .find(|demands| !demands.is_empty())
        .unwrap_or_default();
    reader.any(&found);
    for section in &sections {
        let children = section.directive.children();
        children
            .iter()
            .for_each(|directive| reader.always(directive));
        reader.conditionals(children);
        reader.rules(children, path);
    }
    for directives in host.both() {
        directives
            .iter()
            .filter(|it| is(it, "SSLRequire"))
            .for_each(|it| reader.always(it));
        directives.iter().for_each(|it| reader.missing(it));
        reader.conditionals(directives);
    }
    reader.rules(host.own(), path);
    if reader.guard.names.is_none() {
        reader.never_run();
    }
    reader.guard
}

struct Reader<'r, 't> {
    host: &'r Host<'t>,
    mapping: &'r Mapping<'t>,
    guard: AccessRules<'t>,
    ledger: &'r Ledger,
}

impl<'t> Reader<'_, 't> {
    /// Each of these is enough, as Apache has it unless it says otherwise.
    fn any(&mut self, demands: &[&'t Directive]) {
        let is_by_certificate = |it: &&&Directive| it.holds(&looks_at_certificates);
        let Some(strictest) = demands.iter().find(is_by_certificate).or(demands.first()) else {
            return;
        };
        self.one(strictest);
        for other in demands.iter().filter(|other| other.id != strictest.id) {
            self.ledger.cover(other);
            self.ledger.not_carried(
                other,
                "it was enough instead of others; now only one of them is demanded",
            );
        }
    }

    fn one(&mut self, directive: &'t Directive) {
        match directive.name.to_ascii_lowercase().as_str() {
            "requireall" => directive.children().iter().for_each(|it| self.one(it)),
            "requireany" => self.any(&demands(directive.children())),
            "require" => self.require(directive),
            _ => {
                self.ledger.cover(directive);
                self.close(
                    directive,
                    "what is not to be let in cannot be named: set [routes.auth]",
                );
            }
        }
    }

    fn require(&mut self, directive: &'t Directive) {
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        match arguments[..] {
            ["expr", ref words @ ..] => {
                self.expression(directive, &words.join(" "), OnMatch::Serve)
            }
            ["ssl-verify-client"] => self.guard.certificate(directive, self.ledger),
            ["ssl"] => self.tls_only(directive),
            ["all", "granted"] => self
                .ledger
                .not_needed(directive, "is so, unless [routes.auth] demands more"),
            ["all", "denied"] => self.close(directive, "nothing got through here, as now"),
            ["method", ..] if self.guard.is_webhook => {
                self.ledger
                    .not_needed(directive, "a webhook takes GET (the challenge) and POST");
            }
            ["ip" | "host" | "local" | "forward-dns", ..] => {
                self.close(
                    directive,
                    "name the networks that may connect in listen.allow",
                );
            }
            ["valid-user" | "user" | "group", ..] => {
                let remedy = "passwords cannot be read back from their hashes: write auth.basic, with a file for each";
                self.close(directive, remedy);
            }
            _ => self.close(directive, UNREADABLE),
        }
    }

    fn tls_only(&mut self, directive: &'t Directive) {
        match self.host.is_tls() {
            true => self
                .ledger
                .not_needed(directive, "there is no way around TLS"),
            false => self.close(
                directive,
                "Apache refused every request here, for there is no TLS",
            ),
        }
    }

    fn close(&mut self, directive: &'t Directive, remedy: &str) {
        self.guard.close(directive, remedy, self.ledger);
    }

    /// What counts beside `Require`.
    fn always(&mut self, directive: &'t Directive) {
        let granted = |it: &String| it.eq_ignore_ascii_case("all");
        match directive.name.to_ascii_lowercase().as_str() {
            "sslrequire" => {
                self.expression(directive, &directive.arguments.join(" "), OnMatch::Serve)
            }
            "sslverifyclient" if directive.value().eq_ignore_ascii_case("require") => {
                self.guard.certificate(directive, self.ledger);
                let hole = "Apache asks after the request has come, which Netdata Cloud's client does not answer; now the \
                            certificate is asked for in the first handshake";
                self.ledger.closed(directive, hole);
            }
            "sslrequiressl" => self.tls_only(directive),
            "limit" | "limitexcept" | "allowmethods" => {
                self.ledger.cover(directive);
                match self.guard.is_webhook && !holds_demands(directive) {
                    true => self
                        .ledger
                        .not_needed(directive, "a webhook takes GET (the challenge) and POST"),
                    false => self.close(directive, UNREADABLE),
                }
            }
            "order" | "authname" => self.ledger.not_needed(directive, "has no effect by itself"),
            "allow" if directive.arguments.iter().any(granted) => {
                self.ledger
                    .not_needed(directive, "is so, unless [routes.auth] demands more");
            }
            "allow" | "deny" => self.close(
                directive,
                "name the networks that may connect in listen.allow",
            ),
            "authtype" | "authbasicprovider" | "authuserfile" => {
                self.ledger
                    .not_needed(directive, "has no effect without Require");
            }
            _ => self.missing(directive),
        }
    }

    /// Files that were not there may demand anything.
    fn missing(&mut self, directive: &'t Directive) {
        if !is(directive, "Include") {
            return;
        }
        match directive.value().contains("options-ssl-apache") {
            true => self.ledger.not_carried(
                directive,
                "this file is not here; probably, nothing in it concerns a webhook",
            ),
            false => {
                let remedy = "this file is not here, and may demand something: import where Apache runs, or name the directory of \
                              apache2.conf or httpd.conf with --prefix";
                self.close(directive, remedy);
            }
        }
    }

    /// `<If>`, `<ElseIf>` and `<Else>` among these.
    fn conditionals(&mut self, directives: &'t [Directive]) {
        for (index, directive) in directives.iter().enumerate() {
            let otherwise = directives.get(index + 1).filter(|it| is(it, "Else"));
            if is(directive, "If") {
                self.conditional(directive, otherwise);
            } else if is(directive, "ElseIf") && holds_demands(directive) {
                self.ledger.cover(directive);
                self.close(directive, UNREADABLE);
            }
        }
    }

    fn conditional(&mut self, directive: &'t Directive, otherwise: Option<&'t Directive>) {
        let all = |it: &Directive, what: &str| {
            let [one] = demands(it.children())[..] else {
                return false;
            };
            is(one, "Require") && one.arguments == ["all", what]
        };
        let fate = match otherwise {
            None if all(directive, "denied") => Some(OnMatch::Refuse),
            Some(other) if all(directive, "granted") && all(other, "denied") => {
                Some(OnMatch::Serve)
            }
            _ => None,
        };
        if fate.is_none() && !holds_demands(directive) && !otherwise.is_some_and(holds_demands) {
            return;
        }
        [Some(directive), otherwise]
            .into_iter()
            .flatten()
            .for_each(|it| self.ledger.cover(it));
        match fate {
            Some(fate) => self.expression(directive, &directive.arguments.join(" "), fate),
            None => self.close(directive, UNREADABLE),
        }
        if let Some(other) = otherwise {
            self.ledger
                .not_needed(other, "is what becomes of all others");
        }
    }

    fn expression(&mut self, directive: &'t Directive, text: &str, fate: OnMatch) {
        match expression::tests(text).as_deref() {
            // What is not refused by two tests together may fail one of them.
            Some([_, _, ..]) | None if fate == OnMatch::Refuse => self.close(directive, UNREADABLE),
            None => self.close(directive, UNREADABLE),
            Some(tests) => tests
                .iter()
                .for_each(|test| self.test(directive, test, fate)),
        }
    }

    fn test(&mut self, directive: &'t Directive, test: &Test, fate: OnMatch) {
        self.guard
            .apply(directive, &requests(directive, test), fate, self.ledger);
    }

    /// `RewriteCond %{SSL:SSL_CLIENT_S_DN_CN} !^app\.netdata\.cloud$` and `RewriteRule ^ - [F]`,
    /// and other rules.
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
            true => self.close(
                rule,
                "these conditions together cannot be read: set [routes.auth]",
            ),
            false => conditions
                .iter()
                .for_each(|it| self.condition(it, OnMatch::Serve)),
        }
    }

    fn rewrite(&mut self, rule: &'t Directive, conditions: &[&'t Directive], path: &str) {
        let probe = path.strip_suffix('*').unwrap_or(path);
        // One that cannot be read may be for this path.
        let is_for_it =
            regex::Regex::new(rule.value()).map_or(true, |pattern| pattern.is_match(probe));
        if !is_for_it {
            return self.ledger.not_needed(rule, "is for other paths");
        }
        if !refuses(rule) {
            let harmless = [
                "HTTPS",
                "SERVER_PORT",
                "UPGRADE",
                "SERVER_NAME",
                "HTTP_HOST",
                "REQUEST_METHOD",
            ];
            let is_harmless = |it: &&&Directive| {
                harmless
                    .iter()
                    .any(|name| it.value().to_ascii_uppercase().contains(name))
            };
            return match rule.arguments.get(1).is_some_and(|to| to == "-")
                || conditions.iter().any(|it| is_harmless(&it))
            {
                true => self.ledger.not_needed(
                    rule,
                    "Netdata Cloud sends over HTTPS only, and asks for no WebSockets",
                ),
                false => self.ledger.not_carried(
                    rule,
                    "the path reaches the application as it came: let it answer there",
                ),
            };
        }
        // Each of several is enough to be refused only if all but the last say so.
        let are_alternatives = conditions.iter().rev().skip(1).all(is_or);
        let before = self.guard.unknown_rules.len();
        match conditions {
            [] => self.close(rule, "nothing got through here, as now"),
            _ if !are_alternatives => self.close(
                rule,
                "these conditions together cannot be read: set [routes.auth]",
            ),
            _ => conditions
                .iter()
                .for_each(|it| self.condition(it, OnMatch::Refuse)),
        }
        if self.guard.unknown_rules.len() == before {
            self.ledger.carried(rule, "what its conditions demand");
        }
    }

    fn condition(&mut self, directive: &'t Directive, fate: OnMatch) {
        let [subject, pattern, ..] = directive.arguments.as_slice() else {
            return;
        };
        if ["REQUEST_FILENAME", "SCRIPT_FILENAME", "DOCUMENT_ROOT"]
            .iter()
            .any(|name| subject.contains(name))
        {
            return self.ledger.not_needed(directive, "no files are served");
        }
        let variable = subject
            .strip_prefix("%{")
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(subject);
        let ignores_case = directive
            .arguments
            .get(2)
            .is_some_and(|flags| flags.to_ascii_uppercase().contains("NC"));
        let (is_negated, pattern) = pattern
            .strip_prefix('!')
            .map_or((false, pattern.as_str()), |rest| (true, rest));
        let pattern = match pattern.strip_prefix('=') {
            Some(text) => (text.trim_matches('"').to_owned(), Comparison::Whole),
            None => (pattern.to_owned(), Comparison::Expression { ignores_case }),
        };
        let test = Test {
            variable: variable.to_owned(),
            patterns: vec![pattern],
            is_negated,
        };
        self.test(directive, &test, fate);
    }

    /// What was meant to look at names, but stands in a `<Directory>`, which requests that are
    /// passed on never come to.
    fn never_run(&mut self) {
        for section in self
            .host
            .sections()
            .into_iter()
            .filter(|section| section.place == SectionPlace::Files)
        {
            for directive in demands(section.directive.children()) {
                let words = directive
                    .arguments
                    .strip_prefix(&["expr".to_owned()])
                    .map(|words| words.join(" "));
                let Some(tests) = words.and_then(|text| expression::tests(&text)) else {
                    continue;
                };
                for test in tests
                    .iter()
                    .filter(|test| matches!(test.input(), Input::Subject(_)))
                {
                    // What else it would have let in is of no interest.
                    self.guard.apply(
                        directive,
                        &requests(directive, test),
                        OnMatch::Serve,
                        &Ledger::default(),
                    );
                    let names = self
                        .guard
                        .names
                        .iter()
                        .flatten()
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(", ");
                    self.ledger.carried(
                        directive,
                        format!("tls.client.common_names: {names}, compared whole"),
                    );
                    let hole = "it never ran: requests that are passed on come to no <Directory>, so any certificate of the \
                                authority got in";
                    self.ledger.closed(directive, hole);
                }
            }
        }
    }
}

fn requests<'t>(directive: &'t Directive, test: &Test) -> Requests<'t> {
    let pattern = |(text, comparison): &(String, Comparison)| AccessPattern {
        text: text.clone(),
        comparison: *comparison,
        directive,
    };
    let patterns = test.patterns.iter().map(pattern).collect();
    Requests {
        input: test.input(),
        patterns,
        inverted: test.is_negated,
    }
}

/// Whether one of several conditions is enough.
fn is_or(condition: &&Directive) -> bool {
    condition
        .arguments
        .get(2)
        .is_some_and(|flags| flags.to_ascii_uppercase().contains("OR"))
}

/// Whether a `RewriteRule` lets nothing through.
fn refuses(rule: &Directive) -> bool {
    let flags = rule
        .arguments
        .get(2)
        .map_or("", String::as_str)
        .trim_matches(['[', ']']);
    flags.split(',').any(|flag| {
        let (name, code) = flag.trim().split_once('=').unwrap_or((flag.trim(), ""));
        let is_code = matches!(name.to_ascii_uppercase().as_str(), "R" | "REDIRECT")
            && code.starts_with(['4', '5']);
        is_code
            || matches!(
                name.to_ascii_uppercase().as_str(),
                "F" | "FORBIDDEN" | "G" | "GONE"
            )
    })
}

/// Whether something in a section keeps a client out.
pub(super) fn holds_demands(section: &Directive) -> bool {
    let names = ["sslrequire", "sslrequiressl", "deny", "requirenone"];
    section.children().iter().any(|child| {
        child.holds(&|it| match it.name.to_ascii_lowercase().as_str() {
            "require" => it.arguments != ["all", "granted"],
            "sslverifyclient" => !it.value().eq_ignore_ascii_case("none"),
            "rewriterule" => refuses(it),
            name => names.contains(&name),
        })
    })
}

/// Whether something is about client certificates.
pub(super) fn looks_at_certificates(directive: &Directive) -> bool {
    let names = [
        "require",
        "sslrequire",
        "sslverifyclient",
        "if",
        "rewritecond",
    ];
    names.contains(&directive.name.to_ascii_lowercase().as_str())
        && (is(directive, "SSLVerifyClient")
            || directive
                .arguments
                .iter()
                .any(|it| it.to_ascii_uppercase().contains("SSL")))
}

/// What is demanded in a section.
fn demands(section: &[Directive]) -> Vec<&Directive> {
    let names = ["require", "requireall", "requireany", "requirenone"];
    section
        .iter()
        .filter(|it| names.contains(&it.name.to_ascii_lowercase().as_str()))
        .collect()
}
