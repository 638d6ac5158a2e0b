//! Judges sections by each other: settings that are right alone, and wrong together.

use super::listen::Listeners;
use super::upstreams::Groups;
use crate::config::document::{KeyLocation, TableReader};
use crate::config::{AdminSettings, Endpoint, Route, Upstream};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The sections that depend on each other; what is missing in them has been reported.
pub(super) struct Sections<'s> {
    pub(super) listeners: &'s Listeners,
    pub(super) admin: Option<&'s AdminSettings>,
    pub(super) groups: &'s Groups,
    pub(super) routes: &'s [Option<Route>],
}

/// Reports what does not work together.
pub(super) fn check(root: &TableReader<'_>, sections: &Sections<'_>) {
    let sockets = sockets(root, sections);
    check_addresses(root, &sockets);
    check_plain_listeners(root, sections);
    check_loops(root, sections, &sockets);
    check_unused_groups(root, sections);
    check_challenges(root, sections);
}

/// Returns every address that this program listens on, with its location.
fn sockets(root: &TableReader<'_>, sections: &Sections<'_>) -> Vec<(SocketAddr, KeyLocation)> {
    let listeners = sections.listeners;
    let admin = sections
        .admin
        .map(|admin| (admin.listen, root.locate(&["admin", "listen"])));
    listeners
        .https
        .iter()
        .chain(&listeners.http)
        .map(|listener| (listener.value, listener.location.clone()))
        .chain(admin)
        // The system chooses these, and never the same twice.
        .filter(|(address, _)| address.port() != 0)
        .collect()
}

/// Complains of addresses that cannot be listened on beside others.
fn check_addresses(root: &TableReader<'_>, sockets: &[(SocketAddr, KeyLocation)]) {
    for (index, (address, location)) in sockets.iter().enumerate() {
        let other = sockets[..index]
            .iter()
            .find(|(other, _)| conflict(*address, *other));
        if let Some((other, at)) = other {
            let message = format!(
                "is taken: {} has {other} already; choose another port, or remove one of the two",
                at.key
            );
            root.document.complain(location, message);
        }
    }
}

/// Returns `true` if only one of two sockets can be opened. One of IPv6 leaves those of IPv4 alone.
fn conflict(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip(), other.ip());
    let is_included = one_ip.is_ipv4() == other_ip.is_ipv4()
        && (one_ip.is_unspecified() || other_ip.is_unspecified());
    one.port() == other.port() && (one_ip == other_ip || is_included)
}

/// Complains of routes that demand a client certificate where there is no TLS, and warns of a
/// listener without TLS that no route can be reached on.
fn check_plain_listeners(root: &TableReader<'_>, sections: &Sections<'_>) {
    let Some(plain) = sections.listeners.http.first() else {
        return;
    };
    let demanding = demanding(sections.routes);
    if sections.listeners.https.is_empty() {
        for index in demanding {
            let location = in_route(root, index, &["auth", "client_certificate"]);
            root.document.complain(&location, UNREACHABLE);
        }
    } else if demanding.len() == sections.routes.len() {
        root.document.warn(&plain.location, USELESS);
    }
}

const UNREACHABLE: &str = "demands a client certificate, which listen.http cannot carry, so every request is refused: add \
                           listen.https, or set client_certificate = false, and basic or bearer, in [routes.auth]";

const USELESS: &str = "no route can be reached here: all demand a client certificate, which only TLS carries; remove this \
                       listener, or add a route with client_certificate = false and basic or bearer";

/// Returns the indexes of the routes that demand a client certificate.
fn demanding(routes: &[Option<Route>]) -> Vec<usize> {
    let demands = |index: &usize| routes[*index].as_ref().is_some_and(demands_certificate);
    (0..routes.len()).filter(demands).collect()
}

fn demands_certificate(route: &Route) -> bool {
    route.requirements.client_certificate
}

/// Complains of upstreams that are this program itself.
fn check_loops(
    root: &TableReader<'_>,
    sections: &Sections<'_>,
    sockets: &[(SocketAddr, KeyLocation)],
) {
    for (server, location) in servers(root, sections) {
        let own = sockets.iter().find(|(address, _)| is_at(server, *address));
        if let Some((_, at)) = own {
            let message = format!(
                "is this program's own listener ({}), not an application: name the address of the application",
                at.key
            );
            root.document.complain(&location, message);
        }
    }
}

