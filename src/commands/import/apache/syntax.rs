//! Reads Apache's configuration as a tree of directives, with included files in their place.

use crate::commands::import::absolute;
use crate::commands::import::directive::Directive;
use crate::commands::import::location::{ImportError, SourceLocation};
use crate::commands::import::sources::{MAX_DEPTH, MAX_NESTING, MAX_PARTS, SourceFiles};
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::env;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// A configuration with everything that it includes.
#[derive(Debug)]
pub(super) struct ApacheConfig {
    pub(super) directives: Vec<Directive>,
    /// The directory that relative file names start from.
    pub(super) root: PathBuf,
}

/// Modules that are part of every Apache.
const BUILT_IN: &str = "core so http log_config logio version unixd watchdog";

/// Modules that are rarely installed: absent unless the configuration loads them.
const UNUSUAL: &str = "gnutls nss security2 evasive20 evasive pagespeed mpm_itk";

/// The version that `<IfVersion>` is compared with.
const VERSION: &str = "2.4.62";

static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{([^}]*)\}").expect("the pattern is valid"));

/// Reads `file` and the files that it includes. Relative names start from `root`, or from
/// `ServerRoot` once that is set.
pub(super) fn read(file: &Path, root: &Path) -> Result<ApacheConfig, ImportError> {
    let mut reader = ApacheReader {
        root: root.to_owned(),
        ..ApacheReader::default()
    };
    let start = SourceLocation {
        file: file.into(),
        line: 1,
    };
    let directives = reader.file(file, &start)?;
    Ok(ApacheConfig {
        directives,
        root: absolute(&reader.root),
    })
}

#[derive(Default)]
struct ApacheReader {
    root: PathBuf,
    sources: SourceFiles,
    /// The number of words read so far.
    words: usize,
    /// The number of files that are open.
    depth: usize,
    /// The number of sections that are open, in all files.
    nesting: usize,
    /// Parameters set by `Define`.
    defined: HashMap<String, String>,
    /// Modules named by `LoadModule`.
    loaded: HashSet<String>,
}

/// A section whose end has not been read.
struct OpenSection {
    directive: Directive,
    /// The result of a condition on the server itself, such as `<IfModule>`.
    applies: Option<bool>,
    block: Vec<Directive>,
}

impl ApacheReader {
    fn file(&mut self, path: &Path, named: &SourceLocation) -> Result<Vec<Directive>, ImportError> {
        let text = self.sources.read(path);
        let text = text.map_err(|message| ImportError::new(named, message))?;
        let file: Arc<Path> = path.into();
        let mut directives = Vec::new();
        let mut open: Vec<OpenSection> = Vec::new();
        for (line, text) in logical_lines(&text) {
            let file = file.clone();
            let place = SourceLocation { file, line };
            let applies = open.last().and_then(|section| section.applies);
            if let Some(text) = text.strip_prefix("</") {
                let closed = self.close(text, open.pop(), &place)?;
                let block = open.last_mut().map(|section| &mut section.block);
                block.unwrap_or(&mut directives).extend(closed);
            } else if let Some(text) = text.strip_prefix('<') {
                open.push(self.open(text, applies, place)?);
            } else if applies != Some(false) {
                let read = self.directive(&text, place)?;
                let block = open.last_mut().map(|section| &mut section.block);
                block.unwrap_or(&mut directives).extend(read);
            }
        }
        match open.pop() {
            Some(OpenSection { directive, .. }) => {
                let message = format!("this has no end: write </{}>", directive.name);
                Err(ImportError::new(&directive.place, message))
            }
            None => Ok(directives),
        }
    }

