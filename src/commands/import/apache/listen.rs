//! `Listen`, the addresses of virtual hosts, and the proxies in front.

use super::host::VirtualHost;
use crate::commands::import::directive::InEffect;
use crate::commands::import::networks::{self, address, trust};
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::ConfigTable;
use std::net::{Ipv4Addr, SocketAddr};

/// Writes the addresses that a virtual host listens on.
pub(super) fn addresses(host: &VirtualHost<'_>, keys: &mut ConfigTable, ledger: &Ledger) {
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
    networks::listen(&addresses, host.is_tls(), keys);
}

/// Writes the proxies whose client addresses are believed: `mod_remoteip`.
pub(super) fn proxies(host: &VirtualHost<'_>, keys: &mut ConfigTable, ledger: &Ledger) {
    let internal = host.every("RemoteIPInternalProxy");
    let proxies = internal.chain(host.every("RemoteIPTrustedProxy"));
    let networks = proxies.flat_map(|it| it.arguments.iter().map(move |text| (it, text.as_str())));
    let protocol = host.one("RemoteIPProxyProtocol");
    let protocol = protocol.filter(|it| it.keyword() == "on");
    trust(networks, protocol, keys, ledger);
    if let Some(directive) = host.one("RemoteIPHeader") {
        networks::forwarded_header(directive, ledger);
    }
}
