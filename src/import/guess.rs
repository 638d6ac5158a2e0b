//! Which of several places is probably the webhook's.

use super::directive::Directive;

/// What a path has that is probably a webhook's.
const WORDS: [&str; 3] = ["hook", "alert", "notif"];

/// Whether something in a server is about Netdata Cloud, not only about client certificates, which others have, too.
pub(super) fn is_about_netdata(directive: &Directive) -> bool {
    directive.holds(&|it| {
        let text = it.arguments.join(" ").to_ascii_lowercase().replace('\\', "");
        let names_path = ["location", "locationmatch", "proxypass", "proxypassmatch", "rewriterule"];
        let is_path = names_path.contains(&it.name.to_ascii_lowercase().as_str());
        text.contains("netdata.cloud")
            || (is_path && text.contains("netdata") && WORDS.iter().any(|word| text.contains(word)))
    })
}

/// How much speaks for it; nothing does where it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Evidence(u8);

impl Evidence {
    /// Of a place for `path`; `looks_at_names` says whether the names of client certificates are looked at there.
    pub(super) fn of(path: &str, looks_at_names: bool) -> Self {
        let path = path.to_ascii_lowercase();
        let has_word = WORDS.iter().any(|word| path.contains(word));
        // Netdata's dashboard is often at /netdata.
        let has_netdata = path.contains("netdata");
        Self(match (looks_at_names, has_word, has_netdata) {
            (true, true, _) | (true, _, true) => 5,
            (true, false, false) => 4,
            (false, true, true) => 3,
            (false, true, false) => 2,
            (false, false, true) => 1,
            (false, false, false) => 0,
        })
    }

    pub(super) fn is_any(self) -> bool {
        self.0 > 0
    }
}

/// Which of them are the webhook's: those for which most speaks, or the only one. `None` where that is not known.
pub(super) fn webhooks(evidence: &[Evidence]) -> Option<Vec<bool>> {
    let most = evidence.iter().copied().max()?;
    match (most.is_any(), evidence.len()) {
        (true, _) => Some(evidence.iter().map(|it| *it == most).collect()),
        (false, 1) => Some(vec![true]),
        (false, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_speaks_for_where_names_are_looked_at() {
        let check = |places: &[(&str, bool)], expected: Option<&[bool]>| {
            let evidence: Vec<_> = places.iter().map(|(path, names)| Evidence::of(path, *names)).collect();
            assert_eq!(webhooks(&evidence).as_deref(), expected, "{places:?}");
        };
        check(&[("/", true)], Some(&[true]));
        check(&[("/", false)], Some(&[true]));
        check(&[("/", true), ("/webhooks/netdata", true)], Some(&[false, true]));
        check(&[("/netdata/", false), ("/alarms", true)], Some(&[false, true]));
        check(&[("/netdata/", false), ("/webhook", false)], Some(&[false, true]));
        check(&[("/webhooks/github", false), ("/webhooks/netdata", false)], Some(&[false, true]));
        check(&[("/hooks/a", true), ("/hooks/b", true), ("/c", false)], Some(&[true, true, false]));
        check(&[("/a", false), ("/b", false)], None);
        check(&[], None);
    }
}
