//! Reads what a location demands of a client. A rule that is not understood closes the route.

use super::reader::LocationReader;
use super::scope::NginxScope;
use crate::commands::import::access::{AccessRules, Input, OnMatch, UNREADABLE};
use crate::commands::import::directive::{Directive, InEffect};

/// Directives that let something else decide; a `*` stands for the rest of a name.
const DECIDING: &str = "auth_basic auth_request auth_jwt* auth_digest* auth_ldap* access_by_lua* \
    rewrite_by_lua* secure_link* js_access satisfy";

/// Parts of the names of files without access rules.
const HARMLESS: &str = "mime.types fastcgi uwsgi_params scgi_params proxy_params options-ssl-nginx \
    ssl-ciphers acme-challenge modules-enabled";

/// Variables about the request, which do not tell clients apart.
const ABOUT_THE_REQUEST: &str = "request_method args arg_crc_token query_string is_args host \
    http_host server_name server_port scheme https http_x_forwarded_proto uri request_uri \
    request_filename http_upgrade content_type http_content_type";

/// The message about a file that is missing.
const MISSING: &str = "this file is missing and may restrict access: run import on the machine of \
    NGINX, or name its directory with --prefix";

impl<'r, 't> LocationReader<'r, 't> {
    /// Reads every rule that requests to the location have to meet.
    pub(super) fn access(&self) -> AccessRules<'t> {
        let mut reader = RuleReader {
            reader: self,
            scope: &self.target.location.scope,
            rules: AccessRules::of(self.target.is_webhook),
        };
        reader.conditions();
        if self.target.is_elsewhere {
            reader.scope = &self.target.scope;
            for condition in reader.scope.own("if") {
                reader.refusing(condition);
            }
        }
        for scope in self.target.scopes() {
            reader.scope = scope;
            scope.directives().for_each(|it| reader.other(it));
        }
        reader.rules
    }
}

struct RuleReader<'l, 'r, 't> {
    reader: &'l LocationReader<'r, 't>,
    /// The scope of the rules that are being read.
    scope: &'l NginxScope<'t>,
    rules: AccessRules<'t>,
}

impl<'t> RuleReader<'_, '_, 't> {
    fn conditions(&mut self) {
        let serving = self.reader.target.condition;
        for condition in self.scope.steps().filter(|it| it.name == "if") {
            if serving.is_none_or(|serving| serving.id != condition.id) {
                self.refusing(condition);
            }
        }
        if let Some(condition) = serving {
            for other in self.scope.own("return") {
                self.not_needed(other, "every other request is refused");
            }
            self.apply(condition, OnMatch::Serve);
        }
    }

    /// Reads an `if` that refuses requests or sends them elsewhere.
    fn refusing(&mut self, directive: &'t Directive) {
        let block = directive.children();
        let diverts = |it: &Directive| matches!(&*it.name, "return" | "proxy_pass" | "rewrite");
        if !block.iter().any(diverts) {
            return;
        }
        self.reader.ledger.cover(directive);
        if tests_files(directive) {
            self.not_needed(directive, "no files are served");
        } else if block.iter().any(refuses) || self.is_about_the_client(directive) {
            self.apply(directive, OnMatch::Refuse);
        } else {
            let why = "challenges are answered here, and Netdata Cloud uses HTTPS only";
            self.not_needed(directive, why);
        }
    }

    /// Returns whether a condition depends on the client, or may do so.
    fn is_about_the_client(&self, directive: &'t Directive) -> bool {
        let is_redirect = directive.children().iter().any(redirects_to_tls);
        let requests = self.reader.requests(directive, self.scope);
        match requests.map(|requests| requests.input) {
            None => !is_redirect,
            Some(Input::Other(name)) => !is_redirect && !contains(ABOUT_THE_REQUEST, &name),
            Some(_) => true,
        }
    }

    fn apply(&mut self, directive: &'t Directive, on_match: OnMatch) {
        let ledger = self.reader.ledger;
        match self.reader.requests(directive, self.scope) {
            Some(requests) => self.rules.apply(directive, &requests, on_match, ledger),
            None => self.close(directive, UNREADABLE),
        }
    }

    /// Reads a directive that may be an access rule of another kind.
    fn other(&mut self, directive: &'t Directive) {
        let value = directive.value();
        let is_in_effect = || {
            let inherited = self.scope.one(&directive.name);
            value != "off" && inherited.is_some_and(|it| it.id == directive.id)
        };
        match directive.name.as_str() {
            "include" if HARMLESS.split(' ').any(|name| value.contains(name)) => {
                let remedy = "this file is missing, but probably has no rule for a webhook";
                self.reader.ledger.not_carried(directive, remedy);
            }
            "include" => self.close(directive, MISSING),
            name if name != "limit_except" && !contains(DECIDING, name) => {}
            "satisfy" if value == "all" => {}
            _ if !is_in_effect() => {}
            "limit_except" if self.rules.is_webhook => {
                self.reader.ledger.cover(directive);
                self.not_needed(
                    directive,
                    "a webhook accepts GET (the challenge) and POST only",
                );
            }
            "limit_except" => self.close(directive, "a route of kind \"proxy\" has every method"),
            _ => {
                let remedy = "this rule cannot be imported: set the client certificate, Basic or \
                              Bearer in [routes.auth]";
                self.close(directive, remedy);
            }
        }
    }

    fn close(&mut self, directive: &'t Directive, remedy: &str) {
        self.rules.close(directive, remedy, self.reader.ledger);
    }

    fn not_needed(&self, directive: &Directive, why: &str) {
        self.reader.ledger.not_needed(directive, why);
    }
}

/// Returns whether a name is one of several, which may end with `*`.
fn contains(names: &str, name: &str) -> bool {
    let is = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    names.split_whitespace().any(is)
}

fn refuses(directive: &Directive) -> bool {
    directive.name == "return" && matches!(directive.value().parse(), Ok(400..600))
}

/// Returns whether this only sends requests to the same place over TLS.
fn redirects_to_tls(directive: &Directive) -> bool {
    let [status, url] = &directive.arguments[..] else {
        return false;
    };
    let is_redirect = directive.name == "return" && status.starts_with('3');
    is_redirect && url.starts_with("https://$") && url.ends_with("$request_uri")
}

/// Returns whether a condition looks for a file, such as `if (-f $document_root/maintenance.html)`.
fn tests_files(directive: &Directive) -> bool {
    let test = directive.value().trim_start_matches(['(', '!']);
    ["-f", "-d", "-e", "-x"].contains(&test)
}
