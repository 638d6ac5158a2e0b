//! Reads `RequestHeader` and `ProxyPreserveHost` directives.

use crate::commands::import::directive::{Directive, is_listed};
use crate::commands::import::headers::SetHeaders;
use crate::commands::import::regex_literal::expression;
use crate::commands::import::scope::Scope;
use crate::commands::import::template::expand;
use regex::{Captures, Regex};
use std::sync::LazyLock;

const CONDITIONAL: &str =
    "only plain set and unset are supported: the application gets none from the client";

const CLIENT_HOST: &str = "Host: Apache sent each server its own address, and now it is the \
    client's: if it matters, set it with set_headers";

/// Sections that are for some of the requests.
const CONDITIONS: &str = "If ElseIf Else Limit LimitExcept";

/// Variables that NGINX has under another name.
const RENAMED: &str = "
    SSL_CLIENT_S_DN_CN    client_cn
    SSL_CLIENT_M_SERIAL   ssl_client_serial
    REMOTE_HOST           remote_addr
    UNIQUE_ID             request_id
    REQUEST_SCHEME        scheme
    HTTP:Host             http_host
    HTTP:Authorization    http_authorization
";

/// A percent sign, `%{NAME}s`, `%{NAME}e` or `%{NAME}`, or a dollar sign.
static FORMAT: LazyLock<Regex> =
    LazyLock::new(|| expression(r"%%|%\{(?:SSL:)?([^}]*)\}([se]?)|\$"));

/// Reads the headers that the application gets in addition to those of the client. `own` is the
/// `Host` that Apache sets by default.
pub(super) fn read(
    scope: &Scope<'_>,
    passing: &Directive,
    own: Option<&str>,
    mut headers: SetHeaders,
) -> SetHeaders {
    set_host(scope, passing, own, &mut headers);
    for directive in scope.every(CONDITIONS).flat_map(conditional) {
        headers.blank(directive, directive.argument(1), CONDITIONAL);
    }
    let name = scope.value("ServerName");
    for directive in scope.every("RequestHeader") {
        set(directive, name, &mut headers);
    }
    headers
}

fn set_host(scope: &Scope<'_>, passing: &Directive, own: Option<&str>, headers: &mut SetHeaders) {
    let preserves = scope.one("ProxyPreserveHost");
    match (preserves.filter(|it| it.keyword() == "on"), own) {
        (Some(it), _) => it.not_needed("Host is passed on unchanged"),
        (None, Some(own)) => headers.insert("Host", own),
        (None, None) => passing.not_carried(CLIENT_HOST),
    }
}

fn set(directive: &Directive, server_name: &str, headers: &mut SetHeaders) {
    match directive.words()[..] {
        ["unset", header] => headers.set(directive, header, ""),
        ["set", header, value] => headers.set(directive, header, &value_of(value, server_name)),
        [_, header, ..] => headers.blank(directive, header, CONDITIONAL),
        _ => directive.not_carried(CONDITIONAL),
    }
}

/// Returns the `RequestHeader` directives in an `<If>` or the like.
fn conditional(section: &Directive) -> Vec<&Directive> {
    let inner = section.children().iter();
    let nested = inner.clone().filter(|it| it.is(CONDITIONS));
    let mut found: Vec<_> = nested.flat_map(conditional).collect();
    found.extend(inner.filter(|it| it.is("RequestHeader")));
    found
}

/// Translates `%{NAME}s`, `%{NAME}e` and `expr=%{NAME}` into NGINX's variables.
fn value_of(value: &str, server_name: &str) -> String {
    let expression = value.strip_prefix("expr=");
    let text = FORMAT.replace_all(expression.unwrap_or(value), |found: &Captures<'_>| {
        let suffix = match expression {
            Some(_) => found.get(2).map_or("", |it| it.as_str()),
            None => "",
        };
        match (found.get(1).map(|it| it.as_str()), &found[0]) {
            (Some("SERVER_NAME"), _) => format!("{server_name}{suffix}"),
            (Some(name), _) => format!("${{{}}}{suffix}", variable(name)),
            (None, "$") => "$$".to_owned(),
            (None, _) => "%".to_owned(),
        }
    });
    // Without braces where these are not needed, as they are compared.
    expand(&text, &|name| Some(format!("${name}"))).unwrap_or_default()
}

/// Returns NGINX's variable for one of Apache. A name without one stays, and is not known there.
fn variable(name: &str) -> String {
    let mut words = RENAMED.split_whitespace();
    if let Some(other) = words.find(|word| *word == name).and_then(|_| words.next()) {
        return other.to_owned();
    }
    match is_listed("SSL_CLIENT_* REMOTE_ADDR HTTP_HOST HTTPS SERVER_PORT", name) {
        true => name.to_ascii_lowercase(),
        false => name.to_owned(),
    }
}
