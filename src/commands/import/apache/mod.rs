//! Reads the configuration of an Apache server.

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
use super::headers::SetHeaders;
use super::known::{self, APACHE};
use super::location::{ImportError, SourceLocation};
use super::quantity;
use super::report::Ledger;
use super::tls::TlsRules;
use super::webhook_detection::{Evidence, choose as choose_paths, is_about_netdata};
use crate::http::path::PathPattern;
use headers::HeaderReader;
use host::{SectionScope, SiteSection, VirtualHost, is, is_one_of};
use proxy::{BackendReader, ProxyMapping};
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
    let (directives, root) = syntax::read(&options.file, &super::base(options, &INCLUDED))?;
    let hosts = VirtualHost::read_all(&directives, &root);
    let host = choose(&hosts, options)?;
    let mappings = proxy::mappings(host, &builder.ledger);
    let site = SiteImport {
        host,
        mappings,
        options,
    };
    let routes = site.routes(&builder.ledger)?;
    site.build(builder, &routes)?;
    if hosts.len() > 1 || site.mappings.len() > routes.len() {
        builder.ledger.first(
            "Apache keeps the rest: on another port, or behind the same one with SNI pass-through \
             (manual: \"Where NGINX goes on serving other sites\")",
        );
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
    let is_wanted = |host: &&VirtualHost<'t>| wanted.is_none_or(|name| host.has_name(name));
    // The first of several equals.
    let best = hosts.iter().rev().filter(is_wanted).max_by_key(likelihood);
    best.ok_or_else(|| {
        let names: Vec<_> = hosts.iter().flat_map(VirtualHost::names).collect();
        let wanted = wanted.unwrap_or_default();
        let message = format!("there is no virtual host with ServerName or ServerAlias {wanted}");
        let message = format!("{message}: there are {}", names.join(", "));
        ImportError::new(&SourceLocation::start_of(&options.file), message)
    })
}

/// Returns the facts that make a virtual host the webhook's, the most important first.
fn likelihood(host: &&VirtualHost<'_>) -> [bool; 5] {
    let verifies = host.holds(&|it| is(it, "SSLVerifyClient") && it.value() != "none");
    let has_webhook = host.holds(&has_webhook_path);
    let names_netdata = host.section.is_some_and(is_about_netdata);
    let is_netdata = names_netdata && (verifies || has_webhook);
    [
        passes_on(host),
        is_netdata,
        verifies,
        has_webhook,
        host.is_tls(),
    ]
}

fn passes_on(host: &VirtualHost<'_>) -> bool {
    host.holds(&|it| is_one_of(it, "ProxyPass ProxyPassMatch") || proxy::is_proxy_rule(it))
}

/// Returns whether a directive names a path that is probably a webhook's.
fn has_webhook_path(directive: &Directive) -> bool {
    let names = "ProxyPass ProxyPassMatch Location LocationMatch RewriteRule";
    is_one_of(directive, names) && Evidence::of(directive.value(), false).is_any()
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
}

