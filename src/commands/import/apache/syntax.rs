//! Reads Apache's configuration as a tree of directives, with included files in their place.

use crate::commands::import::directive::{Directive, SourceLocation, is_listed};
use crate::commands::import::regex_literal::expression;
use crate::commands::import::sources::{Parsed, SourceFiles, TreeReader};
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::env;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Modules that are part of every Apache.
const BUILT_IN: &str = "core so http log_config logio version unixd watchdog";

/// Modules that are rarely installed: absent unless the configuration loads them.
const UNUSUAL: &str = "gnutls nss security2 evasive20 evasive pagespeed mpm_itk";

/// The version that `<IfVersion>` is compared with.
const VERSION: [u32; 3] = [2, 4, 62];

static VARIABLE: LazyLock<Regex> = LazyLock::new(|| expression(r"\$\{([^}]*)\}"));

/// Text in double or single quotes, or without.
static WORD: LazyLock<Regex> =
    LazyLock::new(|| expression(r#""((?:\\["\\]|[^"])*)"?|'((?:\\['\\]|[^'])*)'?|\S+"#));

/// The reader of Apache's syntax.
#[derive(Default)]
pub(super) struct ApacheReader {
    pub(super) sources: SourceFiles,
    /// The open sections do not apply.
    skips: bool,
    /// Parameters set by `Define`.
    defined: HashMap<String, String>,
    /// Modules named by `LoadModule`.
    loaded: HashSet<String>,
}

/// A line with a directive, trimmed.
type SourceLine = (SourceLocation, String);

type SourceLines = std::vec::IntoIter<SourceLine>;

impl TreeReader for ApacheReader {
    fn sources(&mut self) -> &mut SourceFiles {
        &mut self.sources
    }

    fn text(&mut self, path: &Path, text: &str) -> Parsed<Vec<Directive>> {
        let mut lines = logical_lines(text, &path.into()).into_iter();
        let (block, end) = self.block(&mut lines)?;
        match end {
            Some((place, name)) => Err(place.error(format!("no <{name}> is open here"))),
            None => Ok(block),
        }
    }
}

impl ApacheReader {
    /// Reads to the end of the file, or to `</name>`, which is returned as well.
    fn block(&mut self, lines: &mut SourceLines) -> Parsed<(Vec<Directive>, Option<SourceLine>)> {
        let mut block = Vec::new();
        while let Some((place, text)) = lines.next() {
            if let Some(name) = text.strip_prefix("</") {
                let name = name.trim_end_matches('>').trim().to_owned();
                return Ok((block, Some((place, name))));
            } else if let Some(start) = text.strip_prefix('<') {
                let section = self.parse(start.trim_end_matches('>'), place)?;
                block.extend(self.section(section, lines)?);
            } else if !self.skips {
                let directive = self.parse(&text, place)?;
                block.extend(self.directive(directive)?);
            }
        }
        Ok((block, None))
    }

    /// Reads a section; one that depends on the server itself is replaced by its directives.
    fn section(&mut self, mut open: Directive, lines: &mut SourceLines) -> Parsed<Vec<Directive>> {
        let applies = self.applies(&open);
        let skips = self.skips || applies == Some(false);
        let outer_skips = mem::replace(&mut self.skips, skips);
        let (block, end) = self.nested(&open.place, |reader| reader.block(lines))?;
        self.skips = outer_skips;
        let name = &open.name;
        match end {
            Some((_, end)) if end.eq_ignore_ascii_case(name) => {}
            Some((place, end)) => {
                let remedy = format!("but <{name}> is open: close that first");
                return Err(place.error(format!("this closes <{end}>, {remedy}")));
            }
            None => {
                return Err(open
                    .place
                    .error(format!("this has no end: write </{name}>")));
            }
        }
        if skips || applies.is_some() {
            return Ok(block);
        }
        open.block = Some(block);
        Ok(vec![open])
    }

    /// Evaluates a section that depends on the server itself; `None` for any other section.
    fn applies(&self, section: &Directive) -> Option<bool> {
        let condition = section.value();
        let plain = condition.trim_start_matches('!');
        let applies = match section.name.to_ascii_lowercase().as_str() {
            "ifversion" => return Some(is_version(&section.arguments)),
            "ifmodule" => self.has_module(&module(plain)),
            "ifdefine" => self.defined.contains_key(plain),
            "iffile" => self.sources.root.join(plain).exists(),
            "ifdirective" | "ifsection" => true,
            _ => return None,
        };
        Some(applies != condition.starts_with('!'))
    }

    /// Returns whether a module is loaded: by `LoadModule`, or in Debian's `mods-enabled`. A file
    /// that mentions no modules, such as that of one site, gets the usual ones.
    fn has_module(&self, name: &str) -> bool {
        let enabled = self.sources.root.join("mods-enabled");
        let is_enabled = |name: &str| enabled.join(format!("{name}.load")).exists();
        let are_listed = !self.loaded.is_empty() || is_enabled("ssl") || is_enabled("proxy");
        match are_listed {
            true => is_listed(BUILT_IN, name) || self.loaded.contains(name) || is_enabled(name),
            false => !is_listed(UNUSUAL, name),
        }
    }

    /// Includes files, and applies directives for the reader. An `Include` without a file stays.
    fn directive(&mut self, directive: Directive) -> Parsed<Vec<Directive>> {
        let name = directive.name.to_ascii_lowercase();
        match (name.as_str(), &directive.arguments[..]) {
            ("include" | "includeoptional", [name]) => {
                let mut pattern = PathBuf::from(name);
                if self.sources.root.join(&pattern).is_dir() {
                    pattern.push("*");
                }
                let found = self.included(&pattern, &directive.place)?;
                let is_needed = directive.is("include");
                let missing = Some(directive).filter(|_| is_needed);
                return Ok(found.unwrap_or_else(|| missing.into_iter().collect()));
            }
            ("define", [name, value @ ..]) => {
                self.defined.insert(name.clone(), value.join(" "));
            }
            ("serverroot", [root]) => self.sources.root = PathBuf::from(root),
            ("loadmodule", [name, ..]) => {
                self.loaded.insert(module(name));
            }
            _ => {}
        }
        Ok(vec![directive])
    }

    /// Splits a line into a name and arguments, with known `${NAME}` filled in.
    fn parse(&mut self, line: &str, place: SourceLocation) -> Parsed<Directive> {
        let mut words = words(&self.filled_in(line)).into_iter();
        let name = words.next().unwrap_or_default();
        let mut directive = self.sources.directive(name, place)?;
        directive.arguments.extend(words);
        Ok(directive)
    }

    fn filled_in<'l>(&self, line: &'l str) -> Cow<'l, str> {
        VARIABLE.replace_all(line, |found: &Captures<'_>| {
            let value = self.defined.get(&found[1]).cloned();
            let value = value.or_else(|| env::var(&found[1]).ok());
            value.unwrap_or_else(|| found[0].to_owned())
        })
    }
}

