//! Reads the configuration of an NGINX server.

mod access;
mod condition;
mod server;
mod syntax;
mod variables;

use super::Options;
use super::builder::Builder;
use super::directive::{Directive, ImportError, SourceLocation};
use super::headers::SetHeaders;
use super::listen;
use super::scope::Scope;
use super::site::{self, Obstacle, PassedOn, RouteRules, Site, SiteHead};
use super::sources::{SourceFiles, TreeReader as _};
use super::template::expand;
use super::upstream::{self, UpstreamUrl};
use server::{LocationBlock, ProxiedLocation, ServerBlock, is_tls_listen};
use std::net::SocketAddr;
use syntax::NginxReader;
use variables::{Constants, NginxMap};

/// The ends of URLs for the path of the request, which this program passes on, too.
const OWN_PATHS: [&str; 2] = ["$request_uri", "$uri$is_args$args"];

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
    let maps = http.own("map").filter_map(NginxMap::read).collect();
    site::carry_over(&ServerBlock::all(&http, &maps), options, builder)
}

impl<'t> Site<'t> for ServerBlock<'_, 't> {
    fn head(&self) -> &SiteHead<'t> {
        &self.head
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let is_tls = self.head.is_tls;
        let mut addresses = Vec::new();
        for directive in self.head.scope.own("listen") {
            let is_quic = directive.arguments.iter().any(|it| it == "quic");
            if is_quic || is_tls != is_tls_listen(&self.head.scope, directive) {
                directive.not_needed("Netdata Cloud uses HTTP/1.1 and HTTP/2 over TLS only");
            } else {
                addresses.extend(listen::carry(directive, is_tls));
            }
        }
        if self.head.scope.own("listen").next().is_none() {
            addresses.push(listen::any(80));
        }
        addresses
    }

    /// Returns what each location passes on, of which NGINX chooses the location itself.
    fn passages(&self) -> Vec<PassedOn<'t>> {
        let passing = self.locations.iter().filter(|location| {
            let is_named = location.modifier == "@";
            !is_named && self.passes_on(location).is_some()
        });
        let passed_on = passing.map(|location| {
            let mut paths = location.paths();
            let is_own = |it: &LocationBlock<'_>| it.directive.id == location.directive.id;
            paths.retain(|path| self.choose(path).is_some_and(is_own));
            self.passed_on(location, paths)
        });
        passed_on.collect()
    }

    fn serving(&self, path: &str) -> Option<PassedOn<'t>> {
        let location = self.choose(path)?;
        self.passes_on(location)?;
        Some(self.passed_on(location, vec![path.to_owned()]))
    }

    fn looks_at_certificates(&self, directive: &Directive) -> bool {
        let is_certificate = |argument: &String| {
            let map = self.maps.get(argument.trim_matches(['(', '$', ')']));
            let source = map.map_or(argument.as_str(), |map| map.source);
            source.contains("$ssl_client_")
        };
        directive.is("if") && directive.arguments.iter().any(is_certificate)
    }

    fn rules(&self, requests: &PassedOn<'t>) -> Result<RouteRules<'t>, Obstacle<'t>> {
        let location = self.choose(&requests.paths[0]);
        let Some(at) = location.and_then(|it| self.passes_on(it)) else {
            return Err((requests.directive, "passes nothing on".to_owned()));
        };
        let mut constants =
            Constants::of(&at.scope, self.maps, &self.head.names(), self.head.is_tls);
        let url = constants.resolve(at.proxy_pass.value());
        let (url, has_own_path) = fixed(&url).map_err(|remedy| (at.proxy_pass, remedy))?;
        constants.insert("proxy_host", url.host());
        say_changes(requests, &at, url.path, has_own_path);
        Ok(RouteRules {
            requests: requests.clone(),
            scopes: at.scopes(),
            headers: self.headers(&at.scope, url.host(), &constants),
            access: access::read(&at, self.maps, requests),
            upstream: upstream::read(&at.scope, at.proxy_pass, &url)?,
        })
    }
}

impl<'t> ServerBlock<'_, 't> {
    fn passed_on(&self, location: &LocationBlock<'t>, paths: Vec<String>) -> PassedOn<'t> {
        let directive = location.directive;
        let looks = directive.holds(&|it| self.looks_at_certificates(it));
        PassedOn::of(directive, location.text, paths, looks)
    }

    /// Reads the headers of the application. `host` is the `Host` that NGINX sends by default.
    fn headers(&self, scope: &Scope<'t>, host: &str, constants: &Constants) -> SetHeaders {
        let mut headers = SetHeaders::new(self.head.is_tls);
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

/// Reads a URL, and whether it ends with the path of the request. The error is a remedy.
fn fixed(url: &str) -> Result<(UpstreamUrl<'_>, bool), String> {
    let own = OWN_PATHS.iter().find_map(|it| url.strip_suffix(it));
    let url = UpstreamUrl::of(own.unwrap_or(url));
    match expand(url.authority, &|_| None) {
        Ok(_) => Ok((url, own.is_some())),
        Err(name) => Err(format!(
            "${name} is known for each request only: name the server in upstream"
        )),
    }
}

/// Reports paths that change. `path` is sent in place of the location's, or before the whole path.
fn say_changes(requests: &PassedOn<'_>, at: &ProxiedLocation<'_, '_>, path: &str, is_before: bool) {
    let (directive, location) = (requests.directive, at.location);
    let appended = if is_before { location.text } else { "" };
    let new = format!("{path}{appended}");
    if !path.is_empty() && new != location.text {
        let remedy = site::changed_path(location.text, &new);
        at.proxy_pass.not_carried(remedy);
    }
    if location.modifier == "~*" {
        directive.not_carried("~*: paths are case-sensitive now");
    }
    let is_open = location.is_prefix() && !location.text.ends_with('/');
    if is_open && matches!(&requests.paths[..], [path] if path.ends_with("/*")) {
        let path = location.text;
        directive.first(format!(
            "look at paths: {path} and what is below {path}/ get through, and what only begins so, \
             such as {path}s, is 404 now: compare with the URL in Netdata Cloud, and name its path \
             with --webhook"
        ));
    }
}
