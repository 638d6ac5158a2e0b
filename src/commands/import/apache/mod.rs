//! Reads Apache's configuration.

mod access;
mod expression;
mod headers;
mod host;
mod listen;
mod proxy;
mod syntax;

use super::Options;
use super::builder::{Builder, RouteRules};
use super::directive::{Directive, InEffect};
use super::known::{self, APACHE};
use super::location::{ImportError, SourceLocation};
use super::quantity;
use super::report::Ledger;
use super::tls::{self, TlsRules};
use super::toml_writer::ConfigTable;
use super::webhook_detection::{self, Evidence};
use crate::http::path::PathPattern;
use host::{SectionScope, VirtualHost, is};
use proxy::ProxyMapping;
use std::cmp::Reverse;
use std::collections::HashSet;

/// Directories whose files are included by one in the directory above.
const INCLUDED: [&str; 6] = [
    "conf.d",
    "conf-enabled",
    "conf-available",
    "sites-enabled",
    "sites-available",
    "vhosts.d",
];

/// The most paths that are considered: more than any site passes on.
const MAX_PATHS: usize = 1000;

/// Reads a whole `apache2.conf` or `httpd.conf`, or the file of a site.
pub(super) fn import(options: &Options, builder: &mut Builder) -> Result<(), ImportError> {
    let config = syntax::read(&options.file, &super::base(options, &INCLUDED))?;
    let hosts = VirtualHost::all(&config);
    let host = choose(&hosts, options)?;
    let mappings = proxy::mappings(host, &builder.ledger);
    let site = SiteImport {
        host,
        mappings,
        options,
    };
    let routes = site.routes(&builder.ledger)?;
    site.assemble(builder, &routes)?;
    if hosts.len() > 1 || site.mappings.len() > routes.len() {
        builder.ledger.first(
            "Apache keeps the rest: on another port, or behind the same one with SNI pass-through (manual: \"Where NGINX goes on \
             serving other sites\")",
        );
    }
    if options.server.is_none() {
        say_others(&hosts, host, &builder.ledger);
    }
    site.say_the_rest(&routes, &builder.ledger);
    Ok(())
}

/// Returns the virtual host that most probably has the webhook.
fn choose<'h, 't>(
    hosts: &'h [VirtualHost<'t>],
    options: &Options,
) -> Result<&'h VirtualHost<'t>, ImportError> {
    let wanted = options.server.as_deref();
    let is_wanted = |host: &&VirtualHost<'t>| {
        let names = host.names();
        wanted.is_none_or(|name| names.iter().any(|own| own.eq_ignore_ascii_case(name)))
    };
    let best = hosts.iter().filter(is_wanted).max_by_key(|host| {
        let verifies = verifies(host);
        let has_webhook = has_webhook(host);
        let is_netdata = host
            .section
            .is_some_and(webhook_detection::is_about_netdata);
        (
            passes_on(host),
            is_netdata && (verifies || has_webhook),
            verifies,
            has_webhook,
            host.is_tls(),
            // The first of several equals.
            Reverse(host.directive().map(|it| it.id)),
        )
    });
    best.ok_or_else(|| {
        let names: Vec<_> = hosts.iter().flat_map(VirtualHost::names).collect();
        let message = format!(
            "there is no virtual host with ServerName or ServerAlias {}: there are {}",
            wanted.unwrap_or_default(),
            names.join(", ")
        );
        ImportError::new(&start(options), message)
    })
}

/// Names the other hosts that may have a webhook.
fn say_others(hosts: &[VirtualHost<'_>], chosen: &VirtualHost<'_>, ledger: &Ledger) {
    let id = |host: &VirtualHost<'_>| host.directive().map(|it| it.id);
    let is_other = |host: &&VirtualHost<'_>| {
        id(host) != id(chosen) && passes_on(host) && (verifies(host) || has_webhook(host))
    };
    let others = hosts.iter().filter(is_other);
    let names: Vec<_> = others
        .filter_map(|it| it.names().first().copied())
        .collect();
    if !names.is_empty() {
        ledger.first(super::other_servers(&names));
    }
}

