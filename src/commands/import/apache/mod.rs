//! Apache's configuration.

mod access;
mod expression;
mod headers;
mod host;
mod listen;
mod proxy;
mod tls;
mod tree;

use super::Options;
use super::builder::{Builder, RouteRules};
use super::directive::Directive;
use super::known::{self, APACHE};
use super::location::{ImportError, SourceLocation};
use super::quantity::{self, duration};
use super::report::Ledger;
use super::toml_writer::Keys;
use super::webhook_detection::{self, Evidence, Guess};
use crate::http::path::PathPattern;
use host::{Host, is};
use proxy::{Mapping, Proxy};
use std::path::Path;

/// Directories whose files are included by one in the directory above.
const INCLUDED: [&str; 6] = [
    "conf.d",
    "conf-enabled",
    "conf-available",
    "sites-enabled",
    "sites-available",
    "vhosts.d",
];

/// More paths than a site passes on.
const MAX_PATHS: usize = 1000;

/// Reads a whole `apache2.conf` or `httpd.conf`, or a file of a site.
pub(super) fn import(options: &Options, builder: &mut Builder) -> Result<(), ImportError> {
    let tree = tree::read(&options.file, &super::base(options, &INCLUDED))?;
    let hosts = Host::all(&tree.directives);
    let root = super::absolute(&tree.root);
    let host = choose(&hosts, options)?;
    let import = Import {
        host,
        root: &root,
        options,
    };
    let targets = import.targets(&builder.ledger)?;
    import.assemble(builder, &targets)?;
    if hosts.len() > 1 || import.proxy(&Ledger::default()).mappings().len() > targets.len() {
        builder.ledger.first(
            "Apache keeps the rest: on another port, or behind the same one with SNI pass-through (manual: \"Where NGINX goes on \
             serving other sites\")",
        );
    }
    let is_other = |other: &&Host<'_>| {
        other.directive().map(|it| it.id) != host.directive().map(|it| it.id)
            && passes_on(other)
            && (verifies(other) || has_webhook(other))
    };
    let names: Vec<_> = hosts
        .iter()
        .filter(is_other)
        .filter_map(|other| other.names().first().copied())
        .collect();
    if !names.is_empty() && options.server.is_none() {
        builder.ledger.first(super::other_servers(&names));
    }
    let sections = targets
        .iter()
        .flat_map(|target| host.sections_for(&target.path, target.mapping.url()));
    let inner = sections.flat_map(|section| section.directive.children());
    let is_place = |it: &&Directive| !it.children().is_empty() && !is(it, "If");
    let outer = host.both().into_iter().flatten().filter(|it| !is_place(it));
    known::say_the_rest(outer.chain(inner), APACHE, &builder.ledger);
    Ok(())
}

/// The virtual host for which most speaks: that it is about Netdata Cloud, that it asks for client
/// certificates, that it has a path like a webhook's, that it passes something on.
fn choose<'h, 't>(hosts: &'h [Host<'t>], options: &Options) -> Result<&'h Host<'t>, ImportError> {
    let start = SourceLocation {
        file: options.file.as_path().into(),
        line: 1,
    };
    let is_named = |host: &&Host<'t>| {
        let wanted = options.server.as_deref();
        wanted.is_none_or(|name| {
            host.names()
                .iter()
                .any(|own| own.eq_ignore_ascii_case(name))
        })
    };
    let named: Vec<_> = hosts.iter().filter(is_named).collect();
    let best = named.iter().max_by_key(|host| {
        let has_webhook = has_webhook(host);
        let looks = verifies(host);
        let is_netdata = host
            .section
            .is_some_and(webhook_detection::is_about_netdata)
            && (looks || has_webhook);
        let key = (
            passes_on(host),
            is_netdata,
            looks,
            has_webhook,
            host.is_tls(),
        );
        // Of several alike, the first.
        (key, std::cmp::Reverse(host.directive().map(|it| it.id)))
    });
    match best {
        Some(host) => Ok(host),
        None => {
            let known = hosts
                .iter()
                .flat_map(Host::names)
                .collect::<Vec<_>>()
                .join(", ");
            let name = options.server.as_deref().unwrap_or_default();
            let message = format!(
                "there is no virtual host with ServerName or ServerAlias {name}: there are {known}"
            );
            Err(ImportError::new(&start, message))
        }
    }
}

fn passes_on(host: &Host<'_>) -> bool {
    host.holds(&|it| {
        is(it, "ProxyPass")
            || is(it, "ProxyPassMatch")
            || (is(it, "RewriteRule") && it.arguments.get(2).is_some_and(|it| it.contains('P')))
    })
}

