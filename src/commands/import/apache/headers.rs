//! `RequestHeader` and `ProxyPreserveHost`.

use super::host::{SiteSection, VirtualHost, is};
use super::proxy::{Backend, ProxyMapping};
use crate::commands::import::directive::Directive;
use crate::commands::import::headers::{SetHeaders, known};
use crate::commands::import::report::Ledger;
use regex::{Captures, Regex};
use std::sync::LazyLock;

const CONDITIONAL: &str = "headers are set or removed unconditionally: the application gets none from the client; set the value \
                           with set_headers";

static FORMAT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"%%|%\{([^}]*)\}([se]?)").expect("the pattern is valid"));

/// Returns the headers that the application gets in addition to those of the client.
pub(super) fn set_headers<'t>(
    host: &VirtualHost<'t>,
    sections: &[&SiteSection<'t>],
    mapping: &ProxyMapping<'_>,
    backend: &Backend,
    ledger: &Ledger,
) -> SetHeaders {
    let is_tls = host.is_tls();
    let mut headers = SetHeaders::new(is_tls);
    let inner = sections.iter().flat_map(|it| it.directive.children());
    let all: Vec<&'t Directive> = host.directives().chain(inner).collect();
    let preserves = all.iter().rfind(|it| is(it, "ProxyPreserveHost"));
    let preserves = preserves.filter(|it| it.keyword() == "on");
    match (preserves, &backend.host) {
        (Some(directive), _) => ledger.not_needed(directive, "Host is passed on unchanged"),
        (None, Some(own)) => headers.insert("Host", own),
        (None, None) => {
            let remedy = "Host: Apache sent each server its own address, and now it is the client's: if it matters, set it with \
                          set_headers";
            ledger.not_carried(mapping.directive, remedy);
        }
    }
    for directive in all.iter().flat_map(|it| conditional(it)) {
        headers.blank(directive, directive.argument(1), CONDITIONAL, ledger);
    }
    let variables = |name: &str| match name {
        "server_name" => host.names().first().map(|name| (*name).to_owned()),
        _ => known(name, is_tls).map(str::to_owned),
    };
    for directive in all.iter().filter(|it| is(it, "RequestHeader")) {
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
    headers
}

/// Returns the `RequestHeader` directives in an `<If>` or the like.
fn conditional(directive: &Directive) -> Vec<&Directive> {
    let conditions = ["If", "ElseIf", "Else", "Limit", "LimitExcept"];
    if !conditions.iter().any(|name| is(directive, name)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for inner in directive.children() {
        if is(inner, "RequestHeader") {
            found.push(inner);
        }
        found.extend(conditional(inner));
    }
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
    let other = match name {
        "SSL_CLIENT_S_DN_CN" => "client_cn",
        "SSL_CLIENT_M_SERIAL" => "ssl_client_serial",
        "REMOTE_HOST" => "remote_addr",
        "UNIQUE_ID" => "request_id",
        "REQUEST_SCHEME" => "scheme",
        "HTTP:Host" => "http_host",
        "HTTP:Authorization" => "http_authorization",
        _ => name,
    };
    let same = [
        "REMOTE_ADDR",
        "HTTP_HOST",
        "SERVER_NAME",
        "HTTPS",
        "SERVER_PORT",
    ];
    match name.starts_with("SSL_CLIENT_") || same.contains(&name) {
        true => other.to_ascii_lowercase(),
        false => other.to_owned(),
    }
}
