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

/// The advice for an expression that may be the webhook's.
const MANY: &str = "this is no path, or an expression for more than a few: name the webhook's with \
    --webhook, if it is here";

const ONLY_MANY: &str =
    "passes requests on, but for more than a few paths: name the webhook's with --webhook";

const NONE: &str = "no location of this server passes requests on: name another server with \
    --server, or the file that has it";

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
    start: SourceLocation,
}

impl<'r, 't, S: Site<'t>> Choice<'r, 't, S> {
    pub(super) fn new(sites: &'r [S], options: &'r Options) -> Self {
        Self {
            candidates: sites.iter().map(Candidate::of).collect(),
            options,
            start: SourceLocation::start_of(&options.file),
        }
    }

    /// Returns the site, and what becomes routes.
    pub(super) fn make(&self) -> Result<(&'r S, Passages<'t, S>), ImportError> {
        let chosen = self.candidate()?;
        let mut passages = match &self.options.webhook[..] {
            [] => self.guessed(chosen)?,
            paths => self.named(chosen.site, paths, true)?,
        };
        passages.extend(self.named(chosen.site, &self.options.proxy, false)?);
        if self.options.server.is_none() {
            self.say_others(chosen);
        }
        Ok((chosen.site, passages))
    }

    /// Returns the most likely site, the first of several alike.
    fn candidate(&self) -> Result<&Candidate<'r, 't, S>, ImportError> {
        let wanted = self.options.server.as_deref();
        let named = self.candidates.iter().rev();
        let named = named.filter(|it| wanted.is_none_or(|name| it.has(name)));
        if named.clone().next().is_none() {
            return Err(self.unnamed());
        }
        let best = named
            .filter(|it| self.is_served(it))
            .max_by_key(|it| it.rank);
        best.ok_or_else(|| self.unserved())
    }

    fn unnamed(&self) -> ImportError {
        let names = self.candidates.iter().flat_map(|it| it.site.names());
        let names = names.collect::<Vec<_>>().join(", ");
        let message = format!("there is no such server here: there are {names}");
        self.start.error(message)
    }

    /// Returns the paths that the options name.
    fn paths(&self) -> impl Iterator<Item = &'r String> {
        self.options.webhook.iter().chain(&self.options.proxy)
    }

    /// Returns whether a site passes requests for all paths on that the options name.
    fn is_served(&self, candidate: &Candidate<'r, 't, S>) -> bool {
        self.paths()
            .all(|path| candidate.site.serving(path).is_some())
    }

    fn unserved(&self) -> ImportError {
        let path = self.paths().next().map_or("", String::as_str);
        let message = format!(
            "no server here passes requests for {path} on, and for all paths that are named: name \
             the file that has it, or another path"
        );
        self.start.error(message)
    }

    /// Reports which other servers may have a webhook, too.
    fn say_others(&self, chosen: &Candidate<'r, 't, S>) {
        let others = self.candidates.iter().filter(|it| {
            let [passes, _, looks, has_webhook, _] = it.rank;
            !std::ptr::eq(it.site, chosen.site) && passes && (looks || has_webhook)
        });
        let names = others.filter_map(|it| it.site.names().first().copied());
        let names: Vec<_> = names.take(MAX_OTHERS).collect();
        if let Some(directive) = chosen.site.directive().filter(|_| !names.is_empty()) {
            directive.first(format!(
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
        let mut passages = Vec::new();
        for path in paths {
            let invalid = |message| self.start.error(format!("{path} {message}"));
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
    fn guessed(&self, chosen: &Candidate<'r, 't, S>) -> Result<Passages<'t, S>, ImportError> {
        let all = chosen.passages.iter();
        let (few, many): (Vec<_>, Vec<_>) = all.partition(|it| !it.paths.is_empty());
        let probable = many.iter().filter(|it| it.evidence() > 0);
        probable.for_each(|it| it.directive.not_carried(MANY));
        let webhooks = match few.iter().map(|it| it.evidence()).max() {
            None => return Err(self.nothing(chosen)),
            Some(0) => vec![doubtful(&few)],
            most => few
                .into_iter()
                .filter(|it| Some(it.evidence()) == most)
                .collect(),
        };
        let webhooks = webhooks.into_iter().cloned();
        let webhooks = webhooks.map(|it| PassedOn {
            is_webhook: true,
            ..it
        });
        Ok(webhooks.collect())
    }

    /// Explains why nothing of a site can be the webhook's.
    fn nothing(&self, chosen: &Candidate<'r, 't, S>) -> ImportError {
        let mut block = chosen.site.scope().innermost().iter();
        if let Some(passage) = chosen.passages.first() {
            passage.directive.error(ONLY_MANY)
        } else if let Some(other) = block.find_map(|it| it.find(OTHER_PROTOCOLS)) {
            other.error("does not speak HTTP: configure the application to do so")
        } else {
            let site = chosen.site.directive();
            site.map_or(&self.start, |it| &it.place).error(NONE)
        }
    }
}

impl<'r, 't, S: Site<'t>> Candidate<'r, 't, S> {
    fn of(site: &'r S) -> Self {
        let passages = site.passages();
        let rank = rank(site, &passages);
        Self {
            site,
            passages,
            rank,
        }
    }

    fn has(&self, name: &str) -> bool {
        let mut names = self.site.names().into_iter();
        names.any(|own| own.eq_ignore_ascii_case(name))
    }
}

fn rank<'t, S: Site<'t>>(site: &S, passages: &Passages<'t, S>) -> Rank {
    let block = site.scope().innermost();
    let holds = |is: &dyn Fn(&Directive) -> bool| block.iter().any(|it| it.holds(is));
    let looks = verifies(site) || holds(&|it| site.looks_at_certificates(it));
    let mut paths = passages.iter();
    let has_webhook = paths.any(|it| evidence(&it.text) > 0);
    let names_netdata = passages.iter().any(|it| evidence(&it.text) > 2);
    let is_netdata = names_netdata || (looks || has_webhook) && holds(&is_about_netdata);
    let passes = !passages.is_empty();
    [passes, is_netdata, looks, has_webhook, site.is_tls()]
}

/// Returns whether the whole site looks at certificates.
fn verifies<'t, S: Site<'t>>(site: &S) -> bool {
    let demand = site.scope().one("ssl_verify_client SSLVerifyClient");
    demand.is_some_and(|it| !is_listed("off none", it.value()))
}

impl<P> PassedOn<'_, P> {
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
    let mut arguments = directive.arguments.iter();
    arguments.any(|it| {
        it.to_ascii_lowercase()
            .replace('\\', "")
            .contains("netdata.cloud")
    })
}

/// Returns the one of several that is probably the webhook's if none looks so, and says so: the one
/// for everything, or else the first.
fn doubtful<'p, 't, P>(few: &[&'p PassedOn<'t, P>]) -> &'p PassedOn<'t, P> {
    let is_for_all = |it: &&PassedOn<'t, P>| matches!(&*it.text, "/" | "/*");
    let chosen = few[few.iter().position(is_for_all).unwrap_or(0)];
    let others = few
        .iter()
        .map(|it| &*it.text)
        .filter(|it| *it != chosen.text);
    let others: Vec<_> = others.take(MAX_OTHERS).collect();
    if !others.is_empty() {
        chosen.directive.first(format!(
            "look at the webhook: {} was taken for its path; if that is wrong, name it with \
             --webhook (there are {}, too)",
            chosen.text,
            others.join(", ")
        ));
    }
    chosen
}
