//! The name leads to an IPv4 address: Netdata Cloud sends from IPv4 addresses only.

use crate::commands::client::WebhookTarget;
use crate::commands::doctor::finding::Finding;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub(in crate::commands::doctor) fn check(
    place: &WebhookTarget,
    addresses: &Result<Vec<SocketAddr>, String>,
) -> Finding {
    let host = &place.host;
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(error) => {
            return Finding::fail(
                "name",
                format!("{host} does not resolve: {error}"),
                "add an A record for it",
            );
        }
    };
    let mut ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    ips.dedup();
    let shown = ips
        .iter()
        .map(IpAddr::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let is = if ips.iter().any(|ip| ip.to_string() == *host) {
        "is an address".into()
    } else {
        format!("is {shown}")
    };
    let v4: Vec<Ipv4Addr> = ips
        .iter()
        .filter_map(|ip| {
            if let IpAddr::V4(ip) = ip {
                Some(*ip)
            } else {
                None
            }
        })
        .collect();
    if v4.is_empty() {
        let text = format!("{host} {is}: there is no IPv4 address, and Netdata Cloud has no IPv6");
        let remedy = match host.parse::<IpAddr>() {
            Ok(_) => "use an IPv4 address, or a name that leads to one, in the URL",
            Err(_) => "add an A record",
        };
        return Finding::fail("name", text, remedy);
    }
    match v4.iter().find(|ip| !is_public(**ip)) {
        Some(ip) => Finding::warn(
            "name",
            format!(
                "{host} {is}, as seen from here: Netdata Cloud cannot reach {ip}, which is not public"
            ),
            "run it from outside, too; if it is the same there, let the A record name a public address",
        ),
        None => Finding::pass("name", format!("{host} {is}")),
    }
}

/// Whether it is an address of the internet, by IANA's registry of special ones.
fn is_public(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol = (a, b, c) == (192, 0, 0);
    let is_for_benchmarks = a == 198 && (b == 18 || b == 19);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || is_shared
        || is_protocol
        || is_for_benchmarks
        || a == 0
        // Multicast, reserved, broadcast.
        || a >= 224)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;

    #[test]
    fn netdata_cloud_has_to_find_a_public_ipv4_address() {
        let check = |url: &str, addresses: &[&str], level| {
            let place = WebhookTarget::parse(url).unwrap();
            let addresses = addresses
                .iter()
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), 443))
                .collect();
            let finding = super::check(&place, &Ok(addresses));
            assert_eq!(finding.level, level, "{finding:?}");
        };
        check("https://a.example/", &["9.9.9.9"], FindingLevel::Pass);
        check(
            "https://a.example/",
            &["2001:db8::1", "9.9.9.9"],
            FindingLevel::Pass,
        );
        check("https://a.example/", &["2001:db8::1"], FindingLevel::Fail);
        check("https://a.example/", &[], FindingLevel::Fail);
        for special in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            check(
                "https://a.example/",
                &["9.9.9.9", special],
                FindingLevel::Warn,
            );
        }
        for public in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.1",
        ] {
            check("https://a.example/", &[public], FindingLevel::Pass);
        }
        check(
            "https://[2001:db8::1]/",
            &["2001:db8::1"],
            FindingLevel::Fail,
        );
        let place = WebhookTarget::parse("https://[2001:db8::1]/").unwrap();
        let literal = super::check(&place, &Ok(vec!["[2001:db8::1]:443".parse().unwrap()]));
        assert!(
            literal
                .remedy
                .is_some_and(|remedy| remedy.contains("IPv4 address, or a name"))
        );
        let nowhere = super::check(
            &WebhookTarget::parse("https://a.example/").unwrap(),
            &Err("no such name".into()),
        );
        assert_eq!(nowhere.level, FindingLevel::Fail);
    }
}
