//! Reads what a location demands of a client. A rule that is not understood closes the route.

use super::condition::Conditions;
use super::server::ProxiedLocation;
use crate::commands::import::access::{AccessRules, Input, OnMatch, UNREADABLE};
use crate::commands::import::directive::{Directive, is_listed};
use crate::commands::import::scope::Scope;

/// Directives that let something else decide.
const DECIDING: &str = "auth_basic auth_request auth_jwt* auth_digest* auth_ldap* access_by_lua* \
    rewrite_by_lua* secure_link* js_access satisfy";

/// Variables about the request, which do not tell clients apart.
const ABOUT_THE_REQUEST: &str = "request_method args arg_crc_token query_string is_args host \
    http_host server_name server_port scheme https http_x_forwarded_proto uri request_uri \
    request_filename http_upgrade content_type http_content_type";

/// Reads every rule that requests to a location have to meet.
pub(super) fn read<'t>(
    location: &ProxiedLocation<'t>,
    conditions: &Conditions<'_, 't>,
    is_webhook: bool,
) -> AccessRules<'t> {
    let rules = AccessRules {
        is_webhook,
        ..AccessRules::default()
    };
    let mut reader = RuleReader { conditions, rules };
    for scope in &location.scopes() {
        for condition in scope.steps().filter(|it| it.is("if")) {
            match location.condition.filter(|it| it.id == condition.id) {
                // Only requests that meet the one around `proxy_pass` are served.
                Some(_) => reader.apply(condition, scope, OnMatch::Serve),
                None => reader.condition(condition, scope),
            }
        }
        for directive in scope.directives() {
            reader.other(directive, scope);
        }
    }
    reader.rules
}

struct RuleReader<'l, 't> {
    conditions: &'l Conditions<'l, 't>,
    rules: AccessRules<'t>,
}

impl<'t> RuleReader<'_, 't> {
    /// Reads an `if` that may refuse requests.
    fn condition(&mut self, directive: &'t Directive, scope: &Scope<'t>) {
        let block = directive.children();
        if !block.iter().any(|it| it.is("return proxy_pass rewrite")) {
            return;
        }
        directive.cover();
        if tests_files(directive) {
            directive.not_needed("no files are served");
        } else if block.iter().any(refuses) || self.is_about_the_client(directive, scope) {
            self.apply(directive, scope, OnMatch::Refuse);
        } else {
            directive.not_needed("challenges are answered here, and Netdata Cloud uses HTTPS only");
        }
    }

    /// Returns whether a condition depends on the client, or may do so.
    fn is_about_the_client(&self, directive: &'t Directive, scope: &Scope<'t>) -> bool {
        let is_redirect = directive.children().iter().any(redirects_to_tls);
        let requests = self.conditions.requests(directive, scope);
        match requests.map(|requests| requests.input) {
            None => !is_redirect,
            Some(Input::Other(name)) => !is_redirect && !is_listed(ABOUT_THE_REQUEST, &name),
            Some(_) => true,
        }
    }

    fn apply(&mut self, directive: &'t Directive, scope: &Scope<'t>, on_match: OnMatch) {
        match self.conditions.requests(directive, scope) {
            Some(requests) => self.rules.apply(directive, &requests, on_match),
            None => self.rules.close(directive, UNREADABLE),
        }
    }

    /// Reads a directive that may be an access rule of another kind.
    fn other(&mut self, directive: &'t Directive, scope: &Scope<'t>) {
        if directive.is("limit_except") {
            self.rules.methods(directive);
        } else if directive.is("include") {
            self.rules.missing(directive);
        } else if directive.is(DECIDING) && !is_off(directive) {
            let in_effect = scope.one(&directive.name);
            if in_effect.is_some_and(|it| it.id == directive.id) {
                self.rules.close(directive, UNREADABLE);
            }
        }
    }
}

/// Returns whether a directive lets other rules alone decide.
fn is_off(directive: &Directive) -> bool {
    match directive.is("satisfy") {
        true => directive.value() == "all",
        false => directive.value() == "off",
    }
}

fn refuses(directive: &Directive) -> bool {
    directive.is("return") && matches!(directive.value().parse(), Ok(400..600))
}

/// Returns whether this only sends requests to the same place over TLS.
fn redirects_to_tls(directive: &Directive) -> bool {
    let [status, url] = &directive.arguments[..] else {
        return false;
    };
    let is_redirect = directive.is("return") && status.starts_with('3');
    is_redirect && url.starts_with("https://$") && url.ends_with("$request_uri")
}

/// Returns whether a condition looks for a file, such as `if (-f $document_root/maintenance.html)`.
fn tests_files(directive: &Directive) -> bool {
    let test = directive.value().trim_start_matches(['(', '!']);
    ["-f", "-d", "-e", "-x"].contains(&test)
}
