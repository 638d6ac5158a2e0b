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
pub(super) fn read<'t>(
    host: &VirtualHost<'t>,
    path: &str,
    mapping: &ProxyMapping<'t>,
    is_webhook: bool,
) -> AccessRules<'t> {
    let rules = AccessRules {
        is_webhook,
        ..AccessRules::default()
    };
    let mut reader = AccessReader {
        host,
        path,
        mapping,
        rules,
    };
    reader.sections();
    // The demand for all requests is a setting of TLS.
    let others = host.scope.directives();
    let others = others.filter(|it| !it.is("SSLVerifyClient"));
    others.for_each(|it| reader.rule(it));
    reader.rewrites(host.scope.innermost());
    if reader.rules.names.is_none() {
        reader.say_unreached();
    }
    reader.rules
}

struct AccessReader<'l, 't> {
    host: &'l VirtualHost<'t>,
    path: &'l str,
    mapping: &'l ProxyMapping<'t>,
    rules: AccessRules<'t>,
}

impl<'t> AccessReader<'_, 't> {
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
            rule.closed(UNREACHED);
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
            other.cover();
            let remedy = "it was enough instead of others; now only one of them is demanded";
            other.not_carried(remedy);
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
            "sslverifyclient" => self.renegotiation(directive),
            "allow" | "deny" => self.networks(directive),
            "include" => self.rules.missing(directive),
            "requirenone" => self.rules.close(directive, UNREADABLE),
            "limit" | "limitexcept" | "allowmethods" => self.methods(directive),
            "if" | "elseif" | "else" if holds_rules(directive) => self.conditional(directive),
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
            true => directive.not_needed(GRANTED),
            false => self.rules.close(directive, NOTHING),
        }
    }

    fn renegotiation(&mut self, directive: &'t Directive) {
        if directive.keyword() == "require" {
            self.rules.certificate(directive);
            directive.closed(RENEGOTIATION);
        }
    }

    fn networks(&mut self, directive: &'t Directive) {
        if !directive.is("allow") || directive.argument(1) != "all" {
            self.rules.close(directive, NETWORKS);
        }
    }

    fn methods(&mut self, directive: &'t Directive) {
        match holds_rules(directive) {
            true => self.rules.close(directive, UNREADABLE),
            false => self.rules.methods(directive),
        }
    }

    /// Applies `<If>` with `Require all denied`, which is the usual form.
    fn conditional(&mut self, directive: &'t Directive) {
        match requirements(directive.children())[..] {
            [only] if directive.is("If") && only.arguments == ["all", "denied"] => {
                directive.cover();
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
        let is_other = Regex::new(rule.value()).is_ok_and(|pattern| !pattern.is_match(probe));
        let target = rule.argument(1);
        let is_redirect = has_flag(rule, "R") || target == "-" || target.starts_with("ws");
        match refuses(rule) {
            _ if is_other => rule.not_needed("is for other paths"),
            false if is_redirect => rule.not_needed(UNCHANGED),
            false => rule.not_carried(UNCHANGED),
            true if conditions.is_empty() => self.rules.close(rule, NOTHING),
            true => self.conditions(rule, conditions, OnMatch::Refuse),
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
            rule.carried("what its conditions demand");
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
