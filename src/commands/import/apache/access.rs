//! The access rules at a path: `Require`, `SSLRequire`, `<If>` and `RewriteRule … [F]`.

use super::expression::{self, has_flag};
use super::host::{SectionScope, VirtualHost, is};
use super::proxy::ProxyMapping;
use crate::commands::import::access::{AccessRules, Input, OnMatch, Requests, UNREADABLE};
use crate::commands::import::directive::Directive;
use crate::commands::import::report::Ledger;
use regex::Regex;
use std::mem;

const NETWORKS: &str = "name the networks that may connect in listen.allow";

const METHODS: &str = "a webhook takes GET (the challenge) and POST";

/// Reads every rule that applies to requests of `path`, which `mapping` passes on.
pub(super) fn read<'t>(
    host: &VirtualHost<'t>,
    path: &str,
    mapping: &ProxyMapping<'t>,
    is_webhook: bool,
    ledger: &Ledger,
) -> AccessRules<'t> {
    let mut rules = AccessReader {
        host,
        mapping,
        guard: AccessRules::of(is_webhook),
        ledger,
    };
    rules.sections(path);
    for directive in host.directives() {
        rules.beside(directive);
    }
    rules.rewrites(host.own, path);
    if rules.guard.names.is_none() {
        rules.without_effect();
    }
    rules.guard
}

struct AccessReader<'r, 't> {
    host: &'r VirtualHost<'t>,
    mapping: &'r ProxyMapping<'t>,
    guard: AccessRules<'t>,
    ledger: &'r Ledger,
}

