//! `[listen]`: the addresses to listen on, and the peers that are trusted there.

use super::parsed;
use crate::config::Listen;
use crate::config::document::TableReader;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

pub(super) fn listen(table: &mut TableReader<'_>) -> Listen {
    let document = table.document;
    let noted = document.count();
    let listen = Listen {
        https: addresses(table, "https"),
        http: addresses(table, "http"),
        http2: table.boolean("http2").unwrap_or(true),
        proxy_protocol: table.boolean("proxy_protocol").unwrap_or(false),
        trusted_proxies: networks(table, "trusted_proxies"),
        allow: networks(table, "allow"),
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
    listen
}

fn addresses(table: &mut TableReader<'_>, key: &'static str) -> Vec<SocketAddr> {
    let texts = table.strings(key).unwrap_or_default();
    let texts = texts.into_iter().filter(|text| !text.value.is_empty());
    texts
        .filter_map(|text| {
            parsed(table, text, |text| {
                text.parse().map_err(
                    |_| "must be an address and a port, such as \"0.0.0.0:8443\" or \"[::]:8443\"",
                )
            })
        })
        .collect()
}

fn networks(table: &mut TableReader<'_>, key: &'static str) -> Vec<IpNet> {
    let texts = table.strings(key).unwrap_or_default();
    let parse = |text: &str| {
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| "must be a network or an address, such as \"10.0.0.0/8\"")
    };
    texts
        .into_iter()
        .filter_map(|text| parsed(table, text, parse))
        .collect()
}