fn passes_on(host: &VirtualHost<'_>) -> bool {
    host.holds(&|it| match it.name.to_ascii_lowercase().as_str() {
        "proxypass" | "proxypassmatch" => true,
        "rewriterule" => it.arguments.get(2).is_some_and(|flags| flags.contains('P')),
        _ => false,
    })
}

fn verifies(host: &VirtualHost<'_>) -> bool {
    host.holds(&|it| is(it, "SSLVerifyClient") && !it.value().eq_ignore_ascii_case("none"))
}

/// Returns whether a host has a path that is probably a webhook's.
fn has_webhook(host: &VirtualHost<'_>) -> bool {
    host.holds(&|it| match it.name.to_ascii_lowercase().as_str() {
        "proxypass" | "proxypassmatch" | "location" | "locationmatch" | "rewriterule" => {
            Evidence::of(it.value(), false).is_any()
        }
        _ => false,
    })
}

/// The place of messages about the whole configuration.
fn start(options: &Options) -> SourceLocation {
    SourceLocation::start_of(&options.file)
}

/// The import of a virtual host.
struct SiteImport<'r, 't> {
    host: &'r VirtualHost<'t>,
    mappings: Vec<ProxyMapping<'t>>,
    options: &'r Options,
}

/// A path that becomes a route.
#[derive(Clone)]
struct RoutePath<'t> {
    /// The directive that names the path.
    directive: &'t Directive,
    mapping: ProxyMapping<'t>,
    path: String,
    is_webhook: bool,
}

