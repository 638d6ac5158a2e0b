//! Shows the line of a syntax error without what may be a secret.

use super::error::SyntaxExcerpt;

/// Every key, each at the beginning of a line.
const EXAMPLE: &str = include_str!("../../conf/example.toml");

/// Keys whose values are no secrets, so that they are shown.
const SHOWN: [&str; 27] = [
    "https",
    "http",
    "http2",
    "proxy_protocol",
    "trusted_proxies",
    "allow",
    "listen",
    "min_version",
    "verify",
    "crl_coverage",
    "common_names",
    "threads",
    "shutdown_timeout",
    "handshake_timeout",
    "header_timeout",
    "body_timeout",
    "idle_timeout",
    "max_connections",
    "max_header_size",
    "max_buffered",
    "max_body",
    "requests_per_second",
    "burst",
    "path",
    "kind",
    "schema",
    "level",
];

/// Characters of a line that are shown.
const MAX_LINE: usize = 100;

/// What stands for text that is not shown.
const HIDDEN: char = '…';

/// Returns the column at `offset` of `text`, and its line with a mark below that column.
pub(super) fn excerpt(text: &str, offset: usize) -> SyntaxExcerpt {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let column = before[start..].chars().count();
    let (shown, mark) = match is_shown(line) {
        true => (line.to_owned(), column),
        false => conceal(line, column),
    };
    let shown: String = shown.chars().take(MAX_LINE).collect();
    let mark = " ".repeat(mark.min(MAX_LINE));
    SyntaxExcerpt {
        column: column + 1,
        text: format!("  | {shown}\n  | {mark}^"),
    }
}

/// Returns `true` if the line is one key whose value is no secret, and that value.
fn is_shown(line: &str) -> bool {
    let Some((key, value)) = line.split_once('=') else {
        return false;
    };
    SHOWN.contains(&key.trim()) && !value.contains('=') && !line.contains(char::is_control)
}

/// Returns the line without words that are not keys, and where the character at `column` is in it.
fn conceal(line: &str, column: usize) -> (String, usize) {
    let mut shown = String::new();
    let (mut mark, mut done) = (None, 0);
    for part in parts(line) {
        let length = part.chars().count();
        if mark.is_none() && column < done + length {
            let into = if is_plain(part) { column - done } else { 0 };
            mark = Some(shown.chars().count() + into);
        }
        done += length;
        match is_plain(part) {
            true => shown.push_str(part),
            false if shown.ends_with(HIDDEN) => {}
            false => shown.push(HIDDEN),
        }
    }
    let end = shown.chars().count();
    (shown, mark.unwrap_or(end))
}

/// Splits a line into words, and single characters between them.
fn parts(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = match is_of_word(first) {
            true => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (part, after) = rest.split_at(length);
        rest = after;
        Some(part)
    })
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Returns `true` for what every configuration has: keys, and what separates them.
fn is_plain(part: &str) -> bool {
    [" ", "=", "[", "]", "{", "}", ".", ","].contains(&part) || is_key(part)
}

fn is_key(word: &str) -> bool {
    let ends = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let names = |line: &str| match line.strip_prefix('[') {
        Some(table) => table.split(ends).any(|name| name == word),
        None => line.split(ends).next() == Some(word),
    };
    !word.is_empty() && EXAMPLE.lines().any(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, at: &str, column: usize, line: &str, mark: usize) {
        let found = excerpt(text, text.find(at).unwrap());
        let expected = format!("  | {line}\n  | {}^", " ".repeat(mark));
        assert_eq!((found.column, found.text), (column, expected), "{text}");
    }

    #[test]
    fn a_value_that_is_no_secret_is_shown_with_a_mark_below_its_fault() {
        check(
            "[listen]\nhttps = 0.0.0.0:8443\n",
            "0.0",
            9,
            "https = 0.0.0.0:8443",
            8,
        );
        check("[tls.client\nca = 1", "\nca", 12, "[tls.client", 11);
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let secret = "challenge_secret = hunter2 correct-horse";
        check(secret, "hunter2", 20, "challenge_secret = … …", 19);
        check(secret, "correct", 28, "challenge_secret = … …", 21);
        check("hunter2", "h", 1, "…", 0);
        check("path = x, token = hunter2", "x", 8, "path = …, … = …", 7);
    }
}
