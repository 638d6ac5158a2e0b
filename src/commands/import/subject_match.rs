//! Checks of a certificate's subject as text: the common names that a check was meant for, and the
//! forged subjects that it lets in.

use super::directive::Directive;
use super::regex_literal::expand;
use regex::RegexBuilder;

/// The common name of Netdata Cloud's certificate.
pub(super) const NETDATA: &str = "app.netdata.cloud";

/// Maximum number of names that one pattern may match.
const MAX_NAMES: usize = 64;

/// Attributes of a subject beside the common name.
const MORE: [&str; 5] = ["O=", "C=", "ST=", "L=", "emailAddress="];

/// Maximum memory of a pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// The text form of the subject that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rendering {
    /// `CN=a,O=b` (RFC 2253), as in `$ssl_client_s_dn`.
    Rfc2253,
    /// `/O=b/CN=a`, as in `$ssl_client_s_dn_legacy`.
    Oneline,
    /// Only the common name, or one of several.
    CommonName,
}

/// A text or an expression, and the directive that contains it.
#[derive(Clone, Debug)]
pub(super) struct AccessPattern<'t> {
    pub(super) text: String,
    pub(super) is_expression: bool,
    ignores_case: bool,
    pub(super) directive: &'t Directive,
}

/// Subjects that are not Netdata Cloud's, in the forms of the manual and of each [`Rendering`]:
/// `{}` is the name and `{x}` one that looks like it.
const FORGERIES: &str = "\
CN={}.evil.example | CN={}.evil.example | /CN={}.evil.example | {}.evil.example
CN={x} | CN={x} | /CN={x} | {x}
OU=CN={}, CN=evil | CN=evil,OU=CN={} | /OU=CN={}/CN=evil | evil
O=\"x,CN={}\", CN=evil | CN=evil,O=x\\,CN={} | /O=x,CN={}/CN=evil | evil
CN={} with a NUL | CN={}\\00 | /CN={}\\x00 | {}\0
CN={} with a trailing space | CN={}\\  | /CN={}  | {}\x20
two CNs | CN={},CN=evil | /CN={}/CN=evil | {}
two CNs | CN=evil,CN={} | /CN=evil/CN={} | evil";

/// Returns the common names that checks were meant to let in; none if they cannot be read.
pub(super) fn names(patterns: &[AccessPattern<'_>], rendering: Rendering) -> Vec<String> {
    let names: Option<Vec<_>> = patterns.iter().map(|it| it.names(rendering)).collect();
    names.unwrap_or_default().concat()
}

/// Returns descriptions of the forged subjects that checks for names let in.
pub(super) fn forgeries(
    patterns: &[AccessPattern<'_>],
    rendering: Rendering,
    names: &[String],
) -> Vec<String> {
    let forgeries = patterns.iter().map(|it| it.forgeries(rendering, names));
    let mut forgeries = forgeries.collect::<Vec<_>>().concat();
    forgeries.dedup();
    forgeries
}

impl<'t> AccessPattern<'t> {
    /// Returns what is compared as by an operator of NGINX: one of `~`, `~*` and `=`.
    pub(super) fn of(operator: &str, text: &str, directive: &'t Directive) -> Self {
        Self {
            text: text.to_owned(),
            is_expression: operator.starts_with('~'),
            ignores_case: operator == "~*",
            directive,
        }
    }

    /// Returns `true` if the check examines more than the name.
    pub(super) fn has_more_than_names(&self) -> bool {
        MORE.iter().any(|key| self.text.contains(key))
    }

    /// Returns the names that the check was meant to let in; `None` if they cannot be read.
    fn names(&self, rendering: Rendering) -> Option<Vec<String>> {
        let mut names = match rendering {
            Rendering::CommonName if !self.is_expression => vec![self.text.clone()],
            _ => self.names_in_text()?,
        };
        names.sort();
        names.dedup();
        for name in &mut names {
            if self.ignores_case && name.eq_ignore_ascii_case(NETDATA) {
                NETDATA.clone_into(name);
            }
        }
        let is_name = |name: &String| !name.is_empty() && !name.contains(char::is_control);
        let is_few = !names.is_empty() && names.len() <= MAX_NAMES;
        (is_few && names.iter().all(is_name)).then_some(names)
    }

    /// Returns descriptions of the forged subjects that the check lets in.
    fn forgeries(&self, rendering: Rendering, names: &[String]) -> Vec<String> {
        let Some(name) = names.first() else {
            return Vec::new();
        };
        let mut builder = RegexBuilder::new(&self.text);
        builder.case_insensitive(self.ignores_case);
        let expression = builder.size_limit(MAX_PATTERN).build();
        // An expression that cannot be read matches none.
        let matches = |subject: &String| match self.is_expression {
            true => expression.as_ref().is_ok_and(|it| it.is_match(subject)),
            false => *subject == self.text,
        };
        let is_allowed = |text: &str| names.iter().any(|name| text == format!("CN={name}"));
        let forged = FORGERIES.lines().map(|it| forged(it, name, rendering));
        let got_in = forged.filter(|(text, subject)| matches(subject) && !is_allowed(text));
        let mut found: Vec<_> = got_in.map(|(text, _)| text).collect();
        found.dedup();
        found
    }

    fn names_in_text(&self) -> Option<Vec<String>> {
        let searched = match self.ignores_case {
            true => self.text.to_ascii_uppercase(),
            false => self.text.clone(),
        };
        let keys = searched.match_indices("CN=");
        let after_keys = keys.map(|(at, key)| literals(&self.text[at + key.len()..]));
        let names = after_keys.collect::<Option<Vec<_>>>()?.concat();
        if !names.is_empty() {
            return Some(names);
        }
        // Without the key, only what looks like a host name is a name.
        let names = literals(self.text.trim_start_matches('^'))?;
        names.iter().all(|name| name.contains('.')).then_some(names)
    }
}

/// Returns the description of a line of forgeries of a name, and the subject.
fn forged(line: &str, name: &str, rendering: Rendering) -> (String, String) {
    let alike = name.replacen('.', "X", 1).replacen('.', "Y", 1);
    let forms: Vec<_> = line.split(" | ").collect();
    let fill = |form: &str| form.replace("{}", name).replace("{x}", &alike);
    (fill(forms[0]), fill(forms[1 + rendering as usize]))
}

/// Returns the names that the start of a pattern matches, where an unescaped dot is a dot.
fn literals(pattern: &str) -> Option<Vec<String>> {
    let (names, rest) = expand(pattern, "-_. @", false);
    // Anything may follow a whole name, but not a part of one.
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let rest = rest.trim_start_matches(['*', '+', '?', ')']);
    let ends = rest.is_empty() || rest.starts_with(['$', ',', '/', '|', '(', '\\']);
    (ends && names.iter().all(|name| !name.is_empty())).then_some(names)
}
