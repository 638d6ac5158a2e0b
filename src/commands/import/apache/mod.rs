//! Reads the configuration of an Apache server.

mod access;
mod expression;
mod headers;
mod host;
mod proxy;
mod syntax;

use super::Options;
use super::absolute;
use super::builder::Builder;
use super::directive::{Directive, ImportError, SourceLocation};
use super::headers::SetHeaders;
use super::listen;
use super::scope::Scope;
use super::site::{self, Obstacle, PassedOn, RouteRules, Site};
use super::sources::{SourceFiles, TreeReader as _};
use crate::http::path::PathPattern;
use host::{SectionRequests, VirtualHost};
use proxy::ProxyMapping;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use syntax::ApacheReader;

/// The most paths that are considered: more than any site passes on.
const MAX_PATHS: usize = 1000;

/// Reads a whole `apache2.conf` or `httpd.conf`, or the file of a site.
pub(super) fn import(
    options: &Options,
    sources: SourceFiles,
    builder: &mut Builder,
) -> Result<(), ImportError> {
    let mut reader = ApacheReader::new(sources);
    let directives = reader.file(&options.file, &SourceLocation::start_of(&options.file))?;
    let root = absolute(&reader.sources.root);
    let hosts = VirtualHost::all(&Scope::new(&root, &directives));
    site::carry_over(&hosts, options, builder)
}

impl<'t> Site<'t> for VirtualHost<'t> {
    type Passage = ProxyMapping<'t>;

    const SERVER: &'static str = "Apache";

    fn directive(&self) -> Option<&'t Directive> {
        self.section.or(self.scope.innermost().first())
    }

    fn scope(&self) -> &Scope<'t> {
        &self.scope
    }

    fn is_tls(&self) -> bool {
        let is_on = self.scope.value("SSLEngine").eq_ignore_ascii_case("on");
        is_on || self.scope.own("SSLCertificateFile").next().is_some()
    }

    /// Returns the addresses of `Listen` with a port of the section; if there are none, the ports.
    fn addresses(&self) -> Vec<SocketAddr> {
        let is_tls = self.is_tls();
        let ports = self.ports();
        let mut addresses = Vec::new();
        for directive in self.scope.every("Listen") {
            let is_own = port(directive.value()).is_some_and(|port| ports.contains(&port));
            if ports.is_empty() || is_own {
                addresses.extend(listen::carry(directive, is_tls));
            } else {
                directive.not_needed("another virtual host has this port");
            }
        }
        match &ports[..] {
            _ if !addresses.is_empty() => addresses,
            [] => any(&[if is_tls { 443 } else { 80 }]),
            ports => any(ports),
        }
    }

    fn places(&self) -> usize {
        self.mappings.len()
    }

    /// Returns every path that is passed on, and those of sections that look like a webhook's.
    fn passages(&self) -> Vec<PassedOn<'t, Self::Passage>> {
        let mappings = self.mappings.iter().filter(|it| !it.is_exclusion());
        let mut all: Vec<_> = mappings.flat_map(|it| self.mapped(it)).collect();
        for section in &self.sections {
            if let SectionRequests::Paths(paths) = &section.requests {
                let own = paths
                    .iter()
                    .filter_map(|it| self.passed_on(it, section.directive));
                all.extend(own.filter(|it| it.evidence() > 0));
            }
        }
        let mut seen = HashSet::new();
        all.retain(|it| seen.insert(it.text.clone()));
        all.truncate(MAX_PATHS);
        all
    }

    fn serving(&self, path: &str) -> Option<PassedOn<'t, Self::Passage>> {
        self.passed_on(path, self.mapping(path)?.directive)
    }

    fn looks_at_certificates(&self, directive: &Directive) -> bool {
        access::looks_at_certificates(directive)
    }

    fn rules(&self, passed: &PassedOn<'t, Self::Passage>) -> Result<RouteRules<'t>, Obstacle<'t>> {
        let (mapping, path) = (&passed.passage, &passed.paths[0]);
        let scope = self.scope_of(path, mapping);
        let (upstream, host) = mapping.upstream(&scope)?;
        if let Some(remedy) = &mapping.change {
            mapping.directive.not_carried(remedy);
        }
        let headers = SetHeaders::new(self.is_tls());
        Ok(RouteRules {
            directive: passed.directive,
            paths: passed.paths.clone(),
            is_webhook: passed.is_webhook,
            headers: headers::read(&scope, mapping.directive, host.as_deref(), headers),
            access: access::read(self, path, mapping, passed.is_webhook),
            networks: Vec::new(),
            default_max_body: None,
            scopes: vec![scope],
            upstream,
        })
    }
}

impl<'t> VirtualHost<'t> {
    /// Returns the scope with all sections for the path of a route.
    fn scope_of(&self, path: &str, mapping: &ProxyMapping<'t>) -> Scope<'t> {
        let sections = self.sections_for(path, mapping.url()).into_iter();
        sections.fold(self.scope.clone(), |scope, section| {
            scope.within(section.directive.children())
        })
    }

    /// Returns the ports in the head of the section.
    fn ports(&self) -> Vec<u16> {
        let arguments = self.section.iter().flat_map(|it| &it.arguments);
        arguments.filter_map(|it| port(it)).collect()
    }

    /// Returns what a mapping passes on, if only as a pattern.
    fn mapped(&self, mapping: &ProxyMapping<'t>) -> Vec<PassedOn<'t, ProxyMapping<'t>>> {
        let directive = mapping.directive;
        if mapping.paths.is_empty() {
            return vec![PassedOn {
                directive,
                text: directive.value().to_owned(),
                paths: Vec::new(),
                looks: false,
                is_webhook: false,
                passage: mapping.clone(),
            }];
        }
        let paths = mapping.paths.iter();
        paths
            .filter_map(|it| self.passed_on(it, directive))
            .collect()
    }

    /// Returns how requests for the path of a route are passed on.
    fn passed_on(
        &self,
        path: &str,
        directive: &'t Directive,
    ) -> Option<PassedOn<'t, ProxyMapping<'t>>> {
        PathPattern::parse(path).ok()?;
        let mapping = self.mapping(path)?;
        let sections = self.sections_for(path, mapping.url());
        let looks = |it: &Directive| access::looks_at_certificates(it);
        Some(PassedOn {
            directive,
            text: path.to_owned(),
            paths: vec![path.to_owned()],
            looks: sections.iter().any(|it| it.directive.holds(&looks)),
            is_webhook: false,
            passage: mapping,
        })
    }
}

fn port(address: &str) -> Option<u16> {
    address.rsplit(':').next()?.parse().ok()
}

fn any(ports: &[u16]) -> Vec<SocketAddr> {
    let any = Ipv4Addr::UNSPECIFIED;
    ports.iter().map(|port| (any, *port).into()).collect()
}
