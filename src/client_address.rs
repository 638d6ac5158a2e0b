//! Decides whose address a request comes from, where proxies stand before this one.

use ipnet::IpNet;
use std::net::IpAddr;

/// The sender's address: the connection's own, or what the trusted proxies say.
///
/// The addresses in `X-Forwarded-For` are read from the right, each added by the hop before. As long as a hop is
/// trusted, what it says is believed; the first that is not trusted is the sender. What cannot be read ends the walk.
pub fn client_address<'h>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'h [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    let mut sender = peer;
    let entries = forwarded_for.rev().flat_map(|header| header.rsplit(|b| *b == b','));
    for entry in entries {
        if !is_trusted(&sender) {
            break;
        }
        match std::str::from_utf8(entry).ok().and_then(|text| text.trim().parse::<IpAddr>().ok()) {
            Some(address) => sender = address.to_canonical(),
            None => break,
        }
    }
    sender
}

/// Whether what this peer says about the request is believed.
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|network| network.contains(&peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, headers: &[&str], expected: &str) {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "192.0.2.7/32".parse().unwrap()];
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
        check("10.0.0.1", &["6.6.6.6, 1.1.1.1 , 192.0.2.7,10.1.1.1"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6", "1.1.1.1", "10.2.2.2"], "1.1.1.1");
        check("10.0.0.1", &["6.6.6.6, unknown, 10.2.2.2"], "10.2.2.2");
        check("10.0.0.1", &["2001:db8::1"], "2001:db8::1");
        check("10.0.0.1", &[""], "10.0.0.1");
    }
}
