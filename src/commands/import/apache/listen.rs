//! `Listen`, the addresses of virtual hosts, and the proxies in front.

use super::host::VirtualHost;
use crate::commands::import::directive::InEffect;
use crate::commands::import::networks::{self, address, trust};
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::ConfigTable;
use std::net::{Ipv4Addr, SocketAddr};

/// Writes the addresses that a virtual host listens on.
pub(super) fn addresses(host: &VirtualHost<'_>, keys: &mut ConfigTable, ledger: &Ledger) {
    let mut ports = Vec::new();
    if let Some(section) = host.section {
        ledger.carried(section, "[listen]");
        let texts = section
            .arguments
            .iter()
            .filter_map(|it| it.rsplit(':').next());
        ports.extend(texts.filter_map(|it| it.parse::<u16>().ok()));
    }
    let mut addresses = listens(host, &ports, ledger);
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

/// Returns the addresses of `Listen` with one of the ports.
fn listens(host: &VirtualHost<'_>, ports: &[u16], ledger: &Ledger) -> Vec<SocketAddr> {
    let key = if host.is_tls() { "https" } else { "http" };
    let mut addresses = Vec::new();
    for directive in host.every("Listen") {
        match address(directive.value()) {
            Some(address) if ports.is_empty() || ports.contains(&address.port()) => {
                ledger.carried(directive, format!("listen.{key}: {address}"));
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Some(_) => ledger.not_needed(directive, "another virtual host has this port"),
            None => ledger.not_carried(directive, "listen needs an IP address and a port"),
        }
    }
    addresses
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
