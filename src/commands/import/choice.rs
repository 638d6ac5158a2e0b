//! Chooses the site that is imported, and which of the requests it passes on are the webhook's.

use super::Options;
use super::directive::{Directive, ImportError, SourceLocation, is_listed};
use super::report::Ledger;
use super::site::{PassedOn, Site};
use crate::http::path::PathPattern;

/// Parts of paths that are probably a webhook's.
const WORDS: [&str; 3] = ["hook", "alert", "notif"];

/// Parts of paths of a server's own pages.
const PAGES: &str = "*server-status* *server-info* *balancer-manager* *nginx_status* \
    *stub_status* *acme-challenge*";

/// Directives that pass requests on in another protocol.
const OTHER_PROTOCOLS: &str = "fastcgi_pass uwsgi_pass scgi_pass grpc_pass memcached_pass";

/// Directives with a path.
const PATHS: &str = "location locationmatch proxypass proxypassmatch rewriterule";

/// Maximum number of other paths or servers that are named.
const MAX_OTHERS: usize = 5;

/// The facts that make a site the webhook's, the most important first: it passes requests on, is
/// about Netdata Cloud, looks at client certificates, has a path like a webhook's, and TLS.
type Rank = [bool; 5];

type Passages<'t, S> = Vec<PassedOn<'t, <S as Site<'t>>::Passage>>;

/// A site with all that it passes on.
struct Candidate<'r, 't, S: Site<'t>> {
    site: &'r S,
    passages: Passages<'t, S>,
    rank: Rank,
}

/// Chooses among the sites of a configuration.
pub(super) struct Choice<'r, 't, S: Site<'t>> {
    candidates: Vec<Candidate<'r, 't, S>>,
    options: &'r Options,
}

impl<'r, 't, S: Site<'t>> Choice<'r, 't, S> {
    pub(super) fn new(sites: &'r [S], options: &'r Options) -> Self {
        let rated = |site: &'r S| {
            let passages = site.passages();
            let rank = rank(site, &passages);
            Candidate {
                site,
                passages,
                rank,
            }
        };
        let candidates = sites.iter().map(rated).collect();
        Self {
            candidates,
            options,
        }
    }

    /// Returns the site, and what becomes routes.
    pub(super) fn make(&self, ledger: &Ledger) -> Result<(&'r S, Passages<'t, S>), ImportError> {
        let chosen = self.candidate()?;
        let mut passages = match &self.options.webhook[..] {
            [] => self.guessed(chosen, ledger)?,
            paths => self.named(chosen.site, paths, true)?,
        };
        passages.extend(self.named(chosen.site, &self.options.proxy, false)?);
        self.say_others(chosen, ledger);
        Ok((chosen.site, passages))
    }

    /// Returns the most likely site, the first of several alike.
    fn candidate(&self) -> Result<&Candidate<'r, 't, S>, ImportError> {
        let fail = |message| SourceLocation::start_of(&self.options.file).error(message);
        let wanted = self.options.server.as_ref();
        let is_named = |it: &&Candidate<'r, 't, S>| {
            let mut names = it.site.names().into_iter();
            wanted.is_none_or(|name| names.any(|own| own.eq_ignore_ascii_case(name)))
        };
        let named: Vec<_> = self.candidates.iter().filter(is_named).collect();
        if named.is_empty() {
            let names = self.candidates.iter().flat_map(|it| it.site.names());
            let names = names.collect::<Vec<_>>().join(", ");
            let message = format!("there is no such server here: there are {names}");
            return Err(fail(message));
        }
        let mut paths = self.options.webhook.iter().chain(&self.options.proxy);
        let serving = named.iter().rev();
        let serving =
            serving.filter(|it| paths.clone().all(|path| it.site.serving(path).is_some()));
        let best = serving.max_by_key(|it| it.rank).copied();
        best.ok_or_else(|| {
            let path = paths.next().map_or("", String::as_str);
            fail(format!(
                "no server here passes requests for {path} on, and for all paths that are named: \
                 name the file that has it, or another path"
            ))
        })
    }

    /// Reports which other servers may have a webhook, too, and that the rest stays.
    fn say_others(&self, chosen: &Candidate<'r, 't, S>, ledger: &Ledger) {
        let may_have_one = |it: &&Candidate<'r, 't, S>| {
            let [passes, _, looks, has_webhook, _] = it.rank;
            !std::ptr::eq(it.site, chosen.site) && passes && (looks || has_webhook)
        };
        let others = self.candidates.iter().filter(may_have_one);
        let names = others.filter_map(|it| it.site.names().first().copied());
        let names: Vec<_> = names.take(MAX_OTHERS).collect();
        if !names.is_empty() && self.options.server.is_none() {
            ledger.first(format!(
                "look at servers: {} may have a webhook, too: import that with --server, for a \
                 process of its own",
                names.join(", ")
            ));
        }
    }

    /// Returns what becomes routes for paths that the options name.
    fn named(
        &self,
        site: &S,
        paths: &[String],
        is_webhook: bool,
    ) -> Result<Passages<'t, S>, ImportError> {
        let start = SourceLocation::start_of(&self.options.file);
        let mut passages = Vec::new();
        for path in paths {
            let invalid = |message| start.error(format!("{path} {message}"));
            PathPattern::parse(path).map_err(invalid)?;
            passages.extend(site.serving(path).map(|serving| PassedOn {
                paths: vec![path.clone()],
                is_webhook,
                ..serving
            }));
        }
        Ok(passages)
    }

    /// Returns what is probably the webhook's.
    fn guessed(
        &self,
        chosen: &Candidate<'r, 't, S>,
        ledger: &Ledger,
    ) -> Result<Passages<'t, S>, ImportError> {
        let (few, many): (Vec<_>, Vec<_>) =
            chosen.passages.iter().partition(|it| !it.paths.is_empty());
        for passage in many.iter().filter(|it| it.evidence() > 0) {
            let remedy = "this is no path, or an expression for more than a few: name the \
                          webhook's with --webhook, if it is here";
            ledger.not_carried(passage.directive, remedy);
        }
        let most = few.iter().map(|it| it.evidence()).max();
        let mut webhooks = few.clone();
        webhooks.retain(|it| Some(it.evidence()) == most);
        if most == Some(0) && few.len() > 1 {
            webhooks = vec![doubtful(&few, ledger)];
        }
        if webhooks.is_empty() {
            return Err(self.nothing(chosen));
        }
        let webhook = |passage: &PassedOn<'t, S::Passage>| PassedOn {
            is_webhook: true,
            ..passage.clone()
        };
        Ok(webhooks.into_iter().map(webhook).collect())
    }

    /// Explains why nothing of a site can be the webhook's.
    fn nothing(&self, chosen: &Candidate<'r, 't, S>) -> ImportError {
        let mut block = chosen.site.scope().innermost().iter();
        if let Some(passage) = chosen.passages.first() {
            let message = "passes requests on, but for more than a few paths: name the webhook's \
                           with --webhook";
            passage.directive.error(message)
        } else if let Some(other) = block.find_map(|it| it.find(OTHER_PROTOCOLS)) {
            other.error("does not speak HTTP: configure the application to do so")
        } else {
            let message = "no location of this server passes requests on: name another server with \
                           --server, or the file that has it";
            let start = SourceLocation::start_of(&self.options.file);
            let place = chosen.site.directive().map_or(start, |it| it.place.clone());
            place.error(message)
        }
    }
}

