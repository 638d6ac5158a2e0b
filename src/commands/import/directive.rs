//! Directives of NGINX and Apache, as a tree.

use super::location::SourceLocation;
use crate::sanitize::sanitize_to;
use regex::Regex;
use std::sync::LazyLock;

/// Characters of a directive that are shown.
const MAX_SHOWN: usize = 120;

/// The replacement for a secret.
const HIDDEN: &str = " (not shown)";

/// Words in the names of headers and variables whose values are probably secrets.
const SECRETS: &str = "authorization|api[-_]?key|token|secret|password|cookie";

/// Expressions whose first group is shown, and what follows is not.
static BEFORE_SECRETS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let setters = "proxy_set_header|add_header|set|requestheader|setenv|setenvif";
    let conditions = "if|elseif|require|sslrequire|rewritecond|setenvif";
    let parts = r"\$(?:http|cookie|arg)_|%\{HTTP[:_]|(?:req|http)\(";
    let expressions = [
        r"^(authbasicfake \S*).".to_owned(),
        format!(r"^((?:{setters})(?: \S*)?? \S*(?:{SECRETS})\S*)."),
        // The value that a condition compares a header, a cookie or an argument with.
        format!(r#"^((?:{conditions}) .*?(?:{parts})['"]*(?<name>[\w-]*))."#),
        r"^(.*?(?:bearer|basic))[ \t\\+%]".to_owned(),
    ];
    let compile = |text: &String| Regex::new(&format!("(?is){text}")).ok();
    expressions.iter().filter_map(compile).collect()
});

/// A directive with its block.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
    pub(super) place: SourceLocation,
    /// A number that is unique, even if a file is included twice.
    pub(super) id: usize,
}

/// The directives in effect for one server or one of its locations.
pub(super) trait InEffect<'t> {
    /// Returns the directives of a name that are in effect together.
    fn all(&self, name: &str) -> Vec<&'t Directive>;

    /// Returns the last directive of a name, which overrides the others.
    fn one(&self, name: &str) -> Option<&'t Directive> {
        self.all(name).pop()
    }
}

impl Directive {
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

    /// Returns the value of an argument `name=value`.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut arguments = self.arguments.iter();
        arguments.find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }

    /// Returns the directives of the block.
    pub(super) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Returns `true` if the directive, or one in its block, meets a condition.
    pub(super) fn holds(&self, is: &dyn Fn(&Directive) -> bool) -> bool {
        is(self) || self.children().iter().any(|child| child.holds(is))
    }

    /// Returns name and arguments on one line of bounded length, without secrets.
    pub(super) fn shown(&self) -> String {
        // A quoted argument ends a word, which separates the parenthesis that follows.
        let arguments = self.arguments.join(" ").replace(" )", ")");
        let text = format!("{} {arguments}", self.name);
        sanitize_to(&without_secrets(text.trim_end()), MAX_SHOWN)
    }
}

/// Returns `true` if the value that belongs to a name is probably a secret.
pub(super) fn names_a_secret(name: &str) -> bool {
    let name = name
        .to_ascii_lowercase()
        .replace('_', "-")
        .replace("api-key", "apikey");
    SECRETS
        .replace("[-_]?", "")
        .split('|')
        .any(|word| name.contains(word))
}

/// Returns a directive, or a value, without what is probably a secret.
pub(super) fn without_secrets(text: &str) -> String {
    const HARMLESS: &str = "host user_agent user-agent content_type content-type";
    let mut shown = text.to_owned();
    for expression in BEFORE_SECRETS.iter() {
        let Some(found) = expression.captures(&shown) else {
            continue;
        };
        let name = found.name("name").map_or("", |name| name.as_str());
        let name = name.to_ascii_lowercase();
        if HARMLESS
            .split(' ')
            .any(|harmless| name.starts_with(harmless))
        {
            continue;
        }
        let end = found.get(1).map_or(0, |kept| kept.end());
        shown.truncate(end);
        shown.push_str(HIDDEN);
    }
    if let Some((before, after)) = shown.split_once("://")
        && let Some((_, host)) = after.split_once('@')
    {
        shown = format!("{before}://(not shown)@{host}");
    }
    shown
}
