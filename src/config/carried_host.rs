//! The host that requests to an application carry, and its health checks as well.

use super::{Config, Route, Upstream};
use std::sync::Arc;

impl Config {
    /// Returns the host that the requests to `upstream` carry, where that is one name and can be
    /// known.
    ///
    /// This is the host that the routes set, or else the one that clients request: the name in the
    /// server's certificate.
    pub fn carried_host(&self, upstream: &Upstream) -> Option<String> {
        let tls = self.tls.as_ref();
        let certified = tls.and_then(|tls| tls.certificate.only_host());
        let routes = self.routes.iter();
        let routes = routes.filter(|route| *route.upstream == *upstream);
        let mut hosts = routes.map(|route| host_of(route, certified.as_deref()));
        let host = hosts.next()??;
        hosts
            .all(|other| other.is_some_and(|other| other.eq_ignore_ascii_case(host)))
            .then(|| host.to_owned())
    }

    /// Sets the host of each health check that has none to the one that requests carry.
    pub(super) fn name_checked_hosts(&mut self) {
        for index in 0..self.upstreams.len() {
            let upstream = self.upstreams[index].clone();
            if let Some(named) = self.with_checked_host(&upstream) {
                self.replace(index, &upstream, Arc::new(named));
            }
        }
    }

    /// Returns an upstream whose health check names the host that requests carry, if it is to.
    fn with_checked_host(&self, upstream: &Upstream) -> Option<Upstream> {
        let check = upstream.health_check.as_ref()?;
        if check.path.is_none() || check.host.is_some() {
            return None;
        }
        let host = self.carried_host(upstream)?;
        let mut named = upstream.clone();
        named.health_check.as_mut()?.host = Some(host);
        Some(named)
    }

    fn replace(&mut self, index: usize, old: &Arc<Upstream>, new: Arc<Upstream>) {
        for route in &mut self.routes {
            if Arc::ptr_eq(&route.upstream, old) {
                route.upstream = new.clone();
            }
        }
        self.upstreams[index] = new;
    }
}

/// Returns the host that the requests of a route carry. `certified` is that of the server's
/// certificate.
fn host_of<'r>(route: &'r Route, certified: Option<&'r str>) -> Option<&'r str> {
    let mut headers = route.set_headers.iter();
    match headers.find(|(header, _)| *header == http::header::HOST) {
        None => certified,
        Some((_, template)) if template.is_host() => certified,
        Some((_, template)) => template.text(),
    }
}
