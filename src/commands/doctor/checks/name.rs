//! Check: the name has an IPv4 address, because Netdata Cloud sends from IPv4 addresses only.

use crate::commands::client::WebhookTarget;
use crate::commands::doctor::finding::{Check, CheckFinding};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const CHECK: Check = Check("name");

pub(crate) fn check(
    target: &WebhookTarget,
    addresses: &Result<Vec<SocketAddr>, String>,
) -> CheckFinding {
    let host = &target.host;
    match addresses {
        Ok(addresses) => judge(host, addresses),
        Err(error) => CHECK.fail(
            format!("{host} does not resolve: {error}"),
            "add an A record for the name",
        ),
    }
}

fn judge(host: &str, addresses: &[SocketAddr]) -> CheckFinding {
    let mut ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    ips.dedup();
    let is = describe(host, &ips);
    let v4: Vec<_> = ips.iter().filter_map(v4).collect();
    if v4.is_empty() {
        return no_ipv4(host, &is);
    }
    match v4.iter().find(|ip| !is_public(**ip)) {
        Some(ip) => CHECK.warn(
            format!(
                "{host} {is}, as seen from here: Netdata Cloud cannot reach {ip}, which is not public"
            ),
            "run the doctor from outside, too; if the result is the same, set the A record to a public address",
        ),
        None => CHECK.pass(format!("{host} {is}")),
    }
}

/// Returns the predicate that says what `host` stands for.
fn describe(host: &str, ips: &[IpAddr]) -> String {
    let shown: Vec<_> = ips.iter().map(IpAddr::to_string).collect();
    match shown.iter().any(|ip| ip == host) {
        true => "is an address".into(),
        false => format!("is {}", shown.join(", ")),
    }
}

fn v4(ip: &IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    }
}

fn no_ipv4(host: &str, is: &str) -> CheckFinding {
    let text = format!("{host} {is}: there is no IPv4 address, and Netdata Cloud has no IPv6");
    let remedy = match host.parse::<IpAddr>() {
        Ok(_) => "use an IPv4 address, or a name with one, in the URL",
        Err(_) => "add an A record",
    };
    CHECK.fail(text, remedy)
}

/// Returns `true` for public addresses, according to IANA's registry of special-purpose addresses.
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
        // Multicast addresses, reserved ones, and broadcast.
        || a >= 224)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;

    #[test]
    fn netdata_cloud_has_to_find_a_public_ipv4_address() {
        let check = |url: &str, addresses: &[&str], level| {
            let target = WebhookTarget::parse(url).unwrap();
            let addresses = addresses
                .iter()
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), 443))
                .collect();
            let finding = super::check(&target, &Ok(addresses));
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
        let target = WebhookTarget::parse("https://[2001:db8::1]/").unwrap();
        let literal = super::check(&target, &Ok(vec!["[2001:db8::1]:443".parse().unwrap()]));
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
