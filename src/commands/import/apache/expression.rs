//! Conditions on requests: the expressions of `Require expr`, `SSLRequire` and `<If>`.

use crate::commands::import::access::{Input, MatchedRequests};
use crate::commands::import::directive::Directive;
use crate::commands::import::regex_literal::expression;
use crate::commands::import::subject_match::{AccessPattern, Rendering};
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// A comparison, up to the `&&` that follows it. Without alternatives, parentheses change nothing.
static COMPARISON: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r##"(?x) ^ [(\s]* "?%\{ (?: SSL: )? (?<variable> [\w:-]+ ) \}"?
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
        all.push(comparison(directive, &found)?);
    }
    Some(all)
}

fn comparison<'t>(directive: &'t Directive, found: &Captures<'_>) -> Option<MatchedRequests<'t>> {
    let first = |names: &[&str]| {
        let found = names.iter().find_map(|name| found.name(name));
        found.map(|it| it.as_str())
    };
    let operator = &found["operator"];
    let (comparison, text) = if operator.ends_with('~') {
        let ignores_case = first(&["slashed_i", "hashed_i"])? == "i";
        let comparison = if ignores_case { "~*" } else { "~" };
        (comparison, first(&["slashed", "hashed"])?)
    } else {
        ("=", first(&["single", "double", "word"])?)
    };
    (!text.contains("%{")).then(|| MatchedRequests {
        input: input(&found["variable"]),
        patterns: vec![AccessPattern::of(comparison, text, directive)],
        inverted: operator.starts_with('!') || operator.ends_with("ne"),
    })
}

/// Returns the input that a variable of Apache stands for.
fn input(variable: &str) -> Input {
    let name = variable.to_ascii_lowercase().replace([':', '-'], "_");
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
