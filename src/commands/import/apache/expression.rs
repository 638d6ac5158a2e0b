//! Expressions on requests: `Require expr`, `SSLRequire`, `<If>`.

use crate::commands::import::access::Input;
use crate::commands::import::subject_match::{Comparison, Rendering};

/// How deep parentheses may be nested.
const MAX_DEPTH: usize = 32;

/// A comparison of a variable with texts, of which one is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// As Apache calls it: `SSL_CLIENT_S_DN_CN`, or `HTTP:Authorization`.
    pub(super) variable: String,
    pub(super) patterns: Vec<(String, Comparison)>,
    /// True where none of them fits.
    pub(super) is_negated: bool,
}

impl Test {
    /// What it looks at.
    pub(super) fn input(&self) -> Input {
        let name = self.variable.trim_start_matches("SSL:");
        match name.to_ascii_uppercase().as_str() {
            "SSL_CLIENT_S_DN_CN" | "SSL_CLIENT_S_DN_CN_0" => Input::Subject(Rendering::CommonName),
            "SSL_CLIENT_S_DN" => Input::Subject(Rendering::Rfc2253),
            "SSL_CLIENT_VERIFY" => Input::Verification,
            "HTTP:AUTHORIZATION" | "HTTP_AUTHORIZATION" => Input::Authorization,
            "REQUEST_METHOD" => Input::Other("request_method".into()),
            "HTTP_HOST" | "HTTP:HOST" | "SERVER_NAME" => Input::Other("host".into()),
            "HTTPS" | "REQUEST_SCHEME" => Input::Other("scheme".into()),
            "REMOTE_ADDR" => Input::Other("remote_addr".into()),
            "HTTP:CONTENT-TYPE" | "CONTENT_TYPE" => Input::Other("content_type".into()),
            name if name.starts_with("SSL_CLIENT_I_DN") => Input::Issuer,
            name if name.starts_with("SSL_CLIENT_S_DN_") => Input::OtherSubject,
            _ => Input::Other(name.to_owned()),
        }
    }
}

/// The tests of which all must hold; `None` where an expression is not of that form.
pub(super) fn tests(text: &str) -> Option<Vec<Test>> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens };
    let tests = parser.any(MAX_DEPTH)?;
    parser.tokens.is_empty().then_some(tests)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Variable(String),
    Text(String),
    Expression(String, bool),
    Symbol(String),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = if let Some(inner) = rest.strip_prefix("%{") {
            let (name, after) = inner.split_once('}')?;
            tokens.push(Token::Variable(name.to_owned()));
            after
        } else if first == '"' || first == '\'' {
            let (word, after) = rest[1..].split_once(first)?;
            // A variable may stand in quotes.
            let variable = word
                .strip_prefix("%{")
                .and_then(|word| word.strip_suffix('}'));
            tokens.push(variable.map_or_else(
                || Token::Text(word.to_owned()),
                |name| Token::Variable(name.to_owned()),
            ));
            after
        } else if let Some((expression, ignores_case, after)) = expression(rest, tokens.last()) {
            tokens.push(Token::Expression(expression, ignores_case));
            after
        } else {
            let symbols = [
                "&&", "||", "==", "!=", "=~", "!~", "(", ")", "{", "}", ",", "!", "=",
            ];
            match symbols.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => {
                    tokens.push(Token::Symbol((*symbol).to_owned()));
                    &rest[symbol.len()..]
                }
                None => {
                    let end = rest
                        .find(|c: char| c.is_whitespace() || "(){},!=&|\"'%".contains(c))
                        .unwrap_or(rest.len());
                    if end == 0 {
                        return None;
                    }
                    tokens.push(word(&rest[..end]));
                    &rest[end..]
                }
            }
        };
        rest = after.trim_start();
    }
    Some(tokens)
}

/// A word without quotes.
fn word(text: &str) -> Token {
    match text.to_ascii_lowercase().as_str() {
        "and" => Token::Symbol("&&".into()),
        "or" => Token::Symbol("||".into()),
        "not" => Token::Symbol("!".into()),
        "eq" | "-eq" => Token::Symbol("==".into()),
        "ne" | "-ne" => Token::Symbol("!=".into()),
        "in" | "-in" => Token::Symbol("in".into()),
        "req" | "http" | "reqenv" | "env" => Token::Symbol(text.to_ascii_lowercase()),
        _ => Token::Text(text.to_owned()),
    }
}

/// `m#…#i` or `/…/i`, behind an operator that takes one.
fn expression<'t>(text: &'t str, before: Option<&Token>) -> Option<(String, bool, &'t str)> {
    match before {
        Some(Token::Symbol(symbol)) if symbol == "=~" || symbol == "!~" => {}
        _ => return None,
    }
    let rest = text.strip_prefix('m').unwrap_or(text);
    let delimiter = rest.chars().next().filter(char::is_ascii_punctuation)?;
    let (expression, after) = rest[1..].split_once(delimiter)?;
    let flags = after
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(after.len());
    Some((
        expression.to_owned(),
        after[..flags].contains('i'),
        &after[flags..],
    ))
}

struct Parser<'t> {
    tokens: &'t [Token],
}

