//! `Listen`, the addresses of virtual hosts, and the proxies in front.

use super::host::Host;
use crate::commands::import::networks::{address, network, texts, trust};
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::Keys;
use std::net::{Ipv4Addr, SocketAddr};

/// The ports of a virtual host; nothing where it is for all.
fn ports(host: &Host<'_>) -> Vec<u16> {
    let addresses = host.section.iter().flat_map(|section| &section.arguments);
    addresses
        .filter_map(|address| address.rsplit(':').next()?.parse().ok())
        .collect()
}

/// Writes where a host listens; says whether that is somewhere.
pub(super) fn carry(host: &Host<'_>, is_tls: bool, keys: &mut Keys, ledger: &Ledger) {
    let ports = ports(host);
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for directive in host.every("Listen") {
        let Some(address) = address(directive.value()) else {
            ledger.not_carried(
                directive,
                "listen needs an address and a port: write the one that this stands for",
            );
            continue;
        };
        if !ports.is_empty() && !ports.contains(&address.port()) {
            ledger.not_needed(directive, "another virtual host has this port");
        } else if !addresses.contains(&address) {
            ledger.carried(
                directive,
                format!(
                    "listen.{}: {address}",
                    if is_tls { "https" } else { "http" }
                ),
            );
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        // A file of one site; `Listen` stands elsewhere.
        let any = Ipv4Addr::UNSPECIFIED;
        let port = if is_tls { 443 } else { 80 };
        addresses = ports
            .iter()
            .copied()
            .chain(ports.is_empty().then_some(port))
            .map(|port| (any, port).into())
            .collect();
    }
    if let Some(section) = host.section {
        ledger.carried(section, "[listen]");
    }
    keys.set(if is_tls { "https" } else { "http" }, texts(&addresses));
}

/// Writes which proxies are believed about where a request comes from: `mod_remoteip`.
pub(super) fn proxies(host: &Host<'_>, keys: &mut Keys, ledger: &Ledger) {
    let mut networks: Vec<String> = Vec::new();
    let named = host
        .every("RemoteIPInternalProxy")
        .chain(host.every("RemoteIPTrustedProxy"));
    for (directive, text) in named.flat_map(|it| it.arguments.iter().map(move |text| (it, text))) {
        match network(text) {
            Some(network) => {
                networks.push(network);
                ledger.carried(directive, "listen.trusted_proxies");
            }
            None => ledger.not_carried(
                directive,
                "listen.trusted_proxies has networks and addresses only",
            ),
        }
    }
    let protocol = host
        .one("RemoteIPProxyProtocol")
        .filter(|it| it.value().eq_ignore_ascii_case("on"));
    trust(networks, protocol, keys, ledger);
    if let Some(directive) = host.one("RemoteIPHeader") {
        match directive.value().eq_ignore_ascii_case("x-forwarded-for") {
            true => ledger.carried(
                directive,
                "listen.trusted_proxies: their X-Forwarded-For is read",
            ),
            false => ledger.not_carried(
                directive,
                "X-Forwarded-For is read: let the proxy in front set that",
            ),
        }
    }
}