    fn open(
        &mut self,
        text: &str,
        outer: Option<bool>,
        place: SourceLocation,
    ) -> Result<OpenSection, ImportError> {
        let Some(text) = text.strip_suffix('>') else {
            let message = "this section has no > at the end of its line";
            return Err(ImportError::new(&place, message));
        };
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            let message = format!("sections are nested deeper than {MAX_NESTING}");
            return Err(ImportError::new(&place, message));
        }
        let directive = self.parse(text, place)?;
        let applies = match outer {
            Some(false) => Some(false),
            _ => self.applies(&directive),
        };
        Ok(OpenSection {
            directive,
            applies,
            block: Vec::new(),
        })
    }

    /// Returns what a section leaves behind where it ends: itself, or the directives in it.
    fn close(
        &mut self,
        text: &str,
        open: Option<OpenSection>,
        place: &SourceLocation,
    ) -> Result<Vec<Directive>, ImportError> {
        let name = text.trim_end_matches('>').trim();
        let Some(mut section) = open else {
            let message = format!("no <{name}> is open here: remove this line");
            return Err(ImportError::new(place, message));
        };
        let open = &section.directive.name;
        if !open.eq_ignore_ascii_case(name) {
            let message = format!("this closes <{name}>, but <{open}> is open: close that first");
            return Err(ImportError::new(place, message));
        }
        self.nesting -= 1;
        Ok(match section.applies {
            Some(true) => section.block,
            Some(false) => Vec::new(),
            None => {
                section.directive.block = Some(section.block);
                vec![section.directive]
            }
        })
    }

    /// Evaluates a section that depends on the server itself; `None` for any other section.
    fn applies(&self, section: &Directive) -> Option<bool> {
        let condition = section.value();
        let plain = condition.trim_start_matches('!');
        let applies = match section.name.to_ascii_lowercase().as_str() {
            "ifversion" => return Some(is_version(&section.arguments)),
            "ifmodule" => self.has_module(&module(plain)),
            "ifdefine" => self.defined.contains_key(plain),
            "iffile" => self.root.join(plain).exists(),
            "ifdirective" | "ifsection" => true,
            _ => return None,
        };
        Some(applies != condition.starts_with('!'))
    }

    /// Returns whether a module is loaded: by `LoadModule`, or in Debian's `mods-enabled`. A file
    /// that mentions no modules, such as that of one site, gets the usual ones.
    fn has_module(&self, name: &str) -> bool {
        let enabled = self.root.join("mods-enabled");
        let is_enabled = |name: &str| enabled.join(format!("{name}.load")).exists();
        let are_listed = !self.loaded.is_empty() || is_enabled("ssl") || is_enabled("proxy");
        let is_one_of = |names: &str| names.split(' ').any(|it| it == name);
        match are_listed {
            true => is_one_of(BUILT_IN) || self.loaded.contains(name) || is_enabled(name),
            false => !is_one_of(UNUSUAL),
        }
    }

    /// Reads a line: the directive itself, or the directives that it includes.
    fn directive(
        &mut self,
        line: &str,
        place: SourceLocation,
    ) -> Result<Vec<Directive>, ImportError> {
        let directive = self.parse(line, place)?;
        let name = directive.name.to_ascii_lowercase();
        match (name.as_str(), &directive.arguments[..]) {
            ("include" | "includeoptional", [pattern]) => {
                match self.include(pattern, &directive.place)? {
                    Some(included) => return Ok(included),
                    None if name == "includeoptional" => return Ok(Vec::new()),
                    // The missing file may hold access rules, so the line is kept.
                    None => {}
                }
            }
            ("define", [name, value @ ..]) => {
                self.defined.insert(name.clone(), value.join(" "));
            }
            ("undefine", [name]) => {
                self.defined.remove(name);
            }
            ("serverroot", [root]) => self.root = PathBuf::from(root),
            ("loadmodule", [name, ..]) => {
                self.loaded.insert(module(name));
            }
            _ => {}
        }
        Ok(vec![directive])
    }

    /// Reads the files that an `Include` names; `None` if there are none.
    fn include(
        &mut self,
        name: &str,
        place: &SourceLocation,
    ) -> Result<Option<Vec<Directive>>, ImportError> {
        let error = |message| ImportError::new(place, message);
        if self.depth >= MAX_DEPTH {
            let loops = "does one include itself?";
            let message = format!("files include each other deeper than {MAX_DEPTH}: {loops}");
            return Err(error(message));
        }
        let mut path = self.root.join(name);
        if path.is_dir() {
            path.push("*");
        }
        let paths = match self.sources.matching(&path).map_err(error)? {
            Some(paths) => paths,
            None if path.exists() => vec![path],
            None => return Ok(None),
        };
        let mut directives = Vec::new();
        self.depth += 1;
        for path in &paths {
            directives.append(&mut self.file(path, place)?);
        }
        self.depth -= 1;
        Ok(Some(directives))
    }

    /// Splits a line into a name and arguments, with known `${NAME}` filled in.
    fn parse(&mut self, line: &str, place: SourceLocation) -> Result<Directive, ImportError> {
        let id = self.words;
        let mut words = words(&self.filled_in(line)).into_iter();
        let name = words.next().unwrap_or_default();
        let arguments: Vec<_> = words.collect();
        self.words += 1 + arguments.len();
        if self.words > MAX_PARTS {
            let message = format!("the configuration has more than {MAX_PARTS} words");
            return Err(ImportError::new(&place, message));
        }
        Ok(Directive {
            name,
            arguments,
            block: None,
            place,
            id,
        })
    }

    fn filled_in<'l>(&self, line: &'l str) -> Cow<'l, str> {
        VARIABLE.replace_all(line, |found: &Captures<'_>| {
            let value = self.defined.get(&found[1]).cloned();
            let value = value.or_else(|| env::var(&found[1]).ok());
            value.unwrap_or_else(|| found[0].to_owned())
        })
    }
}

