//! Chooses the site that is imported, and which of the requests it passes on are the webhook's.

use super::Options;
use super::directive::{Directive, ImportError, SourceLocation, is_listed};
use super::site::{PassedOn, Site};
use crate::http::path::PathPattern;

/// Parts of paths that are probably a webhook's.
const WORDS: &str = "*hook* *alert* *notif*";

/// Parts of paths of a server's own pages.
const PAGES: &str = "*server-status* *server-info* *balancer-manager* *nginx_status* \
    *stub_status* *acme-challenge*";

/// Directives that pass requests on in another protocol.
const OTHER_PROTOCOLS: &str = "fastcgi_pass uwsgi_pass scgi_pass grpc_pass memcached_pass";

/// Maximum number of other paths or servers that are named.
const MAX_OTHERS: usize = 5;

const MANY: &str = "this is no path, or an expression for more than a few: name the webhook's with \
    --webhook, if it is here";
const ONLY_MANY: &str =
    "passes requests on, but for more than a few paths: name the webhook's with --webhook";
const NONE: &str = "no location of this server passes requests on: name another server with \
    --server, or the file that has it";

/// The facts that make a site the webhook's, the most important first: it passes requests on, is
/// about Netdata Cloud, looks at client certificates, has a path like a webhook's, and TLS.
type Rank = [bool; 5];

/// A site with all that it passes on.
struct Candidate<'r, 't> {
    site: &'r dyn Site<'t>,
    passages: Vec<PassedOn<'t>>,
    rank: Rank,
}

/// Chooses among the sites of a configuration.
pub(super) struct Choice<'r, 't> {
    candidates: Vec<Candidate<'r, 't>>,
    options: &'r Options,
    start: SourceLocation,
}

impl<'r, 't> Choice<'r, 't> {
    pub(super) fn new(sites: &[&'r dyn Site<'t>], options: &'r Options) -> Self {
        Self {
            candidates: sites.iter().map(|site| Candidate::of(*site)).collect(),
            options,
            start: SourceLocation::start_of(&options.file),
        }
    }

    /// Returns the site, and what becomes routes.
    pub(super) fn make(&self) -> Result<(&'r dyn Site<'t>, Vec<PassedOn<'t>>), ImportError> {
        let (chosen, named) = self.candidate()?;
        let mut passages = match self.options.webhook.is_empty() {
            true => guessed(chosen)?,
            false => Vec::new(),
        };
        passages.extend(named);
        if self.options.server.is_none() {
            self.say_others(chosen);
        }
        Ok((chosen.site, passages))
    }

    /// Returns the most likely site, and what it passes on of the paths that the options name.
    fn candidate(&self) -> Result<(&Candidate<'r, 't>, Vec<PassedOn<'t>>), ImportError> {
        let mut named: Vec<_> = self.candidates.iter().rev().collect();
        if let Some(wanted) = &self.options.server {
            let is_wanted = |name: &&str| wanted.eq_ignore_ascii_case(name);
            named.retain(|it| it.site.head().names().iter().any(is_wanted));
        }
        if named.is_empty() {
            let names = self.candidates.iter().flat_map(|it| it.site.head().names());
            let names = names.collect::<Vec<_>>().join(", ");
            let message = format!("there is no such server here: there are {names}");
            return Err(self.start.error(message));
        }
        let served = named
            .into_iter()
            .filter_map(|it| Some((it, self.served_by(it)?)));
        let best = served.max_by_key(|(it, _)| it.rank);
        best.ok_or_else(|| self.unserved())
    }

    fn unserved(&self) -> ImportError {
        let paths: Vec<_> = self.paths().map(|(path, _)| path.as_str()).collect();
        let paths = paths.join(" and ");
        let remedy = "name the file that has it, or another path";
        let message = format!("no server here passes requests for {paths} on: {remedy}");
        self.start.error(message)
    }

    /// Returns the paths that the options name, and whether they are webhooks.
    fn paths(&self) -> impl Iterator<Item = (&'r String, bool)> {
        let webhooks = self.options.webhook.iter().map(|path| (path, true));
        let others = self.options.proxy.iter().map(|path| (path, false));
        webhooks.chain(others)
    }

    /// Returns what a site passes on of all paths that the options name; `None` if one is missing.
    fn served_by(&self, candidate: &Candidate<'r, 't>) -> Option<Vec<PassedOn<'t>>> {
        let served = self.paths().map(|(path, is_webhook)| {
            PathPattern::parse(path).ok()?;
            Some(PassedOn {
                paths: vec![path.clone()],
                is_webhook,
                ..candidate.site.serving(path)?
            })
        });
        served.collect()
    }

    /// Reports which other servers may have a webhook, too.
    fn say_others(&self, chosen: &Candidate<'r, 't>) {
        let others = self.candidates.iter().filter(|it| {
            let [passes, _, looks, has_webhook, _] = it.rank;
            let is_other = it.site.head().directive.id != chosen.site.head().directive.id;
            is_other && passes && (looks || has_webhook)
        });
        let names = others.filter_map(|it| it.site.head().names().first().copied());
        let names: Vec<_> = names.take(MAX_OTHERS).collect();
        if !names.is_empty() {
            chosen.site.head().directive.first(format!(
                "look at servers: {} may have a webhook, too: import that with --server, for a \
                 process of its own",
                names.join(", ")
            ));
        }
    }
}

