//! `[listen]`: the addresses to listen on, and the peers that are trusted there.

use super::parsed_each;
use crate::config::Listen;
use crate::config::document::{Located, TableReader};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The addresses to listen on, with their locations.
pub(super) struct Listeners {
    pub(super) https: Vec<Located<SocketAddr>>,
    pub(super) http: Vec<Located<SocketAddr>>,
}

pub(super) fn listen(table: &mut TableReader<'_>) -> (Listen, Listeners) {
    let document = table.document;
    let noted = document.count();
    let listeners = Listeners {
        https: addresses(table, "https"),
        http: addresses(table, "http"),
    };
    let values = |located: &[Located<SocketAddr>]| located.iter().map(|it| it.value).collect();
    let listen = Listen {
        https: values(&listeners.https),
        http: values(&listeners.http),
        http2: table.boolean("http2").unwrap_or(true),
        proxy_protocol: table.boolean("proxy_protocol").unwrap_or(false),
        trusted_proxies: trusted_proxies(table),
        allow: values_of(networks(table, "allow")),
    };
    // What is missing may be what could not be read.
    if document.count() == noted {
        check_complete(table, &listen);
    }
    (listen, listeners)
}

/// Complains of what is missing.
fn check_complete(table: &TableReader<'_>, listen: &Listen) {
    if listen.https.is_empty() && listen.http.is_empty() {
        table.complain("https", "missing; name an address such as \"0.0.0.0:8443\"");
    }
    if listen.proxy_protocol && listen.trusted_proxies.is_empty() {
        let message = "needs trusted_proxies, the addresses whose headers are believed";
        table.complain("proxy_protocol", message);
    }
}

fn addresses(table: &mut TableReader<'_>, key: &'static str) -> Vec<Located<SocketAddr>> {
    let texts = table.strings(key).unwrap_or_default();
    let texts = texts.into_iter().filter(|text| !text.value.is_empty());
    parsed_each(table, texts, parse_address)
}

fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"")
}

/// Reads `trusted_proxies`, and warns of networks that no one operator has.
fn trusted_proxies(table: &mut TableReader<'_>) -> Vec<IpNet> {
    let networks = networks(table, "trusted_proxies");
    let is_open = |network: &&Located<IpNet>| is_of_everybody(&network.value);
    for network in networks.iter().filter(is_open) {
        let message = "is not the network of your balancers: any client in it can claim any address, and so pass limits \
                       and listen.allow; list the balancers' own addresses";
        table.document.warn(&network.location, message);
    }
    values_of(networks)
}

/// Returns `true` for networks larger than any that is private.
fn is_of_everybody(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < 8,
        IpNet::V6(network) => network.prefix_len() < 7,
    }
}

fn values_of<T>(located: Vec<Located<T>>) -> Vec<T> {
    located.into_iter().map(|located| located.value).collect()
}

fn networks(table: &mut TableReader<'_>, key: &'static str) -> Vec<Located<IpNet>> {
    let texts = table.strings(key).unwrap_or_default();
    parsed_each(table, texts, parse_network)
}

fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let network = text.parse::<IpNet>();
    network
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "must be a network or an address, such as \"10.0.0.0/8\"")
}
