//! Reads an NGINX configuration into a tree of directives, with included files in their place.

use crate::commands::import::directive::{Directive, SourceLocation};
use crate::commands::import::regex_literal::expression;
use crate::commands::import::sources::{Parsed, SourceFiles, TreeReader};
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

/// The reader of NGINX's syntax.
pub(super) struct NginxReader(pub(super) SourceFiles);

/// Directives, and the place of the `}` behind them.
type NginxBlock = (Vec<Directive>, Option<SourceLocation>);

impl TreeReader for NginxReader {
    fn sources(&mut self) -> &mut SourceFiles {
        &mut self.0
    }

    fn text(&mut self, path: &Path, text: &str) -> Parsed<Vec<Directive>> {
        let mut file = NginxFile {
            path: path.into(),
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
        };
        match self.block(&mut file)? {
            (block, None) => Ok(block),
            (_, Some(place)) => Err(place.error("there is no block that this } closes: remove it")),
        }
    }
}

impl NginxReader {
    /// Reads up to a `}`, or to the end of the file.
    fn block(&mut self, file: &mut NginxFile<'_>) -> Parsed<NginxBlock> {
        let mut block = Vec::new();
        let mut current: Option<Directive> = None;
        while let Some((token, place)) = file.next()? {
            match (token, current.take()) {
                ("}", unfinished) => {
                    block.extend(unfinished);
                    return Ok((block, Some(place)));
                }
                (";", Some(directive)) => block.extend(self.include(directive)?),
                ("{", Some(directive)) => block.push(self.section(directive, file)?),
                (";" | "{", None) => {
                    return Err(place.error("there is no directive before this: remove it"));
                }
                (word, Some(mut directive)) => {
                    directive.arguments.push(unquoted(word));
                    current = Some(directive);
                }
                (word, None) => {
                    current = Some(self.0.directive(unquoted(word), place)?);
                }
            }
        }
        Ok((block, None))
    }

    /// Reads the block of a directive, whose `{` has been read.
    fn section(&mut self, mut open: Directive, file: &mut NginxFile<'_>) -> Parsed<Directive> {
        if open.name.ends_with("_by_lua_block") {
            file.skip_lua()?;
            return Ok(open);
        }
        let (block, end) = self.nested(&open.place, |reader| reader.block(file))?;
        if end.is_none() {
            let message = "this block has no end: write the missing }";
            return Err(open.place.error(message));
        }
        open.block = Some(block);
        Ok(open)
    }

    /// Replaces an `include` by the directives of its files. Where a file is missing, it stays.
    fn include(&mut self, directive: Directive) -> Parsed<Vec<Directive>> {
        let files = match (directive.name.as_str(), &directive.arguments[..]) {
            ("include", [name]) => self.included(Path::new(name), &directive.place)?,
            _ => None,
        };
        Ok(files.unwrap_or_else(|| vec![directive]))
    }
}

/// The part of a file that has not been read yet.
struct NginxFile<'t> {
    path: Arc<Path>,
    rest: &'t str,
    line: usize,
}

impl<'t> NginxFile<'t> {
    /// Returns the next word or separator and its place, or `None` at the end of the file.
    fn next(&mut self) -> Parsed<Option<(&'t str, SourceLocation)>> {
        self.take(&BLANK);
        let place = self.place();
        let token = self.take(&TOKEN);
        if token.is_none() && !self.rest.is_empty() {
            return Err(place.error("this quoted string has no end: write the missing quote"));
        }
        Ok(token.map(|token| (token, place)))
    }

    /// Skips a block of Lua, whose `{` has been read, up to the brace that closes it.
    fn skip_lua(&mut self) -> Parsed<()> {
        let place = self.place();
        let mut depth = 1;
        while depth > 0 {
            match self.take(&LUA) {
                Some("{") => depth += 1,
                Some("}") => depth -= 1,
                Some(_) => {}
                None => return Err(place.error("this block of Lua has no end: write a }")),
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
fn unquoted(word: &str) -> String {
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