/// Returns what is probably the webhook's.
fn guessed<'t>(chosen: &Candidate<'_, 't>) -> Result<Vec<PassedOn<'t>>, ImportError> {
    let passages = chosen.passages.iter();
    let (mut few, many): (Vec<_>, Vec<_>) = passages.partition(|it| !it.paths.is_empty());
    let probable = many.iter().filter(|it| it.evidence() > 0);
    probable.for_each(|it| it.directive.not_carried(MANY));
    let most = few.iter().map(|it| it.evidence()).max();
    let most = most.ok_or_else(|| nothing(chosen))?;
    few.retain(|it| it.evidence() == most);
    if most == 0 {
        few = vec![doubtful(&few)];
    }
    let webhooks = few.into_iter().cloned().map(|it| PassedOn {
        is_webhook: true,
        ..it
    });
    Ok(webhooks.collect())
}

/// Explains why nothing of a site can be the webhook's.
fn nothing(chosen: &Candidate<'_, '_>) -> ImportError {
    let block = chosen.site.head().scope.innermost().iter();
    let mut tree = block.flat_map(Directive::tree);
    if let Some(passage) = chosen.passages.first() {
        passage.directive.error(ONLY_MANY)
    } else if let Some(other) = tree.find(|it| it.is(OTHER_PROTOCOLS)) {
        other.error("does not speak HTTP: configure the application to do so")
    } else {
        chosen.site.head().directive.place.error(NONE)
    }
}

impl<'r, 't> Candidate<'r, 't> {
    fn of(site: &'r dyn Site<'t>) -> Self {
        let passages = site.passages();
        let block = site.head().scope.innermost();
        let holds = |is: &dyn Fn(&Directive) -> bool| block.iter().any(|it| it.holds(is));
        let most = passages.iter().map(|it| evidence(&it.text)).max();
        let most = most.unwrap_or_default();
        let looks = verifies(site) || holds(&|it| site.looks_at_certificates(it));
        let is_netdata = most > 2 || (looks || most > 0) && holds(&is_about_netdata);
        let passes = !passages.is_empty();
        Self {
            site,
            passages,
            rank: [passes, is_netdata, looks, most > 0, site.head().is_tls],
        }
    }
}

/// Returns whether the whole site looks at certificates.
fn verifies(site: &dyn Site<'_>) -> bool {
    let demand = site.head().scope.one("ssl_verify_client SSLVerifyClient");
    demand.is_some_and(|it| !is_listed("off none", it.value()))
}

impl PassedOn<'_> {
    /// Returns the probability that requests are the webhook's, from 0.
    pub(super) fn evidence(&self) -> u8 {
        match is_listed(PAGES, &self.text) {
            true => 0,
            false => 4 * u8::from(self.looks) + evidence(&self.text),
        }
    }
}

/// Returns the part of the probability that a path has. Netdata's dashboard is often at /netdata.
fn evidence(path: &str) -> u8 {
    let path = path.to_ascii_lowercase();
    2 * u8::from(is_listed(WORDS, &path)) + u8::from(path.contains("netdata"))
}

/// Returns whether a directive is about Netdata Cloud, and not only about client certificates.
fn is_about_netdata(directive: &Directive) -> bool {
    let text = directive.arguments.join(" ").to_ascii_lowercase();
    text.replace('\\', "").contains("netdata.cloud")
}

/// Returns the one of several that none looks like a webhook's, and says so: that for everything,
/// or else the first.
fn doubtful<'p, 't>(few: &[&'p PassedOn<'t>]) -> &'p PassedOn<'t> {
    let is_for_all = |it: &&PassedOn<'t>| matches!(&*it.text, "/" | "/*");
    let chosen = few[few.iter().position(is_for_all).unwrap_or(0)];
    let others = few.iter().map(|it| &*it.text);
    let others = others.filter(|it| *it != chosen.text).take(MAX_OTHERS);
    let others = others.collect::<Vec<_>>().join(", ");
    if !others.is_empty() {
        chosen.directive.first(format!(
            "look at the webhook: {} was taken for its path; if that is wrong, name it with \
             --webhook (there are {others}, too)",
            chosen.text
        ));
    }
    chosen
}
