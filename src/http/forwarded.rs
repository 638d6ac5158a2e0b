//! Decides which client address a request comes from, if proxies are in front of this one.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Returns the client's address: that of the connection, or the one that trusted proxies report.
///
/// The addresses in `X-Forwarded-For` are read from the right; each was added by the hop before. As
/// long as a hop is trusted, its entry is believed; the first address that is not trusted is the
/// client's. An entry that is not an address ends the walk.
pub(crate) fn client_address<'h>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'h [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let mut client = peer.to_canonical();
    let headers = forwarded_for.rev();
    let entries = headers.flat_map(|header| header.rsplit(|b| *b == b','));
    for hop in entries.map_while(parse) {
        if !is_trusted(client, trusted) {
            break;
        }
        client = hop.to_canonical();
    }
    client
}

/// Parses an address as proxies write it: with a port (Azure does that) or without, and with
/// brackets if it is IPv6 and has one.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let without_port = || text.parse::<IpAddr>().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    without_port()
        .or_else(with_port)
        .or_else(|| in_brackets(text))
}

fn in_brackets(text: &str) -> Option<IpAddr> {
    let address = text.strip_prefix('[')?.strip_suffix(']')?;
    Some(address.parse::<Ipv6Addr>().ok()?.into())
}

/// Returns `true` if `peer` is in one of the `trusted` networks.
pub(crate) fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|network| network.contains(&peer))
}

/// Returns the address that limits count by: an IPv4 address as it is, or the /64 of an IPv6
/// address, because a client usually controls a whole /64.
pub(crate) fn rate_limit_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, headers: &[&str], expected: &str) {
        let trusted = [
            "10.0.0.0/8".parse().unwrap(),
            "192.0.2.7/32".parse().unwrap(),
        ];
        let headers = headers.iter().map(|header| header.as_bytes());
        let address = client_address(peer.parse().unwrap(), headers, &trusted);
        assert_eq!(address, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("203.0.113.1", &[], "203.0.113.1");
        check("203.0.113.1", &["1.1.1.1"], "203.0.113.1");
        check("10.0.0.1", &["1.1.1.1"], "1.1.1.1");
        check("::ffff:10.0.0.1", &["1.1.1.1"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6, 1.1.1.1"], "1.1.1.1");
        check(
            "10.0.0.1",
            &["6.6.6.6, 1.1.1.1 , 192.0.2.7,10.1.1.1"],
            "1.1.1.1",
        );
        check("10.0.0.1", &["6.6.6.6", "1.1.1.1", "10.2.2.2"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6, unknown, 10.2.2.2"], "10.2.2.2");
        check("10.0.0.1", &["2001:db8::1"], "2001:db8::1");
        check("10.0.0.1", &[""], "10.0.0.1");
    }

    #[test]
    fn addresses_may_have_ports() {
        for (entry, expected) in [
            ("203.0.113.9:51234", "203.0.113.9"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[::ffff:203.0.113.9]:1", "203.0.113.9"),
            ("6.6.6.6:1, 203.0.113.9:51234 , 10.9.9.9:80", "203.0.113.9"),
            // An entry that is not an address ends the walk.
            ("203.0.113.9:", "10.0.0.1"),
            ("203.0.113.9:65536", "10.0.0.1"),
            ("203.0.113.9:x", "10.0.0.1"),
            ("[203.0.113.9]", "10.0.0.1"),
            ("[2001:db8::1", "10.0.0.1"),
            ("2001:db8::1]", "10.0.0.1"),
            ("[2001:db8::1]443", "10.0.0.1"),
            ("\"203.0.113.9\"", "10.0.0.1"),
        ] {
            check("10.0.0.1", &[entry], expected);
        }
    }
}