fn verifies(host: &Host<'_>) -> bool {
    host.holds(&|it| is(it, "SSLVerifyClient") && !it.value().eq_ignore_ascii_case("none"))
}

/// Whether it has a path that is probably a webhook's.
fn has_webhook(host: &Host<'_>) -> bool {
    let names = [
        "ProxyPass",
        "ProxyPassMatch",
        "Location",
        "LocationMatch",
        "RewriteRule",
    ];
    host.holds(&|it| {
        names.iter().any(|name| is(it, name)) && Evidence::of(it.value(), false).is_any()
    })
}

struct Import<'r, 't> {
    host: &'r Host<'t>,
    root: &'r Path,
    options: &'r Options,
}

/// A path that becomes a route.
#[derive(Clone)]
struct Target<'t> {
    /// What says something about this path.
    directive: &'t Directive,
    mapping: Mapping<'t>,
    path: String,
    is_webhook: bool,
}

impl<'t> Import<'_, 't> {
    fn proxy<'l>(&'l self, ledger: &'l Ledger) -> Proxy<'l, 't> {
        Proxy {
            host: self.host,
            ledger,
            root: self.root,
        }
    }

    /// What becomes a route.
    fn targets(&self, ledger: &Ledger) -> Result<Vec<Target<'t>>, ImportError> {
        let mappings = self.proxy(ledger).mappings();
        let mut targets = match self.options.webhook.is_empty() {
            true => self.guessed(&mappings, ledger)?,
            false => self.named(&mappings, &self.options.webhook, true)?,
        };
        targets.extend(self.named(&mappings, &self.options.proxy, false)?);
        Ok(targets)
    }

    /// The paths that the options name.
    fn named(
        &self,
        mappings: &[Mapping<'t>],
        paths: &[String],
        is_webhook: bool,
    ) -> Result<Vec<Target<'t>>, ImportError> {
        let target = |path: &String| {
            if let Err(message) = PathPattern::parse(path) {
                return Err(ImportError::new(&self.place(), format!("{path} {message}")));
            }
            let found = mappings
                .iter()
                .find(|mapping| mapping.covers(path))
                .filter(|it| !it.is_exclusion());
            let missing = || {
                ImportError::new(
                    &self.place(),
                    format!("requests for {path} are not passed on from this virtual host"),
                )
            };
            let mapping = found.ok_or_else(missing)?.clone();
            Ok(Target {
                directive: mapping.directive,
                mapping,
                path: path.clone(),
                is_webhook,
            })
        };
        paths.iter().map(target).collect()
    }

    /// The paths that are probably the webhook's.
    fn guessed(
        &self,
        mappings: &[Mapping<'t>],
        ledger: &Ledger,
    ) -> Result<Vec<Target<'t>>, ImportError> {
        let targets = self.candidates(mappings);
        let evidence: Vec<_> = targets
            .iter()
            .map(|it| (it.path.as_str(), self.evidence(it)))
            .collect();
        let chosen = match Guess::among(&evidence) {
            None => return Err(self.nothing(ledger)),
            Some(Guess::These(chosen)) => chosen,
            Some(Guess::Doubtful(one)) => {
                let others = evidence
                    .iter()
                    .map(|(path, _)| *path)
                    .filter(|path| *path != evidence[one].0);
                ledger.first(format!(
                    "look at the webhook: {} was taken for its path; if that is wrong, name it with --webhook (there are {}, too)",
                    evidence[one].0,
                    others.take(5).collect::<Vec<_>>().join(", ")
                ));
                vec![one]
            }
        };
        Ok(chosen.into_iter().map(|at| targets[at].clone()).collect())
    }

    /// Every path that is passed on, and every one below at which certificates are looked at, or
    /// that is like a webhook's.
    fn candidates(&self, mappings: &[Mapping<'t>]) -> Vec<Target<'t>> {
        let mut targets: Vec<Target<'t>> = Vec::new();
        let mut add = |path: &str,
                       directive: &'t Directive,
                       is_worth: &dyn Fn(&Target<'t>) -> bool| {
            let Some(first) = mappings.iter().find(|mapping| mapping.covers(path)) else {
                return;
            };
            let is_there = targets.iter().any(|target| target.path == path);
            let (mapping, path) = (first.clone(), path.to_owned());
            let target = Target {
                directive,
                mapping,
                path,
                is_webhook: true,
            };
            if !first.is_exclusion() && !is_there && targets.len() < MAX_PATHS && is_worth(&target)
            {
                targets.push(target);
            }
        };
        for mapping in mappings.iter().filter(|mapping| !mapping.is_exclusion()) {
            mapping
                .paths
                .iter()
                .for_each(|path| add(path, mapping.directive, &|_| true));
        }
        for section in self.host.sections() {
            let host::SectionPlace::Paths { paths, is_exact } = &section.place else {
                continue;
            };
            let is_like_one = paths.iter().any(|path| Evidence::of(path, false).is_any());
            if !is_like_one && !section.directive.holds(&access::looks_at_certificates) {
                continue;
            }
            for path in paths {
                let path = if *is_exact {
                    path.clone()
                } else {
                    format!("{}/*", path.trim_end_matches('/'))
                };
                if PathPattern::parse(&path).is_ok() {
                    add(&path, section.directive, &|target| {
                        self.evidence(target).is_any()
                    });
                }
            }
        }
        targets
    }

    fn evidence(&self, target: &Target<'t>) -> Evidence {
        let guard = access::read(
            self.host,
            &target.path,
            &target.mapping,
            true,
            &Ledger::default(),
        );
        let demanded = self
            .host
            .value("SSLVerifyClient")
            .eq_ignore_ascii_case("require");
        Evidence::of(
            &target.path,
            guard.names.is_some() || (guard.certificate && !demanded),
        )
    }

    fn assemble(&self, builder: &mut Builder, targets: &[Target<'t>]) -> Result<(), ImportError> {
        builder.is_tls = self.host.is_tls();
        builder.identity = tls::identity(self.host, self.root, &builder.ledger);
        for target in targets {
            if let Some(plan) = self.plan(target, builder) {
                builder.add(plan);
            }
        }
        if builder.draft.routes.is_empty() {
            return Err(self.nothing(&builder.ledger));
        }
        let Builder {
            ledger,
            draft,
            is_tls,
            ..
        } = builder;
        listen::carry(self.host, *is_tls, &mut draft.listen, ledger);
        listen::proxies(self.host, &mut draft.listen, ledger);
        self.limits(&mut draft.limits, ledger);
        builder.tls(self.host.directive());
        Ok(())
    }

    fn limits(&self, keys: &mut Keys, ledger: &Ledger) {
        let keep_alive = self
            .host
            .one("KeepAlive")
            .filter(|it| it.value().eq_ignore_ascii_case("off"));
        for directive in self
            .host
            .one("KeepAliveTimeout")
            .into_iter()
            .chain(keep_alive)
        {
            let seconds = duration(directive.value())
                .as_deref()
                .map_or(0, quantity::seconds);
            quantity::idle_timeout(directive, seconds, keys, ledger);
        }
    }

    /// Why there is no webhook: what is said about the first that was to be passed on.
    fn nothing(&self, ledger: &Ledger) -> ImportError {
        let message = match ledger.obstacle() {
            Some(note) => {
                let message = format!("{} cannot be carried over: {}", note.directive, note.said);
                return ImportError::new(&note.place, message);
            }
            None if passes_on(self.host) => {
                "nothing of this virtual host can be carried over: pass the webhook on with ProxyPass"
            }
            None => {
                "no virtual host here passes requests on with ProxyPass: let the application listen for HTTP, or name the file \
                 that has it"
            }
        };
        ImportError::new(&self.place(), message)
    }

    fn place(&self) -> SourceLocation {
        match self.host.directive() {
            Some(directive) => directive.place.clone(),
            None => SourceLocation {
                file: self.options.file.as_path().into(),
                line: 1,
            },
        }
    }

    /// `None` where it cannot be carried over, which has been said then.
    fn plan(&self, target: &Target<'t>, builder: &mut Builder) -> Option<RouteRules<'t>> {
        let Target {
            directive,
            mapping,
            path,
            is_webhook,
        } = target;
        let Builder { ledger, draft, .. } = builder;
        let guard = access::read(self.host, path, mapping, *is_webhook, ledger);
        let application = self.proxy(ledger).target(mapping, &mut draft.upstreams)?;
        let sections = self.host.sections_for(path, mapping.url());
        let headers = headers::carry(
            self.host,
            &sections,
            mapping.directive,
            &application,
            ledger,
        );
        let limit = sections
            .iter()
            .rev()
            .find_map(|section| section.one("LimitRequestBody"));
        let limit = limit.or_else(|| self.host.one("LimitRequestBody"));
        Some(RouteRules {
            directive,
            paths: vec![path.clone()],
            is_webhook: *is_webhook,
            upstream: application.upstream,
            max_body: limit.and_then(|it| {
                quantity::max_body(it, it.value().parse().ok(), *is_webhook, ledger)
            }),
            headers,
            guard,
        })
    }
}
