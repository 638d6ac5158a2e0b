//! Reads the configuration of an Apache server.

mod access;
mod expression;
mod headers;
mod host;
mod proxy;
mod syntax;

use super::Options;
use super::access::AccessRules;
use super::builder::Builder;
use super::directive::{Directive, ImportError};
use super::headers::SetHeaders;
use super::listen;
use super::report::Ledger;
use super::scope::Scope;
use super::site::{self, Obstacle, PassedOn, RouteRules, Site};
use crate::http::path::PathPattern;
use host::{SectionRequests, VirtualHost};
use proxy::ProxyMapping;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// The most paths that are considered: more than any site passes on.
const MAX_PATHS: usize = 1000;

/// Reads a whole `apache2.conf` or `httpd.conf`, or the file of a site.
pub(super) fn import(
    options: &Options,
    prefix: &Path,
    builder: &mut Builder<'_>,
) -> Result<(), ImportError> {
    let (directives, root) = syntax::read(&options.file, prefix)?;
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
    fn addresses(&self, ledger: &Ledger) -> Vec<SocketAddr> {
        let is_tls = self.is_tls();
        let arguments = self.section.iter().flat_map(|it| &it.arguments);
        let ports = arguments.filter_map(|it| it.rsplit(':').next()?.parse().ok());
        let mut ports: Vec<u16> = ports.collect();
        let mut addresses = Vec::new();
        for directive in self.scope.every("Listen") {
            let port = directive.value().rsplit(':').next().unwrap_or_default();
            let port = port.parse();
            if ports.is_empty() || port.is_ok_and(|port| ports.contains(&port)) {
                addresses.extend(listen::carry(directive, is_tls, ledger));
            } else {
                ledger.not_needed(directive, "another virtual host has this port");
            }
        }
        if ports.is_empty() {
            ports.push(if is_tls { 443 } else { 80 });
        }
        if addresses.is_empty() {
            let any = Ipv4Addr::UNSPECIFIED;
            addresses = ports.iter().map(|port| (any, *port).into()).collect();
        }
        addresses
    }

    fn places(&self) -> usize {
        self.mappings.len()
    }

    /// Returns every path that is passed on, and those of sections that look like a webhook's.
    fn passages(&self) -> Vec<PassedOn<'t, Self::Passage>> {
        let mut all = Vec::new();
        for mapping in self.mappings.iter().filter(|it| !it.is_exclusion()) {
            let paths = mapping.paths.iter();
            all.extend(paths.filter_map(|path| self.passed_on(path, Some(mapping.directive))));
            if mapping.paths.is_empty() {
                all.push(PassedOn {
                    directive: mapping.directive,
                    text: mapping.directive.value().to_owned(),
                    paths: Vec::new(),
                    looks: false,
                    is_webhook: false,
                    passage: mapping.clone(),
                });
            }
        }
        for section in &self.sections {
            if let SectionRequests::Paths(paths) = &section.requests {
                let own = |path: &String| self.passed_on(path, Some(section.directive));
                all.extend(paths.iter().filter_map(own).filter(|it| it.evidence() > 0));
            }
        }
        let mut seen = HashSet::new();
        all.retain(|it| seen.insert(it.text.clone()));
        all.truncate(MAX_PATHS);
        all
    }

    fn serving(&self, path: &str) -> Option<PassedOn<'t, Self::Passage>> {
        self.passed_on(path, None)
    }

    fn looks_at_certificates(&self, directive: &Directive) -> bool {
        access::looks_at_certificates(directive)
    }

    fn rules<'r>(
        &self,
        passed: &PassedOn<'t, Self::Passage>,
        ledger: &'r Ledger,
    ) -> Result<RouteRules<'r, 't>, Obstacle<'t>> {
        let (mapping, path) = (&passed.passage, &passed.paths[0]);
        let mut scope = self.scope.clone();
        for section in self.sections_for(path, mapping.url()) {
            scope = scope.within(section.directive.children());
        }
        let rules = AccessRules::new(passed.is_webhook, ledger);
        let (upstream, host) = mapping.upstream(&scope, ledger)?;
        if let Some(remedy) = &mapping.change {
            ledger.not_carried(mapping.directive, remedy);
        }
        let headers = SetHeaders::new(self.is_tls(), ledger);
        let host = host.as_deref();
        Ok(RouteRules {
            directive: passed.directive,
            paths: passed.paths.clone(),
            is_webhook: passed.is_webhook,
            headers: headers::read(&scope, mapping.directive, host, headers, ledger),
            access: access::read(self, path, mapping, rules),
            networks: Vec::new(),
            default_max_body: None,
            scopes: vec![scope],
            upstream,
        })
    }
}

impl<'t> VirtualHost<'t> {
    /// Returns how requests for the path of a route are passed on.
    fn passed_on(
        &self,
        path: &str,
        directive: Option<&'t Directive>,
    ) -> Option<PassedOn<'t, ProxyMapping<'t>>> {
        PathPattern::parse(path).ok()?;
        let mapping = self.mapping(path)?;
        let sections = self.sections_for(path, mapping.url());
        let looks = |it: &Directive| access::looks_at_certificates(it);
        Some(PassedOn {
            directive: directive.unwrap_or(mapping.directive),
            text: path.to_owned(),
            paths: vec![path.to_owned()],
            looks: sections.iter().any(|it| it.directive.holds(&looks)),
            is_webhook: false,
            passage: mapping,
        })
    }
}