/// Returns the lines with a directive, trimmed. A backslash at the end of a line continues it.
fn logical_lines(text: &str, file: &Arc<Path>) -> Vec<SourceLine> {
    let mut lines = Vec::new();
    let mut next = 1;
    for text in text.replace("\\\n", "\0").lines() {
        let (file, line) = (file.clone(), next);
        next += 1 + text.matches('\0').count();
        let text = text.replace('\0', "").trim().to_owned();
        if !text.is_empty() && !text.starts_with('#') {
            lines.push((SourceLocation { file, line }, text));
        }
    }
    lines
}

/// Returns the short name of a module: `ssl` for `mod_ssl.c` and `ssl_module`.
fn module(name: &str) -> String {
    let name = name.trim_end_matches(".c").trim_end_matches("_module");
    name.trim_start_matches("mod_").to_ascii_lowercase()
}

/// Evaluates `>= 2.4`, `!< 2.4` and `2.4.1`. A regular expression is taken to match.
fn is_version(arguments: &[String]) -> bool {
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (operator, version) = match words[..] {
        [version] => ("=", version),
        [operator, version, ..] => (operator, version),
        [] => return false,
    };
    let numbers = version.split('.').map_while(|it| it.parse().ok());
    let numbers: Vec<u32> = numbers.take(VERSION.len()).collect();
    let is_version = match VERSION[..numbers.len()].cmp(&numbers[..]) {
        _ if operator.ends_with('~') || version.starts_with('/') => true,
        Ordering::Equal => !operator.ends_with(['<', '>']),
        Ordering::Less => operator.contains('<'),
        Ordering::Greater => operator.contains('>'),
    };
    is_version != operator.starts_with('!')
}

/// Splits a line at blanks outside quotes. A missing quote is taken to be at the end of the line.
fn words(line: &str) -> Vec<String> {
    let word = |found: Captures<'_>| match (found.get(1), found.get(2)) {
        (Some(text), _) => unescaped(text.as_str(), "\""),
        (_, Some(text)) => unescaped(text.as_str(), "'"),
        _ => found[0].to_owned(),
    };
    WORD.captures_iter(line).map(word).collect()
}

/// Resolves backslashes, which escape the quote and themselves.
fn unescaped(text: &str, quote: &str) -> String {
    let escaped = format!("\\{quote}");
    let parts = text.split(r"\\").map(|it| it.replace(&escaped, quote));
    parts.collect::<Vec<_>>().join(r"\")
}
