//! What a check of a certificate's subject as text was meant to let in, and what else it lets in.

use super::regex_literal::expand;
use regex::{Regex, RegexBuilder};

/// The name that Netdata Cloud's certificate has.
pub(super) const NETDATA: &str = "app.netdata.cloud";

/// Whether a subject passes.
type Matcher<'p> = Box<dyn Fn(&str) -> bool + 'p>;

/// Names that one pattern may stand for.
const MAX_NAMES: usize = 64;

/// How much memory a pattern may take.
const MAX_PATTERN: usize = 1 << 20;

/// As what the subject is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rendering {
    /// `CN=a,O=b` (RFC 2253), as `$ssl_client_s_dn` has it.
    Rfc2253,
    /// `/O=b/CN=a`, as `$ssl_client_s_dn_legacy` has it.
    Oneline,
    /// Only the common name, or one of several.
    CommonName,
}

/// What the text is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubjectCheck {
    pub(super) rendering: Rendering,
    pub(super) text: String,
    pub(super) comparison: Comparison,
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Whole,
    Expression { ignores_case: bool },
}

/// Subjects that are not Netdata Cloud's, as `README.md` has them; `{}` is the name, `{x}` one that
/// looks like it.
const FORGERIES: [(&str, &str, &str, &str); 8] = [
    (
        "CN={}.evil.example",
        "CN={}.evil.example",
        "/CN={}.evil.example",
        "{}.evil.example",
    ),
    ("CN={x}", "CN={x}", "/CN={x}", "{x}"),
    (
        "OU=CN={}, CN=evil",
        "CN=evil,OU=CN={}",
        "/OU=CN={}/CN=evil",
        "evil",
    ),
    (
        "O=\"x,CN={}\", CN=evil",
        "CN=evil,O=x\\,CN={}",
        "/O=x,CN={}/CN=evil",
        "evil",
    ),
    ("CN={} with a NUL", "CN={}\\00", "/CN={}\\x00", "{}\0"),
    ("CN={} with a trailing space", "CN={}\\ ", "/CN={} ", "{} "),
    ("two CNs", "CN={},CN=evil", "/CN={}/CN=evil", "{}"),
    ("two CNs", "CN=evil,CN={}", "/CN=evil/CN={}", "evil"),
];

impl SubjectCheck {
    /// The names that it was meant to let in; `None` where it does not say.
    pub(super) fn names(&self) -> Option<Vec<String>> {
        let mut names = match self.comparison {
            Comparison::Whole => self.whole_names(),
            Comparison::Expression { .. } => self.expression_names()?,
        };
        names.sort();
        names.dedup();
        // Only the case differs, which was not looked at.
        if let Comparison::Expression { ignores_case: true } = self.comparison {
            let own = |name: String| {
                if name.eq_ignore_ascii_case(NETDATA) {
                    NETDATA.to_owned()
                } else {
                    name
                }
            };
            names = names.into_iter().map(own).collect();
        }
        let is_plausible =
            |name: &String| !name.is_empty() && !name.contains(|c: char| c.is_control());
        (!names.is_empty() && names.len() <= MAX_NAMES && names.iter().all(is_plausible))
            .then_some(names)
    }

    /// What else it lets in, in words.
    pub(super) fn forgeries(&self, names: &[String]) -> Vec<String> {
        let Some(name) = names.first() else {
            return Vec::new();
        };
        let Some(matches) = self.matcher() else {
            return Vec::new();
        };
        let alike = name.replacen('.', "X", 1).replacen('.', "Y", 1);
        let fill = |form: &str| form.replace("{}", name).replace("{x}", &alike);
        let is_other = |text: &str| !names.iter().any(|name| text == format!("CN={name}"));
        let mut found: Vec<String> = FORGERIES
            .iter()
            .map(|(words, rfc2253, oneline, common_name)| {
                let text = match self.rendering {
                    Rendering::Rfc2253 => rfc2253,
                    Rendering::Oneline => oneline,
                    Rendering::CommonName => common_name,
                };
                (fill(words), fill(text))
            })
            .filter(|(words, text)| is_other(words) && matches(text))
            .map(|(words, _)| words)
            .collect();
        found.dedup();
        found
    }

    /// Whether it looks at more than the name.
    pub(super) fn has_more_than_names(&self) -> bool {
        ["O=", "OU=", "C=", "ST=", "L=", "emailAddress="]
            .iter()
            .any(|key| {
                self.text
                    .match_indices(key)
                    .any(|(at, _)| !self.text[..at].ends_with(|c: char| c.is_alphanumeric()))
            })
    }

    fn matcher(&self) -> Option<Matcher<'_>> {
        match self.comparison {
            Comparison::Whole => Some(Box::new(|text| text == self.text)),
            Comparison::Expression { ignores_case } => {
                let expression = compile(&self.text, ignores_case)?;
                Some(Box::new(move |text| expression.is_match(text)))
            }
        }
    }

    fn whole_names(&self) -> Vec<String> {
        if self.rendering == Rendering::CommonName {
            return vec![self.text.clone()];
        }
        let parts = self
            .text
            .split([',', '/'])
            .filter_map(|part| part.trim().strip_prefix("CN="));
        parts.map(str::to_owned).collect()
    }

    fn expression_names(&self) -> Option<Vec<String>> {
        let text = self.text.as_str();
        let is_key = |at: &usize| match self.comparison {
            Comparison::Expression { ignores_case: true } => text[*at..]
                .get(..3)
                .is_some_and(|it| it.eq_ignore_ascii_case("CN=")),
            _ => text[*at..].starts_with("CN="),
        };
        let after_keys: Vec<&str> = text
            .char_indices()
            .map(|(at, _)| at)
            .filter(is_key)
            .map(|at| &text[at + 3..])
            .collect();
        if !after_keys.is_empty() {
            return after_keys
                .into_iter()
                .map(literals)
                .collect::<Option<Vec<_>>>()
                .map(|names| names.concat());
        }
        let names = literals(text.trim_start_matches('^'))?;
        // Without its key, only what looks like the name of a host is one.
        names.iter().all(|name| name.contains('.')).then_some(names)
    }
}