impl<'t> SiteImport<'_, 't> {
    /// Returns the webhook's paths and the others, as the options name them or by their looks.
    fn routes(&self, ledger: &Ledger) -> Result<Vec<(RoutePath<'t>, bool)>, ImportError> {
        let mut webhooks = Vec::new();
        for path in &self.options.webhook {
            webhooks.push(self.named(path)?);
        }
        if webhooks.is_empty() {
            webhooks = self.guessed(ledger)?;
        }
        let mut routes: Vec<_> = webhooks.into_iter().map(|it| (it, true)).collect();
        for path in &self.options.proxy {
            routes.push((self.named(path)?, false));
        }
        Ok(routes)
    }

    fn named(&self, path: &str) -> Result<RoutePath<'t>, ImportError> {
        let message = match PathPattern::parse(path) {
            Err(message) => format!("{path} {message}"),
            Ok(_) => format!("requests for {path} are not passed on from this virtual host"),
        };
        let route = self.route(path, None);
        route.ok_or_else(|| ImportError::new(&self.place(), message))
    }

    /// Returns the route for a path that is passed on.
    fn route(&self, path: &str, directive: Option<&'t Directive>) -> Option<RoutePath<'t>> {
        PathPattern::parse(path).ok()?;
        let mapping = self.mappings.iter().find(|it| it.covers(path))?;
        (!mapping.is_exclusion()).then(|| RoutePath {
            directive: directive.unwrap_or(mapping.directive),
            mapping: mapping.clone(),
            path: path.to_owned(),
        })
    }

    fn guessed(&self, ledger: &Ledger) -> Result<Vec<RoutePath<'t>>, ImportError> {
        let routes = self.candidates();
        let mut evidence = Vec::new();
        for route in &routes {
            evidence.push((route.path.as_str(), self.evidence(route)));
        }
        let chosen = choose_paths(&evidence, ledger);
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
        for SiteSection { directive, scope } in self.host.sections() {
            let verifies = directive.holds(&access::looks_at_certificates);
            if let SectionScope::Paths(paths) = scope
                && (verifies || has_webhook_path(directive))
            {
                let inner = paths.iter();
                let inner = inner.filter_map(|path| self.route(path, Some(directive)));
                routes.extend(inner.filter(|it| self.evidence(it).is_any()));
            }
        }
        let mut seen = HashSet::new();
        routes.retain(|route| seen.insert(route.path.clone()));
        routes.truncate(MAX_PATHS);
        routes
    }

    fn evidence(&self, route: &RoutePath<'t>) -> Evidence {
        let unreported = Ledger::default();
        let rules = access::read(self.host, &route.path, &route.mapping, true, &unreported);
        let is_demanded = self.host.has("SSLVerifyClient", "require");
        let looks = rules.names.is_some() || (rules.certificate && !is_demanded);
        Evidence::of(&route.path, looks)
    }

    fn build(
        &self,
        builder: &mut Builder,
        routes: &[(RoutePath<'t>, bool)],
    ) -> Result<(), ImportError> {
        builder.is_tls = self.host.is_tls();
        builder.tls = TlsRules::read(self.host, self.host.root, &builder.ledger);
        for (route, is_webhook) in routes {
            if let Some(rules) = self.rules(route, *is_webhook, builder) {
                builder.add(rules);
            }
        }
        if builder.draft.routes.is_empty() {
            return Err(self.nothing(&builder.ledger));
        }
        let Builder { ledger, draft, .. } = builder;
        listen::addresses(self.host, &mut draft.listen, ledger);
        listen::proxies(self.host, &mut draft.listen, ledger);
        if let Some(directive) = self.host.one("KeepAliveTimeout") {
            quantity::idle_timeout(directive, &mut draft.limits, ledger);
        }
        builder.write_tls(self.host.directive());
        Ok(())
    }

    /// Returns the reason why there is no webhook.
    fn nothing(&self, ledger: &Ledger) -> ImportError {
        if let Some(note) = ledger.obstacle() {
            let message = format!("{} cannot be carried over: {}", note.directive, note.remark);
            return ImportError::new(&note.place, message);
        }
        let message =
            "no virtual host here passes requests on with ProxyPass: name the file that does";
        ImportError::new(&self.place(), message)
    }

    fn place(&self) -> SourceLocation {
        let place = self.host.directive().map(|it| it.place.clone());
        place.unwrap_or_else(|| SourceLocation::start_of(&self.options.file))
    }

    /// Returns a route; `None` if its application is not supported, which has been reported then.
    fn rules(
        &self,
        route: &RoutePath<'t>,
        is_webhook: bool,
        builder: &mut Builder,
    ) -> Option<RouteRules<'t>> {
        let Builder { ledger, draft, .. } = builder;
        let RoutePath { mapping, path, .. } = route;
        let access = access::read(self.host, path, mapping, is_webhook, ledger);
        let host = self.host;
        let backend = BackendReader { host, ledger }.read(mapping, draft)?;
        let sections = self.host.sections_for(path, mapping.url());
        let is_tls = host.is_tls();
        let reader = HeaderReader {
            host,
            ledger,
            is_tls,
            headers: SetHeaders::new(is_tls),
        };
        let headers = reader.read(&sections, mapping.directive, &backend);
        let mut sections = sections.iter().rev();
        let limit = sections.find_map(|it| it.one("LimitRequestBody"));
        let limit = limit.or_else(|| self.host.one("LimitRequestBody"));
        let bytes = limit.and_then(|it| it.value().parse().ok());
        Some(RouteRules {
            directive: route.directive,
            paths: vec![path.clone()],
            is_webhook,
            upstream: backend.upstream,
            max_body: limit.and_then(|it| quantity::max_body(it, bytes, is_webhook, ledger)),
            headers,
            access,
        })
    }

    /// Reports the directives that are in effect for the routes and were not looked at.
    fn say_the_rest(&self, routes: &[(RoutePath<'t>, bool)], ledger: &Ledger) {
        let is_plain = |it: &&Directive| it.children().is_empty() || is(it, "If");
        let mut directives: Vec<_> = self.host.directives().filter(is_plain).collect();
        for (route, _) in routes {
            let sections = self.host.sections_for(&route.path, route.mapping.url());
            directives.extend(sections.iter().flat_map(|it| it.directive.children()));
        }
        known::say_the_rest(directives, APACHE, ledger);
    }
}
