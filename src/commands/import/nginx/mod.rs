//! Reads the configuration of an NGINX server.

mod access;
mod condition;
mod server;
mod syntax;
mod tree;
mod upstream;
mod variables;

use super::Options;
use super::access::AccessRules;
use super::builder::Builder;
use super::directive::{Directive, ImportError};
use super::headers::SetHeaders;
use super::listen;
use super::report::Ledger;
use super::scope::Scope;
use super::site::{self, Obstacle, PassedOn, RouteRules, Site};
use condition::Conditions;
use server::{ProxiedLocation, ServerBlock};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use variables::Constants;

/// The address of a server without `listen`.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);

const FORWARDED: &str = "the application got what clients had put into X-Forwarded-For, in front \
    of their address; now only trusted_proxies are believed";

/// Reads a whole `nginx.conf`, or a file with servers only.
pub(super) fn import(
    options: &Options,
    prefix: &Path,
    builder: &mut Builder<'_>,
) -> Result<(), ImportError> {
    let tree = tree::read(&options.file, prefix)?;
    let http = tree.iter().find(|it| it.is("http"));
    let http = Scope::new(prefix, http.map_or(&tree[..], Directive::children));
    let maps = variables::maps(&http);
    site::carry_over(&ServerBlock::all(&http, &maps), options, builder)
}

impl<'t> Site<'t> for ServerBlock<'_, 't> {
    type Passage = ProxiedLocation<'t>;

    const SERVER: &'static str = "NGINX";

    fn directive(&self) -> Option<&'t Directive> {
        Some(self.directive)
    }

    fn scope(&self) -> &Scope<'t> {
        &self.scope
    }

    fn is_tls(&self) -> bool {
        let mut listens = self.scope.own("listen");
        listens.any(|listen| self.is_tls_listen(listen))
    }

    fn addresses(&self, ledger: &Ledger) -> Vec<SocketAddr> {
        let is_tls = self.is_tls();
        let mut addresses = Vec::new();
        for directive in self.scope.own("listen") {
            let is_quic = directive.arguments.iter().any(|it| it == "quic");
            if is_quic || is_tls != self.is_tls_listen(directive) {
                let why = "Netdata Cloud uses HTTP/1.1 and HTTP/2 over TLS only";
                ledger.not_needed(directive, why);
            } else {
                addresses.extend(listen::carry(directive, is_tls, ledger));
            }
        }
        if self.scope.own("listen").next().is_none() {
            addresses.push(DEFAULT);
        }
        addresses
    }

    fn places(&self) -> usize {
        self.locations.len()
    }

    /// Returns what each location passes on, of which NGINX chooses the location itself.
    fn passages(&self) -> Vec<PassedOn<'t, Self::Passage>> {
        let mut all = Vec::new();
        for location in self.locations.iter().filter(|it| it.modifier != "@") {
            if let Some(passage) = self.passes_on(location) {
                let mut paths = location.paths();
                let id = location.directive.id;
                let is_own = |it: ProxiedLocation<'_>| it.location.directive.id == id;
                paths.retain(|path| self.proxies(path).is_some_and(is_own));
                all.push(self.passed_on(passage, paths));
            }
        }
        all
    }

    fn serving(&self, path: &str) -> Option<PassedOn<'t, Self::Passage>> {
        let passage = self.proxies(path)?;
        Some(self.passed_on(passage, vec![path.to_owned()]))
    }

    fn looks_at_certificates(&self, directive: &Directive) -> bool {
        let is_certificate = |argument: &String| {
            let map = self.maps.get(argument.trim_matches(['(', '$', ')']));
            let source = map.map_or(argument.as_str(), |map| map.source);
            source.contains("$ssl_client_")
        };
        directive.is("if") && directive.arguments.iter().any(is_certificate)
    }

    fn rules<'r>(
        &self,
        passed: &PassedOn<'t, Self::Passage>,
        ledger: &'r Ledger,
    ) -> Result<RouteRules<'r, 't>, Obstacle<'t>> {
        let at = &passed.passage;
        let scopes = at.scopes();
        let mut constants = Constants::of(&at.scope, self.maps, &self.names(), self.is_tls());
        let url = constants.resolve(at.proxy_pass.value());
        let target = upstream::read(at, &url, ledger)?;
        constants.insert("proxy_host", &target.host);
        let rules = AccessRules::new(passed.is_webhook, ledger);
        let mut seen = HashSet::new();
        let mut networks: Vec<_> = scopes.iter().flat_map(listen::networks).collect();
        networks.retain(|it| seen.insert(it.id));
        say_path(passed, target.path.as_deref(), ledger);
        Ok(RouteRules {
            directive: passed.directive,
            paths: passed.paths.clone(),
            is_webhook: passed.is_webhook,
            headers: self.headers(&at.scope, &target.host, &constants, ledger),
            access: access::read(at, &Conditions(self.maps), rules),
            upstream: target.upstream,
            networks,
            default_max_body: (!passed.is_webhook).then_some("1MiB"),
            scopes,
        })
    }
}

impl<'t> ServerBlock<'_, 't> {
    fn passed_on(
        &self,
        passage: ProxiedLocation<'t>,
        paths: Vec<String>,
    ) -> PassedOn<'t, ProxiedLocation<'t>> {
        let location = &passage.location;
        PassedOn {
            directive: location.directive,
            text: location.text.to_owned(),
            looks: location
                .directive
                .holds(&|it| self.looks_at_certificates(it)),
            paths,
            is_webhook: false,
            passage,
        }
    }

    /// Reads the headers of the application. `host` is the `Host` that NGINX sends by default.
    fn headers<'r>(
        &self,
        scope: &Scope<'t>,
        host: &str,
        constants: &Constants,
        ledger: &'r Ledger,
    ) -> SetHeaders<'r> {
        let mut headers = SetHeaders::new(self.is_tls(), ledger);
        let is_unfiltered = scope.one("real_ip_header").is_none();
        let directives = scope.all("proxy_set_header");
        let mut names = directives.iter().map(|it| it.value());
        if !names.any(|name| name.eq_ignore_ascii_case("host")) {
            headers.insert("Host", host);
        }
        for directive in directives {
            let value = constants.resolve(directive.argument(1));
            headers.set(directive, directive.value(), &value);
            if is_unfiltered && value.contains("$proxy_add_x_forwarded_for") {
                ledger.closed(directive, FORWARDED);
            }
        }
        headers
    }
}

/// Reports paths that change. `new` is what NGINX sends in place of the location's own.
fn say_path(passed: &PassedOn<'_, ProxiedLocation<'_>>, new: Option<&str>, ledger: &Ledger) {
    let location = &passed.passage.location;
    let text = location.text;
    let is_expression = location.modifier.starts_with('~');
    let is_other = |new: &&str| *new != text && (!is_expression || new.contains('$'));
    if let Some(new) = new.filter(is_other) {
        ledger.not_carried(passed.passage.proxy_pass, site::changed_path(text, new));
    }
    let is_open = location.is_prefix() && !text.ends_with('/');
    if is_open && matches!(&passed.paths[..], [path] if path.ends_with("/*")) {
        ledger.first(format!(
            "look at paths: {text} and what is below {text}/ get through, and what only begins \
             so, such as {text}s, is 404 now: compare with the URL in Netdata Cloud, and name \
             its path with --webhook"
        ));
    }
    if location.modifier == "~*" {
        let remedy = "~*: paths are case-sensitive now";
        ledger.not_carried(passed.directive, remedy);
    }
}
