//! Recognises the webhook among the paths of a server.

use super::directive::Directive;
use super::report::Ledger;

/// Parts of paths that are probably a webhook's.
const WORDS: &str = "hook alert notif";

/// Parts of paths of a server's own pages.
const PAGES: &str =
    "server-status server-info balancer-manager nginx_status stub_status acme-challenge";

/// Directives with a path.
const PATHS: &str = "location locationmatch proxypass proxypassmatch rewriterule";

/// Maximum number of other paths that are named if none is probable.
const MAX_OTHERS: usize = 5;

/// Returns `true` if something in a server is about Netdata Cloud, and not only about client
/// certificates.
pub(super) fn is_about_netdata(directive: &Directive) -> bool {
    directive.holds(&|it| {
        let text = it.arguments.join(" ").to_ascii_lowercase();
        let text = text.replace('\\', "");
        let is_path = PATHS
            .split(' ')
            .any(|name| it.name.eq_ignore_ascii_case(name));
        let is_webhook =
            text.contains("netdata") && WORDS.split(' ').any(|word| text.contains(word));
        text.contains("netdata.cloud") || (is_path && is_webhook)
    })
}

/// The probability that a path is the webhook's, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Evidence(u8);

impl Evidence {
    pub(super) fn of(path: &str, examines_certificates: bool) -> Self {
        let path = path.to_ascii_lowercase();
        if PAGES.split(' ').any(|page| path.contains(page)) {
            return Self(0);
        }
        let has_word = WORDS.split(' ').any(|word| path.contains(word));
        // Netdata's dashboard is often at /netdata.
        let has_netdata = path.contains("netdata");
        Self(match (examines_certificates, has_word, has_netdata) {
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

/// Returns which of several paths are probably the webhook's; none only if there is no path.
///
/// If no path is probable, it is the first, or the one for everything, which the report says.
pub(super) fn choose(paths: &[(&str, Evidence)], ledger: &Ledger) -> Vec<usize> {
    let most = paths.iter().map(|(_, evidence)| *evidence).max();
    if paths.len() < 2 || most.is_some_and(Evidence::is_any) {
        let all = 0..paths.len();
        return all.filter(|at| Some(paths[*at].1) == most).collect();
    }
    let is_for_all = |(path, _): &(&str, Evidence)| matches!(*path, "/" | "/*");
    let chosen = paths.iter().position(is_for_all).unwrap_or(0);
    let path = paths[chosen].0;
    let others = paths
        .iter()
        .map(|(other, _)| *other)
        .filter(|other| *other != path);
    let others: Vec<&str> = others.take(MAX_OTHERS).collect();
    ledger.first(format!(
        "look at the webhook: {path} was taken for its path; if that is wrong, name it with \
         --webhook (there are {}, too)",
        others.join(", ")
    ));
    vec![chosen]
}
