//! Apache's configuration as a tree of directives, with what is included in its place.

use crate::commands::import::directive::Directive;
use crate::commands::import::location::{ImportError, SourceLocation};
use crate::commands::import::sources::{MAX_DEPTH, MAX_NESTING, MAX_PARTS, SourceFiles};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was read.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) directives: Vec<Directive>,
    /// What relative names are relative to.
    pub(super) root: PathBuf,
}

/// Modules that are always there.
const BUILT_IN: [&str; 8] = [
    "core",
    "so",
    "http",
    "log_config",
    "logio",
    "version",
    "unixd",
    "watchdog",
];

/// Modules that are taken for absent where nothing is said about them.
const UNUSUAL: [&str; 7] = [
    "gnutls",
    "nss",
    "security2",
    "evasive20",
    "evasive",
    "pagespeed",
    "mpm_itk",
];

/// The version that `<IfVersion>` is about.
const VERSION: [u32; 3] = [2, 4, 62];

/// Reads `file` and what it includes. Names of files are relative to `root`, or to `ServerRoot`
/// once that is set.
pub(super) fn read(file: &Path, root: &Path) -> Result<Tree, ImportError> {
    let mut reader = Reader {
        root: root.to_owned(),
        ..Reader::default()
    };
    let start = SourceLocation {
        file: file.into(),
        line: 1,
    };
    let mut directives = Vec::new();
    reader.file(file, &start, 0, 0, &mut directives)?;
    Ok(Tree {
        directives,
        root: reader.root,
    })
}

#[derive(Default)]
struct Reader {
    root: PathBuf,
    sources: SourceFiles,
    /// How many words there were.
    parts: usize,
    /// What `Define` says.
    defined: HashMap<String, String>,
    /// Modules that `LoadModule` names.
    loaded: HashSet<String>,
}

/// A file that is being read, by its logical lines.
struct Open {
    file: Arc<Path>,
    lines: std::vec::IntoIter<(usize, String)>,
    /// How many files are open.
    depth: usize,
}

impl Open {
    fn new(file: &Path, text: &str, depth: usize) -> Self {
        Self {
            file: file.into(),
            lines: logical_lines(text).into_iter(),
            depth,
        }
    }
}

/// Lines without blanks around them; one that ends with a backslash goes on with the next. Each
/// with its number.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (number, mut whole) = open.take().unwrap_or((index + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(start) => {
                whole.push_str(start);
                open = Some((number, whole));
            }
            None => {
                whole.push_str(line);
                lines.push((number, whole));
            }
        }
    }
    lines.extend(open);
    let trimmed = lines
        .into_iter()
        .map(|(number, line)| (number, line.trim().to_owned()));
    trimmed
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

