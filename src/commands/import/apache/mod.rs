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
use super::site::{self, Obstacle, PassedOn, RouteRules, Site, SiteHead};
use super::sources::{SourceFiles, TreeReader as _};
use crate::http::path::PathPattern;
use host::{SectionRequests, VirtualHost};
use std::collections::HashSet;
use std::net::SocketAddr;
use syntax::ApacheReader;

/// Reads a whole `apache2.conf` or `httpd.conf`, or the file of a site.
pub(super) fn import(
    options: &Options,
    sources: SourceFiles,
    builder: &mut Builder,
) -> Result<(), ImportError> {
    let mut reader = ApacheReader::default();
    reader.sources = sources;
    let directives = reader.file(&options.file, &SourceLocation::start_of(&options.file))?;
    let root = absolute(&reader.sources.root);
    let hosts = VirtualHost::all(&Scope::new(&root, &directives));
    site::carry_over(&hosts, options, builder)
}

impl<'t> Site<'t> for VirtualHost<'t> {
    fn head(&self) -> &SiteHead<'t> {
        &self.head
    }

    /// Returns the addresses of `Listen` with a port of the section; if there are none, the ports.
    fn addresses(&self) -> Vec<SocketAddr> {
        let is_tls = self.head.is_tls;
        let section = Some(self.head.directive).filter(|it| it.is("VirtualHost"));
        let ports = section.iter().flat_map(|it| &it.arguments);
        let ports: Vec<_> = ports.filter_map(|it| port(it)).collect();
        let mut addresses = Vec::new();
        for directive in self.head.scope.every("Listen") {
            let is_own = port(directive.value()).is_some_and(|port| ports.contains(&port));
            if ports.is_empty() || is_own {
                addresses.extend(listen::carry(directive, is_tls));
            }
        }
        match &ports[..] {
            _ if !addresses.is_empty() => addresses,
            [] => vec![listen::any(if is_tls { 443 } else { 80 })],
            ports => ports.iter().map(|port| listen::any(*port)).collect(),
        }
    }

    /// Returns every path that is passed on, and those of sections that look like a webhook's.
    fn passages(&self) -> Vec<PassedOn<'t>> {
        let mut all = Vec::new();
        for mapping in self.mappings.iter().filter(|it| it.url != proxy::EXCLUDED) {
            let directive = mapping.directive;
            if mapping.paths.is_empty() {
                let text = directive.value();
                all.push(PassedOn::of(directive, text, Vec::new(), false));
            }
            let paths = mapping.paths.iter();
            all.extend(paths.filter_map(|it| self.passed_on(it, directive)));
        }
        for section in &self.sections {
            if let SectionRequests::Paths(paths) = &section.requests {
                let own = paths.iter();
                let own = own.filter_map(|it| self.passed_on(it, section.directive));
                all.extend(own.filter(|it| it.evidence() > 0));
            }
        }
        let mut seen = HashSet::new();
        all.retain(|it| seen.insert(it.text.clone()));
        all
    }

    fn serving(&self, path: &str) -> Option<PassedOn<'t>> {
        self.passed_on(path, self.target(path)?.directive)
    }

    fn looks_at_certificates(&self, directive: &Directive) -> bool {
        access::looks_at_certificates(directive)
    }

    fn rules(&self, requests: &PassedOn<'t>) -> Result<RouteRules<'t>, Obstacle<'t>> {
        let path = &requests.paths[0];
        let Some(target) = self.target(path) else {
            return Err((requests.directive, "passes nothing on".to_owned()));
        };
        let sections = self.sections_for(path);
        let scope = sections.fold(self.head.scope.clone(), |scope, section| {
            scope.within(section.directive.children())
        });
        let (upstream, host) = target.upstream(&scope)?;
        if let Some(remedy) = &target.change {
            target.directive.not_carried(remedy);
        }
        let headers = SetHeaders::new(self.head.is_tls);
        Ok(RouteRules {
            headers: headers::read(&scope, target.directive, host.as_deref(), headers),
            access: access::read(self, requests, &target),
            requests: requests.clone(),
            scopes: vec![scope],
            upstream,
        })
    }
}

impl<'t> VirtualHost<'t> {
    /// Returns how requests for the path of a route are passed on.
    fn passed_on(&self, path: &str, directive: &'t Directive) -> Option<PassedOn<'t>> {
        PathPattern::parse(path).ok()?;
        self.target(path)?;
        let mut sections = self.sections_for(path);
        let looks = sections.any(|it| it.directive.holds(&access::looks_at_certificates));
        Some(PassedOn::of(directive, path, vec![path.to_owned()], looks))
    }
}

fn port(address: &str) -> Option<u16> {
    address.rsplit(':').next()?.parse().ok()
}
