//! `Listen`, the addresses of virtual hosts, and the proxies in front.

use super::host::Host;
use crate::import::directive::Directive;
use crate::import::draft::Keys;
use crate::import::report::Ledger;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The ports of a virtual host; nothing where it is for all.
fn ports(host: &Host<'_>) -> Vec<u16> {
    let addresses = host.section.iter().flat_map(|section| &section.arguments);
    addresses.filter_map(|address| address.rsplit(':').next()?.parse().ok()).collect()
}

/// Writes where a host listens; says whether that is somewhere.
pub(super) fn carry(host: &Host<'_>, is_tls: bool, keys: &mut Keys, ledger: &Ledger) {
    let ports = ports(host);
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for directive in host.every("Listen") {
        let Some(address) = address(directive.value()) else {
            ledger.not_carried(directive, "listen needs an address and a port: write the one that this stands for");
            continue;
        };
        if !ports.is_empty() && !ports.contains(&address.port()) {
            ledger.not_needed(directive, "another virtual host has this port");
        } else if !addresses.contains(&address) {
            ledger.carried(directive, format!("listen.{}: {address}", if is_tls { "https" } else { "http" }));
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        // A file of one site; `Listen` stands elsewhere.
        let any = Ipv4Addr::UNSPECIFIED;
        let port = if is_tls { 443 } else { 80 };
        addresses =
            ports.iter().copied().chain(ports.is_empty().then_some(port)).map(|port| (any, port).into()).collect();
    }
    if let Some(section) = host.section {
        ledger.carried(section, "[listen]");
    }
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    keys.set(if is_tls { "https" } else { "http" }, texts);
}

/// `443`, `127.0.0.1:443` or `[::]:443`.
fn address(text: &str) -> Option<SocketAddr> {
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    text.parse().ok().or_else(|| Some(SocketAddr::new(any, text.parse().ok()?)))
}

/// Whose word is taken for where a request comes from: `mod_remoteip`.
pub(super) fn carry_proxies(host: &Host<'_>, keys: &mut Keys, ledger: &Ledger) {
    let mut networks: Vec<String> = Vec::new();
    let named = host.every("RemoteIPInternalProxy").chain(host.every("RemoteIPTrustedProxy"));
    for directive in named {
        for text in &directive.arguments {
            match text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok() {
                true => {
                    networks.push(text.clone());
                    ledger.carried(directive, "listen.trusted_proxies");
                }
                false => ledger.not_carried(directive, "listen.trusted_proxies has networks and addresses only"),
            }
        }
    }
    if host.is_on("RemoteIPProxyProtocol") {
        let directive: Option<&Directive> = host.one("RemoteIPProxyProtocol");
        keys.set("proxy_protocol", true);
        directive.into_iter().for_each(|it| ledger.carried(it, "listen.proxy_protocol"));
        if networks.is_empty() {
            networks = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8"].map(str::to_owned).to_vec();
            let hole = "anybody could send a PROXY protocol header; now only private networks: name the balancer's addresses \
                        in listen.trusted_proxies";
            directive.into_iter().for_each(|it| ledger.closed(it, hole));
        }
    }
    if let Some(directive) = host.one("RemoteIPHeader") {
        match directive.value().eq_ignore_ascii_case("x-forwarded-for") {
            true => ledger.carried(directive, "listen.trusted_proxies: their X-Forwarded-For is read"),
            false => ledger.not_carried(directive, "X-Forwarded-For is read: let the proxy in front set that"),
        }
    }
    keys.set("trusted_proxies", networks);
}