/// Returns every server, with its location.
fn servers<'s>(
    root: &TableReader<'_>,
    sections: &Sections<'s>,
) -> Vec<(&'s Endpoint, KeyLocation)> {
    let groups = sections.groups.iter();
    let grouped = groups.flat_map(|(name, group)| servers_of_group(root, name, group.as_deref()));
    let routes = sections.routes.iter().enumerate();
    let single = routes.filter_map(|(index, route)| {
        let upstream = &route.as_ref()?.upstream;
        let is_grouped = sections.groups.contains_key(&upstream.name);
        let location = in_route(root, index, &["upstream"]);
        (!is_grouped).then(|| (&upstream.servers[0], location))
    });
    grouped.chain(single).collect()
}

fn servers_of_group<'s>(
    root: &TableReader<'_>,
    name: &str,
    group: Option<&'s Upstream>,
) -> Vec<(&'s Endpoint, KeyLocation)> {
    let servers = group.into_iter().flat_map(|group| &group.servers);
    let locate = |index: usize| root.locate(&["upstreams", name, "servers", &index.to_string()]);
    let servers = servers.enumerate();
    servers
        .map(|(index, server)| (server, locate(index)))
        .collect()
}

/// Returns `true` if a socket at `address` is what `server` leads to.
fn is_at(server: &Endpoint, address: SocketAddr) -> bool {
    let Endpoint::Tcp { host, port, .. } = server else {
        return false;
    };
    let is_own = |ip: IpAddr| ip == address.ip() || reaches(address.ip(), ip);
    *port == address.port() && known_ip(host).is_some_and(is_own)
}

/// Returns the address of a host that is known without asking.
fn known_ip(host: &str) -> Option<IpAddr> {
    match host.parse::<IpAddr>() {
        Ok(ip) => Some(ip),
        Err(_) if host.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        Err(_) => None,
    }
}

/// Returns `true` if a socket that listens on every address, as `listening` may be, is reached at
/// `ip`: at one of this machine.
fn reaches(listening: IpAddr, ip: IpAddr) -> bool {
    let is_of_family = listening.is_ipv6() || ip.is_ipv4();
    listening.is_unspecified() && is_of_family && UdpSocket::bind((ip, 0)).is_ok()
}

/// Warns of groups that nothing leads to.
fn check_unused_groups(root: &TableReader<'_>, sections: &Sections<'_>) {
    // A route that could not be read may be the one.
    if sections.routes.iter().any(Option::is_none) {
        return;
    }
    let is_unused = |name: &&String| !is_used(name, sections.routes);
    for name in sections.groups.keys().filter(is_unused) {
        let message =
            format!("no route uses it: set upstream = \"{name}\" in a route, or remove it");
        let location = root.locate(&["upstreams", name]);
        root.document.warn(&location, message);
    }
}

fn is_used(group: &str, routes: &[Option<Route>]) -> bool {
    let mut routes = routes.iter().flatten();
    routes.any(|route| route.upstream.name == group)
}

/// Warns of challenges that must carry credentials where there are none.
fn check_challenges(root: &TableReader<'_>, sections: &Sections<'_>) {
    const KEY: &str = "challenge_requires_authorization";
    for (index, route) in sections.routes.iter().enumerate() {
        if route.as_ref().is_some_and(demands_what_is_not_there) {
            let message = "has no effect on a route without credentials: set basic or bearer in [routes.auth], or remove it";
            root.document.warn(&in_route(root, index, &[KEY]), message);
        }
    }
}

fn demands_what_is_not_there(route: &Route) -> bool {
    route.challenge_requires_authorization && route.requirements.authorization.is_empty()
}

fn in_route(root: &TableReader<'_>, index: usize, keys: &[&str]) -> KeyLocation {
    let index = index.to_string();
    let path: Vec<&str> = ["routes", &index]
        .into_iter()
        .chain(keys.iter().copied())
        .collect();
    root.locate(&path)
}
