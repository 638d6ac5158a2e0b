//! Checks of a certificate's subject as text: the common names that a check was meant for, and the
//! forged subjects that it lets in.

use super::directive::Directive;
use super::regex_literal::expand;
use regex::RegexBuilder;

/// The common name of Netdata Cloud's certificate.
pub(super) const NETDATA: &str = "app.netdata.cloud";

/// Maximum number of names that one pattern may match.
const MAX_NAMES: usize = 64;

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

/// The way in which a text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Whole,
    Expression { ignores_case: bool },
}

/// A text or an expression, and the directive that contains it.
#[derive(Clone, Debug)]
pub(super) struct AccessPattern<'t> {
    pub(super) text: String,
    pub(super) comparison: Comparison,
    pub(super) directive: &'t Directive,
}

/// The meaning of checks of which one has to be met.
#[derive(Debug, Default)]
pub(super) struct SubjectMeaning {
    /// The common names that the checks were meant to let in; none if they cannot be read.
    pub(super) names: Vec<String>,
    /// Descriptions of the forged subjects that the checks let in.
    pub(super) forgeries: Vec<String>,
    /// A check examines more than the name.
    pub(super) has_more: bool,
}

impl SubjectMeaning {
    pub(super) fn of(patterns: &[AccessPattern<'_>], rendering: Rendering) -> Self {
        let names: Option<Vec<_>> = patterns.iter().map(|it| it.names(rendering)).collect();
        let names = names.unwrap_or_default().concat();
        let forgeries = patterns
            .iter()
            .flat_map(|it| it.forgeries(rendering, &names));
        let mut forgeries: Vec<_> = forgeries.collect();
        forgeries.dedup();
        Self {
            forgeries,
            has_more: patterns.iter().any(AccessPattern::has_more_than_names),
            names,
        }
    }
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

impl AccessPattern<'_> {
    fn ignores_case(&self) -> bool {
        self.comparison == Comparison::Expression { ignores_case: true }
    }

    /// Returns the names that the check was meant to let in; `None` if they cannot be read.
    fn names(&self, rendering: Rendering) -> Option<Vec<String>> {
        let mut names = match (self.comparison, rendering) {
            (Comparison::Whole, Rendering::CommonName) => vec![self.text.clone()],
            (Comparison::Whole, _) => self.whole_names(),
            _ => self.expression_names()?,
        };
        names.sort();
        names.dedup();
        for name in &mut names {
            if self.ignores_case() && name.eq_ignore_ascii_case(NETDATA) {
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
        let matches = self.matcher();
        let is_allowed = |text: &str| names.iter().any(|name| text == format!("CN={name}"));
        let forged = FORGERIES
            .lines()
            .filter_map(|it| forged(it, name, rendering));
        let got_in = forged.filter(|(text, subject)| matches(subject) && !is_allowed(text));
        let mut found: Vec<_> = got_in.map(|(text, _)| text).collect();
        found.dedup();
        found
    }

    /// Returns `true` if the check examines more than the name.
    fn has_more_than_names(&self) -> bool {
        let mut keys = self.text.split('=').map(|before| {
            let is_letter = |c: char| c.is_alphanumeric();
            before.rsplit(|c| !is_letter(c)).next().unwrap_or_default()
        });
        // What follows the last `=` is a value.
        keys.next_back();
        keys.any(|key| ["O", "OU", "C", "ST", "L", "emailAddress"].contains(&key))
    }

    /// Returns the test of subjects; those that cannot be read match none.
    fn matcher(&self) -> impl Fn(&str) -> bool {
        let mut builder = RegexBuilder::new(&self.text);
        builder.case_insensitive(self.ignores_case());
        let expression = builder.size_limit(MAX_PATTERN).build().ok();
        move |subject| match self.comparison {
            Comparison::Whole => subject == self.text,
            _ => expression.as_ref().is_some_and(|it| it.is_match(subject)),
        }
    }

    fn whole_names(&self) -> Vec<String> {
        let parts = self.text.split([',', '/']).map(str::trim);
        let names = parts.filter_map(|part| part.strip_prefix("CN="));
        names.map(str::to_owned).collect()
    }

    fn expression_names(&self) -> Option<Vec<String>> {
        let searched = match self.ignores_case() {
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
fn forged(line: &str, name: &str, rendering: Rendering) -> Option<(String, String)> {
    let alike = name.replacen('.', "X", 1).replacen('.', "Y", 1);
    let mut forms = line.split(" | ");
    let fill = |form: &str| form.replace("{}", name).replace("{x}", &alike);
    Some((fill(forms.next()?), fill(forms.nth(rendering as usize)?)))
}

/// Returns the words that the start of a pattern matches, up to the end of a name. An unescaped dot
/// was meant as a dot.
fn literals(pattern: &str) -> Option<Vec<String>> {
    let (names, rest) = expand(pattern, "-_. @", false);
    // Anything may follow a whole name, but not a part of one.
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let rest = rest.trim_start_matches(['*', '+', '?', ')']);
    let ends = rest.is_empty() || rest.starts_with(['$', ',', '/', '|', '(', '\\']);
    (ends && names.iter().all(|name| !name.is_empty())).then_some(names)
}