fn compile(text: &str, ignores_case: bool) -> Option<Regex> {
    RegexBuilder::new(text)
        .case_insensitive(ignores_case)
        .size_limit(MAX_PATTERN)
        .build()
        .ok()
}

/// What the start of a pattern stands for, up to where a name ends. An unescaped dot was meant as
/// one.
fn literals(pattern: &str) -> Option<Vec<String>> {
    let (names, rest) = expand(pattern, "-_. @");
    // Anything may follow a whole name, but not the half of one.
    let tail = rest
        .strip_prefix('.')
        .unwrap_or(rest)
        .trim_start_matches(['*', '+', '?', ')']);
    let ends = tail.is_empty() || tail.starts_with(['$', ',', '/', '|', '(', '\\']);
    (ends && names.iter().all(|name| !name.is_empty())).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: &str = "app.netdata.cloud";

    fn expression(text: &str) -> SubjectCheck {
        let comparison = Comparison::Expression {
            ignores_case: false,
        };
        SubjectCheck {
            rendering: Rendering::Rfc2253,
            text: text.into(),
            comparison,
        }
    }

    #[test]
    fn the_names_that_are_meant_are_found() {
        for (text, names) in [
            ("CN=app.netdata.cloud", &[NAME][..]),
            (r"CN=app\.netdata\.cloud", &[NAME]),
            (r"^CN=app\.netdata\.cloud$", &[NAME]),
            (r"(^|,)CN=app\.netdata\.cloud(,|$)", &[NAME]),
            (r"^(.*,)?CN=app\.netdata\.cloud(,.*)?$", &[NAME]),
            ("/CN=app.netdata.cloud/", &[NAME]),
            ("CN=app.netdata.cloud.*", &[NAME]),
            ("CN=(app|api).netdata.cloud", &["api.netdata.cloud", NAME]),
            ("CN=(?:app)\\.netdata\\.cloud", &[NAME]),
            (
                "CN=app.netdata.cloud|CN=api.netdata.cloud",
                &["api.netdata.cloud", NAME],
            ),
            ("app.netdata.cloud", &[NAME]),
            ("^app\\.netdata\\.cloud$", &[NAME]),
            ("CN=My Client,O=x", &["My Client"]),
            ("cn=app.netdata.cloud", &[]),
            ("Netdata", &[]),
            ("CN=.*\\.netdata\\.cloud", &[]),
            ("CN=app.*cloud", &[]),
            ("CN=[a-z]+", &[]),
            ("CN=", &[]),
            ("", &[]),
        ] {
            assert_eq!(
                expression(text).names().unwrap_or_default(),
                names,
                "{text}"
            );
        }
        let comparison = Comparison::Expression { ignores_case: true };
        let check = SubjectCheck {
            comparison,
            ..expression("cn=app.netdata.cloud")
        };
        assert_eq!(check.names().unwrap(), [NAME]);
        let whole = |rendering, text: &str| {
            SubjectCheck {
                rendering,
                text: text.into(),
                comparison: Comparison::Whole,
            }
            .names()
        };
        assert_eq!(
            whole(Rendering::Rfc2253, "CN=app.netdata.cloud,O=Netdata").unwrap(),
            [NAME]
        );
        assert_eq!(
            whole(Rendering::Oneline, "/C=US/O=Netdata/CN=app.netdata.cloud").unwrap(),
            [NAME]
        );
        assert_eq!(whole(Rendering::CommonName, NAME).unwrap(), [NAME]);
        assert_eq!(whole(Rendering::Rfc2253, "O=Netdata"), None);
    }

    #[test]
    fn what_else_gets_in_is_known() {
        let forgeries = |check: &SubjectCheck| check.forgeries(&[NAME.into()]).join("; ");
        let all = "CN=app.netdata.cloud.evil.example; CN=appXnetdataYcloud; OU=CN=app.netdata.cloud, CN=evil; \
                   O=\"x,CN=app.netdata.cloud\", CN=evil; CN=app.netdata.cloud with a NUL; \
                   CN=app.netdata.cloud with a trailing space; two CNs";
        assert_eq!(forgeries(&expression("CN=app.netdata.cloud")), all);
        let anchored = r"(^|,)CN=app\.netdata\.cloud(,|$)";
        assert_eq!(
            forgeries(&expression(anchored)),
            "O=\"x,CN=app.netdata.cloud\", CN=evil; two CNs"
        );
        assert_eq!(forgeries(&expression(r"^CN=app\.netdata\.cloud$")), "");
        assert_eq!(forgeries(&expression("(?=x)")), "");
        let common_name = SubjectCheck {
            rendering: Rendering::CommonName,
            text: NAME.into(),
            comparison: Comparison::Whole,
        };
        assert_eq!(forgeries(&common_name), "two CNs");
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic(text in "(CN=|app|[.\\\\()|*+?$^{}]|\\PC){0,20}", ignores_case: bool) {
            let comparison = Comparison::Expression { ignores_case };
            for rendering in [Rendering::Rfc2253, Rendering::Oneline, Rendering::CommonName] {
                let check = SubjectCheck { rendering, text: text.clone(), comparison };
                let names = check.names().unwrap_or_default();
                check.forgeries(&names);
            }
        }
    }
}
