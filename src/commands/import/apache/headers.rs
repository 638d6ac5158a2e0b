//! Reads `RequestHeader` and `ProxyPreserveHost` directives.

use super::host::{SiteSection, VirtualHost, is, is_one_of};
use super::proxy::Backend;
use crate::commands::import::directive::Directive;
use crate::commands::import::headers::{SetHeaders, known};
use crate::commands::import::report::Ledger;
use regex::{Captures, Regex};
use std::sync::LazyLock;

const CONDITIONAL: &str =
    "only plain set and unset are supported: the application gets none from the client";

const CLIENT_HOST: &str = "Host: Apache sent each server its own address, and now it is the \
                           client's: if it matters, set it with set_headers";

static FORMAT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"%%|%\{([^}]*)\}([se]?)").expect("the pattern is valid"));

/// Reads the headers that the application gets in addition to those of the client.
pub(super) struct HeaderReader<'r, 't> {
    pub(super) host: &'r VirtualHost<'t>,
    pub(super) ledger: &'r Ledger,
    pub(super) is_tls: bool,
    pub(super) headers: SetHeaders,
}

impl<'t> HeaderReader<'_, 't> {
    /// Reads the directives of the host and of the sections for a path.
    pub(super) fn read(
        mut self,
        sections: &[&SiteSection<'t>],
        mapping: &Directive,
        backend: &Backend,
    ) -> SetHeaders {
        let inner = sections.iter().flat_map(|it| it.directive.children());
        let all: Vec<&'t Directive> = self.host.directives().chain(inner).collect();
        let preserves = all.iter().rfind(|it| is(it, "ProxyPreserveHost"));
        match (preserves.filter(|it| it.keyword() == "on"), &backend.host) {
            (Some(it), _) => self.ledger.not_needed(it, "Host is passed on unchanged"),
            (None, Some(own)) => self.headers.insert("Host", own),
            (None, None) => self.ledger.not_carried(mapping, CLIENT_HOST),
        }
        for directive in all.iter().flat_map(|it| conditional(it)) {
            let name = directive.argument(1);
            self.headers
                .blank(directive, name, CONDITIONAL, self.ledger);
        }
        for directive in all.iter().filter(|it| is(it, "RequestHeader")) {
            self.header(directive);
        }
        self.headers
    }

    fn header(&mut self, directive: &Directive) {
        let (headers, ledger) = (&mut self.headers, self.ledger);
        let variables = |name: &str| match name {
            "server_name" => self.host.names().first().map(|name| (*name).to_owned()),
            _ => known(name, self.is_tls).map(str::to_owned),
        };
        match directive.words()[..] {
            ["unset", name] if name.to_ascii_lowercase().starts_with("x-forwarded-") => {
                ledger.not_needed(directive, "is always set, to a verified value");
            }
            ["unset", name] => headers.set(directive, name, "", &variables, ledger),
            ["set", name, value] => {
                headers.set(directive, name, &value_of(value), &variables, ledger);
            }
            [_, name, ..] => headers.blank(directive, name, CONDITIONAL, ledger),
            _ => ledger.not_carried(directive, CONDITIONAL),
        }
    }
}

/// Returns the `RequestHeader` directives in an `<If>` or the like.
fn conditional(directive: &Directive) -> Vec<&Directive> {
    if !is_one_of(directive, "If ElseIf Else Limit LimitExcept") {
        return Vec::new();
    }
    let inner = directive.children().iter();
    let mut found: Vec<_> = inner.clone().flat_map(conditional).collect();
    found.extend(inner.filter(|it| is(it, "RequestHeader")));
    found
}

/// Translates `%{NAME}s`, `%{NAME}e` and `expr=%{NAME}` into NGINX's variables.
fn value_of(value: &str) -> String {
    let expression = value.strip_prefix("expr=");
    let text = FORMAT.replace_all(expression.unwrap_or(value), |found: &Captures<'_>| {
        let suffix = if expression.is_some() { &found[2] } else { "" };
        match found.get(1) {
            Some(name) => format!("${{{}}}{suffix}", variable(name.as_str())),
            None => "%".to_owned(),
        }
    });
    // A variable alone is recognised without braces.
    let alone = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    match alone.filter(|name| !name.contains('}')) {
        Some(name) => format!("${name}"),
        None => text.into_owned(),
    }
}

/// Returns NGINX's variable for one of Apache. A name without one stays, and is not known there.
fn variable(name: &str) -> String {
    let name = name.trim_start_matches("SSL:");
    let same = "REMOTE_ADDR HTTP_HOST SERVER_NAME HTTPS SERVER_PORT";
    let is_same = name.starts_with("SSL_CLIENT_") || same.split(' ').any(|it| it == name);
    let other = match name {
        "SSL_CLIENT_S_DN_CN" => "client_cn",
        "SSL_CLIENT_M_SERIAL" => "ssl_client_serial",
        "REMOTE_HOST" => "remote_addr",
        "UNIQUE_ID" => "request_id",
        "REQUEST_SCHEME" => "scheme",
        "HTTP:Host" => "http_host",
        "HTTP:Authorization" => "http_authorization",
        _ if is_same => return name.to_ascii_lowercase(),
        _ => name,
    };
    other.to_owned()
}
