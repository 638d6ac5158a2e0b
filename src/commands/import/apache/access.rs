//! The access rules at a path: `Require`, `SSLRequire`, `<If>` and `RewriteRule … [F]`.

use super::expression::{self, has_flag};
use super::host::{SectionRequests, VirtualHost};
use super::proxy::ProxyMapping;
use crate::commands::import::access::{AccessRules, NETWORKS, OnMatch, UNREADABLE};
use crate::commands::import::directive::Directive;
use crate::commands::import::site::Site as _;
use regex::Regex;

const GRANTED: &str = "is so, unless [routes.auth] demands more";
const NOTHING: &str = "nothing got through here, as now";
const UNREACHED: &str = "it never ran: requests that are passed on reach no <Directory>, so any \
                         certificate of the authority got in";
const RENEGOTIATION: &str = "Apache requests the certificate after the request, which Netdata \
                             Cloud's client does not support; now the first handshake does";
const UNCHANGED: &str = "the path reaches the application unchanged, and Netdata Cloud uses no \
                         redirects and no WebSockets";

/// Rules of which one is enough, in a section.
const REQUIREMENTS: &str = "Require RequireAll RequireAny RequireNone";

/// Reads every rule that applies to requests of `path`, which `mapping` passes on.
pub(super) fn read<'r, 't>(
    host: &VirtualHost<'t>,
    path: &str,
    mapping: &ProxyMapping<'t>,
    rules: AccessRules<'r, 't>,
) -> AccessRules<'r, 't> {
    let mut reader = AccessReader {
        host,
        path,
        mapping,
        rules,
    };
    reader.sections();
    // The demand for all requests is a setting of TLS.
    let others = host
        .scope
        .directives()
        .filter(|it| !it.is("SSLVerifyClient"));
    others.for_each(|it| reader.rule(it));
    reader.rewrites(host.scope.innermost());
    if reader.rules.names.is_none() {
        reader.say_unreached();
    }
    reader.rules
}

struct AccessReader<'l, 'r, 't> {
    host: &'l VirtualHost<'t>,
    path: &'l str,
    mapping: &'l ProxyMapping<'t>,
    rules: AccessRules<'r, 't>,
}

impl<'t> AccessReader<'_, '_, 't> {
    fn sections(&mut self) {
        let mut in_effect = Vec::new();
        for section in self.host.sections_for(self.path, self.mapping.url()) {
            let children = section.directive.children();
            let required = requirements(children);
            if matches!(section.requests, SectionRequests::Matching(_)) {
                // It may be for a part of the route only, so its rules are added.
                self.any(&required);
            } else if !required.is_empty() {
                // `Require` replaces that of the sections before.
                in_effect = required;
            }
            let others = children.iter().filter(|it| !it.is(REQUIREMENTS));
            others.for_each(|it| self.rule(it));
            self.rewrites(children);
        }
        self.any(&in_effect);
    }

    /// Reports rules on certificates in `<Directory>`, where Netdata's documentation has them.
    fn say_unreached(&self) {
        let sections = self.host.sections.iter();
        let files = sections.filter(|it| matches!(it.requests, SectionRequests::Files));
        let rules = files.flat_map(|it| requirements(it.directive.children()));
        for rule in rules.filter(|it| it.holds(&looks_at_certificates)) {
            self.rules.ledger.closed(rule, UNREACHED);
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
            self.rules.ledger.cover(other);
            let remedy = "it was enough instead of others; now only one of them is demanded";
            self.rules.ledger.not_carried(other, remedy);
        }
    }

