//! Texts with variables, as NGINX has them.

use super::regex_literal::expression;
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// A variable, which may be in braces, or an escaped dollar sign.
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| expression(r"\$(?:\$|([A-Za-z0-9_]+)|\{([^}]*)\})"));

/// Replaces the variables of `text`. The error is the first one that is not known.
pub(super) fn expand(text: &str, known: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut unknown = None;
    let expanded = VARIABLE.replace_all(text, |found: &Captures<'_>| {
        let Some(name) = found.get(1).or(found.get(2)) else {
            return found[0].to_owned();
        };
        let Some(value) = known(name.as_str()) else {
            unknown.get_or_insert(name.as_str().to_owned());
            return String::new();
        };
        let after = found.get(0).map_or("", |all| &text[all.end()..]);
        apart(value, after)
    });
    unknown.map_or(Ok(expanded.into_owned()), Err)
}

/// Puts braces around a variable that would go on in what follows.
fn apart(value: String, after: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match value.strip_prefix('$') {
        Some(name) if after.starts_with(is_part) && name.chars().all(is_part) => {
            format!("${{{name}}}")
        }
        _ => value,
    }
}
