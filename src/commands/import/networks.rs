//! Networks and addresses, as they stand in `[listen]`, and addresses to listen on.

use super::directive::Directive;
use super::report::Ledger;
use super::toml_writer::Keys;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A network or an address; `None` for anything else.
pub(super) fn network(text: &str) -> Option<String> {
    let is_network = text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
    is_network.then(|| text.to_owned())
}

/// `443`, `*:443`, `127.0.0.1:443`, `[::]:443`, `127.0.0.1` or `[::1]`.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let text = text.replace("localhost", "127.0.0.1");
    let text = text
        .strip_prefix('*')
        .map_or(text.clone(), |rest| format!("0.0.0.0{rest}"));
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let plain = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .ok()
        .or_else(|| Some(SocketAddr::new(any, text.parse().ok()?)))
        .or_else(|| Some(SocketAddr::new(plain.parse().ok()?, 80)))
}

/// An address that takes what comes to another one as well is listened on alone; `[::]` takes IPv4,
/// too.
pub(super) fn without_doubles(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut kept: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        let any6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        let any4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        let is_covered = (*address != any6 && addresses.contains(&any6))
            || (address.is_ipv4() && *address != any4 && addresses.contains(&any4));
        if !is_covered && !kept.contains(address) {
            kept.push(*address);
        }
    }
    kept
}

/// As a configuration has them.
pub(super) fn texts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// Writes which proxies are believed. `protocol` is what has them send a PROXY protocol header.
pub(super) fn trust(
    mut proxies: Vec<String>,
    protocol: Option<&Directive>,
    keys: &mut Keys,
    ledger: &Ledger,
) {
    if let Some(directive) = protocol {
        keys.set("proxy_protocol", true);
        ledger.carried(directive, "listen.proxy_protocol");
        if proxies.is_empty() {
            proxies = [
                "10.0.0.0/8",
                "172.16.0.0/12",
                "192.168.0.0/16",
                "127.0.0.0/8",
            ]
            .map(str::to_owned)
            .to_vec();
            let hole = "any client could send a PROXY protocol header; now only private networks: name the balancer's \
                        addresses in listen.trusted_proxies";
            ledger.closed(directive, hole);
        }
    }
    keys.set("trusted_proxies", proxies);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_nginx_has_them() {
        for (text, expected) in [
            ("443", Some("0.0.0.0:443")),
            ("*:443", Some("0.0.0.0:443")),
            ("127.0.0.1:8443", Some("127.0.0.1:8443")),
            ("localhost:8443", Some("127.0.0.1:8443")),
            ("127.0.0.1", Some("127.0.0.1:80")),
            ("[::]:443", Some("[::]:443")),
            ("[::1]", Some("[::1]:80")),
            ("unix:/run/nginx.sock", None),
            ("hooks.example:443", None),
            ("65536", None),
            ("", None),
        ] {
            assert_eq!(
                address(text).map(|it| it.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_address_of_ipv6_is_that_of_ipv4_too() {
        let parse = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<_>>()
        };
        let check = |given: &[&str], kept: &[&str]| {
            assert_eq!(texts(&without_doubles(&parse(given))), kept)
        };
        check(&["0.0.0.0:443", "[::]:443"], &["[::]:443"]);
        check(
            &["[::]:443", "0.0.0.0:443", "0.0.0.0:8443"],
            &["[::]:443", "0.0.0.0:8443"],
        );
        check(
            &["127.0.0.1:443", "[::]:443", "127.0.0.1:443"],
            &["[::]:443"],
        );
        check(
            &["127.0.0.1:443", "0.0.0.0:443", "[::1]:443"],
            &["0.0.0.0:443", "[::1]:443"],
        );
    }
}
