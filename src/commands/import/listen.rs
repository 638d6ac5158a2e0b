//! Addresses to listen on, and the proxies that are trusted.

use super::directive::{Directive, is_listed};
use super::scope::Scope;
use super::toml_writer::set_list;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use toml_edit::{Table, value};

/// The proxies that may send a PROXY protocol header unless some are named.
const PRIVATE_NETWORKS: &str = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 127.0.0.0/8";

const ANY_PROXY: &str = "any client could send a PROXY protocol header; now only private networks \
    can: name the balancer's addresses in listen.trusted_proxies";
const OTHER_HEADER: &str = "only X-Forwarded-For is read: configure the proxy in front to set it";

/// Reads `443`, `*:443`, `127.0.0.1:443`, `[::]:443`, `127.0.0.1` or `[::1]`.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.replace("localhost", "127.0.0.1");
    let text = text.replace('*', "0.0.0.0");
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    let port = text.parse().map(any);
    let ip = plain.parse().map(|ip: IpAddr| SocketAddr::new(ip, 80));
    text.parse().ok().or(port.ok()).or(ip.ok())
}

/// Returns all addresses of the machine, with a port.
pub(super) fn any(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)
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
pub(super) fn addresses(all: &[SocketAddr], is_tls: bool, listen: &mut Table) {
    let is_in = |address: &SocketAddr, wider: &SocketAddr| {
        let is_wide = wider.ip().is_unspecified() && (wider.is_ipv6() || address.is_ipv4());
        is_wide && wider.port() == address.port() && wider != address
    };
    let all: BTreeSet<_> = all.iter().collect();
    let is_needed = |it: &&&SocketAddr| !all.iter().any(|wider| is_in(it, wider));
    let kept = all.iter().filter(is_needed);
    let texts = kept.map(|it| it.to_string()).collect();
    set_list(listen, if is_tls { "https" } else { "http" }, texts);
}

/// Writes the proxies that are trusted, and whether they send a PROXY protocol header.
pub(super) fn trust(scope: &Scope<'_>, listen: &mut Table) {
    let directives = scope.all("set_real_ip_from RemoteIPInternalProxy RemoteIPTrustedProxy");
    let mut proxies: Vec<_> = directives.into_iter().flat_map(trusted).collect();
    if let Some(directive) = protocol(scope) {
        listen["proxy_protocol"] = value(true);
        directive.carried("listen.proxy_protocol");
        if proxies.is_empty() {
            proxies = PRIVATE_NETWORKS.split(' ').map(str::to_owned).collect();
            directive.closed(ANY_PROXY);
        }
    }
    set_list(listen, "trusted_proxies", proxies);
    if let Some(directive) = scope.one("real_ip_header RemoteIPHeader") {
        match is_listed("x-forwarded-for proxy_protocol", directive.value()) {
            true => directive.carried("listen.trusted_proxies: their header is read"),
            false => directive.not_carried(OTHER_HEADER),
        }
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

/// Returns the text if it is a network or an address.
fn network(text: &str) -> Option<String> {
    let is_network = text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
    is_network.then(|| text.to_owned())
}
