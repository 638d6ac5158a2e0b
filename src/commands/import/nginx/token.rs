//! Splits NGINX's configuration into words, as NGINX does.

/// A part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Without its quotes and escapes.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// What cannot be split, and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) message: &'static str,
}

/// The text that is left.
#[derive(Debug)]
pub(super) struct Tokens<'t> {
    rest: &'t [u8],
    line: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes(),
            line: 1,
        }
    }

    /// The next token and the line that it begins on; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Token, usize)>, Unreadable> {
        self.skip_blank();
        let line = self.line;
        let Some(&first) = self.rest.first() else {
            return Ok(None);
        };
        let token = match first {
            b';' => self.single(Token::End),
            b'{' => self.single(Token::Open),
            b'}' => self.single(Token::Close),
            b'"' | b'\'' => self.quoted(first)?,
            _ => self.plain(),
        };
        Ok(Some((token, line)))
    }

    /// What stands up to the brace that closes a block of Lua, whose `{` has been read.
    pub(super) fn lua(&mut self) -> Result<String, Unreadable> {
        let (line, start) = (self.line, self.rest);
        let unfinished = Unreadable {
            line,
            message: "this block of Lua has no end: write the missing }",
        };
        let mut depth = 1;
        while let Some(byte) = self.bump() {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b'"' | b'\'' => self.skip_lua_string(byte),
                b'-' if self.rest.starts_with(b"-") => {
                    self.bump();
                    if !self.skip_lua_brackets() {
                        self.skip_line();
                    }
                }
                b'[' => {
                    self.skip_lua_brackets_after_first();
                }
                _ => {}
            }
            if depth == 0 {
                let length = start.len() - self.rest.len() - 1;
                return Ok(String::from_utf8_lossy(&start[..length]).into_owned());
            }
        }
        Err(unfinished)
    }

    fn bump(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn single(&mut self, token: Token) -> Token {
        self.bump();
        token
    }

    fn skip_blank(&mut self) {
        while let Some(&byte) = self.rest.first() {
            match byte {
                b'#' => self.skip_line(),
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.bump();
                }
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        while self.rest.first().is_some_and(|byte| *byte != b'\n') {
            self.bump();
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Token, Unreadable> {
        let line = self.line;
        self.bump();
        let mut word = Vec::new();
        while let Some(byte) = self.bump() {
            if byte == quote {
                return match self.rest.first() {
                    None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => {
                        Ok(text(&word))
                    }
                    Some(_) => Err(Unreadable {
                        line: self.line,
                        message: "there must be a space or ; behind a quoted string: is a quote missing, or one too many?",
                    }),
                };
            }
            self.push(&mut word, byte);
        }
        Err(Unreadable {
            line,
            message: "this quoted string has no end: write the missing quote",
        })
    }

    fn plain(&mut self) -> Token {
        let mut word = Vec::new();
        while let Some(&byte) = self.rest.first() {
            // The brace of ${name} is part of the word.
            let is_variable = byte == b'{' && word.last() == Some(&b'$');
            if matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{') && !is_variable {
                break;
            }
            self.bump();
            self.push(&mut word, byte);
        }
        text(&word)
    }

    /// A byte, or what it means together with the next one.
    fn push(&mut self, word: &mut Vec<u8>, byte: u8) {
        if byte != b'\\' {
            return word.push(byte);
        }
        match self.bump() {
            Some(quoted @ (b'"' | b'\'' | b'\\')) => word.push(quoted),
            Some(b't') => word.push(b'\t'),
            Some(b'r') => word.push(b'\r'),
            Some(b'n') => word.push(b'\n'),
            // Regular expressions have escapes of their own.
            Some(other) => word.extend([b'\\', other]),
            None => word.push(b'\\'),
        }
    }

    fn skip_lua_string(&mut self, quote: u8) {
        while let Some(byte) = self.bump() {
            match byte {
                b'\\' => {
                    self.bump();
                }
                // A string ends with its line.
                b'\n' => return,
                _ if byte == quote => return,
                _ => {}
            }
        }
    }

    /// Skips `[[…]]` or `[=[…]=]`, if there is one here.
    fn skip_lua_brackets(&mut self) -> bool {
        if self.rest.first() != Some(&b'[') {
            return false;
        }
        self.bump();
        self.skip_lua_brackets_after_first()
    }

    fn skip_lua_brackets_after_first(&mut self) -> bool {
        let level = self.rest.iter().take_while(|byte| **byte == b'=').count();
        if self.rest.get(level) != Some(&b'[') {
            return false;
        }
        let end: Vec<u8> = [&b"]"[..], &vec![b'='; level], b"]"].concat();
        while !self.rest.is_empty() && !self.rest.starts_with(&end) {
            self.bump();
        }
        (0..end.len()).for_each(|_| {
            self.bump();
        });
        true
    }
}

fn text(word: &[u8]) -> Token {
    Token::Word(String::from_utf8_lossy(word).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> Result<Vec<Token>, Unreadable> {
        let mut tokens = Tokens::of(text);
        let mut all = Vec::new();
        while let Some((token, _)) = tokens.next()? {
            all.push(token);
        }
        Ok(all)
    }

    fn check(text: &str, expected: &[&str]) {
        let word = |token| match token {
            Token::Word(word) => word,
            Token::End => "END".to_owned(),
            Token::Open => "OPEN".to_owned(),
            Token::Close => "CLOSE".to_owned(),
        };
        assert_eq!(
            tokens(text)
                .unwrap()
                .into_iter()
                .map(word)
                .collect::<Vec<_>>(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn words_end_as_they_do_in_nginx() {
        check("listen 443 ssl;", &["listen", "443", "ssl", "END"]);
        check(
            "a b;# c\n#d\n\te{}",
            &["a", "b", "END", "e", "OPEN", "CLOSE"],
        );
        check("a b#c;", &["a", "b#c", "END"]);
        check(
            "a \"b ; { } # c\" 'd \"e';",
            &["a", "b ; { } # c", "d \"e", "END"],
        );
        check(
            r#"a "b\"c" 'd\'e' f\ g h\;i;"#,
            &["a", "b\"c", "d'e", r"f\ g", r"h\;i", "END"],
        );
        check(r"~ ^/a\.b\\c\td$ {", &["~", "^/a\\.b\\c\td$", "OPEN"]);
        check("set $a ${b}c{", &["set", "$a", "${b}c", "OPEN"]);
        check("if ($a = \"b\") {", &["if", "($a", "=", "b", ")", "OPEN"]);
        check("a \"b\"{", &["a", "b", "OPEN"]);
        check("a}b;", &["a}b", "END"]);
        check("a\"b\"c;", &["a\"b\"c", "END"]);
        check("\u{feff}a;", &["a", "END"]);
        check("", &[]);
    }

    #[test]
    fn strings_without_an_end_are_named_by_their_line() {
        let unreadable = |text| tokens(text).unwrap_err();
        assert_eq!(unreadable("a;\nb \"c\n\n").line, 2);
        assert_eq!(unreadable("a;\nb 'c'd;").line, 2);
    }

    #[test]
    fn lua_is_skipped_as_a_whole() {
        for lua in [
            " return {a = {}} ",
            " local a = '}' .. \"\\\"}\" ",
            " -- }\n --[[ }\n ]] --[==[ } ]] ]==] ",
            " local a = [[ } ]] .. b[c[1]] ",
            "",
        ] {
            let text = format!("{lua}}} next;");
            let mut tokens = Tokens::of(&text);
            assert_eq!(tokens.lua().as_deref(), Ok(lua));
            assert_eq!(
                tokens.next().unwrap().unwrap().0,
                Token::Word("next".into())
            );
        }
        assert!(Tokens::of(" { }").lua().is_err());
    }

    /// A word as NGINX would read it back.
    fn quote(word: &str) -> String {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(words in proptest::collection::vec("\\PC{0,12}|[ -~\\t\\n]{0,12}", 1..6)) {
            let text = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ") + ";";
            let expected: Vec<_> = words.into_iter().map(Token::Word).chain([Token::End]).collect();
            prop_assert_eq!(tokens(&text).unwrap(), expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "([ -~\\n]|\\PC){0,60}") {
            let _ = tokens(&text);
            let _ = Tokens::of(&text).lua();
        }
    }
}
