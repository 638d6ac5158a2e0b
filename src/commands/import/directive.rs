//! A configuration as a tree of directives: NGINX's and Apache's alike.

use super::location::SourceLocation;
use crate::sanitize::plain;

/// How much of a directive is shown.
const MAX_SHOWN: usize = 120;

/// What sets a header or a variable.
const SETTERS: [&str; 6] = [
    "proxy_set_header",
    "add_header",
    "set",
    "requestheader",
    "setenv",
    "setenvif",
];

/// What looks at a request.
const CONDITIONS: [&str; 6] = [
    "if",
    "elseif",
    "require",
    "sslrequire",
    "rewritecond",
    "setenvif",
];

/// A directive, and what stands in its block.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
    pub(super) place: SourceLocation,
    /// Tells directives apart, also where a file is included twice.
    pub(super) id: usize,
}

impl Directive {
    /// The first argument.
    pub(super) fn value(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    /// What stands in its block.
    pub(super) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Whether it, or what stands in it, is such a directive.
    pub(super) fn holds(&self, is: &dyn Fn(&Directive) -> bool) -> bool {
        is(self) || self.children().iter().any(|child| child.holds(is))
    }

    /// Name and arguments, on one line of bounded length, without secrets.
    pub(super) fn shown(&self) -> String {
        // What is quoted ends a word, so that the parenthesis that follows is one of its own.
        let mut shown = self.arguments.join(" ").replace(" )", ")");
        let name = self.name.to_ascii_lowercase();
        // A header, or a variable, whose name says that its value is a secret.
        if SETTERS.contains(&name.as_str())
            && let Some(at) = self
                .arguments
                .iter()
                .take(2)
                .position(|argument| names_a_secret(argument))
        {
            shown = self.arguments[..=at].join(" ") + HIDDEN;
        }
        if name == "authbasicfake" {
            shown = self.value().to_owned() + HIDDEN;
        }
        if CONDITIONS.contains(&name.as_str()) {
            shown = without_comparison(&shown);
        }
        plain(
            format!("{} {}", self.name, without_credentials(&shown)).trim_end(),
            MAX_SHOWN,
        )
    }
}

/// What stands for a secret.
const HIDDEN: &str = " (not shown)";

/// Whether what follows is probably a secret.
pub(super) fn names_a_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "authorization",
        "api-key",
        "apikey",
        "api_key",
        "token",
        "secret",
        "password",
        "cookie",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// What a header, a cookie or an argument of a request is compared with may be a password.
fn without_comparison(text: &str) -> String {
    const PARTS: [&str; 7] = [
        "$http_", "$cookie_", "$arg_", "%{HTTP:", "%{HTTP_", "req(", "http(",
    ];
    const HARMLESS: [&str; 5] = [
        "host",
        "user_agent",
        "user-agent",
        "content_type",
        "content-type",
    ];
    let found = PARTS
        .iter()
        .filter_map(|part| text.find(part).map(|at| at + part.len()))
        .min();
    let Some(start) = found else {
        return text.to_owned();
    };
    let rest = text[start..].trim_start_matches(['\'', '"']);
    if HARMLESS.iter().any(|name| {
        rest.get(..name.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(name))
    }) {
        return text.to_owned();
    }
    let start = text.len() - rest.len();
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c))
        .unwrap_or(rest.len());
    text[..start + end].to_owned() + HIDDEN
}

/// Without what follows `Bearer` or `Basic`, or stands before the host of a URL.
fn without_credentials(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let ends = ["bearer", "basic"]
        .iter()
        .flat_map(|scheme| lower.match_indices(scheme).map(|(at, it)| at + it.len()));
    let is_followed = |end: &usize| lower[*end..].starts_with([' ', '\t', '\\', '+', '%']);
    let mut shown = text.to_owned();
    if let Some(end) = ends.filter(is_followed).min() {
        shown.truncate(end);
        shown.push_str(HIDDEN);
    }
    if let Some((before, after)) = shown.clone().split_once("://")
        && let Some((_, host)) = after.split_once('@')
    {
        shown = format!("{before}://(not shown)@{host}");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn secrets_are_not_shown() {
        for (text, shown) in [
            ("listen 443 ssl", "listen 443 ssl"),
            (
                "if ($http_authorization != Bearer\u{a0}hunter2 )",
                "if ($http_authorization (not shown)",
            ),
            (
                "if ($http_x_api_key !~ ^hunter2$)",
                "if ($http_x_api_key (not shown)",
            ),
            (
                "if ($http_host != a.example)",
                "if ($http_host != a.example)",
            ),
            (
                "if ($ssl_client_s_dn !~ CN=a)",
                "if ($ssl_client_s_dn !~ CN=a)",
            ),
            (
                "proxy_set_header Authorization hunter2",
                "proxy_set_header Authorization (not shown)",
            ),
            (
                "proxy_set_header X-Api-Key hunter2",
                "proxy_set_header X-Api-Key (not shown)",
            ),
            (
                "proxy_set_header X-Auth Basic\u{20}hunter2",
                "proxy_set_header X-Auth Basic (not shown)",
            ),
            ("server_tokens off", "server_tokens off"),
            ("set $token hunter2", "set $token (not shown)"),
            (
                "RequestHeader set X-Token hunter2",
                "RequestHeader set X-Token (not shown)",
            ),
            (
                "Require expr req('X-Key') == 'hunter2'",
                "Require expr req('X-Key (not shown)",
            ),
            (
                "Require expr %{HTTP:X-Key} == hunter2",
                "Require expr %{HTTP:X-Key (not shown)",
            ),
            (
                "RewriteCond %{HTTP:X-Key} !=hunter2",
                "RewriteCond %{HTTP:X-Key (not shown)",
            ),
            (
                "AuthBasicFake netdata hunter2",
                "AuthBasicFake netdata (not shown)",
            ),
            ("AuthType Basic", "AuthType Basic"),
            (
                "auth_basic_user_file /etc/basic.users",
                "auth_basic_user_file /etc/basic.users",
            ),
            (
                "proxy_pass http://a:hunter2@b/",
                "proxy_pass http://(not shown)@b/",
            ),
            ("return 200 a\nb\u{1b}", "return 200 a\u{fffd}b\u{fffd}"),
        ] {
            let mut words = text.split(' ').map(str::to_owned);
            let place = SourceLocation {
                file: Path::new("x").into(),
                line: 1,
            };
            let name = words.next().unwrap();
            let directive = Directive {
                name,
                arguments: words.collect(),
                block: None,
                place,
                id: 0,
            };
            assert_eq!(directive.shown(), shown);
        }
    }
}
