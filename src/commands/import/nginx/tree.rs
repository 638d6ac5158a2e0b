//! NGINX's configuration as a tree of directives, with what is included in its place.

use super::token::{Token, Tokens};
use crate::commands::import::directive::Directive;
use crate::commands::import::location::{ImportError, SourceLocation};
use crate::commands::import::sources::{MAX_DEPTH, MAX_NESTING, MAX_PARTS, SourceFiles};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads `file` and what it includes. Names of files are relative to `prefix`, as NGINX has it,
/// wherever they stand.
pub(super) fn read(file: &Path, prefix: &Path) -> Result<Vec<Directive>, ImportError> {
    let mut reader = Reader {
        prefix,
        sources: SourceFiles::default(),
        parts: 0,
    };
    let start = SourceLocation::start_of(file);
    let mut all = Vec::new();
    reader.file(file, &start, 0, 0, &mut all)?;
    Ok(all)
}

struct Reader<'p> {
    prefix: &'p Path,
    sources: SourceFiles,
    /// How many words there were.
    parts: usize,
}

/// A file that is being read.
struct Open<'t> {
    file: Arc<Path>,
    tokens: Tokens<'t>,
    /// How many files are open.
    depth: usize,
}

impl Open<'_> {
    fn next(&mut self) -> Result<Option<(Token, SourceLocation)>, ImportError> {
        match self.tokens.next() {
            Ok(token) => Ok(token.map(|(token, line)| (token, self.place(line)))),
            Err(unreadable) => Err(ImportError::new(
                &self.place(unreadable.line),
                unreadable.message,
            )),
        }
    }

    fn place(&self, line: usize) -> SourceLocation {
        SourceLocation {
            file: self.file.clone(),
            line,
        }
    }
}

