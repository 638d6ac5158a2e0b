//! The access rules at a path: `Require`, `SSLRequire`, `<If>` and the like.

use super::expression;
use super::host::{SectionRequests, VirtualHost};
use super::proxy::{ProxyTarget, has_flag};
use crate::commands::import::access::{AccessRules, NETWORKS, UNREADABLE};
use crate::commands::import::directive::Directive;
use crate::commands::import::site::PassedOn;
use regex::Regex;

const GRANTED: &str = "is so, unless [routes.auth] demands more";
const NOTHING: &str = "nothing got through here, as now";
const ONLY_ONE: &str = "it was enough instead of others; now only one of them is demanded";
const UNREACHED: &str = "it never ran: requests that are passed on reach no <Directory>, so any \
                         certificate of the authority got in";
const RENEGOTIATION: &str = "Apache requests the certificate after the request, which Netdata \
                             Cloud's client does not support; now the first handshake does";
const UNCHANGED: &str = "the path reaches the application unchanged, and Netdata Cloud uses no \
                         redirects and no WebSockets";

/// Rules of which one is enough, in a section.
const REQUIREMENTS: &str = "Require RequireAll RequireAny RequireNone";

/// Directives that may refuse requests.
const RULES: &str = "Require RequireNone SSLRequire* SSLVerifyClient Deny RewriteRule";

/// Flags of a `RewriteRule` that refuses requests.
const REFUSALS: &str = "F FORBIDDEN G GONE R=4* R=5* REDIRECT=4* REDIRECT=5*";

/// Reads every rule that applies to the requests, which `target` gets.
pub(super) fn read<'t>(
    host: &VirtualHost<'t>,
    requests: &PassedOn<'_>,
    target: &ProxyTarget<'t>,
) -> AccessRules<'t> {
    let mut reader = AccessReader {
        host,
        path: &requests.paths[0],
        target,
        rules: AccessRules::of(requests),
    };
    reader.sections();
    // The demand for all requests is a setting of TLS.
    let others = host.head.scope.directives();
    let others = others.filter(|it| !it.is("SSLVerifyClient"));
    others.for_each(|it| reader.rule(it));
    reader.rewrites(host.head.scope.innermost());
    if reader.rules.names.is_none() {
        reader.say_unreached();
    }
    reader.rules
}

struct AccessReader<'l, 't> {
    host: &'l VirtualHost<'t>,
    path: &'l str,
    target: &'l ProxyTarget<'t>,
    rules: AccessRules<'t>,
}

impl<'t> AccessReader<'_, 't> {
    fn sections(&mut self) {
        let mut in_effect = Vec::new();
        for section in self.host.sections_for(self.path) {
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
            other.not_carried(ONLY_ONE);
        }
    }

    /// Applies a rule; other directives demand nothing.
    fn rule(&mut self, directive: &'t Directive) {
        let words = directive.words();
        match directive.name.to_ascii_lowercase().as_str() {
            "require" => self.requirement(directive),
            "requireall" => directive.children().iter().for_each(|it| self.rule(it)),
            "requireany" => self.any(&requirements(directive.children())),
            "sslrequire" => self.expression(directive, &words),
            "sslrequiressl" => self.tls(directive),
            "sslverifyclient" if directive.keyword() == "require" => {
                self.rules.certificate(directive);
                directive.closed(RENEGOTIATION);
            }
            "limit" | "limitexcept" if holds_rules(directive) => {
                self.rules.close(directive, UNREADABLE);
            }
            "if" | "elseif" | "else" if holds_rules(directive) => self.conditional(directive),
            "allow" if words.get(1) != Some(&"all") => self.rules.close(directive, NETWORKS),
            _ => self.rules.directive(directive),
        }
    }

    /// Applies a `Require` directive to the rules.
    fn requirement(&mut self, directive: &'t Directive) {
        match directive.words()[..] {
            ["expr", ref words @ ..] => self.expression(directive, words),
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
        match self.host.head.is_tls {
            true => directive.not_needed(GRANTED),
            false => self.rules.close(directive, NOTHING),
        }
    }

    /// Applies `<If>` with one condition and `Require all denied`, which is the usual form.
    fn conditional(&mut self, directive: &'t Directive) {
        let requests = expression::requests(directive, &directive.words().join(" "));
        let required = requirements(directive.children());
        match (&required[..], requests.as_deref()) {
            ([only], Some([one])) if directive.is("If") && only.arguments == ["all", "denied"] => {
                directive.cover();
                self.rules.apply(directive, &one.clone().others());
            }
            _ => self.rules.close(directive, UNREADABLE),
        }
    }

    fn expression(&mut self, directive: &'t Directive, words: &[&str]) {
        match expression::requests(directive, &words.join(" ")) {
            Some(all) => all.iter().for_each(|it| self.rules.apply(directive, it)),
            None => self.rules.close(directive, UNREADABLE),
        }
    }

    /// Reads each `RewriteRule` up to the target's. What `RewriteCond` says is not understood.
    fn rewrites(&mut self, directives: &'t [Directive]) {
        let mut is_conditional = false;
        for directive in directives
            .iter()
            .filter(|it| it.is("RewriteCond RewriteRule"))
        {
            if directive.id == self.target.directive.id {
                if is_conditional {
                    self.rules.close(directive, UNREADABLE);
                }
                return;
            }
            is_conditional = directive.is("RewriteCond");
            if !is_conditional {
                self.rewrite(directive);
            }
        }
    }

    fn rewrite(&mut self, rule: &'t Directive) {
        let probe = self.path.trim_end_matches('*');
        // A pattern that cannot be read may match.
        let is_other = Regex::new(rule.value()).is_ok_and(|pattern| !pattern.is_match(probe));
        if is_other {
            rule.not_needed("is for other paths");
        } else if has_flag(rule, REFUSALS) {
            self.rules.close(rule, UNREADABLE);
        } else {
            rule.not_carried(UNCHANGED);
        }
    }
}

/// Returns whether something in a section may refuse requests.
fn holds_rules(section: &Directive) -> bool {
    let may_refuse = |it: &Directive| it.is(RULES) && it.arguments != ["all", "granted"];
    section.holds(&may_refuse)
}

/// Returns whether a directive is about client certificates.
pub(super) fn looks_at_certificates(directive: &Directive) -> bool {
    let has_ssl = |it: &String| it.to_ascii_uppercase().contains("SSL");
    directive.is("SSLVerifyClient")
        || directive.is("Require SSLRequire If RewriteCond")
            && directive.arguments.iter().any(has_ssl)
}

/// Returns the `Require` directives and their groups in a section.
fn requirements(section: &[Directive]) -> Vec<&Directive> {
    section.iter().filter(|it| it.is(REQUIREMENTS)).collect()
}
