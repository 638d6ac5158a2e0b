//! Under which host applications are asked: by requests, and so by health checks.

use super::{Config, Route, Upstream, lints};
use std::sync::Arc;

impl Config {
    /// Returns the host that the requests to `upstream` carry, where that is one name and can be
    /// known.
    ///
    /// It is what the routes put in its place, or else what senders ask for: the name in the
    /// server's certificate.
    pub fn carried_host(&self, upstream: &Upstream) -> Option<String> {
        let certified = self
            .tls
            .as_ref()
            .and_then(|tls| lints::only_host(&tls.certificate.cert));
        let mut hosts = self
            .routes
            .iter()
            .filter(|route| *route.upstream == *upstream)
            .map(|route| {
                let set = route
                    .set_headers
                    .iter()
                    .find(|(header, _)| *header == http::header::HOST);
                match set {
                    None => certified.clone(),
                    Some((_, template)) if template.is_host() => certified.clone(),
                    Some((_, template)) => template.text().map(str::to_owned),
                }
            });
        let host = hosts.next()??;
        hosts
            .all(|other| other.is_some_and(|other| other.eq_ignore_ascii_case(&host)))
            .then_some(host)
    }

    /// Has each health check ask under the host that requests carry, unless it is told another.
    pub(super) fn name_checked_hosts(&mut self) {
        for index in 0..self.upstreams.len() {
            let upstream = self.upstreams[index].clone();
            let Some(check) = upstream
                .health_check
                .as_ref()
                .filter(|check| check.path.is_some())
            else {
                continue;
            };
            if check.host.is_some() {
                continue;
            }
            let Some(host) = self.carried_host(&upstream) else {
                continue;
            };
            let mut named = Upstream::clone(&upstream);
            named
                .health_check
                .iter_mut()
                .for_each(|check| check.host = Some(host.clone()));
            let named = Arc::new(named);
            let leads_there = |route: &&mut Route| Arc::ptr_eq(&route.upstream, &upstream);
            self.routes
                .iter_mut()
                .filter(leads_there)
                .for_each(|route| route.upstream = named.clone());
            self.upstreams[index] = named;
        }
    }
}
