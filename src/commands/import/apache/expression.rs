//! Conditions on requests: the expressions of `Require expr`, `SSLRequire` and `<If>`, and
//! `RewriteCond`.

use crate::commands::import::access::{Input, MatchedRequests};
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal::expression;
use crate::commands::import::subject_match::{Comparison, Rendering};
use regex::Regex;
use std::sync::LazyLock;

/// A comparison, up to the `&&` that follows it. Without alternatives, parentheses change nothing.
static COMPARISON: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r##"(?x) ^ [(\s]* "?%\{ (?<variable> [\w:-]+ ) \}"?
        \s* (?<operator> =~ | !~ | == | != | = | -?eq\b | -?ne\b ) \s*
        (?: '(?<single> [^']* )' | "(?<double> [^"]* )" | (?<word> [^\s(){},!=&|"'%/\#]+ )
          | m?/(?<slashed> [^/]* )/(?<slashed_i> i? ) | m\#(?<hashed> [^\#]* )\#(?<hashed_i> i? ) )
        [)\s]* (?: $ | && | and\b )"##;
    expression(pattern)
});

/// Reads comparisons that must all hold; `None` for an expression in any other form.
pub(super) fn requests<'t>(
    directive: &'t Directive,
    text: &str,
) -> Option<Vec<MatchedRequests<'t>>> {
    let mut all = Vec::new();
    let mut rest = text;
    while all.is_empty() || !rest.is_empty() {
        let found = COMPARISON.captures(rest)?;
        rest = &rest[found[0].len()..];
        let first = |names: &[&str]| names.iter().find_map(|name| found.name(name));
        let operator = &found["operator"];
        let (text, comparison) = if operator.ends_with('~') {
            let flags = first(&["slashed_i", "hashed_i"])?;
            let ignores_case = !flags.is_empty();
            let pattern = first(&["slashed", "hashed"])?;
            (pattern, Comparison::Expression { ignores_case })
        } else {
            (first(&["single", "double", "word"])?, Comparison::Whole)
        };
        let is_negated = operator.starts_with('!') || operator.ends_with("ne");
        let text = text.as_str();
        if text.contains("%{") {
            return None;
        }
        let input = input(&found["variable"]);
        all.push(MatchedRequests::of(
            input, directive, text, comparison, is_negated,
        ));
    }
    Some(all)
}

/// Returns the requests that a `RewriteCond` matches; `None` if it is not understood.
pub(super) fn condition(directive: &Directive) -> Option<MatchedRequests<'_>> {
    let [subject, pattern, ..] = directive.arguments.as_slice() else {
        return None;
    };
    let variable = subject
        .strip_prefix("%{")
        .and_then(|it| it.strip_suffix('}'));
    let is_file = subject.contains("FILENAME") || subject.contains("DOCUMENT_ROOT");
    let input = match variable {
        _ if is_file => Input::Other("request_filename".to_owned()),
        variable => input(variable.unwrap_or(subject)),
    };
    let plain = pattern.trim_start_matches('!');
    let ignores_case = has_flag(directive, "NC");
    let (text, comparison) = match plain.strip_prefix('=') {
        Some(text) => (text.trim_matches('"'), Comparison::Whole),
        None => (plain, Comparison::Expression { ignores_case }),
    };
    let is_negated = pattern.starts_with('!');
    Some(MatchedRequests::of(
        input, directive, text, comparison, is_negated,
    ))
}

/// Returns whether a `RewriteCond` has a flag.
pub(super) fn has_flag(condition: &Directive, flag: &str) -> bool {
    condition.argument(2).to_ascii_uppercase().contains(flag)
}

/// Returns the input that a variable of Apache stands for.
fn input(variable: &str) -> Input {
    let name = variable.trim_start_matches("SSL:").to_ascii_lowercase();
    let name = name.replace([':', '-'], "_");
    match name.as_str() {
        "ssl_client_s_dn_cn" | "ssl_client_s_dn_cn_0" => Input::Subject(Rendering::CommonName),
        "ssl_client_s_dn" => Input::Subject(Rendering::Rfc2253),
        "ssl_client_verify" => Input::Verification,
        "http_authorization" => Input::Authorization,
        "request_scheme" => Input::Other("scheme".to_owned()),
        name if name.starts_with("ssl_client_i_dn") => Input::Issuer,
        name if name.starts_with("ssl_client_s_dn_") => Input::OtherSubject,
        _ => Input::Other(name),
    }
}
