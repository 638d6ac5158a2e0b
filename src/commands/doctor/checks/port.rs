//! Somebody accepts connections there.

use crate::commands::client::WebhookTarget;
use crate::commands::doctor::finding::Finding;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const CHECK: &str = "port";

/// Also the address that the other checks connect to.
pub(in crate::commands::doctor) async fn check(
    place: &WebhookTarget,
    addresses: &[SocketAddr],
    patience: Duration,
) -> (Finding, Option<SocketAddr>) {
    // IPv4 first, as Netdata Cloud has nothing else.
    let (mut order, rest): (Vec<SocketAddr>, Vec<_>) =
        addresses.iter().partition(|address| address.is_ipv4());
    order.extend(rest);
    let mut reached: Option<SocketAddr> = None;
    let mut failures = Vec::new();
    for address in order {
        match connect(address, patience).await {
            Ok(()) => reached = reached.or(Some(address)),
            Err(error) if address.is_ipv4() || reached.is_none() => {
                failures.push(format!("{address}: {error}"))
            }
            Err(_) => {}
        }
    }
    (
        judge(place, addresses, reached, &failures.join("; ")),
        reached,
    )
}

fn judge(
    place: &WebhookTarget,
    addresses: &[SocketAddr],
    reached: Option<SocketAddr>,
    failures: &str,
) -> Finding {
    match reached {
        Some(address) if failures.is_empty() => {
            Finding::pass(CHECK, format!("{address} accepts connections"))
        }
        Some(address) if address.is_ipv6() && addresses.iter().any(SocketAddr::is_ipv4) => {
            Finding::fail(
                CHECK,
                format!(
                    "{address} accepts connections, but not {failures}: Netdata Cloud has no IPv6"
                ),
                remedy(place),
            )
        }
        Some(address) => Finding::warn(
            CHECK,
            format!("{address} accepts connections, but not {failures}"),
            "let every address of the name lead to the server",
        ),
        None if addresses.is_empty() => Finding::skip(
            CHECK,
            "there is no address to connect to, so the rest is skipped",
        ),
        None => Finding::fail(
            CHECK,
            format!("nobody accepts connections: {failures}"),
            remedy(place),
        ),
    }
}

async fn connect(address: SocketAddr, patience: Duration) -> Result<(), String> {
    match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
    }
}

fn remedy(place: &WebhookTarget) -> &'static str {
    match place.address {
        Some(_) => "start it: netdata-webhook-proxy run, and see its log",
        None => "start the server, and let firewalls and port forwarding pass this port",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;

    #[test]
    fn netdata_cloud_needs_an_ipv4_address_that_accepts_connections() {
        let place = WebhookTarget::parse("https://a.example/").unwrap();
        let address = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 443);
        let (four, other, six) = (
            address("192.0.2.1"),
            address("192.0.2.2"),
            address("2001:db8::1"),
        );
        for (addresses, reached, failures, level) in [
            (&[six, four][..], Some(four), "", FindingLevel::Pass),
            (
                &[four, other],
                Some(four),
                "192.0.2.2: no",
                FindingLevel::Warn,
            ),
            (&[six, four], Some(six), "192.0.2.1: no", FindingLevel::Fail),
            (&[six], Some(six), "", FindingLevel::Pass),
            (&[four], None, "192.0.2.1: no", FindingLevel::Fail),
            (&[], None, "", FindingLevel::Skip),
        ] {
            let finding = judge(&place, addresses, reached, failures);
            assert_eq!(finding.level, level, "{finding:?}");
        }
    }
}