impl Reader<'_> {
    /// `named` is where the file is named, and `nesting` how many blocks that is in.
    fn file(
        &mut self,
        path: &Path,
        named: &SourceLocation,
        depth: usize,
        nesting: usize,
        into: &mut Vec<Directive>,
    ) -> Result<(), ImportError> {
        let text = self
            .sources
            .read(path)
            .map_err(|message| ImportError::new(named, message))?;
        let mut open = Open {
            file: path.into(),
            tokens: Tokens::of(&text),
            depth,
        };
        self.block(&mut open, None, nesting, into)
    }

    /// Up to the brace that closes the block that was opened at `opened`, or to the end of the
    /// file.
    fn block(
        &mut self,
        open: &mut Open<'_>,
        opened: Option<&SourceLocation>,
        nesting: usize,
        into: &mut Vec<Directive>,
    ) -> Result<(), ImportError> {
        loop {
            let Some((token, place)) = open.next()? else {
                return match opened {
                    None => Ok(()),
                    Some(opened) => Err(ImportError::new(
                        opened,
                        "this block has no end: write the missing }",
                    )),
                };
            };
            match (token, opened) {
                (Token::Word(name), _) => self.directive(open, name, place, nesting, into)?,
                (Token::Close, Some(_)) => return Ok(()),
                (Token::Close, None) => {
                    return Err(ImportError::new(
                        &place,
                        "there is no block that this } closes: remove it",
                    ));
                }
                (Token::End, _) => {
                    return Err(ImportError::new(
                        &place,
                        "there is no directive before this ;: remove it",
                    ));
                }
                (Token::Open, _) => {
                    return Err(ImportError::new(
                        &place,
                        "there is no directive before this {",
                    ));
                }
            }
        }
    }

    fn directive(
        &mut self,
        open: &mut Open<'_>,
        name: String,
        place: SourceLocation,
        nesting: usize,
        into: &mut Vec<Directive>,
    ) -> Result<(), ImportError> {
        let id = self.parts;
        let mut arguments = Vec::new();
        let block = loop {
            self.parts += 1;
            if self.parts > MAX_PARTS {
                return Err(ImportError::new(
                    &place,
                    format!("the configuration has more than {MAX_PARTS} words"),
                ));
            }
            match open.next()? {
                Some((Token::Word(word), _)) => arguments.push(word),
                Some((Token::End, _)) => break None,
                Some((Token::Open, _)) if name.ends_with("_by_lua_block") => {
                    let lua = open.tokens.lua();
                    arguments.push(
                        lua.map_err(|it| ImportError::new(&open.place(it.line), it.message))?,
                    );
                    break None;
                }
                Some((Token::Open, _)) => {
                    if nesting >= MAX_NESTING {
                        let message = format!(
                            "blocks are nested deeper than {MAX_NESTING}: NGINX has no use for that"
                        );
                        return Err(ImportError::new(&place, message));
                    }
                    let mut block = Vec::new();
                    self.block(open, Some(&place), nesting + 1, &mut block)?;
                    break Some(block);
                }
                Some((Token::Close, _)) | None => {
                    let message = format!("there is no ; behind the directive \"{name}\"");
                    return Err(ImportError::new(&place, message));
                }
            }
        };
        if name == "include"
            && let ([pattern], None) = (&arguments[..], &block)
            && self.include(pattern, &place, open.depth, nesting, into)?
        {
            return Ok(());
        }
        into.push(Directive {
            name,
            arguments,
            block,
            place,
            id,
        });
        Ok(())
    }

    /// Puts the files in the place where they are named; says whether there are any.
    fn include(
        &mut self,
        pattern: &str,
        place: &SourceLocation,
        depth: usize,
        nesting: usize,
        into: &mut Vec<Directive>,
    ) -> Result<bool, ImportError> {
        if depth >= MAX_DEPTH {
            let message = format!(
                "files include each other deeper than {MAX_DEPTH}: does one include itself?"
            );
            return Err(ImportError::new(place, message));
        }
        let path = self.prefix.join(pattern);
        let found = self
            .sources
            .matching(&path)
            .map_err(|message| ImportError::new(place, message))?;
        let paths: Vec<PathBuf> = match found {
            Some(paths) => paths,
            None if path.exists() => vec![path],
            None => return Ok(false),
        };
        paths
            .iter()
            .try_for_each(|path| self.file(path, place, depth + 1, nesting, into))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Vec<Directive>, ImportError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        std::fs::write(directory.path().join("one.inc"), "one;\n").unwrap();
        std::fs::write(
            directory.path().join("two.inc"),
            "\ntwo { include one.inc; }",
        )
        .unwrap();
        std::fs::write(directory.path().join("self.inc"), "include self.inc;").unwrap();
        read(&file, directory.path())
    }

    /// As one line, each directive with its line.
    fn show(directives: &[Directive]) -> String {
        let show = |it: &Directive| {
            let block = it
                .block
                .as_ref()
                .map_or_else(String::new, |block| format!("{{{}}}", show(block)));
            format!(
                "{}:{}{}{block}",
                it.place.line,
                it.name,
                it.arguments
                    .iter()
                    .map(|a| format!(" {a}"))
                    .collect::<String>()
            )
        };
        directives.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn blocks_and_files_are_put_where_they_are_named() {
        for (text, expected) in [
            ("", ""),
            ("a;\n b c\n d;", "1:a 2:b c d"),
            ("a {\n b {} \n} c;", "1:a{2:b{}} 3:c"),
            ("a;\ninclude two.inc;\nb;", "1:a 2:two{1:one} 3:b"),
            ("a { include *.inc2; }", "1:a{}"),
            ("include [ot]*.inc;", "1:one 2:two{1:one}"),
            (
                "content_by_lua_block { if a then b = {} end } a;",
                "1:content_by_lua_block  if a then b = {} end  1:a",
            ),
            ("map $a $b { include x y; }", "1:map $a $b{1:include x y}"),
            ("a;\ninclude missing.conf;", "1:a 2:include missing.conf"),
        ] {
            assert_eq!(show(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_has_a_place_and_a_remedy() {
        for (text, line, message) in [
            ("a;\nb {\n c;\n", 2, "write the missing }"),
            ("a;\n}", 2, "there is no block that this } closes"),
            ("a\nb", 1, "no ; behind the directive \"a\""),
            ("a { b }", 1, "no ; behind the directive \"b\""),
            (";", 1, "remove it"),
            ("{}", 1, "no directive before this {"),
            ("a \"b", 1, "write the missing quote"),
            ("include self.inc;", 1, "does one include itself?"),
            (&"a {".repeat(100), 1, "nested deeper than 64"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.place.line == line && error.message.contains(message),
                "{text}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z]{1,3}|[ ;{}#\"'\\\\\\n]|include [a-z*]{1,8}\\.inc;|\\PC){0,60}") {
            let _ = parse(&text);
        }
    }
}