impl<'t> AccessReader<'_, 't> {
    fn sections(&mut self, path: &str) {
        let sections = self.host.sections_for(path, self.mapping.url());
        let mut in_effect = Vec::new();
        for section in &sections {
            let children = section.directive.children();
            let required = requirements(children);
            if matches!(section.scope, SectionScope::PathPattern(_)) {
                // It may be for a part of the route only, so its rules are added.
                self.any(&required);
            } else if !required.is_empty() {
                // `Require` replaces that of the sections before.
                in_effect = required;
            }
        }
        self.any(&in_effect);
        for section in &sections {
            if let Some(directive) = section.one("SSLVerifyClient")
                && directive.value().eq_ignore_ascii_case("require")
            {
                self.guard.certificate(directive, self.ledger);
                let hole = "Apache requests the certificate after the request, which Netdata Cloud's client does not support; \
                            now it is requested in the first handshake";
                self.ledger.closed(directive, hole);
            }
            let children = section.directive.children();
            children.iter().for_each(|it| self.beside(it));
            self.rewrites(children, path);
        }
    }

    /// Applies rules of which one is enough, as is Apache's default.
    fn any(&mut self, rules: &[&'t Directive]) {
        let is_by_certificate = |it: &&&Directive| it.holds(&looks_at_certificates);
        let Some(strictest) = rules.iter().find(is_by_certificate).or(rules.first()) else {
            return;
        };
        self.require(strictest);
        for other in rules.iter().filter(|other| other.id != strictest.id) {
            self.ledger.cover(other);
            let remedy = "it was enough instead of others; now only one of them is demanded";
            self.ledger.not_carried(other, remedy);
        }
    }

    fn require(&mut self, directive: &'t Directive) {
        match directive.name.to_ascii_lowercase().as_str() {
            "require" => {}
            "requireall" => return directive.children().iter().for_each(|it| self.require(it)),
            "requireany" => return self.any(&requirements(directive.children())),
            _ => {
                self.ledger.cover(directive);
                return self.close(directive, UNREADABLE);
            }
        }
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        match arguments[..] {
            ["expr", ref words @ ..] => {
                self.expression(directive, &words.join(" "), OnMatch::Serve)
            }
            ["ssl-verify-client"] => self.guard.certificate(directive, self.ledger),
            ["ssl"] => self.tls(directive),
            ["all", "granted"] => {
                let why = "is so, unless [routes.auth] demands more";
                self.ledger.not_needed(directive, why);
            }
            ["all", "denied"] => self.close(directive, "nothing got through here, as now"),
            ["method", ..] if self.guard.is_webhook => self.ledger.not_needed(directive, METHODS),
            ["ip" | "host" | "local" | "forward-dns", ..] => self.close(directive, NETWORKS),
            ["valid-user" | "user" | "group", ..] => {
                let remedy = "passwords cannot be read back from their hashes: write auth.basic, with a file for each";
                self.close(directive, remedy);
            }
            _ => self.close(directive, UNREADABLE),
        }
    }

    fn tls(&mut self, directive: &'t Directive) {
        if self.host.is_tls() {
            self.ledger
                .not_needed(directive, "every connection uses TLS");
        } else {
            self.close(
                directive,
                "Apache refused every request here, because there is no TLS",
            );
        }
    }

    fn close(&mut self, directive: &'t Directive, remedy: &str) {
        self.guard.close(directive, remedy, self.ledger);
    }

    /// Applies a rule that counts in addition to `Require`.
    fn beside(&mut self, directive: &'t Directive) {
        let is_all = |it: &String| it.eq_ignore_ascii_case("all");
        match directive.name.to_ascii_lowercase().as_str() {
            "sslrequire" => {
                let text = directive.arguments.join(" ");
                self.expression(directive, &text, OnMatch::Serve);
            }
            "sslrequiressl" => self.tls(directive),
            "limit" | "limitexcept" | "allowmethods" => {
                self.ledger.cover(directive);
                if self.guard.is_webhook && !holds_rules(directive) {
                    self.ledger.not_needed(directive, METHODS);
                } else {
                    self.close(directive, UNREADABLE);
                }
            }
            "allow" if directive.arguments.iter().any(is_all) => {
                let why = "is so, unless [routes.auth] demands more";
                self.ledger.not_needed(directive, why);
            }
            "allow" | "deny" => self.close(directive, NETWORKS),
            "order" | "authname" | "authtype" | "authbasicprovider" | "authuserfile" => {
                self.ledger
                    .not_needed(directive, "has no effect without other rules");
            }
            "include" if directive.value().contains("options-ssl-apache") => {
                let remedy =
                    "this file is missing; it probably has nothing that concerns a webhook";
                self.ledger.not_carried(directive, remedy);
            }
            "include" => {
                let remedy = "this file is missing, and may have rules: import where Apache runs, or name the directory of \
                              apache2.conf or httpd.conf with --prefix";
                self.close(directive, remedy);
            }
            "if" | "elseif" | "else" if holds_rules(directive) => self.conditional(directive),
            _ => {}
        }
    }

    /// Applies `<If>` with `Require all denied`, which is the usual form.
    fn conditional(&mut self, directive: &'t Directive) {
        self.ledger.cover(directive);
        match requirements(directive.children())[..] {
            [only] if is(directive, "If") && only.arguments == ["all", "denied"] => {
                self.expression(directive, &directive.arguments.join(" "), OnMatch::Refuse);
            }
            _ => self.close(directive, UNREADABLE),
        }
    }

    fn expression(&mut self, directive: &'t Directive, text: &str, fate: OnMatch) {
        let requests = expression::requests(directive, text).unwrap_or_default();
        // Requests that meet only one of two conditions are served, so neither is demanded.
        if requests.is_empty() || (fate == OnMatch::Refuse && requests.len() > 1) {
            return self.close(directive, UNREADABLE);
        }
        for one in &requests {
            self.guard.apply(directive, one, fate, self.ledger);
        }
    }

    /// Applies `RewriteRule`, each with the conditions before it.
    fn rewrites(&mut self, directives: &'t [Directive], path: &str) {
        let mut conditions: Vec<&'t Directive> = Vec::new();
        for directive in directives {
            if is(directive, "RewriteCond") {
                conditions.push(directive);
            } else if is(directive, "RewriteRule") {
                if directive.id == self.mapping.directive.id {
                    // Only requests that meet the conditions are passed on, without looking at
                    // the rules that follow.
                    let are_all_met = !conditions.iter().any(|it| has_flag(it, "OR"));
                    return self.conditions(directive, &conditions, are_all_met, OnMatch::Serve);
                }
                self.rewrite(directive, &mem::take(&mut conditions), path);
            }
        }
    }

    fn rewrite(&mut self, rule: &'t Directive, conditions: &[&'t Directive], path: &str) {
        let probe = path.strip_suffix('*').unwrap_or(path);
        // A pattern that cannot be read may match.
        if Regex::new(rule.value()).is_ok_and(|pattern| !pattern.is_match(probe)) {
            self.ledger.not_needed(rule, "is for other paths");
        } else if refuses(rule) {
            let before = self.guard.unknown_rules.len();
            // A request must fail every condition only if one of them is enough to refuse it.
            let are_alternatives = conditions.iter().rev().skip(1).all(|it| has_flag(it, "OR"));
            if conditions.is_empty() {
                self.close(rule, "nothing got through here, as now");
            }
            self.conditions(rule, conditions, are_alternatives, OnMatch::Refuse);
            if self.guard.unknown_rules.len() == before {
                self.ledger.carried(rule, "what its conditions demand");
            }
        } else if rule.arguments.get(1).is_some_and(|to| to == "-") || has_flag(rule, "R") {
            let why = "Netdata Cloud sends over HTTPS only, and follows no redirects";
            self.ledger.not_needed(rule, why);
        } else {
            let remedy = "the path reaches the application unchanged: configure the application to accept it";
            self.ledger.not_carried(rule, remedy);
        }
    }

    fn conditions(
        &mut self,
        rule: &'t Directive,
        conditions: &[&'t Directive],
        are_separate: bool,
        fate: OnMatch,
    ) {
        if !are_separate {
            return self.close(rule, UNREADABLE);
        }
        for condition in conditions {
            match expression::condition(condition) {
                Some(requests) => self.guard.apply(condition, &requests, fate, self.ledger),
                None => self.close(condition, UNREADABLE),
            }
        }
    }

    /// Reads names from `<Directory>`, where Netdata's documentation compares them, although
    /// requests that are passed on never reach it.
    fn without_effect(&mut self) {
        let sections = self.host.sections().iter();
        let files = sections.filter(|it| matches!(it.scope, SectionScope::Files));
        let rules = files.flat_map(|it| requirements(it.directive.children()));
        for rule in rules.filter(|rule| rule.value() == "expr") {
            let requests = expression::requests(rule, &rule.arguments[1..].join(" "));
            for one in requests.iter().flatten() {
                if matches!(one.input, Input::Subject(_)) {
                    self.name(rule, one);
                }
            }
        }
    }

    fn name(&mut self, rule: &'t Directive, requests: &Requests<'t>) {
        // The forgeries that it would have let in do not matter, because it never ran.
        let unreported = Ledger::default();
        self.guard
            .apply(rule, requests, OnMatch::Serve, &unreported);
        let names = self.guard.names.iter().flatten().cloned();
        let names = names.collect::<Vec<_>>().join(", ");
        let key = format!("tls.client.common_names: {names}, compared whole");
        self.ledger.carried(rule, key);
        let hole = "it never ran: requests that are passed on come to no <Directory>, so any certificate of the authority got in";
        self.ledger.closed(rule, hole);
    }
}

