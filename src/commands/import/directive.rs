//! Directives of NGINX and Apache, as a tree.

use super::location::SourceLocation;
use crate::sanitize::plain;

/// Characters of a directive that are shown.
const MAX_SHOWN: usize = 120;

/// Directives that set a header or a variable.
const SETTERS: [&str; 6] = [
    "proxy_set_header",
    "add_header",
    "set",
    "requestheader",
    "setenv",
    "setenvif",
];

/// Directives that examine a request.
const CONDITIONS: [&str; 6] = [
    "if",
    "elseif",
    "require",
    "sslrequire",
    "rewritecond",
    "setenvif",
];

/// Parts of names of headers and variables whose values are probably secrets.
const SECRETS: [&str; 8] = [
    "authorization",
    "api-key",
    "apikey",
    "api_key",
    "token",
    "secret",
    "password",
    "cookie",
];

/// The beginnings of the names of headers, cookies and arguments in conditions.
const REQUEST_PARTS: [&str; 7] = [
    "$http_", "$cookie_", "$arg_", "%{HTTP:", "%{HTTP_", "req(", "http(",
];

/// Headers whose values are never secrets.
const HARMLESS: [&str; 5] = [
    "host",
    "user_agent",
    "user-agent",
    "content_type",
    "content-type",
];

/// The replacement for a secret.
const HIDDEN: &str = " (not shown)";

/// A directive with its block.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
    pub(super) place: SourceLocation,
    /// A number that is unique, even if a file is included twice.
    pub(super) id: usize,
}

/// The directives in effect for one server or one of its locations.
pub(super) trait InEffect<'t> {
    /// Returns the directives of a name that are in effect together.
    fn all(&self, name: &str) -> Vec<&'t Directive>;

    /// Returns the last directive of a name, which overrides the others.
    fn one(&self, name: &str) -> Option<&'t Directive> {
        self.all(name).pop()
    }
}

impl Directive {
    /// Returns an argument, or nothing.
    pub(super) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// Returns the first argument.
    pub(super) fn value(&self) -> &str {
        self.argument(0)
    }

    /// Returns the first argument in lower case.
    pub(super) fn keyword(&self) -> String {
        self.value().to_ascii_lowercase()
    }

    /// Returns the arguments, for patterns.
    pub(super) fn words(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Returns the value of an argument `name=value`.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut arguments = self.arguments.iter();
        arguments.find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }

    /// Returns the directives of the block.
    pub(super) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Returns `true` if the directive, or one in its block, meets a condition.
    pub(super) fn holds(&self, is: &dyn Fn(&Directive) -> bool) -> bool {
        is(self) || self.children().iter().any(|child| child.holds(is))
    }

    /// Returns name and arguments on one line of bounded length, without secrets.
    pub(super) fn shown(&self) -> String {
        let name = self.name.to_ascii_lowercase();
        let is_secret = |argument: &String| names_a_secret(argument);
        let secret = match name.as_str() {
            "authbasicfake" => Some(0),
            name if SETTERS.contains(&name) => self.arguments.iter().take(2).position(is_secret),
            _ => None,
        };
        let mut shown = match secret {
            Some(at) => self.arguments[..self.arguments.len().min(at + 1)].join(" ") + HIDDEN,
            // A quoted argument ends a word, which separates the parenthesis that follows.
            None => self.arguments.join(" ").replace(" )", ")"),
        };
        if CONDITIONS.contains(&name.as_str()) {
            hide_comparison(&mut shown);
        }
        let shown = format!("{} {}", self.name, without_credentials(&shown));
        plain(shown.trim_end(), MAX_SHOWN)
    }
}

/// Returns `true` if the value that belongs to a name is probably a secret.
pub(super) fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|word| name.contains(word))
}

/// Hides the value that a header, a cookie or an argument of a request is compared with, because it
/// may be a password.
fn hide_comparison(text: &mut String) {
    let ends = REQUEST_PARTS
        .iter()
        .filter_map(|part| Some(text.find(part)? + part.len()));
    let Some(start) = ends.min() else {
        return;
    };
    let name = text[start..].trim_start_matches(['\'', '"']);
    let lower = name.to_ascii_lowercase();
    if HARMLESS.iter().any(|harmless| lower.starts_with(harmless)) {
        return;
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let rest = name.trim_start_matches(is_name).len();
    text.truncate(text.len() - rest);
    text.push_str(HIDDEN);
}

/// Hides what follows `Bearer` or `Basic`, and credentials in a URL.
fn without_credentials(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let schemes = ["bearer", "basic"].iter();
    let ends = schemes.flat_map(|scheme| lower.match_indices(scheme).map(|(at, it)| at + it.len()));
    let is_followed = |end: &usize| lower[*end..].starts_with([' ', '\t', '\\', '+', '%']);
    let shown = match ends.filter(is_followed).min() {
        Some(end) => text[..end].to_owned() + HIDDEN,
        None => text.to_owned(),
    };
    match shown
        .split_once("://")
        .map(|(before, after)| (before, after.split_once('@')))
    {
        Some((before, Some((_, host)))) => format!("{before}://(not shown)@{host}"),
        _ => shown,
    }
}
