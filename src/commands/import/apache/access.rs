//! The access rules at a path: `Require`, `SSLRequire`, `<If>` and `RewriteRule … [F]`.

use super::expression::{self, has_flag};
use super::host::{SectionScope, VirtualHost, is, is_one_of};
use super::proxy::ProxyMapping;
use crate::commands::import::access::{AccessRules, OnMatch, UNREADABLE};
use crate::commands::import::directive::Directive;
use crate::commands::import::report::Ledger;
use regex::Regex;

const GRANTED: &str = "is so, unless [routes.auth] demands more";
const METHODS: &str = "a webhook takes GET (the challenge) and POST";
const NETWORKS: &str = "name the networks that may connect in listen.allow";
const NOTHING: &str = "nothing got through here, as now";
const MISSING: &str = "this file is missing, and may have rules: import where Apache runs, or \
                       name the directory of apache2.conf or httpd.conf with --prefix";
const UNREACHED: &str = "it never ran: requests that are passed on reach no <Directory>, so any \
                         certificate of the authority got in";
const RENEGOTIATION: &str = "Apache requests the certificate after the request, which Netdata \
                             Cloud's client does not support; now the first handshake does";
const UNCHANGED: &str =
    "the path reaches the application unchanged, and Netdata Cloud follows no redirects";

/// Reads every rule that applies to requests of `path`, which `mapping` passes on.
pub(super) fn read<'t>(
    host: &VirtualHost<'t>,
    path: &str,
    mapping: &ProxyMapping<'t>,
    is_webhook: bool,
    ledger: &Ledger,
) -> AccessRules<'t> {
    let mut reader = AccessReader {
        host,
        path,
        mapping,
        rules: AccessRules::of(is_webhook),
        ledger,
    };
    let mut in_effect = Vec::new();
    for section in host.sections_for(path, mapping.url()) {
        let children = section.directive.children();
        let required = requirements(children);
        if matches!(section.scope, SectionScope::PathPattern(_)) {
            // It may be for a part of the route only, so its rules are added.
            reader.any(&required);
        } else if !required.is_empty() {
            // `Require` replaces that of the sections before.
            in_effect = required;
        }
        let others = children.iter().filter(|it| !is_requirement(it));
        others.for_each(|it| reader.rule(it));
        reader.rewrites(children);
    }
    reader.any(&in_effect);
    // The demand for all requests is a setting of TLS.
    let others = host.directives().filter(|it| !is(it, "SSLVerifyClient"));
    others.for_each(|it| reader.rule(it));
    reader.rewrites(host.own);
    if reader.rules.names.is_none() {
        reader.say_unreached();
    }
    reader.rules
}

struct AccessReader<'r, 't> {
    host: &'r VirtualHost<'t>,
    path: &'r str,
    mapping: &'r ProxyMapping<'t>,
    rules: AccessRules<'t>,
    ledger: &'r Ledger,
}

