//! Addresses to listen on, the networks that may connect, and the proxies that are trusted.

use super::directive::{Directive, is_listed};
use super::scope::Scope;
use super::site::RouteRules;
use super::toml_writer::ConfigTable;
use ipnet::IpNet;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The proxies that may send a PROXY protocol header unless some are named.
const PRIVATE_NETWORKS: &str = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 127.0.0.0/8";

const ANY_PROXY: &str = "any client could send a PROXY protocol header; now only private networks \
    can: name the balancer's addresses in listen.trusted_proxies";

const OTHER_HEADER: &str = "only X-Forwarded-For is read: configure the proxy in front to set it";

/// The remedy for networks that cannot be carried over.
const LOST_NETWORKS: &str = "listen.allow applies to all routes, names only networks that may \
    connect, and sees the address of a proxy in front: name networks there, or in a firewall";

/// Reads `443`, `*:443`, `127.0.0.1:443`, `[::]:443`, `127.0.0.1` or `[::1]`.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let mut text = text.replace("localhost", "127.0.0.1");
    if text.starts_with('*') {
        text.replace_range(..1, "0.0.0.0");
    }
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    let port = || Some(SocketAddr::new(any, text.parse().ok()?));
    let ip = || Some(SocketAddr::new(plain.parse().ok()?, 80));
    text.parse().ok().or_else(port).or_else(ip)
}

/// Returns the address of a `listen` or `Listen`.
pub(super) fn carry(directive: &Directive, is_tls: bool) -> Option<SocketAddr> {
    let address = address(directive.value());
    match address {
        Some(_) if is_tls => directive.carried("listen.https"),
        Some(_) => directive.carried("listen.http"),
        None => directive.not_carried("listen needs an IP address and a port"),
    }
    address
}

/// Writes the addresses to listen on, without those that others include; `[::]` includes IPv4.
pub(super) fn addresses(all: &[SocketAddr], is_tls: bool, listen: &mut ConfigTable) {
    let is_in = |address: &SocketAddr, wider: &SocketAddr| {
        let is_wide = wider.ip().is_unspecified() && (wider.is_ipv6() || address.is_ipv4());
        is_wide && wider.port() == address.port() && wider != address
    };
    let mut seen = HashSet::new();
    let kept = all.iter().filter(|address| seen.insert(**address));
    let distinct: Vec<_> = kept.collect();
    let kept = distinct
        .iter()
        .filter(|address| !distinct.iter().any(|it| is_in(address, it)));
    let texts = kept.map(|it| it.to_string()).collect();
    listen.set_list(if is_tls { "https" } else { "http" }, texts);
}

/// Writes the proxies that are trusted, and whether they send a PROXY protocol header.
pub(super) fn trust(scope: &Scope<'_>, listen: &mut ConfigTable) {
    let directives = scope.all("set_real_ip_from RemoteIPInternalProxy RemoteIPTrustedProxy");
    let mut proxies: Vec<_> = directives.into_iter().flat_map(trusted).collect();
    if let Some(directive) = protocol(scope) {
        listen.set("proxy_protocol", true);
        directive.carried("listen.proxy_protocol");
        if proxies.is_empty() {
            proxies = PRIVATE_NETWORKS.split(' ').map(str::to_owned).collect();
            directive.closed(ANY_PROXY);
        }
    }
    listen.set_list("trusted_proxies", proxies);
    if let Some(directive) = scope.one("real_ip_header RemoteIPHeader") {
        say_header(directive);
    }
}

fn say_header(directive: &Directive) {
    match is_listed("x-forwarded-for proxy_protocol", directive.value()) {
        true => directive.carried("listen.trusted_proxies: their header is read"),
        false => directive.not_carried(OTHER_HEADER),
    }
}

/// Returns the networks that a directive trusts.
fn trusted(directive: &Directive) -> Vec<String> {
    let networks: Option<Vec<_>> = directive.arguments.iter().map(|it| network(it)).collect();
    match networks {
        Some(_) => directive.carried("listen.trusted_proxies"),
        None => directive.not_carried("listen.trusted_proxies has networks and addresses only"),
    }
    networks.unwrap_or_default()
}

/// Returns the directive that turns the PROXY protocol on.
fn protocol<'t>(scope: &Scope<'t>) -> Option<&'t Directive> {
    let with_it = |it: &&Directive| it.arguments.iter().any(|it| it == "proxy_protocol");
    let own = scope.own("listen").find(with_it);
    let apache = scope.one("RemoteIPProxyProtocol");
    own.or(apache.filter(|it| it.keyword() == "on"))
}

/// Writes the networks that may connect where all routes have the same; otherwise closes those that
/// have any.
pub(super) fn allow(routes: &mut [RouteRules<'_>], listen: &mut ConfigTable) {
    // Addresses are checked before a proxy's X-Forwarded-For is read.
    let is_behind_proxy = listen.has("trusted_proxies") && !listen.has("proxy_protocol");
    let is_same = routes
        .windows(2)
        .all(|two| words(&two[0]) == words(&two[1]));
    let first = routes.first().and_then(|it| allowed(&it.networks));
    let networks = first.filter(|_| is_same && !is_behind_proxy);
    for route in routes {
        for rule in std::mem::take(&mut route.networks) {
            match networks {
                Some(_) => rule.carried("listen.allow, checked before TLS"),
                None => route.access.close(rule, LOST_NETWORKS),
            }
        }
    }
    listen.set_list("allow", networks.unwrap_or_default());
}

/// Returns the `allow` and `deny` in effect, unless they let everything in.
pub(super) fn networks<'t>(scope: &Scope<'t>) -> Vec<&'t Directive> {
    let mut rules = scope.all("allow deny");
    let decisive = rules.iter().position(|it| it.value() == "all");
    rules.truncate(decisive.map_or(rules.len(), |at| at + 1));
    if rules.iter().all(|it| it.name == "allow") {
        rules.clear();
    }
    rules
}

fn words<'t>(rules: &RouteRules<'t>) -> Vec<(&'t str, &'t str)> {
    let rules = rules.networks.iter();
    rules.map(|it| (it.name.as_str(), it.value())).collect()
}

/// Returns the networks that rules let in, if they let in no others.
fn allowed(rules: &[&Directive]) -> Option<Vec<String>> {
    let (last, allowed) = rules.split_last()?;
    let is_plain = allowed.iter().all(|it| it.name == "allow") && !allowed.is_empty();
    let is_rest_denied = last.name == "deny" && last.value() == "all";
    let networks: Option<_> = allowed.iter().map(|it| network(it.value())).collect();
    networks.filter(|_| is_plain && is_rest_denied)
}

/// Returns the text if it is a network or an address.
fn network(text: &str) -> Option<String> {
    let is_network = text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
    is_network.then(|| text.to_owned())
}