impl Reader {
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
        self.block(&mut Open::new(path, &text, depth), None, nesting, into)
    }

    /// Up to the end of the section that was opened, or of the file.
    fn block(
        &mut self,
        open: &mut Open,
        opened: Option<(&str, &SourceLocation)>,
        nesting: usize,
        into: &mut Vec<Directive>,
    ) -> Result<(), ImportError> {
        while let Some((number, line)) = open.lines.next() {
            let place = SourceLocation {
                file: open.file.clone(),
                line: number,
            };
            if let Some(closed) = line.strip_prefix("</") {
                let closed = closed.trim_end_matches('>').trim();
                return match opened {
                    Some((name, _)) if name.eq_ignore_ascii_case(closed) => Ok(()),
                    Some((name, _)) => Err(ImportError::new(
                        &place,
                        format!("this closes <{closed}>, but <{name}> is open: close that first"),
                    )),
                    None => Err(ImportError::new(
                        &place,
                        format!("there is no <{closed}> that this closes: remove it"),
                    )),
                };
            }
            match line.strip_prefix('<') {
                Some(section) => self.section(open, section, &place, nesting, into)?,
                None => self.directive(open, &line, &place, nesting, into)?,
            }
        }
        match opened {
            None => Ok(()),
            Some((name, place)) => Err(ImportError::new(
                place,
                format!("this has no end: write </{name}>"),
            )),
        }
    }

    fn section(
        &mut self,
        open: &mut Open,
        text: &str,
        place: &SourceLocation,
        nesting: usize,
        into: &mut Vec<Directive>,
    ) -> Result<(), ImportError> {
        if nesting >= MAX_NESTING {
            return Err(ImportError::new(
                place,
                format!("sections are nested deeper than {MAX_NESTING}"),
            ));
        }
        let Some(text) = text.strip_suffix('>') else {
            return Err(ImportError::new(
                place,
                "this section has no > at the end of its line",
            ));
        };
        let id = self.parts;
        let mut words = self.words(text, place)?.into_iter();
        let name = words.next().unwrap_or_default();
        let arguments: Vec<String> = words.collect();
        let mut block = Vec::new();
        self.block(open, Some((&name, place)), nesting + 1, &mut block)?;
        match self.applies(&name, &arguments) {
            // Whether a module is there, and the like, is known: what stands in it stands here.
            Some(true) => into.append(&mut block),
            // Apache may have been started with it.
            Some(false) if name.eq_ignore_ascii_case("IfDefine") => {
                into.push(Directive {
                    name,
                    arguments,
                    block: None,
                    place: place.clone(),
                    id,
                });
            }
            Some(false) => {}
            None => into.push(Directive {
                name,
                arguments,
                block: Some(block),
                place: place.clone(),
                id,
            }),
        }
        Ok(())
    }

    /// Whether what stands in a section that depends on the server itself is in effect.
    fn applies(&self, name: &str, arguments: &[String]) -> Option<bool> {
        let condition = arguments.first().map_or("", String::as_str);
        let (is_negated, plain) = match condition.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, condition),
        };
        let applies = match name.to_ascii_lowercase().as_str() {
            "ifmodule" => self.has_module(&module(plain)),
            "ifversion" => return Some(is_version(arguments)),
            "ifdirective" | "ifsection" => true,
            "ifdefine" => self.defined.contains_key(plain),
            "iffile" => self.root.join(plain).exists(),
            _ => return None,
        };
        Some(applies != is_negated)
    }

    /// Whether a module is loaded: by `LoadModule`, or as Debian has it. Where nothing is said
    /// about modules, as in the file of one site, those are there that usually are.
    fn has_module(&self, name: &str) -> bool {
        let enabled = self.root.join("mods-enabled");
        let is_known = !self.loaded.is_empty()
            || enabled.join("ssl.load").exists()
            || enabled.join("proxy.load").exists();
        match is_known {
            _ if BUILT_IN.contains(&name) => true,
            true => self.loaded.contains(name) || enabled.join(format!("{name}.load")).exists(),
            false => !UNUSUAL.contains(&name),
        }
    }

    fn directive(
        &mut self,
        open: &Open,
        line: &str,
        place: &SourceLocation,
        nesting: usize,
        into: &mut Vec<Directive>,
    ) -> Result<(), ImportError> {
        let id = self.parts;
        let mut words = self.words(line, place)?.into_iter();
        let name = words.next().unwrap_or_default();
        let arguments: Vec<String> = words.collect();
        match (name.to_ascii_lowercase().as_str(), arguments.as_slice()) {
            ("include" | "includeoptional", [pattern]) => {
                let is_there = self.include(pattern, place, open.depth, nesting, into)?;
                if is_there || name.eq_ignore_ascii_case("IncludeOptional") {
                    return Ok(());
                }
            }
            ("define", [name, value @ ..]) => {
                self.defined
                    .insert(name.clone(), value.first().cloned().unwrap_or_default());
            }
            ("serverroot", [root]) => self.root = PathBuf::from(root),
            ("undefine", [name]) => {
                self.defined.remove(name);
            }
            ("loadmodule", [name, ..]) => {
                self.loaded.insert(module(name));
            }
            _ => {}
        }
        into.push(Directive {
            name,
            arguments,
            block: None,
            place: place.clone(),
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
        let path = self.root.join(pattern);
        let path = if path.is_dir() { path.join("*") } else { path };
        let found = self
            .sources
            .matching(&path)
            .map_err(|message| ImportError::new(place, message))?;
        let paths = match found {
            Some(paths) => paths,
            None if path.exists() => vec![path],
            None => return Ok(false),
        };
        paths
            .iter()
            .try_for_each(|path| self.file(path, place, depth + 1, nesting, into))?;
        Ok(true)
    }

    /// The words of a line, with what is known of `${NAME}` in them.
    fn words(&mut self, line: &str, place: &SourceLocation) -> Result<Vec<String>, ImportError> {
        let words = words(&self.filled_in(line));
        self.parts += words.len().max(1);
        match self.parts > MAX_PARTS {
            true => Err(ImportError::new(
                place,
                format!("the configuration has more than {MAX_PARTS} words"),
            )),
            false => Ok(words),
        }
    }

    fn filled_in(&self, line: &str) -> String {
        let mut filled = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                rest = &rest[before.len()..];
                break;
            };
            match self
                .defined
                .get(name)
                .cloned()
                .or_else(|| std::env::var(name).ok())
            {
                Some(value) => filled.push_str(&value),
                None => filled.extend(["${", name, "}"]),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }
}

/// The name of a module: `ssl` for `mod_ssl.c` and `ssl_module`.
fn module(name: &str) -> String {
    let name = name.strip_suffix(".c").unwrap_or(name);
    name.strip_prefix("mod_")
        .or(name.strip_suffix("_module"))
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// `>= 2.4`, `!< 2.4`, `2.4.1` or `/^2\.4/`.
fn is_version(arguments: &[String]) -> bool {
    let (operator, version) = match arguments {
        [version] => ("=", version),
        [operator, version, ..] => (operator.as_str(), version),
        [] => return false,
    };
    let (is_negated, operator) = operator
        .strip_prefix('!')
        .map_or((false, operator), |rest| (true, rest));
    if let Some(pattern) = version
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
        .or(Some(version.as_str()).filter(|_| operator == "~"))
    {
        let own = VERSION.map(|number| number.to_string()).join(".");
        return regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(&own))
            != is_negated;
    }
    let numbers: Vec<u32> = version
        .split('.')
        .map_while(|number| number.parse().ok())
        .collect();
    let own = &VERSION[..numbers.len().min(VERSION.len())];
    let is_it = match operator {
        ">=" => own >= &numbers[..],
        "<=" => own <= &numbers[..],
        ">" => own > &numbers[..],
        "<" => own < &numbers[..],
        _ => own == &numbers[..],
    };
    is_it != is_negated
}

/// Words are separated by blanks, unless they stand in quotes, in which a backslash takes the next
/// quote's meaning. A quote that is missing is at the end of the line.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => quoted(&rest[1..], first),
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut word = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if text[at + 1..].starts_with([quote, '\\']) => {
                word.extend(characters.next().map(|(_, next)| next))
            }
            _ if character == quote => return (word, &text[at + 1..]),
            _ => word.push(character),
        }
    }
    (word, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Vec<Directive>, ImportError> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("apache2.conf");
        std::fs::write(&file, text).unwrap();
        std::fs::write(directory.path().join("one.inc"), "One\n").unwrap();
        std::fs::write(directory.path().join("self.inc"), "Include self.inc\n").unwrap();
        Ok(read(&file, directory.path())?.directives)
    }

    /// As one line, each directive with its line.
    fn show(directives: &[Directive]) -> String {
        let show = |it: &Directive| {
            let block = it
                .block
                .as_ref()
                .map_or_else(String::new, |block| format!("{{{}}}", show(block)));
            let arguments: String = it
                .arguments
                .iter()
                .map(|argument| format!(" {argument}"))
                .collect();
            format!("{}:{}{arguments}{block}", it.place.line, it.name)
        };
        directives.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sections_and_files_are_put_where_they_are_named() {
        for (text, expected) in [
            ("", ""),
            ("A b \"c d\" 'e'\n# no\n  F\n", "1:A b c d e 3:F"),
            ("A \\\n b\nC", "1:A b 3:C"),
            (r#"A "b\"c" 'd\\e' f"g \d"#, r#"1:A b"c d\e f"g \d"#),
            ("<L /a>\n B\n</L>\nC", "1:L /a{2:B} 4:C"),
            ("<l \"/a b\">\n</L>", "1:l /a b{}"),
            (
                "<IfModule mod_ssl.c>\nA\n</IfModule>\n<IfModule !mod_ssl.c>\nB\n</IfModule>",
                "2:A",
            ),
            (
                "Define X y\n<IfDefine X>\nA ${X}z ${NOT_DEFINED_ANYWHERE}\n</IfDefine>\n<IfDefine Y>\nB\n</IfDefine>",
                "1:Define X y 3:A yz ${NOT_DEFINED_ANYWHERE} 5:IfDefine Y",
            ),
            ("<IfDefine !Y>\nA\n</IfDefine>", "2:A"),
            (
                "Include one.inc\nIncludeOptional missing.inc\nInclude *.inc2",
                "1:One",
            ),
            (
                "Include missing.conf\nA \"b c",
                "1:Include missing.conf 2:A b c",
            ),
            (
                "<IfModule mod_gnutls.c>\nA\n</IfModule>\n<IfModule ssl_module>\nB\n</IfModule>",
                "5:B",
            ),
            (
                "LoadModule proxy_module x\n<IfModule mod_ssl.c>\nA\n</IfModule>\n<IfModule !ssl_module>\nB\n</IfModule>",
                "1:LoadModule proxy_module x 6:B",
            ),
            (
                "<IfVersion < 2.4>\nA\n</IfVersion>\n<IfVersion >= 2.4>\nB\n</IfVersion>",
                "5:B",
            ),
            (
                "<IfVersion /^2\\.2/>\nA\n</IfVersion>\n<IfVersion 2.4>\nB\n</IfVersion>",
                "5:B",
            ),
        ] {
            assert_eq!(show(&parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_has_a_place_and_a_remedy() {
        for (text, line, message) in [
            ("A\n<L /a>\nB\n", 2, "write </L>"),
            ("<L>\n</M>", 2, "but <L> is open"),
            ("A\n</L>", 2, "there is no <L> that this closes"),
            ("<L", 1, "no > at the end"),
            ("Include self.inc", 1, "does one include itself?"),
            (&"<L>\n".repeat(100), 65, "nested deeper than 64"),
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
        fn what_is_written_is_read_again(given in proptest::collection::vec("\\PC{0,12}", 1..6)) {
            let line: Vec<_> =
                given.iter().map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))).collect();
            prop_assert_eq!(words(&line.join(" ")), given);
        }

        #[test]
        fn no_text_makes_it_panic(text in "([A-Za-z]{1,3}|[ <>/\"'\\\\\\n$\\{\\}!]|Include [a-z*]{1,8}\\.inc\\n|\\PC){0,60}") {
            let _ = parse(&text);
        }
    }
}
