//! Directives of NGINX and Apache, as a tree, and where they are.

use super::regex_literal::expression;
use super::report::{Disposition, Ledger};
use crate::sanitize::sanitize_to;
use regex::Regex;
use std::fmt;
use std::iter;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

/// Characters of a path and of a directive that are shown.
const MAX_PATH: usize = 400;
const MAX_SHOWN: usize = 120;

/// Words in the names of headers and variables whose values are probably secrets.
const SECRETS: &str = "(?i)authorization|api[-_]?key|token|secret|password|cookie";

/// Expressions whose first group is shown, and what follows is not.
static BEFORE_SECRETS: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    let setters = "proxy_set_header|add_header|set|requestheader|setenv|setenvif";
    let conditions = "if|elseif|require|sslrequire|rewritecond|setenvif";
    let parts = r"\$(?:http|cookie|arg)_|%\{HTTP[:_]|(?:req|http)\(";
    [
        r"^(authbasicfake \S*).".to_owned(),
        format!(r"^((?:{setters})(?: \S*)?? \S*(?:{SECRETS})\S*)."),
        // The value that a condition compares a header, a cookie or an argument with.
        format!(r#"^((?:{conditions}) .*?(?:{parts})['"]*(?<name>[\w-]*))."#),
        r"^(.*?(?:bearer|basic))[ \t\\+%]".to_owned(),
    ]
    .map(|it| expression(&format!("(?is){it}")))
});

/// Headers and variables whose values are not secrets.
const HARMLESS: &str = "host user_agent* user-agent* content_type content-type";

/// A file, as it was named, and a line of it, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = sanitize_to(&self.file.display().to_string(), MAX_PATH);
        write!(f, "{file}:{}", self.line)
    }
}

impl SourceLocation {
    /// Returns the first line of a file.
    pub(super) fn start_of(file: &Path) -> Self {
        Self {
            file: file.into(),
            line: 1,
        }
    }

    /// Returns the reason why there is no result.
    pub(super) fn error(&self, message: impl Into<String>) -> ImportError {
        ImportError {
            place: self.clone(),
            message: message.into(),
        }
    }
}

/// The reason why there is no result, with its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ImportError {
    place: SourceLocation,
    message: String,
}

/// A directive with its block.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
    pub(super) place: SourceLocation,
    /// A number that is unique, even if a file is included twice.
    pub(super) id: usize,
    /// The remarks about it and all others.
    pub(super) ledger: Rc<Ledger>,
}

impl Directive {
    /// Returns whether the name is one of several: see [`is_listed`].
    pub(super) fn is(&self, names: &str) -> bool {
        is_listed(names, &self.name)
    }

    /// Returns an argument, or nothing.
    pub(super) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// Returns the first argument.
    pub(super) fn value(&self) -> &str {
        self.argument(0)
    }

    /// Returns the first argument in lower case.
    pub(super) fn keyword(&self) -> String {
        self.value().to_ascii_lowercase()
    }

    /// Returns the arguments, for patterns.
    pub(super) fn words(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Returns the directives of the block.
    pub(super) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Returns itself and all directives in its block.
    pub(super) fn tree(&self) -> Vec<&Self> {
        let inner = self.children().iter().flat_map(Self::tree);
        iter::once(self).chain(inner).collect()
    }

    /// Returns whether the directive, or one in its block, meets a condition.
    pub(super) fn holds(&self, is: &dyn Fn(&Self) -> bool) -> bool {
        self.tree().into_iter().any(is)
    }

    /// Adds a task for the operator that comes before all others.
    pub(super) fn first(&self, task: impl AsRef<str>) {
        self.ledger.first(task.as_ref());
    }

    /// Says which key of the new configuration has this.
    pub(super) fn carried(&self, key: impl AsRef<str>) {
        self.note(Disposition::Carried, key.as_ref());
    }

    /// Says why the new configuration does without this.
    pub(super) fn not_needed(&self, why: impl AsRef<str>) {
        self.note(Disposition::NotNeeded, why.as_ref());
    }

    /// Says what the operator can do instead.
    pub(super) fn not_carried(&self, remedy: impl AsRef<str>) {
        self.note(Disposition::NotCarried, remedy.as_ref());
    }

    /// Says what this let in, and no longer does.
    pub(super) fn closed(&self, hole: impl AsRef<str>) {
        self.note(Disposition::Closed, hole.as_ref());
    }

    fn note(&self, kind: Disposition, remark: &str) {
        let subject = format!("{}: {}", self.place, self.shown());
        self.ledger.note(self.id, subject, kind, remark);
    }

    /// Marks it and the directives in its block, about which all has been said.
    pub(super) fn cover(&self) {
        let tree = self.tree();
        tree.into_iter().for_each(|it| self.ledger.mention(it.id));
    }

    /// Returns the reason why there is no result, which begins with the directive.
    pub(super) fn error(&self, message: &str) -> ImportError {
        self.place.error(format!("{} {message}", self.shown()))
    }

    /// Returns name and arguments on one line of bounded length, without secrets.
    pub(super) fn shown(&self) -> String {
        // A quoted argument ends a word, which separates the parenthesis that follows.
        let arguments = self.arguments.join(" ").replace(" )", ")");
        let text = format!("{} {arguments}", self.name);
        sanitize_to(&without_secrets(text.trim_end()), MAX_SHOWN)
    }
}

/// Returns whether a name is one of several in any case; a `*` stands for any beginning or end.
pub(super) fn is_listed(names: &str, name: &str) -> bool {
    let mut patterns = names.split_ascii_whitespace();
    patterns.any(|pattern| match pattern.strip_suffix('*') {
        None => name.eq_ignore_ascii_case(pattern),
        Some(start) => match start.strip_prefix('*') {
            Some(inner) => name.contains(inner),
            None => {
                let found = name.get(..start.len());
                found.is_some_and(|it| it.eq_ignore_ascii_case(start))
            }
        },
    })
}

/// Returns a directive, or a value, without what is probably a secret.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = text.to_owned();
    for expression in BEFORE_SECRETS.iter() {
        let Some(found) = expression.captures(&shown) else {
            continue;
        };
        let name = found.name("name").map_or("", |name| name.as_str());
        if !is_listed(HARMLESS, name) {
            let end = found.get(1).map_or(0, |kept| kept.end());
            shown.truncate(end);
            shown.push_str(" (not shown)");
        }
    }
    without_password(shown)
}

/// Removes the user and the password of a URL.
fn without_password(shown: String) -> String {
    let parts = shown.split_once("://");
    match parts.and_then(|(before, after)| Some((before, after.split_once('@')?.1))) {
        Some((before, host)) => format!("{before}://(not shown)@{host}"),
        None => shown,
    }
}
