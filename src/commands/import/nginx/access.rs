//! Reads what a location demands of a client. A rule that is not understood closes the route.

use super::condition;
use super::server::ProxiedLocation;
use super::variables::NginxMaps;
use crate::commands::import::access::{AccessRules, DECIDING, Input, MatchedRequests, UNREADABLE};
use crate::commands::import::directive::{Directive, is_listed};
use crate::commands::import::scope::Scope;
use crate::commands::import::site::PassedOn;

/// Variables about the request, which do not tell clients apart.
const ABOUT_THE_REQUEST: &str = "request_method args arg_crc_token query_string is_args host \
    http_host server_name server_port scheme https http_x_forwarded_proto uri request_uri \
    request_filename http_upgrade content_type http_content_type";

/// Reads every rule that requests to a location have to meet.
pub(super) fn read<'t>(
    location: &ProxiedLocation<'_, 't>,
    maps: &NginxMaps<'t>,
    requests: &PassedOn<'_>,
) -> AccessRules<'t> {
    let rules = AccessRules::of(requests);
    let mut reader = RuleReader { maps, rules };
    for scope in &location.scopes() {
        for condition in scope.steps().filter(|it| it.is("if")) {
            match location.condition.filter(|it| it.id == condition.id) {
                // Only requests that meet the one around `proxy_pass` are served.
                Some(_) => reader.apply(condition, condition::requests(condition, scope, maps)),
                None => reader.condition(condition, scope),
            }
        }
        for directive in scope.directives() {
            reader.other(directive, scope);
        }
        // The first that is for a client decides.
        let networks = scope.all("allow deny").into_iter();
        let mut decisive = networks.take_while(|it| !(it.is("allow") && it.value() == "all"));
        if let Some(deny) = decisive.find(|it| it.is("deny")) {
            reader.rules.directive(deny);
        }
    }
    reader.rules
}

struct RuleReader<'l, 't> {
    maps: &'l NginxMaps<'t>,
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
        let is_redirect = block.iter().any(redirects_to_tls);
        let requests = condition::requests(directive, scope, self.maps);
        let is_harmless = match requests.as_ref().map(|it| &it.input) {
            _ if block.iter().any(refuses) => false,
            Some(Input::Other(name)) => is_redirect || is_listed(ABOUT_THE_REQUEST, name),
            Some(_) => false,
            None => is_redirect,
        };
        if tests_files(directive) {
            directive.not_needed("no files are served");
        } else if is_harmless {
            directive.not_needed("challenges are answered here, and Netdata Cloud uses HTTPS only");
        } else {
            self.apply(directive, requests.map(MatchedRequests::others));
        }
    }

    /// Applies a condition that lets only these requests in.
    fn apply(&mut self, directive: &'t Directive, requests: Option<MatchedRequests<'t>>) {
        match requests {
            Some(requests) => self.rules.apply(directive, &requests),
            None => self.rules.close(directive, UNREADABLE),
        }
    }

    /// Reads a directive that may be an access rule of another kind, if it is in effect.
    fn other(&mut self, directive: &'t Directive, scope: &Scope<'t>) {
        let in_effect = || {
            scope
                .one(&directive.name)
                .is_some_and(|it| it.id == directive.id)
        };
        let is_any = directive.is("satisfy") && directive.value() != "all";
        if is_any && in_effect() {
            self.rules.close(directive, UNREADABLE);
        } else if directive.is("include limit_except") || directive.is(DECIDING) && in_effect() {
            self.rules.directive(directive);
        }
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
