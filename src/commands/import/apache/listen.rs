//! `Listen`, the addresses of virtual hosts, and the proxies in front.

use super::host::VirtualHost;
use crate::commands::import::networks::{address, network, texts, trust};
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::Keys;
use std::net::{Ipv4Addr, SocketAddr};

/// Writes the addresses that a virtual host listens on.
pub(super) fn addresses(host: &VirtualHost<'_>, keys: &mut Keys, ledger: &Ledger) {
    let key = if host.is_tls() { "https" } else { "http" };
    let mut ports: Vec<u16> = Vec::new();
    if let Some(section) = host.section {
        ledger.carried(section, "[listen]");
        let own = section.arguments.iter();
        ports.extend(own.filter_map(|it| it.rsplit(':').next()?.parse::<u16>().ok()));
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for directive in host.every("Listen") {
        let Some(address) = address(directive.value()) else {
            let remedy =
                "listen needs an IP address and a port: write those that this name stands for";
            ledger.not_carried(directive, remedy);
            continue;
        };
        if !ports.is_empty() && !ports.contains(&address.port()) {
            ledger.not_needed(directive, "another virtual host has this port");
        } else if !addresses.contains(&address) {
            ledger.carried(directive, format!("listen.{key}: {address}"));
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        // The file of one site, without `Listen`.
        if ports.is_empty() {
            ports.push(if host.is_tls() { 443 } else { 80 });
        }
        let any = Ipv4Addr::UNSPECIFIED;
        addresses = ports.iter().map(|port| (any, *port).into()).collect();
    }
    keys.set(key, texts(&addresses));
}

/// Writes the proxies whose client addresses are believed: `mod_remoteip`.
pub(super) fn proxies(host: &VirtualHost<'_>, keys: &mut Keys, ledger: &Ledger) {
    let mut networks: Vec<String> = Vec::new();
    let internal = host.every("RemoteIPInternalProxy");
    for directive in internal.chain(host.every("RemoteIPTrustedProxy")) {
        let found: Vec<_> = directive
            .arguments
            .iter()
            .filter_map(|it| network(it))
            .collect();
        if found.len() == directive.arguments.len() {
            ledger.carried(directive, "listen.trusted_proxies");
        } else {
            let remedy = "listen.trusted_proxies supports networks and addresses only";
            ledger.not_carried(directive, remedy);
        }
        networks.extend(found);
    }
    let protocol = host.one("RemoteIPProxyProtocol");
    let protocol = protocol.filter(|it| it.value().eq_ignore_ascii_case("on"));
    trust(networks, protocol, keys, ledger);
    if let Some(directive) = host.one("RemoteIPHeader") {
        if directive.value().eq_ignore_ascii_case("x-forwarded-for") {
            let key = "listen.trusted_proxies: their X-Forwarded-For is read";
            ledger.carried(directive, key);
        } else {
            let remedy = "only X-Forwarded-For is read: configure the proxy in front to set it";
            ledger.not_carried(directive, remedy);
        }
    }
}