impl<'t> SiteImport<'_, 't> {
    /// Returns the paths that the options name, or those that are probably the webhook's.
    fn routes(&self, ledger: &Ledger) -> Result<Vec<RoutePath<'t>>, ImportError> {
        let Options { webhook, proxy, .. } = self.options;
        let mut routes = match webhook.is_empty() {
            true => self.guessed(ledger)?,
            false => Vec::new(),
        };
        let named = webhook.iter().map(|path| (path, true));
        for (path, is_webhook) in named.chain(proxy.iter().map(|path| (path, false))) {
            let error = |message| ImportError::new(&self.place(), message);
            if let Err(message) = PathPattern::parse(path) {
                return Err(error(format!("{path} {message}")));
            }
            let missing = || {
                error(format!(
                    "requests for {path} are not passed on from this virtual host"
                ))
            };
            let mut route = self.route(path, None).ok_or_else(missing)?;
            route.is_webhook = is_webhook;
            routes.push(route);
        }
        Ok(routes)
    }

    /// Returns the route for a path that is passed on.
    fn route(&self, path: &str, directive: Option<&'t Directive>) -> Option<RoutePath<'t>> {
        let mapping = self.mappings.iter().find(|mapping| mapping.covers(path))?;
        (!mapping.is_exclusion()).then(|| RoutePath {
            directive: directive.unwrap_or(mapping.directive),
            mapping: mapping.clone(),
            path: path.to_owned(),
            is_webhook: true,
        })
    }

    fn guessed(&self, ledger: &Ledger) -> Result<Vec<RoutePath<'t>>, ImportError> {
        let routes = self.candidates();
        let evidence: Vec<_> = routes
            .iter()
            .map(|it| (it.path.as_str(), self.evidence(it)))
            .collect();
        let chosen = webhook_detection::choose(&evidence, ledger);
        if chosen.is_empty() {
            return Err(self.nothing(ledger));
        }
        Ok(chosen.into_iter().map(|at| routes[at].clone()).collect())
    }

    /// Returns every path that is passed on, and those of sections that look like a webhook's.
    fn candidates(&self) -> Vec<RoutePath<'t>> {
        let mut routes = Vec::new();
        for mapping in &self.mappings {
            let paths = mapping.paths.iter();
            routes.extend(paths.filter_map(|path| self.route(path, Some(mapping.directive))));
        }
        for section in self.host.sections() {
            let SectionScope::Paths(paths) = &section.scope else {
                continue;
            };
            let verifies = section.directive.holds(&access::looks_at_certificates);
            for path in paths {
                if PathPattern::parse(path).is_ok()
                    && (verifies || Evidence::of(path, false).is_any())
                {
                    let route = self.route(path, Some(section.directive));
                    routes.extend(route.filter(|it| self.evidence(it).is_any()));
                }
            }
        }
        let mut seen = HashSet::new();
        routes.retain(|route| seen.insert(route.path.clone()));
        routes.truncate(MAX_PATHS);
        routes
    }

    fn evidence(&self, route: &RoutePath<'t>) -> Evidence {
        let unreported = Ledger::default();
        let guard = access::read(self.host, &route.path, &route.mapping, true, &unreported);
        let is_demanded = self.host.has("SSLVerifyClient", "require");
        let looks_at_certificates = guard.names.is_some() || (guard.certificate && !is_demanded);
        Evidence::of(&route.path, looks_at_certificates)
    }

    fn assemble(&self, builder: &mut Builder, routes: &[RoutePath<'t>]) -> Result<(), ImportError> {
        builder.is_tls = self.host.is_tls();
        builder.tls = TlsRules::read(self.host, &tls::APACHE, self.host.root, &builder.ledger);
        for route in routes {
            if let Some(plan) = self.plan(route, builder) {
                builder.add(plan);
            }
        }
        if builder.draft.routes.is_empty() {
            return Err(self.nothing(&builder.ledger));
        }
        let Builder { ledger, draft, .. } = builder;
        listen::addresses(self.host, &mut draft.listen, ledger);
        listen::proxies(self.host, &mut draft.listen, ledger);
        self.limits(&mut draft.limits, ledger);
        builder.write_tls(self.host.directive());
        Ok(())
    }

    fn limits(&self, keys: &mut ConfigTable, ledger: &Ledger) {
        if let Some(directive) = self.host.one("KeepAliveTimeout") {
            quantity::idle_timeout(directive, keys, ledger);
        }
        if let Some(directive) = self.host.one("KeepAlive")
            && directive.value().eq_ignore_ascii_case("off")
        {
            quantity::idle_timeout(directive, keys, ledger);
        }
    }

    /// Returns the reason why there is no webhook.
    fn nothing(&self, ledger: &Ledger) -> ImportError {
        if let Some(note) = ledger.obstacle() {
            let message = format!("{} cannot be carried over: {}", note.directive, note.remark);
            return ImportError::new(&note.place, message);
        }
        let message = if passes_on(self.host) {
            "nothing of this virtual host can be carried over: pass the webhook on with ProxyPass"
        } else {
            "no virtual host here passes requests on with ProxyPass: configure the application to listen for HTTP, or name the \
             file that has it"
        };
        ImportError::new(&self.place(), message)
    }

    fn place(&self) -> SourceLocation {
        let directive = self.host.directive();
        directive.map_or_else(|| start(self.options), |it| it.place.clone())
    }

    /// Plans a route; `None` if its application is not supported, which has been reported then.
    fn plan(&self, route: &RoutePath<'t>, builder: &mut Builder) -> Option<RouteRules<'t>> {
        let Builder { ledger, draft, .. } = builder;
        let RoutePath {
            mapping,
            path,
            is_webhook,
            ..
        } = route;
        let guard = access::read(self.host, path, mapping, *is_webhook, ledger);
        let backend = mapping.backend(self.host, draft, ledger)?;
        let sections = self.host.sections_for(path, mapping.url());
        let headers = headers::set_headers(self.host, &sections, mapping, &backend, ledger);
        let mut limits = sections.iter().rev().map(|it| it.one("LimitRequestBody"));
        let limit = limits
            .find_map(|limit| limit)
            .or_else(|| self.host.one("LimitRequestBody"));
        let max_body = limit
            .and_then(|it| quantity::max_body(it, it.value().parse().ok(), *is_webhook, ledger));
        Some(RouteRules {
            directive: route.directive,
            paths: vec![path.clone()],
            is_webhook: *is_webhook,
            upstream: backend.upstream,
            max_body,
            headers,
            access: guard,
        })
    }

    /// Reports the directives that are in effect for the routes and were not looked at.
    fn say_the_rest(&self, routes: &[RoutePath<'t>], ledger: &Ledger) {
        let is_plain = |it: &&Directive| it.children().is_empty() || is(it, "If");
        let mut directives: Vec<_> = self.host.directives().filter(is_plain).collect();
        for route in routes {
            let sections = self.host.sections_for(&route.path, route.mapping.url());
            directives.extend(sections.iter().flat_map(|it| it.directive.children()));
        }
        known::say_the_rest(directives, APACHE, ledger);
    }
}
