//! `[listen]`: the addresses to listen on, and the peers that are trusted there.

use super::parsed;
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
    if listen.https.is_empty() && listen.http.is_empty() && document.count() == noted {
        table.complain("https", "missing; name an address such as \"0.0.0.0:8443\"");
    }
    if listen.proxy_protocol && listen.trusted_proxies.is_empty() && document.count() == noted {
        table.complain(
            "proxy_protocol",
            "needs trusted_proxies, the addresses whose headers are believed",
        );
    }
    (listen, listeners)
}

fn addresses(table: &mut TableReader<'_>, key: &'static str) -> Vec<Located<SocketAddr>> {
    let texts = table.strings(key).unwrap_or_default();
    let texts = texts.into_iter().filter(|text| !text.value.is_empty());
    texts
        .filter_map(|text| {
            let location = text.location.clone();
            let value = parsed(table, text, |text| {
                text.parse().map_err(
                    |_| "must be an address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"",
                )
            })?;
            Some(Located { value, location })
        })
        .collect()
}

/// Reads `trusted_proxies`, and warns of networks that no one operator has.
fn trusted_proxies(table: &mut TableReader<'_>) -> Vec<IpNet> {
    let networks = networks(table, "trusted_proxies");
    for network in networks
        .iter()
        .filter(|network| is_of_everybody(&network.value))
    {
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
    let parse = |text: &str| {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| "must be a network or an address, such as \"10.0.0.0/8\"")
    };
    texts
        .into_iter()
        .filter_map(|text| {
            let location = text.location.clone();
            let value = parsed(table, text, parse)?;
            Some(Located { value, location })
        })
        .collect()
}