/// Returns the lines with a directive, trimmed, each with its number. A backslash at the end of a
/// line continues it.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut whole = String::new();
    let mut start = 1;
    for (line, next) in text.lines().zip(2..) {
        if let Some(line) = line.strip_suffix('\\') {
            whole.push_str(line);
            continue;
        }
        whole.push_str(line);
        lines.push((start, mem::take(&mut whole)));
        start = next;
    }
    lines.push((start, whole));
    for (_, line) in &mut lines {
        *line = line.trim().to_owned();
    }
    lines.retain(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
}

/// Returns the short name of a module: `ssl` for `mod_ssl.c` and `ssl_module`.
fn module(name: &str) -> String {
    let name = name.trim_end_matches(".c").trim_end_matches("_module");
    name.trim_start_matches("mod_").to_ascii_lowercase()
}

/// Evaluates `>= 2.4`, `!< 2.4`, `2.4.1` and `~ ^2\.4` (or `/^2\.4/`).
fn is_version(arguments: &[String]) -> bool {
    let (operator, version) = match arguments {
        [version] => ("=", version.as_str()),
        [operator, version, ..] => (operator.as_str(), version.as_str()),
        [] => return false,
    };
    let plain = operator.trim_start_matches('!');
    let pattern = version.trim_matches('/');
    let is_version = if plain == "~" || pattern != version {
        Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(VERSION))
    } else {
        let numbers = |text: &str| text.split('.').map_while(|it| it.parse().ok()).collect();
        let given: Vec<u32> = numbers(version);
        let mut own: Vec<u32> = numbers(VERSION);
        own.truncate(given.len());
        match plain {
            ">=" => own >= given,
            "<=" => own <= given,
            ">" => own > given,
            "<" => own < given,
            _ => own == given,
        }
    };
    is_version != operator.starts_with('!')
}

/// Splits a line at blanks outside quotes. A missing quote is taken to be at the end of the line.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = if matches!(first, '"' | '\'') {
            quoted(&rest[1..], first)
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// Reads up to a quote. A backslash escapes the quote and itself.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut word = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == quote {
            break;
        }
        let is_escape = character == '\\' && characters.as_str().starts_with([quote, '\\']);
        let literal = if is_escape { characters.next() } else { None };
        word.push(literal.unwrap_or(character));
    }
    (word, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_and_words_are_split_as_apache_does() {
        for (text, expected) in [
            ("A b \"c d\" 'e'\n# no\n  F\n", "1:A|b|c d|e 3:F"),
            ("A \\\n b\nC\\", "1:A|b 3:C"),
            (r#"A "b\"c" 'd\\e' f"g \d"#, r#"1:A|b"c|d\e|f"g|\d"#),
            ("A \"b c", "1:A|b c"),
        ] {
            let lines = logical_lines(text);
            let show = |(line, text): &(usize, String)| format!("{line}:{}", words(text).join("|"));
            let shown: Vec<_> = lines.iter().map(show).collect();
            assert_eq!(shown.join(" "), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn quoted_words_are_read_as_written(given in proptest::collection::vec("\\PC{0,12}", 1..6)) {
            let escape = |word: &String| word.replace('\\', "\\\\").replace('"', "\\\"");
            let line: Vec<_> = given.iter().map(|word| format!("\"{}\"", escape(word))).collect();
            prop_assert_eq!(words(&line.join(" ")), given);
        }
    }
}
