//! What the readers of both servers have in common: sites, and the requests that they pass on.

use super::Options;
use super::access::AccessRules;
use super::builder::Builder;
use super::choice::Choice;
use super::directive::{Directive, ImportError};
use super::headers::SetHeaders;
use super::scope::Scope;
use super::tls::TlsRules;
use super::upstream::Upstream;
use super::{known, listen};
use std::net::SocketAddr;

/// A server of NGINX, or a virtual host of Apache.
pub(super) trait Site<'t> {
    fn head(&self) -> &SiteHead<'t>;

    /// Returns the addresses that it listens on.
    fn addresses(&self) -> Vec<SocketAddr>;

    /// Returns everything that is passed on, with the paths of routes for it, if there are a few.
    fn passages(&self) -> Vec<PassedOn<'t>>;

    /// Returns what serves the path of a route, if it passes requests on.
    fn serving(&self, path: &str) -> Option<PassedOn<'t>>;

    /// Returns whether a directive is a rule about client certificates.
    fn looks_at_certificates(&self, directive: &Directive) -> bool;

    /// Reads the rules for requests that are passed on.
    fn rules(&self, passed: &PassedOn<'t>) -> Result<RouteRules<'t>, Obstacle<'t>>;
}

/// What each site has.
pub(super) struct SiteHead<'t> {
    /// The program that has it.
    pub(super) program: &'static str,
    /// The directive that stands for the whole in messages.
    pub(super) directive: &'t Directive,
    pub(super) scope: Scope<'t>,
    pub(super) is_tls: bool,
}

impl<'t> SiteHead<'t> {
    /// Returns the names of the site.
    pub(super) fn names(&self) -> Vec<&'t str> {
        let names = self.scope.own("server_name ServerName ServerAlias");
        let names = names.flat_map(|it| &it.arguments);
        names.map(String::as_str).collect()
    }
}

/// Requests that a site passes on.
#[derive(Clone, Debug)]
pub(super) struct PassedOn<'t> {
    /// The directive that selects them.
    pub(super) directive: &'t Directive,
    /// The path or the expression that it has.
    pub(super) text: String,
    /// The paths of routes for the same requests; none if they are not few.
    pub(super) paths: Vec<String>,
    /// Rules for them look at client certificates.
    pub(super) looks: bool,
    pub(super) is_webhook: bool,
}

impl<'t> PassedOn<'t> {
    pub(super) fn of(
        directive: &'t Directive,
        text: &str,
        paths: Vec<String>,
        looks: bool,
    ) -> Self {
        Self {
            directive,
            text: text.to_owned(),
            paths,
            looks,
            is_webhook: false,
        }
    }
}

/// A directive that keeps a route from being made, and the remedy.
pub(super) type Obstacle<'t> = (&'t Directive, String);

/// The rules for requests that another server passes on.
#[derive(Debug)]
pub(super) struct RouteRules<'t> {
    pub(super) requests: PassedOn<'t>,
    /// The places whose directives are in effect; the last one has the settings.
    pub(super) scopes: Vec<Scope<'t>>,
    pub(super) upstream: Upstream<'t>,
    pub(super) headers: SetHeaders,
    pub(super) access: AccessRules<'t>,
}

/// Turns one of several sites into a configuration.
pub(super) fn carry_over<'t>(
    sites: &[impl Site<'t>],
    options: &Options,
    builder: &mut Builder,
) -> Result<(), ImportError> {
    let sites: Vec<_> = sites.iter().map(|site| site as &dyn Site<'t>).collect();
    let (site, passages) = Choice::new(&sites, options).make()?;
    let head = site.head();
    builder.is_tls = head.is_tls;
    builder.tls = TlsRules::read(&head.scope);
    let routes = routes(site, &passages)?;
    let keys = &mut builder.draft.listen;
    listen::addresses(&site.addresses(), head.is_tls, keys);
    listen::trust(&head.scope, keys);
    let scopes: Vec<_> = routes.iter().flat_map(|it| it.scopes.clone()).collect();
    routes.into_iter().for_each(|route| builder.add(route));
    known::say_the_rest(scopes.iter().flat_map(Scope::directives));
    builder.write_tls(head.directive);
    head.directive.first(format!(
        "{} keeps the rest: on another port, or behind the same one with SNI pass-through (manual: \
         \"Share port 443 with NGINX\")",
        head.program
    ));
    Ok(())
}

/// Reads the rules for each of the requests. The error is the first obstacle if none become routes.
fn routes<'t>(
    site: &dyn Site<'t>,
    passages: &[PassedOn<'t>],
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
