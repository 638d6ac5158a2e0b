//! `RequestHeader`.

use super::host::{Host, Section, is};
use super::proxy::Target;
use crate::commands::import::directive::Directive;
use crate::commands::import::headers::{SetHeaders, known};
use crate::commands::import::report::Ledger;

/// Which variable of NGINX is the same.
const VARIABLES: [(&str, &str); 18] = [
    ("SSL_CLIENT_S_DN", "ssl_client_s_dn"),
    ("SSL_CLIENT_VERIFY", "ssl_client_verify"),
    ("SSL_CLIENT_M_SERIAL", "ssl_client_serial"),
    ("SSL_CLIENT_CERT", "ssl_client_cert"),
    ("SSL_CLIENT_I_DN", "ssl_client_i_dn"),
    ("SSL_CLIENT_S_DN_CN", "client_cn"),
    ("SSL_CLIENT_V_END", "ssl_client_v_end"),
    ("SSL_CLIENT_V_REMAIN", "ssl_client_v_remain"),
    ("REMOTE_ADDR", "remote_addr"),
    ("REMOTE_HOST", "remote_addr"),
    ("UNIQUE_ID", "request_id"),
    ("HTTP_HOST", "http_host"),
    ("HTTP:Host", "http_host"),
    ("SERVER_NAME", "server_name"),
    ("REQUEST_SCHEME", "scheme"),
    ("HTTPS", "https"),
    ("SERVER_PORT", "server_port"),
    ("HTTP:Authorization", "http_authorization"),
];

/// What the application is told besides. `place` is what has it passed on to `target`.
pub(super) fn carry(
    host: &Host<'_>,
    sections: &[Section<'_>],
    place: &Directive,
    target: &Target,
    ledger: &Ledger,
) -> SetHeaders {
    let is_tls = host.is_tls();
    let mut headers = SetHeaders::new(is_tls);
    let preserves = sections
        .iter()
        .rev()
        .find_map(|section| section.one("ProxyPreserveHost"));
    let preserves = preserves.or_else(|| host.one("ProxyPreserveHost"));
    match (
        preserves.filter(|it| it.value().eq_ignore_ascii_case("on")),
        &target.host,
    ) {
        (Some(directive), _) => ledger.not_needed(directive, "Host is passed on as it came"),
        (None, Some(own)) => headers.insert("Host", own),
        (None, None) => {
            let remedy = "Host: each server got its own address there, and now gets what the client says: if it matters, set \
                          it with set_headers";
            ledger.not_carried(place, remedy);
        }
    }
    let known = |name: &str| match name {
        "server_name" => host.names().first().map(|name| (*name).to_owned()),
        _ => known(name, is_tls).map(str::to_owned),
    };
    let inner = sections
        .iter()
        .flat_map(|section| section.directive.children());
    for directive in host
        .both()
        .into_iter()
        .flatten()
        .chain(inner)
        .flat_map(conditional)
    {
        headers.blank(
            directive,
            directive.arguments.get(1).map_or("", String::as_str),
            UNCONDITIONAL,
            ledger,
        );
    }
    let inner = sections
        .iter()
        .flat_map(|section| section.directive.children());
    for directive in host
        .every("RequestHeader")
        .chain(inner.filter(|it| is(it, "RequestHeader")))
    {
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        match arguments[..] {
            // What clients put there is not believed anyway.
            ["unset", name] if name.to_ascii_lowercase().starts_with("x-forwarded-") => {
                ledger.not_needed(directive, "is always set, to what can be believed");
            }
            ["unset", name] => headers.set(directive, name, "", &known, ledger),
            ["set", name, value] => {
                headers.set(directive, name, &value_of(value), &known, ledger);
            }
            [_, name, ..] => headers.blank(directive, name, UNCONDITIONAL, ledger),
            _ => ledger.not_carried(directive, UNCONDITIONAL),
        }
    }
    headers
}

/// What becomes of a header that is changed in another way.
const UNCONDITIONAL: &str = "headers are set or removed, always: the application gets none from the client; say what it is to \
                             get with set_headers";

/// `RequestHeader` in `<If>` and the like.
fn conditional(directive: &Directive) -> Vec<&Directive> {
    let conditions = ["If", "ElseIf", "Else", "Limit", "LimitExcept"];
    let inner = directive.children().iter();
    match conditions.iter().any(|name| is(directive, name)) {
        true => inner
            .clone()
            .filter(|it| is(it, "RequestHeader"))
            .chain(inner.flat_map(conditional))
            .collect(),
        false => Vec::new(),
    }
}

/// `%{NAME}s`, `%{NAME}e` and `expr=%{NAME}` with NGINX's variables.
fn value_of(value: &str) -> String {
    let (value, is_expression) = value
        .strip_prefix("expr=")
        .map_or((value, false), |value| (value, true));
    // A dollar sign is nothing special to Apache, and cannot be said in NGINX's words.
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("%{") {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        text.push_str(&before.replace("%%", "%"));
        text.push_str(&format!("${{{}}}", variable(name)));
        rest = if is_expression {
            after
        } else {
            after.strip_prefix(['s', 'e']).unwrap_or(after)
        };
    }
    text.push_str(&rest.replace("%%", "%"));
    match text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|name| !name.contains('}'))
    {
        Some(name) => format!("${name}"),
        None => text,
    }
}

fn variable(name: &str) -> String {
    let name = name.trim_start_matches("SSL:");
    VARIABLES
        .iter()
        .find(|(other, _)| *other == name)
        .map_or(name, |(_, same)| same)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_become_texts_with_variables() {
        for (value, text) in [
            ("%{SSL_CLIENT_S_DN_CN}s", "$client_cn"),
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