impl Parser<'_> {
    fn takes(&mut self, symbol: &str) -> bool {
        match self.tokens.split_first() {
            Some((Token::Symbol(next), rest)) if next == symbol => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }

    fn next(&mut self) -> Option<Token> {
        let (next, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(next.clone())
    }

    /// Alternatives, where they are about the same variable.
    fn any(&mut self, depth: usize) -> Option<Vec<Test>> {
        let mut tests = self.all(depth)?;
        while self.takes("||") {
            let more = self.all(depth)?;
            let ([one], [other]) = (&mut tests[..], &more[..]) else {
                return None;
            };
            if one.variable != other.variable || one.is_negated || other.is_negated {
                return None;
            }
            one.patterns.extend(other.patterns.iter().cloned());
        }
        Some(tests)
    }

    fn all(&mut self, depth: usize) -> Option<Vec<Test>> {
        let mut tests = self.one(depth)?;
        while self.takes("&&") {
            tests.extend(self.one(depth)?);
        }
        Some(tests)
    }

    fn one(&mut self, depth: usize) -> Option<Vec<Test>> {
        let depth = depth.checked_sub(1)?;
        if self.takes("!") {
            return match self.one(depth)?.as_mut_slice() {
                [test] => Some(vec![Test {
                    is_negated: !test.is_negated,
                    ..test.clone()
                }]),
                _ => None,
            };
        }
        if self.takes("(") {
            let tests = self.any(depth)?;
            return self.takes(")").then_some(tests);
        }
        self.test().map(|test| vec![test])
    }

    fn test(&mut self) -> Option<Test> {
        let variable = self.variable()?;
        let Token::Symbol(operator) = self.next()? else {
            return None;
        };
        let (patterns, is_negated) = match operator.as_str() {
            "==" | "=" => (vec![self.whole()?], false),
            "!=" => (vec![self.whole()?], true),
            "in" => (self.set()?, false),
            "=~" | "!~" => match self.next()? {
                Token::Expression(text, ignores_case) => (
                    vec![(text, Comparison::Expression { ignores_case })],
                    operator == "!~",
                ),
                _ => return None,
            },
            _ => return None,
        };
        Some(Test {
            variable,
            patterns,
            is_negated,
        })
    }

    /// `%{NAME}`, or `req('Name')` for a header of the request.
    fn variable(&mut self) -> Option<String> {
        match self.next()? {
            Token::Variable(name) => Some(name),
            Token::Symbol(function) => {
                let is_call = self.takes("(");
                let Token::Text(name) = self.next()? else {
                    return None;
                };
                let name = if function.ends_with("env") {
                    name
                } else {
                    format!("HTTP:{name}")
                };
                (is_call && self.takes(")")).then_some(name)
            }
            _ => None,
        }
    }

    fn whole(&mut self) -> Option<(String, Comparison)> {
        match self.next()? {
            Token::Text(text) => Some((text, Comparison::Whole)),
            _ => None,
        }
    }

    fn set(&mut self) -> Option<Vec<(String, Comparison)>> {
        if !self.takes("{") {
            return None;
        }
        let mut members = vec![self.whole()?];
        while self.takes(",") {
            members.push(self.whole()?);
        }
        self.takes("}").then_some(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As one line: what must hold.
    fn show(text: &str) -> String {
        let Some(found) = tests(text) else {
            return "?".into();
        };
        let show = |test: &Test| {
            let patterns: Vec<_> = test
                .patterns
                .iter()
                .map(|(text, comparison)| match comparison {
                    Comparison::Whole => text.clone(),
                    Comparison::Expression { ignores_case } => {
                        format!("/{text}/{}", if *ignores_case { "i" } else { "" })
                    }
                })
                .collect();
            format!(
                "{}{}:{}",
                if test.is_negated { "!" } else { "" },
                test.variable,
                patterns.join("|")
            )
        };
        found.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn conjunctions_of_comparisons_are_read() {
        for (text, expected) in [
            (
                "%{SSL_CLIENT_S_DN_CN} == 'app.netdata.cloud'",
                "SSL_CLIENT_S_DN_CN:app.netdata.cloud",
            ),
            ("%{SSL_CLIENT_S_DN_CN} eq \"a\"", "SSL_CLIENT_S_DN_CN:a"),
            ("\"%{SSL_CLIENT_S_DN_CN}\" = 'a'", "SSL_CLIENT_S_DN_CN:a"),
            ("(%{A} in {\"a\", 'b'} and %{B} -ne 'c')", "A:a|b !B:c"),
            ("%{A} =~ m#^CN=a/b#i && %{B} !~ /c/", "A:/^CN=a/b/i !B:/c/"),
            ("%{A} =~ /^a(b|c)$/", "A:/^a(b|c)$/"),
            ("! (%{A} == 'b')", "!A:b"),
            ("%{A} == 'a' || %{A} == 'b'", "A:a|b"),
            (
                "req('Authorization') == 'Bearer x'",
                "HTTP:Authorization:Bearer x",
            ),
            (
                "%{HTTP:Authorization} == 'Bearer x'",
                "HTTP:Authorization:Bearer x",
            ),
            ("%{A} == 'a' || %{B} == 'b'", "?"),
            ("%{A} == 'a' b", "?"),
            ("%{A}", "?"),
            ("%{A} == ", "?"),
            ("-R '10.0.0.0/8'", "?"),
            ("", "?"),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
        assert_eq!(
            show(&format!(
                "{}%{{A}} == 'a'{}",
                "(".repeat(1000),
                ")".repeat(1000)
            )),
            "?"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(%\\{[A-Z]{1,3}\\}|==|!=|=~|&&|\\|\\||[(){}, !'\"/m#]|in|and|req|\\PC){0,30}") {
            let _ = tests(&text);
        }
    }
}
