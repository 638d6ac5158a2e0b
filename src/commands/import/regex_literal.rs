//! Regular expressions, and the few words that one matches.

use crate::http::path::PathPattern;
use regex::Regex;
use std::sync::LazyLock;

/// Maximum number of words that one expression may match.
const MAX_WORDS: usize = 64;

/// Ends of expressions after which any path may follow, beginning with none.
const ANYTHING: &str = " .* .*$ (.*) (.*)$ (/|$) ($|/) (/.*)?$ (?:/.*)?$";

/// A character, which may be escaped unless that makes it a class, or a group of such words.
static ATOM: LazyLock<Regex> = LazyLock::new(|| {
    let character = r"\\[^\w\\]|[^\\^$|?*+(){}\[\]]";
    expression(&format!(
        r"^(?:({character})|\((?:\?:)?((?:{character}|\|)+)\))"
    ))
});

/// Compiles an expression of this program.
pub(super) fn expression(text: &str) -> Regex {
    Regex::new(text).expect("the expression is valid")
}

/// Returns the few words that the start of `pattern` matches, and the rest.
///
/// An unescaped dot is taken for a dot. `also` are the characters of words in addition to letters
/// and digits. With `optional`, a part with a question mark may be there or not.
pub(super) fn expand<'p>(pattern: &'p str, also: &str, optional: bool) -> (Vec<String>, &'p str) {
    let mut words = vec![String::new()];
    let mut rest = pattern;
    while let Some((mut alternatives, mut after)) = atom(rest, also) {
        if let Some(behind) = after.strip_prefix('?').filter(|_| optional) {
            alternatives.push(String::new());
            after = behind;
        }
        if after.starts_with(['*', '+', '?', '{']) || words.len() * alternatives.len() > MAX_WORDS {
            break;
        }
        let with_each = |word: &String| {
            let longer = alternatives.iter().map(|more| format!("{word}{more}"));
            longer.collect::<Vec<_>>()
        };
        words = words.iter().flat_map(with_each).collect();
        rest = after;
    }
    (words, rest)
}

/// Returns the paths of routes that match as an expression does; `None` if there are no such few.
pub(super) fn paths(pattern: &str) -> Option<Vec<String>> {
    let (mut paths, rest) = expand(pattern.strip_prefix('^')?, "-_.~/", true);
    if ANYTHING.split(' ').any(|end| end == rest) {
        for path in &mut paths {
            *path = format!("{}/*", path.trim_end_matches('/'));
        }
    } else if rest != "$" {
        return None;
    }
    paths.sort();
    paths.dedup();
    let is_plain = |path: &String| PathPattern::parse(path).is_ok();
    paths.iter().all(is_plain).then_some(paths)
}

/// Returns `true` if a route for `wider` is for `path` as well.
pub(super) fn covers(wider: &str, path: &str) -> bool {
    let Some(prefix) = wider.strip_suffix("/*") else {
        return wider == path.strip_suffix("/*").unwrap_or(path);
    };
    let path = path.strip_suffix("/*").unwrap_or(path);
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Splits off a character or a group of words, if the pattern starts with one.
fn atom<'p>(pattern: &'p str, also: &str) -> Option<(Vec<String>, &'p str)> {
    let found = ATOM.captures(pattern)?;
    let text = found.get(1).or(found.get(2))?.as_str();
    let words: Vec<_> = text.split('|').map(|it| it.replace('\\', "")).collect();
    let is_part = |c: char| c.is_alphanumeric() || also.contains(c);
    let is_word = |it: &String| !it.is_empty() && it.chars().all(is_part);
    let rest = &pattern[found[0].len()..];
    words.iter().all(is_word).then_some((words, rest))
}
