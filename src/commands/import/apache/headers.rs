//! `RequestHeader` and `ProxyPreserveHost`.

use super::host::{SiteSection, VirtualHost, is};
use super::proxy::{Backend, ProxyMapping};
use crate::commands::import::directive::Directive;
use crate::commands::import::headers::{SetHeaders, known};
use crate::commands::import::report::Ledger;

const CONDITIONAL: &str = "headers are set or removed unconditionally: the application gets none from the client; set the value \
                           with set_headers";

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
    let preserves = preserves.filter(|it| it.value().eq_ignore_ascii_case("on"));
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
        let name = directive.arguments.get(1).map_or("", String::as_str);
        headers.blank(directive, name, CONDITIONAL, ledger);
    }
    let variables = |name: &str| match name {
        "server_name" => host.names().first().map(|name| (*name).to_owned()),
        _ => known(name, is_tls).map(str::to_owned),
    };
    for directive in all.iter().filter(|it| is(it, "RequestHeader")) {
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        match arguments[..] {
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
    let mut text = String::new();
    let mut rest = expression.unwrap_or(value);
    while let Some((before, (name, after))) = rest
        .split_once("%{")
        .and_then(|(before, after)| Some((before, after.split_once('}')?)))
    {
        text.push_str(&before.replace("%%", "%"));
        text.push_str(&format!("${{{}}}", variable(name)));
        let format = if expression.is_some() {
            &[][..]
        } else {
            &['s', 'e']
        };
        rest = after.strip_prefix(format).unwrap_or(after);
    }
    text.push_str(&rest.replace("%%", "%"));
    // A header of the client is recognised without braces.
    let alone = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    match alone.filter(|name| !name.contains('}')) {
        Some(name) => format!("${name}"),
        None => text,
    }
}

/// Returns NGINX's variable for a variable of Apache; any other name is not known there either.
fn variable(name: &str) -> String {
    let name = name.trim_start_matches("SSL:");
    match name {
        "SSL_CLIENT_S_DN_CN" => "client_cn".to_owned(),
        "SSL_CLIENT_M_SERIAL" => "ssl_client_serial".to_owned(),
        "REMOTE_HOST" => "remote_addr".to_owned(),
        "UNIQUE_ID" => "request_id".to_owned(),
        "REQUEST_SCHEME" => "scheme".to_owned(),
        "HTTP:Host" => "http_host".to_owned(),
        "HTTP:Authorization" => "http_authorization".to_owned(),
        "REMOTE_ADDR" | "HTTP_HOST" | "SERVER_NAME" | "HTTPS" | "SERVER_PORT" => {
            name.to_ascii_lowercase()
        }
        _ if name.starts_with("SSL_CLIENT_") => name.to_ascii_lowercase(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_become_texts_with_variables() {
        for (value, text) in [
            ("%{SSL_CLIENT_S_DN}s", "$ssl_client_s_dn"),
            ("expr=%{REMOTE_ADDR}", "$remote_addr"),
            ("https", "https"),
            (
                "CN=%{SSL_CLIENT_S_DN_CN}s;v=%{SSL_CLIENT_VERIFY}s",
                "CN=${client_cn};v=${ssl_client_verify}",
            ),
            ("100%%", "100%"),
            ("%{UNKNOWN}e", "$UNKNOWN"),
            ("%{", "%{"),
        ] {
            assert_eq!(value_of(value), text, "{value}");
        }
    }
}