fn rank<'t, S: Site<'t>>(site: &S, passages: &Passages<'t, S>) -> Rank {
    let demand = site.scope().value("ssl_verify_client SSLVerifyClient");
    let block = site.scope().innermost();
    let holds = |is: &dyn Fn(&Directive) -> bool| block.iter().any(|it| it.holds(is));
    let is_verified = !is_listed("off none", demand) && !demand.is_empty();
    let looks = is_verified || holds(&|it| site.looks_at_certificates(it));
    let has_webhook = passages.iter().any(|it| evidence(&it.text, false) > 0);
    let is_netdata = (looks || has_webhook) && holds(&is_about_netdata);
    let passes = !passages.is_empty();
    [passes, is_netdata, looks, has_webhook, site.is_tls()]
}

impl<P> PassedOn<'_, P> {
    /// Returns the probability that requests are the webhook's, from 0.
    pub(super) fn evidence(&self) -> u8 {
        evidence(&self.text, self.looks)
    }
}

fn evidence(path: &str, examines_certificates: bool) -> u8 {
    let path = path.to_ascii_lowercase();
    if is_listed(PAGES, &path) {
        return 0;
    }
    // Netdata's dashboard is often at /netdata.
    match (
        examines_certificates,
        has_word(&path),
        path.contains("netdata"),
    ) {
        (true, true, _) | (true, _, true) => 5,
        (true, false, false) => 4,
        (false, true, true) => 3,
        (false, true, false) => 2,
        (false, false, true) => 1,
        (false, false, false) => 0,
    }
}

fn has_word(path: &str) -> bool {
    WORDS.iter().any(|word| path.contains(word))
}

/// Returns whether a directive is about Netdata Cloud, and not only about client certificates.
fn is_about_netdata(directive: &Directive) -> bool {
    let text = directive.arguments.join(" ").to_ascii_lowercase();
    let text = text.replace('\\', "");
    let is_webhook = text.contains("netdata") && has_word(&text);
    text.contains("netdata.cloud") || (directive.is(PATHS) && is_webhook)
}

/// Returns the one of several that is probably the webhook's if none looks so, and says so: the one
/// for everything, or else the first.
fn doubtful<'p, 't, P>(few: &[&'p PassedOn<'t, P>], ledger: &Ledger) -> &'p PassedOn<'t, P> {
    let is_for_all = |it: &&PassedOn<'t, P>| matches!(&*it.text, "/" | "/*");
    let chosen = few[few.iter().position(|it| is_for_all(it)).unwrap_or(0)];
    let others = few.iter().map(|it| &*it.text);
    let others = others
        .filter(|other| *other != chosen.text)
        .take(MAX_OTHERS);
    ledger.first(format!(
        "look at the webhook: {} was taken for its path; if that is wrong, name it with --webhook \
         (there are {}, too)",
        chosen.text,
        others.collect::<Vec<_>>().join(", ")
    ));
    chosen
}
