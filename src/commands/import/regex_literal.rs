//! Which few words a regular expression stands for, where it stands for few.

use crate::http::path::PathPattern;

/// Words that one expression may stand for.
const MAX_WORDS: usize = 64;

/// What the start of `pattern` stands for, and the rest: from there on it stands for more than a
/// few words.
///
/// An unescaped dot is taken for one. `also` are the characters, beside letters and digits, that
/// words consist of.
pub(super) fn expand<'p>(pattern: &'p str, also: &str) -> (Vec<String>, &'p str) {
    expand_with(pattern, also, false)
}

/// The same; what is optional may be there and may not.
fn expand_with<'p>(pattern: &'p str, also: &str, with_options: bool) -> (Vec<String>, &'p str) {
    let mut words = vec![String::new()];
    let mut rest = pattern;
    while let Some((mut alternatives, mut after)) = atom(rest, also) {
        if let Some(behind) = after.strip_prefix('?').filter(|_| with_options) {
            alternatives.push(String::new());
            after = behind;
        }
        if after.starts_with(['*', '+', '?', '{']) || words.len() * alternatives.len() > MAX_WORDS {
            break;
        }
        words = words
            .iter()
            .flat_map(|word| alternatives.iter().map(move |more| format!("{word}{more}")))
            .collect();
        rest = after;
    }
    (words, rest)
}

/// The paths of routes that match as an expression does; `None` where there are no such few.
pub(super) fn paths(pattern: &str) -> Option<Vec<String>> {
    const ANYTHING: [&str; 9] = [
        "",
        ".*",
        ".*$",
        "(.*)",
        "(.*)$",
        "(/|$)",
        "($|/)",
        "(/.*)?$",
        "(?:/.*)?$",
    ];
    let (mut paths, rest) = expand_with(pattern.strip_prefix('^')?, "-_.~/", true);
    if ANYTHING.contains(&rest) {
        paths = paths
            .iter()
            .map(|word| format!("{}/*", word.trim_end_matches('/')))
            .collect();
    } else if rest != "$" {
        return None;
    }
    paths.sort();
    paths.dedup();
    let is_plain = |path: &String| PathPattern::parse(path).is_ok();
    paths.iter().all(is_plain).then_some(paths)
}

/// Whether a route for `wider` is for `path` as well.
pub(super) fn covers(wider: &str, path: &str) -> bool {
    let path = path.strip_suffix("/*").unwrap_or(path);
    match wider.strip_suffix("/*") {
        Some(prefix) => path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        None => wider == path,
    }
}

/// A character, or a group of words, and what follows it; `None` where neither stands there.
fn atom<'p>(pattern: &'p str, also: &str) -> Option<(Vec<String>, &'p str)> {
    if let Some((character, after)) = character(pattern, also) {
        return Some((vec![character.to_string()], after));
    }
    let group = pattern.strip_prefix('(')?;
    let mut rest = group.strip_prefix("?:").unwrap_or(group);
    let mut words = vec![String::new()];
    loop {
        if let Some(after) = rest.strip_prefix(')') {
            return words
                .iter()
                .all(|word| !word.is_empty())
                .then_some((words, after));
        }
        if let Some(after) = rest.strip_prefix('|') {
            words.push(String::new());
            rest = after;
            continue;
        }
        let (character, after) = character(rest, also)?;
        words.last_mut()?.push(character);
        rest = after;
    }
}

fn character<'p>(pattern: &'p str, also: &str) -> Option<(char, &'p str)> {
    let mut characters = pattern.chars();
    let character = match characters.next()? {
        '\\' => characters
            .next()
            .filter(|c| !c.is_alphanumeric() && also.contains(*c))?,
        c if c.is_alphanumeric() || also.contains(c) => c,
        _ => return None,
    };
    Some((character, characters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_for_a_few_paths_become_those() {
        for (pattern, expected) in [
            ("^/a$", Some("/a")),
            ("^/a/?$", Some("/a /a/")),
            ("^/webhook(/pix)?$", Some("/webhook /webhook/pix")),
            ("^/a(.*)$", Some("/a/*")),
            ("^/a(/b)?(/c)?", Some("/a/* /a/b/* /a/b/c/* /a/c/*")),
            (r"^/(a|b)/c\.d$", Some("/a/c.d /b/c.d")),
            ("^/a/", Some("/a/*")),
            ("^/a/.*$", Some("/a/*")),
            ("^/a(/|$)", Some("/a/*")),
            ("^/.*", Some("/*")),
            ("/a$", None),
            (r"\.php$", None),
            (r"^/a/\d+$", None),
            ("^$", None),
        ] {
            assert_eq!(
                paths(pattern).map(|paths| paths.join(" ")).as_deref(),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn words_are_read_up_to_where_anything_may_follow() {
        for (pattern, words, rest) in [
            ("abc", &["abc"][..], ""),
            (r"a\.b.c$", &["a.b.c"], "$"),
            ("(a|b)/(?:c|d)x", &["a/cx", "a/dx", "b/cx", "b/dx"], ""),
            ("a(b)?", &["a"], "(b)?"),
            ("a.*", &["a"], ".*"),
            ("ab+", &["a"], "b+"),
            (r"a\d", &["a"], r"\d"),
            ("a(b|)", &["a"], "(b|)"),
            ("a(b", &["a"], "(b"),
            ("(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)", &[], "(a|b)"),
            ("", &[""], ""),
        ] {
            let found = expand(pattern, "./");
            assert_eq!(found.1, rest, "{pattern}");
            assert!(words.is_empty() || found.0 == words, "{pattern}: {found:?}");
        }
    }
}