impl<'t> AccessReader<'_, 't> {
    fn close(&mut self, directive: &'t Directive, remedy: &str) {
        self.ledger.cover(directive);
        self.rules.close(directive, remedy, self.ledger);
    }

    /// Reports rules on certificates in `<Directory>`, where Netdata's documentation has them.
    fn say_unreached(&self) {
        let sections = self.host.sections().iter();
        let files = sections.filter(|it| matches!(it.scope, SectionScope::Files));
        let rules = files.flat_map(|it| requirements(it.directive.children()));
        for rule in rules.filter(|it| it.holds(&looks_at_certificates)) {
            self.ledger.closed(rule, UNREACHED);
        }
    }

    /// Applies rules of which one is enough, as is Apache's default.
    fn any(&mut self, rules: &[&'t Directive]) {
        let is_by_certificate = |it: &&&Directive| it.holds(&looks_at_certificates);
        let Some(strictest) = rules.iter().find(is_by_certificate).or(rules.first()) else {
            return;
        };
        self.rule(strictest);
        for other in rules.iter().filter(|it| it.id != strictest.id) {
            self.ledger.cover(other);
            let remedy = "it was enough instead of others; now only one of them is demanded";
            self.ledger.not_carried(other, remedy);
        }
    }

    /// Applies a rule; other directives demand nothing.
    fn rule(&mut self, directive: &'t Directive) {
        let ledger = self.ledger;
        match directive.name.to_ascii_lowercase().as_str() {
            "require" => self.requirement(directive),
            "requireall" => directive.children().iter().for_each(|it| self.rule(it)),
            "requireany" => self.any(&requirements(directive.children())),
            "sslrequire" => self.expression(directive, &directive.words(), OnMatch::Serve),
            "sslrequiressl" if self.host.is_tls() => ledger.not_needed(directive, GRANTED),
            "sslverifyclient" if directive.keyword() == "require" => {
                self.rules.certificate(directive, ledger);
                ledger.closed(directive, RENEGOTIATION);
            }
            "allow" if directive.argument(1) == "all" => {}
            "allow" | "deny" => self.close(directive, NETWORKS),
            "limit" | "limitexcept" | "allowmethods"
                if self.rules.is_webhook && !holds_rules(directive) =>
            {
                ledger.cover(directive);
                ledger.not_needed(directive, METHODS);
            }
            "include" if directive.value().contains("options-ssl-apache") => {
                ledger.not_carried(directive, "this file is missing; it has no access rules");
            }
            "include" => self.close(directive, MISSING),
            "if" | "elseif" | "else" if holds_rules(directive) => self.conditional(directive),
            "requirenone" | "sslrequiressl" | "limit" | "limitexcept" | "allowmethods" => {
                self.close(directive, UNREADABLE);
            }
            _ => {}
        }
    }

    /// Applies a `Require` directive to the rules.
    fn requirement(&mut self, directive: &'t Directive) {
        match directive.words()[..] {
            ["expr", ref words @ ..] => self.expression(directive, words, OnMatch::Serve),
            ["ssl-verify-client"] => self.rules.certificate(directive, self.ledger),
            ["all", "granted"] => {}
            ["all", "denied"] => self.close(directive, NOTHING),
            ["ssl"] if self.host.is_tls() => self.ledger.not_needed(directive, GRANTED),
            ["method", ..] if self.rules.is_webhook => self.ledger.not_needed(directive, METHODS),
            ["ip" | "host" | "local" | "forward-dns", ..] => self.close(directive, NETWORKS),
            _ => self.close(directive, UNREADABLE),
        }
    }

    /// Applies `<If>` with `Require all denied`, which is the usual form.
    fn conditional(&mut self, directive: &'t Directive) {
        match requirements(directive.children())[..] {
            [only] if is(directive, "If") && only.arguments == ["all", "denied"] => {
                self.ledger.cover(directive);
                self.expression(directive, &directive.words(), OnMatch::Refuse);
            }
            _ => self.close(directive, UNREADABLE),
        }
    }

    fn expression(&mut self, directive: &'t Directive, words: &[&str], on_match: OnMatch) {
        let requests = expression::requests(directive, &words.join(" ")).unwrap_or_default();
        // Requests that meet only one of two conditions are served, so neither is demanded.
        if requests.is_empty() || (on_match == OnMatch::Refuse && requests.len() > 1) {
            return self.close(directive, UNREADABLE);
        }
        for one in &requests {
            self.rules.apply(directive, one, on_match, self.ledger);
        }
    }

    /// Applies each `RewriteRule` with the conditions before it.
    fn rewrites(&mut self, directives: &'t [Directive]) {
        let mut conditions: Vec<&'t Directive> = Vec::new();
        for directive in directives {
            if is(directive, "RewriteCond") {
                conditions.push(directive);
            } else if is(directive, "RewriteRule") {
                if directive.id == self.mapping.directive.id {
                    // Only requests that meet the conditions are passed on; the rules that follow
                    // are not reached.
                    return self.conditions(directive, &conditions, OnMatch::Serve);
                }
                self.rewrite(directive, &conditions);
                conditions.clear();
            }
        }
    }

    fn rewrite(&mut self, rule: &'t Directive, conditions: &[&'t Directive]) {
        let probe = self.path.trim_end_matches('*');
        // A pattern that cannot be read may match.
        if Regex::new(rule.value()).is_ok_and(|pattern| !pattern.is_match(probe)) {
            self.ledger.not_needed(rule, "is for other paths");
        } else if !refuses(rule) {
            match has_flag(rule, "R") || rule.argument(1) == "-" {
                true => self.ledger.not_needed(rule, UNCHANGED),
                false => self.ledger.not_carried(rule, UNCHANGED),
            }
        } else if conditions.is_empty() {
            self.close(rule, NOTHING);
        } else {
            self.conditions(rule, conditions, OnMatch::Refuse);
        }
    }

    /// Applies conditions one by one, of which a served request meets all, or a refused one any.
    fn conditions(&mut self, rule: &'t Directive, all: &[&'t Directive], on_match: OnMatch) {
        let are_separate = match on_match {
            OnMatch::Serve => !all.iter().any(|it| has_flag(it, "OR")),
            OnMatch::Refuse => all.iter().rev().skip(1).all(|it| has_flag(it, "OR")),
        };
        if !are_separate {
            return self.close(rule, UNREADABLE);
        }
        for condition in all {
            match expression::condition(condition) {
                Some(one) => self.rules.apply(condition, &one, on_match, self.ledger),
                None => self.close(condition, UNREADABLE),
            }
        }
        if refuses(rule) && self.rules.unknown_rules.is_empty() {
            self.ledger.carried(rule, "what its conditions demand");
        }
    }
}

/// Returns whether a `RewriteRule` refuses requests.
fn refuses(rule: &Directive) -> bool {
    let flags = rule.argument(2).to_ascii_uppercase();
    let mut flags = flags.trim_matches(['[', ']']).split(',').map(str::trim);
    flags.any(|flag| match flag.split_once('=') {
        Some(("R" | "REDIRECT", code)) => code.starts_with(['4', '5']),
        _ => matches!(flag, "F" | "FORBIDDEN" | "G" | "GONE"),
    })
}

/// Returns whether something in a section may refuse requests.
fn holds_rules(section: &Directive) -> bool {
    let may_refuse = |it: &Directive| match it.name.to_ascii_lowercase().as_str() {
        "require" => it.arguments != ["all", "granted"],
        "sslverifyclient" => it.keyword() != "none",
        "rewriterule" => refuses(it),
        "sslrequire" | "sslrequiressl" | "deny" | "requirenone" => true,
        _ => false,
    };
    section.children().iter().any(|it| it.holds(&may_refuse))
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

/// Returns the `Require` directives and their groups in a section.
fn requirements(section: &[Directive]) -> Vec<&Directive> {
    section.iter().filter(|it| is_requirement(it)).collect()
}

fn is_requirement(directive: &Directive) -> bool {
    is_one_of(directive, "Require RequireAll RequireAny RequireNone")
}
