//! Reads the configuration of an NGINX server.

mod access;
mod condition;
mod server;
mod syntax;
mod tree;
mod upstream;
mod variables;

use super::Options;
use super::builder::Builder;
use super::directive::{Directive, ImportError, SourceLocation};
use super::headers::SetHeaders;
use super::listen;
use super::scope::Scope;
use super::site::{self, Obstacle, PassedOn, RouteRules, Site};
use super::sources::{SourceFiles, TreeReader as _};
use condition::Conditions;
use server::{ProxiedLocation, ServerBlock};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tree::NginxReader;
use variables::Constants;

/// The address of a server without `listen`.
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);

const FORWARDED: &str = "the application got what clients had put into X-Forwarded-For, in front \
    of their address; now only trusted_proxies are believed";

/// Reads a whole `nginx.conf`, or a file with servers only.
pub(super) fn import(
    options: &Options,
    sources: SourceFiles,
    builder: &mut Builder,
) -> Result<(), ImportError> {
    let mut reader = NginxReader(sources);
    let tree = reader.file(&options.file, &SourceLocation::start_of(&options.file))?;
    let http = tree.iter().find(|it| it.is("http"));
    let block = http.map_or(&tree[..], Directive::children);
    let http = Scope::new(&reader.0.root, block);
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

    fn addresses(&self) -> Vec<SocketAddr> {
        let is_tls = self.is_tls();
        let mut addresses = Vec::new();
        for directive in self.scope.own("listen") {
            let is_quic = directive.arguments.iter().any(|it| it == "quic");
            if is_quic || is_tls != self.is_tls_listen(directive) {
                directive.not_needed("Netdata Cloud uses HTTP/1.1 and HTTP/2 over TLS only");
            } else {
                addresses.extend(listen::carry(directive, is_tls));
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
        let locations = self.locations.iter().filter(|it| it.modifier != "@");
        let passed_on = locations.filter_map(|location| {
            let passage = self.passes_on(location)?;
            let mut paths = location.paths();
            let id = location.directive.id;
            let is_own = |it: ProxiedLocation<'_>| it.location.directive.id == id;
            paths.retain(|path| self.proxies(path).is_some_and(is_own));
            Some(self.passed_on(passage, paths))
        });
        passed_on.collect()
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

    fn rules(&self, passed: &PassedOn<'t, Self::Passage>) -> Result<RouteRules<'t>, Obstacle<'t>> {
        let at = &passed.passage;
        let scopes = at.scopes();
        let mut constants = Constants::of(&at.scope, self.maps, &self.names(), self.is_tls());
        let target = upstream::read(at, &constants.resolve(at.proxy_pass.value()))?;
        constants.insert("proxy_host", &target.host);
        say_changes(passed, target.path.as_deref());
        Ok(RouteRules {
            directive: passed.directive,
            paths: passed.paths.clone(),
            is_webhook: passed.is_webhook,
            headers: self.headers(&at.scope, &target.host, &constants),
            access: access::read(at, &Conditions(self.maps), passed.is_webhook),
            upstream: target.upstream,
            networks: networks(&scopes),
            default_max_body: (!passed.is_webhook).then_some("1MiB"),
            scopes,
        })
    }
}

/// Returns the rules about addresses in two scopes, which may have the same.
fn networks<'t>(scopes: &[Scope<'t>]) -> Vec<&'t Directive> {
    let mut seen = HashSet::new();
    let networks = scopes.iter().flat_map(listen::networks);
    networks.filter(|it| seen.insert(it.id)).collect()
}

impl<'t> ServerBlock<'_, 't> {
    fn passed_on(
        &self,
        passage: ProxiedLocation<'t>,
        paths: Vec<String>,
    ) -> PassedOn<'t, ProxiedLocation<'t>> {
        let directive = passage.location.directive;
        PassedOn {
            directive,
            text: passage.location.text.to_owned(),
            looks: directive.holds(&|it| self.looks_at_certificates(it)),
            paths,
            is_webhook: false,
            passage,
        }
    }

    /// Reads the headers of the application. `host` is the `Host` that NGINX sends by default.
    fn headers(&self, scope: &Scope<'t>, host: &str, constants: &Constants) -> SetHeaders {
        let mut headers = SetHeaders::new(self.is_tls());
        let is_unfiltered = scope.one("real_ip_header").is_none();
        let directives = scope.all("proxy_set_header");
        if !directives.iter().any(|it| it.keyword() == "host") {
            headers.insert("Host", host);
        }
        for directive in directives {
            let value = constants.resolve(directive.argument(1));
            headers.set(directive, directive.value(), &value);
            if is_unfiltered && value.contains("$proxy_add_x_forwarded_for") {
                directive.closed(FORWARDED);
            }
        }
        headers
    }
}

/// Reports paths that change. `new` is what NGINX sends in place of the location's own.
fn say_changes(passed: &PassedOn<'_, ProxiedLocation<'_>>, new: Option<&str>) {
    let location = &passed.passage.location;
    let is_expression = location.modifier.starts_with('~');
    let is_other = |new: &&str| *new != location.text && (!is_expression || new.contains('$'));
    if let Some(new) = new.filter(is_other) {
        let remedy = site::changed_path(location.text, new);
        passed.passage.proxy_pass.not_carried(remedy);
    }
    if location.modifier == "~*" {
        passed
            .directive
            .not_carried("~*: paths are case-sensitive now");
    }
    let is_open = location.is_prefix() && !location.text.ends_with('/');
    if is_open && matches!(&passed.paths[..], [path] if path.ends_with("/*")) {
        say_prefix(passed.directive, location.text);
    }
}

fn say_prefix(location: &Directive, path: &str) {
    location.first(format!(
        "look at paths: {path} and what is below {path}/ get through, and what only begins so, \
         such as {path}s, is 404 now: compare with the URL in Netdata Cloud, and name its path \
         with --webhook"
    ));
}
