//! What a path, and what stands there, say about whether it is the webhook's.

use super::directive::Directive;

/// What a path has that is probably a webhook's.
const WORDS: [&str; 3] = ["hook", "alert", "notif"];

/// What a path has that is a server's own page.
const PAGES: [&str; 6] = [
    "server-status",
    "server-info",
    "balancer-manager",
    "nginx_status",
    "stub_status",
    "acme-challenge",
];

/// Whether something in a server is about Netdata Cloud, not only about client certificates, which
/// others have, too.
pub(super) fn is_about_netdata(directive: &Directive) -> bool {
    directive.holds(&|it| {
        let text = it
            .arguments
            .join(" ")
            .to_ascii_lowercase()
            .replace('\\', "");
        let names_path = [
            "location",
            "locationmatch",
            "proxypass",
            "proxypassmatch",
            "rewriterule",
        ];
        let is_path = names_path.contains(&it.name.to_ascii_lowercase().as_str());
        text.contains("netdata.cloud")
            || (is_path && text.contains("netdata") && WORDS.iter().any(|word| text.contains(word)))
    })
}

/// How much speaks for it; nothing does where it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Evidence(u8);

impl Evidence {
    /// Of a place for `path`; `looks_at_certificates` says whether client certificates are looked
    /// at there.
    pub(super) fn of(path: &str, looks_at_certificates: bool) -> Self {
        let path = path.to_ascii_lowercase();
        if PAGES.iter().any(|page| path.contains(page)) {
            return Self(0);
        }
        let has_word = WORDS.iter().any(|word| path.contains(word));
        // Netdata's dashboard is often at /netdata.
        let has_netdata = path.contains("netdata");
        Self(match (looks_at_certificates, has_word, has_netdata) {
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

/// Which of several places are the webhook's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// Those for which most speaks, or the only one.
    These(Vec<usize>),
    /// Nothing speaks for any: the first, or the one for everything.
    Doubtful(usize),
}

impl Guess {
    /// Among places for these paths.
    pub(super) fn among(places: &[(&str, Evidence)]) -> Option<Self> {
        let most = places.iter().map(|(_, evidence)| *evidence).max()?;
        if most.is_any() || places.len() == 1 {
            let best = places
                .iter()
                .enumerate()
                .filter(|(_, (_, evidence))| *evidence == most);
            return Some(Self::These(best.map(|(at, _)| at).collect()));
        }
        let for_all = places
            .iter()
            .position(|(path, _)| matches!(*path, "/" | "/*"));
        Some(Self::Doubtful(for_all.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_speaks_for_where_certificates_are_looked_at() {
        let check = |places: &[(&str, bool)], expected: Option<Guess>| {
            let places: Vec<_> = places
                .iter()
                .map(|(path, looks)| (*path, Evidence::of(path, *looks)))
                .collect();
            assert_eq!(Guess::among(&places), expected, "{places:?}");
        };
        let these = |places: &[usize]| Some(Guess::These(places.to_vec()));
        check(&[("/", true)], these(&[0]));
        check(&[("/", false)], these(&[0]));
        check(&[("/", true), ("/webhooks/netdata", true)], these(&[1]));
        check(&[("/netdata/", false), ("/alarms", true)], these(&[1]));
        check(&[("/netdata/", false), ("/webhook", false)], these(&[1]));
        check(
            &[("/webhooks/github", false), ("/webhooks/netdata", false)],
            these(&[1]),
        );
        check(
            &[("/hooks/a", true), ("/hooks/b", true), ("/c", false)],
            these(&[0, 1]),
        );
        check(
            &[("/server-status", true), ("/", false)],
            Some(Guess::Doubtful(1)),
        );
        check(&[("/a", false), ("/b", false)], Some(Guess::Doubtful(0)));
        check(&[], None);
    }
}
