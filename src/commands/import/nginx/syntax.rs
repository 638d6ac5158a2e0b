//! Splits an NGINX configuration file into words and separators, as NGINX does.

use crate::commands::import::directive::{ImportError, SourceLocation};
use crate::commands::import::regex_literal::expression;
use regex::{Captures, Regex};
use std::path::Path;
use std::sync::{Arc, LazyLock};

static BLANK: LazyLock<Regex> = LazyLock::new(|| expression(r"^(?:[ \t\r\n]|#[^\n]*)*"));

/// A separator, a quoted word or a plain word. The brace of `${name}` is part of a word, and so is
/// the character behind a backslash.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    expression(concat!(
        r#"(?s)^(?:[;{}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"#,
        r#"|(?:\\.?|\$\{|[^ \t\r\n;{}"'\\])(?:\\.?|\$\{|[^ \t\r\n;{\\])*)"#
    ))
});

static ESCAPE: LazyLock<Regex> = LazyLock::new(|| expression(r#"\\(["'\\trn])"#));

/// A brace of Lua, or a string or a comment, in which braces do not count.
static LUA: LazyLock<Regex> = LazyLock::new(|| {
    expression(concat!(
        r"(?s)(?:--)?\[\[.*?(?:\]\]|\z)|(?:--)?\[=\[.*?(?:\]=\]|\z)|--[^\n]*",
        r#"|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?|[{}]"#
    ))
});

/// A word without its quotes and escapes, or one of the separators `;`, `{` and `}`.
pub(super) type NginxToken = Result<String, char>;

/// The part of a file that has not been read yet.
#[derive(Debug)]
pub(super) struct NginxFile<'t> {
    path: Arc<Path>,
    rest: &'t str,
    line: usize,
}

impl<'t> NginxFile<'t> {
    pub(super) fn new(path: &Path, text: &'t str) -> Self {
        Self {
            path: path.into(),
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
        }
    }

    /// Returns the next token and its place, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<(NginxToken, SourceLocation)>, ImportError> {
        self.take(&BLANK);
        let place = self.place();
        let token = match self.take(&TOKEN) {
            Some(";") => Err(';'),
            Some("{") => Err('{'),
            Some("}") => Err('}'),
            Some(word) => Ok(unquote(word)),
            None if self.rest.is_empty() => return Ok(None),
            None => {
                let message = "this quoted string has no end: write the missing quote";
                return Err(place.error(message));
            }
        };
        Ok(Some((token, place)))
    }

    /// Skips a block of Lua, whose `{` has been read, up to the brace that closes it.
    pub(super) fn skip_lua(&mut self) -> Result<(), ImportError> {
        let place = self.place();
        let mut depth = 1;
        while depth > 0 {
            match self.take(&LUA) {
                Some("{") => depth += 1,
                Some("}") => depth -= 1,
                Some(_) => {}
                None => {
                    let message = "this block of Lua has no end: write the missing }";
                    return Err(place.error(message));
                }
            }
        }
        Ok(())
    }

    /// Takes the text up to the end of the next match.
    fn take(&mut self, expression: &Regex) -> Option<&'t str> {
        let found = expression.find(self.rest)?;
        let (taken, rest) = self.rest.split_at(found.end());
        self.rest = rest;
        self.line += taken.matches('\n').count();
        Some(found.as_str())
    }

    fn place(&self) -> SourceLocation {
        SourceLocation {
            file: self.path.clone(),
            line: self.line,
        }
    }
}

/// Removes the quotes and escapes of a word. Regular expressions have escapes of their own.
fn unquote(word: &str) -> String {
    let inner = match word.strip_prefix(['"', '\'']) {
        Some(rest) => &rest[..rest.len() - 1],
        None => word,
    };
    let meaning = |escape: &Captures<'_>| match &escape[1] {
        "t" => "\t".to_owned(),
        "r" => "\r".to_owned(),
        "n" => "\n".to_owned(),
        same => same.to_owned(),
    };
    ESCAPE.replace_all(inner, meaning).into_owned()
}
