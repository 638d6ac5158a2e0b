//! Conditions on requests: the expressions of `Require expr`, `SSLRequire` and `<If>`, and
//! `RewriteCond`.

use crate::commands::import::access::{Input, MatchedRequests};
use crate::commands::import::directive::{Directive, is_listed};
use crate::commands::import::regex_literal::expression;
use crate::commands::import::subject_match::{Comparison, Rendering};
use regex::{Captures, Regex};
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
    let (text, comparison) = if operator.ends_with('~') {
        let ignores_case = first(&["slashed_i", "hashed_i"])? == "i";
        let pattern = first(&["slashed", "hashed"])?;
        (pattern, Comparison::Expression { ignores_case })
    } else {
        (first(&["single", "double", "word"])?, Comparison::Whole)
    };
    let is_inverted = operator.starts_with('!') || operator.ends_with("ne");
    let input = input(&found["variable"]);
    let requests = || MatchedRequests::of(input, directive, text, comparison, is_inverted);
    (!text.contains("%{")).then(requests)
}

/// Returns the requests that a `RewriteCond` matches; `None` if it is not understood.
pub(super) fn condition(directive: &Directive) -> Option<MatchedRequests<'_>> {
    let [subject, pattern, ..] = &directive.words()[..] else {
        return None;
    };
    let variable = subject.trim_start_matches("%{").trim_end_matches('}');
    let is_file = is_listed("*FILENAME* *DOCUMENT_ROOT*", subject);
    let (text, comparison) = compared(directive, pattern.trim_start_matches('!'));
    let name = if is_file {
        "REQUEST_FILENAME"
    } else {
        variable
    };
    let input = input(name);
    let is_inverted = pattern.starts_with('!');
    Some(MatchedRequests::of(
        input,
        directive,
        text,
        comparison,
        is_inverted,
    ))
}

/// Returns the text of a pattern, and how it is compared.
fn compared<'p>(condition: &Directive, pattern: &'p str) -> (&'p str, Comparison) {
    let ignores_case = has_flag(condition, "NC");
    match pattern.strip_prefix('=') {
        Some(text) => (text.trim_matches('"'), Comparison::Whole),
        None => (pattern, Comparison::Expression { ignores_case }),
    }
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
