//! Addresses to listen on, and the proxies whose forwarded addresses are trusted.

use super::directive::Directive;
use super::report::Ledger;
use super::toml_writer::ConfigTable;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The proxies that may send a PROXY protocol header unless some are named.
const PRIVATE_NETWORKS: &str = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 127.0.0.0/8";

/// Returns the text if it is a network or an address.
pub(super) fn network(text: &str) -> Option<String> {
    let is_network = text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
    is_network.then(|| text.to_owned())
}

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

/// Writes the addresses to listen on, without those that others include; `[::]` includes IPv4.
pub(super) fn listen(addresses: &[SocketAddr], is_tls: bool, listen: &mut ConfigTable) {
    let mut kept: Vec<String> = Vec::new();
    for address in addresses {
        let any6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        let any4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        let is_in_any6 = *address != any6 && addresses.contains(&any6);
        let is_in_any4 = address.is_ipv4() && *address != any4 && addresses.contains(&any4);
        let text = address.to_string();
        if !is_in_any6 && !is_in_any4 && !kept.contains(&text) {
            kept.push(text);
        }
    }
    listen.set_list(if is_tls { "https" } else { "http" }, kept);
}

/// Writes which proxies are trusted: the networks that the texts name, and private ones if there
/// are none for `protocol`, the directive that turns the PROXY protocol on.
pub(super) fn trust<'t>(
    networks: impl Iterator<Item = (&'t Directive, &'t str)>,
    protocol: Option<&Directive>,
    listen: &mut ConfigTable,
    ledger: &Ledger,
) {
    let mut proxies = Vec::new();
    for (directive, text) in networks {
        let Some(network) = network(text) else {
            let remedy = "listen.trusted_proxies has networks and addresses only";
            ledger.not_carried(directive, remedy);
            continue;
        };
        proxies.push(network);
        ledger.carried(directive, "listen.trusted_proxies");
    }
    if let Some(directive) = protocol {
        listen.set("proxy_protocol", true);
        ledger.carried(directive, "listen.proxy_protocol");
        if proxies.is_empty() {
            proxies = PRIVATE_NETWORKS.split(' ').map(str::to_owned).collect();
            let hole = "any client could send a PROXY protocol header; now only private networks \
                        can: name the balancer's addresses in listen.trusted_proxies";
            ledger.closed(directive, hole);
        }
    }
    listen.set_list("trusted_proxies", proxies);
}

/// Reports the header in which trusted proxies name the client.
pub(super) fn forwarded_header(directive: &Directive, ledger: &Ledger) {
    match directive.value().to_ascii_lowercase().as_str() {
        "x-forwarded-for" => {
            let key = "listen.trusted_proxies: their X-Forwarded-For is read";
            ledger.carried(directive, key);
        }
        "proxy_protocol" => ledger.carried(directive, "listen.proxy_protocol"),
        _ => {
            let remedy = "only X-Forwarded-For is read: configure the proxy in front to set it";
            ledger.not_carried(directive, remedy);
        }
    }
}
