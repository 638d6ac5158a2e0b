//! Reads `RequestHeader` and `ProxyPreserveHost` directives.

use crate::commands::import::directive::{Directive, is_listed};
use crate::commands::import::headers::{SetHeaders, translated};
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

/// Variables that NGINX has in lower case.
const SAME: &str = "SSL_CLIENT_* REMOTE_ADDR HTTP_HOST HTTPS SERVER_PORT";

/// A percent sign, `%{NAME}s`, `%{NAME}e` or `%{NAME}`, or a dollar sign.
static FORMAT: LazyLock<Regex> =
    LazyLock::new(|| expression(r"%%|%\{(?:SSL:)?([^}]*)\}([se]?)|\$"));

/// Reads the headers that the application gets. `own` is the `Host` that Apache sets by default.
pub(super) fn read(
    scope: &Scope<'_>,
    passing: &Directive,
    own: Option<&str>,
    mut headers: SetHeaders,
) -> SetHeaders {
    let preserves = scope.one("ProxyPreserveHost");
    match (preserves.filter(|it| it.keyword() == "on"), own) {
        (Some(it), _) => it.not_needed("Host is passed on unchanged"),
        (None, Some(own)) => headers.insert("Host", own),
        (None, None) => passing.not_carried(CLIENT_HOST),
    }
    let conditional = scope.every(CONDITIONS).flat_map(Directive::tree);
    for directive in conditional.filter(|it| it.is("RequestHeader")) {
        headers.blank(directive, directive.argument(1), CONDITIONAL);
    }
    let name = scope.value("ServerName");
    for directive in scope.every("RequestHeader") {
        set(directive, name, &mut headers);
    }
    headers
}

fn set(directive: &Directive, server_name: &str, headers: &mut SetHeaders) {
    match directive.words()[..] {
        ["unset", header] => headers.set(directive, header, ""),
        ["set", header, value] => headers.set(directive, header, &value_of(value, server_name)),
        [_, header, ..] => headers.blank(directive, header, CONDITIONAL),
        _ => directive.not_carried(CONDITIONAL),
    }
}

/// Translates `%{NAME}s`, `%{NAME}e` and `expr=%{NAME}` into NGINX's variables.
fn value_of(value: &str, server_name: &str) -> String {
    let expression = value.strip_prefix("expr=");
    let text = FORMAT.replace_all(expression.unwrap_or(value), |found: &Captures<'_>| {
        let suffix = found.get(2).filter(|_| expression.is_some());
        let suffix = suffix.map_or("", |it| it.as_str());
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
    match translated(RENAMED, name) {
        Some(other) => other.to_owned(),
        None if is_listed(SAME, name) => name.to_ascii_lowercase(),
        None => name.to_owned(),
    }
}