    /// Applies a rule; other directives demand nothing.
    fn rule(&mut self, directive: &'t Directive) {
        match directive.name.to_ascii_lowercase().as_str() {
            "require" => self.requirement(directive),
            "requireall" => directive.children().iter().for_each(|it| self.rule(it)),
            "requireany" => self.any(&requirements(directive.children())),
            "sslrequire" => self.expression(directive, &directive.words(), OnMatch::Serve),
            "sslrequiressl" => self.tls(directive),
            "sslverifyclient" if directive.keyword() == "require" => {
                self.rules.certificate(directive);
                self.rules.ledger.closed(directive, RENEGOTIATION);
            }
            "allow" if directive.argument(1) == "all" => {}
            "allow" | "deny" => self.rules.close(directive, NETWORKS),
            "limit" | "limitexcept" | "allowmethods" if !holds_rules(directive) => {
                self.rules.methods(directive);
            }
            "include" => self.rules.missing(directive),
            "if" | "elseif" | "else" if holds_rules(directive) => self.conditional(directive),
            "requirenone" | "limit" | "limitexcept" => self.rules.close(directive, UNREADABLE),
            _ => {}
        }
    }

    /// Applies a `Require` directive to the rules.
    fn requirement(&mut self, directive: &'t Directive) {
        match directive.words()[..] {
            ["expr", ref words @ ..] => self.expression(directive, words, OnMatch::Serve),
            ["ssl-verify-client"] => self.rules.certificate(directive),
            ["all", "granted"] => {}
            ["all", "denied"] => self.rules.close(directive, NOTHING),
            ["ssl"] => self.tls(directive),
            ["method", ..] => self.rules.methods(directive),
            ["ip" | "host" | "local" | "forward-dns", ..] => self.rules.close(directive, NETWORKS),
            _ => self.rules.close(directive, UNREADABLE),
        }
    }

    fn tls(&mut self, directive: &'t Directive) {
        match self.host.is_tls() {
            true => self.rules.ledger.not_needed(directive, GRANTED),
            false => self.rules.close(directive, NOTHING),
        }
    }

    /// Applies `<If>` with `Require all denied`, which is the usual form.
    fn conditional(&mut self, directive: &'t Directive) {
        match requirements(directive.children())[..] {
            [only] if directive.is("If") && only.arguments == ["all", "denied"] => {
                self.rules.ledger.cover(directive);
                self.expression(directive, &directive.words(), OnMatch::Refuse);
            }
            _ => self.rules.close(directive, UNREADABLE),
        }
    }

    fn expression(&mut self, directive: &'t Directive, words: &[&str], on_match: OnMatch) {
        let requests = expression::requests(directive, &words.join(" ")).unwrap_or_default();
        // Requests that meet only one of two conditions are served, so neither is demanded.
        if requests.is_empty() || (on_match == OnMatch::Refuse && requests.len() > 1) {
            return self.rules.close(directive, UNREADABLE);
        }
        for one in &requests {
            self.rules.apply(directive, one, on_match);
        }
    }

    /// Applies each `RewriteRule` with the conditions before it.
    fn rewrites(&mut self, directives: &'t [Directive]) {
        let mut conditions: Vec<&'t Directive> = Vec::new();
        for directive in directives {
            if directive.is("RewriteCond") {
                conditions.push(directive);
            } else if directive.is("RewriteRule") {
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
            self.rules.ledger.not_needed(rule, "is for other paths");
        } else if !refuses(rule) {
            match has_flag(rule, "R")
                || rule.argument(1) == "-"
                || rule.argument(1).starts_with("ws")
            {
                true => self.rules.ledger.not_needed(rule, UNCHANGED),
                false => self.rules.ledger.not_carried(rule, UNCHANGED),
            }
        } else if conditions.is_empty() {
            self.rules.close(rule, NOTHING);
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
            return self.rules.close(rule, UNREADABLE);
        }
        for condition in all {
            match expression::condition(condition) {
                Some(one) => self.rules.apply(condition, &one, on_match),
                None => self.rules.close(condition, UNREADABLE),
            }
        }
        if refuses(rule) && self.rules.unknown_rule.is_none() {
            self.rules
                .ledger
                .carried(rule, "what its conditions demand");
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
    section.iter().filter(|it| it.is(REQUIREMENTS)).collect()
}