/// Returns whether a `RewriteRule` refuses requests.
fn refuses(rule: &Directive) -> bool {
    let flags = rule.arguments.get(2).map_or("", String::as_str);
    let flags = flags.trim_matches(['[', ']']).to_ascii_uppercase();
    flags
        .split(',')
        .any(|flag| match flag.trim().split_once('=') {
            Some(("R" | "REDIRECT", code)) => code.starts_with(['4', '5']),
            _ => matches!(flag.trim(), "F" | "FORBIDDEN" | "G" | "GONE"),
        })
}

/// Returns whether something in a section may refuse requests.
fn holds_rules(section: &Directive) -> bool {
    let may_refuse = |it: &Directive| match it.name.to_ascii_lowercase().as_str() {
        "require" => it.arguments != ["all", "granted"],
        "sslverifyclient" => !it.value().eq_ignore_ascii_case("none"),
        "rewriterule" => refuses(it),
        name => ["sslrequire", "sslrequiressl", "deny", "requirenone"].contains(&name),
    };
    section
        .children()
        .iter()
        .any(|child| child.holds(&may_refuse))
}

/// Returns whether a directive is about client certificates.
pub(super) fn looks_at_certificates(directive: &Directive) -> bool {
    let has_ssl = |it: &String| it.to_ascii_uppercase().contains("SSL");
    match directive.name.to_ascii_lowercase().as_str() {
        "sslverifyclient" => true,
        "require" | "sslrequire" | "if" | "rewritecond" => directive.arguments.iter().any(has_ssl),
        _ => false,
    }
}

/// Returns the `Require` and the like of a section.
fn requirements(section: &[Directive]) -> Vec<&Directive> {
    let names = ["require", "requireall", "requireany", "requirenone"];
    let is_one = |it: &&Directive| names.contains(&it.name.to_ascii_lowercase().as_str());
    section.iter().filter(is_one).collect()
}
