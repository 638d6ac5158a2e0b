//! What the readers of both servers have in common: sites, and the requests that they pass on.

use super::Options;
use super::access::AccessRules;
use super::builder::Builder;
use super::choice::Choice;
use super::directive::{Directive, ImportError};
use super::headers::SetHeaders;
use super::scope::Scope;
use super::tls::TlsRules;
use super::toml_writer::ConfigTable;
use super::upstream::Upstream;
use super::{known, listen, quantity};
use std::net::SocketAddr;

/// A server of NGINX, or a virtual host of Apache.
pub(super) trait Site<'t> {
    /// The place that passes requests on, for the reader.
    type Passage: Clone;

    /// The name of the other server.
    const SERVER: &'static str;

    /// Returns the directive that stands for the whole in messages.
    fn directive(&self) -> Option<&'t Directive>;

    fn scope(&self) -> &Scope<'t>;

    fn is_tls(&self) -> bool;

    /// Returns the addresses that it listens on.
    fn addresses(&self) -> Vec<SocketAddr>;

    /// Returns the number of places that answer requests.
    fn places(&self) -> usize;

    /// Returns everything that is passed on, with the paths of routes for it, if there are a few.
    fn passages(&self) -> Vec<PassedOn<'t, Self::Passage>>;

    /// Returns what serves the path of a route, if it passes requests on.
    fn serving(&self, path: &str) -> Option<PassedOn<'t, Self::Passage>>;

    /// Returns whether a directive is a rule about client certificates.
    fn looks_at_certificates(&self, directive: &Directive) -> bool;

    /// Reads the rules for requests that are passed on.
    fn rules(&self, passage: &PassedOn<'t, Self::Passage>) -> Result<RouteRules<'t>, Obstacle<'t>>;

    /// Returns the names of the site.
    fn names(&self) -> Vec<&'t str> {
        let names = self.scope().own("server_name ServerName ServerAlias");
        let names = names.flat_map(|it| &it.arguments);
        names.map(String::as_str).collect()
    }
}

/// Requests that a site passes on.
#[derive(Clone, Debug)]
pub(super) struct PassedOn<'t, P> {
    /// The directive that selects them.
    pub(super) directive: &'t Directive,
    /// The path or the expression that it has.
    pub(super) text: String,
    /// The paths of routes for the same requests; none if they are not few.
    pub(super) paths: Vec<String>,
    /// Rules for them look at client certificates.
    pub(super) looks: bool,
    pub(super) is_webhook: bool,
    pub(super) passage: P,
}

/// A directive that keeps a route from being made, and the remedy.
pub(super) type Obstacle<'t> = (&'t Directive, String);

/// The rules for requests that another server passes on.
#[derive(Debug)]
pub(super) struct RouteRules<'t> {
    /// The directive that selects the requests.
    pub(super) directive: &'t Directive,
    pub(super) paths: Vec<String>,
    pub(super) is_webhook: bool,
    /// The places whose directives are in effect; the last one has the settings.
    pub(super) scopes: Vec<Scope<'t>>,
    pub(super) upstream: Upstream<'t>,
    pub(super) headers: SetHeaders,
    pub(super) access: AccessRules<'t>,
    /// The rules about addresses.
    pub(super) networks: Vec<&'t Directive>,
    /// The limit of bodies without a directive.
    pub(super) default_max_body: Option<&'static str>,
}

/// Turns one of several sites into a configuration.
pub(super) fn carry_over<'t, S: Site<'t>>(
    sites: &[S],
    options: &Options,
    builder: &mut Builder,
) -> Result<(), ImportError> {
    let (site, passages) = Choice::new(sites, options).make()?;
    builder.is_tls = site.is_tls();
    builder.tls = TlsRules::read(site.scope());
    let mut routes = routes(site, &passages)?;
    listen(site, &mut routes, &mut builder.draft.listen);
    write(routes, builder);
    builder.write_tls(site.directive());
    if sites.len() > 1 || site.places() > passages.len() {
        say_rest(site);
    }
    Ok(())
}

fn write(routes: Vec<RouteRules<'_>>, builder: &mut Builder) {
    let scopes: Vec<_> = routes.iter().flat_map(|it| it.scopes.clone()).collect();
    if let Some(scope) = scopes.last() {
        quantity::limits(scope, &mut builder.draft.limits);
    }
    routes.into_iter().for_each(|route| builder.add(route));
    known::say_the_rest(scopes.iter().flat_map(Scope::directives));
}

fn listen<'t, S: Site<'t>>(site: &S, routes: &mut [RouteRules<'t>], keys: &mut ConfigTable) {
    listen::addresses(&site.addresses(), site.is_tls(), keys);
    listen::trust(site.scope(), keys);
    listen::allow(routes, keys);
}

/// Says what becomes of what is not carried over.
fn say_rest<'t, S: Site<'t>>(site: &S) {
    if let Some(directive) = site.directive() {
        directive.first(format!(
            "{} keeps the rest: on another port, or behind the same one with SNI pass-through \
             (manual: \"Share port 443 with NGINX\")",
            S::SERVER
        ));
    }
}

/// Reads the rules for each of the requests. The error is the first obstacle if none become routes.
fn routes<'t, S: Site<'t>>(
    site: &S,
    passages: &[PassedOn<'t, S::Passage>],
) -> Result<Vec<RouteRules<'t>>, ImportError> {
    let mut routes = Vec::new();
    let mut error = None;
    for passage in passages {
        match site.rules(passage) {
            Ok(rules) => routes.push(rules),
            Err((directive, remedy)) => {
                directive.not_carried(&remedy);
                let message = format!("cannot be carried over: {remedy}");
                error.get_or_insert_with(|| directive.error(&message));
            }
        }
    }
    error.filter(|_| routes.is_empty()).map_or(Ok(routes), Err)
}

/// Returns the advice for a path that was sent on as another.
pub(super) fn changed_path(old: &str, new: &str) -> String {
    format!(
        "the path: {old} was sent on as {new}; now the application gets it unchanged: configure it \
         so, or use its path in Netdata Cloud"
    )
}
