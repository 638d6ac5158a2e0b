//! Check: the port accepts connections.

use crate::commands::client::WebhookTarget;
use crate::commands::doctor::finding::CheckFinding;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const CHECK: &str = "port";

/// Connects to the addresses in turn. Also returns the address for the other checks.
pub(in crate::commands::doctor) async fn check(
    target: &WebhookTarget,
    addresses: &[SocketAddr],
    step_timeout: Duration,
) -> (CheckFinding, Option<SocketAddr>) {
    // IPv4 first: Netdata Cloud has no IPv6.
    let (mut order, rest): (Vec<SocketAddr>, Vec<_>) =
        addresses.iter().partition(|address| address.is_ipv4());
    order.extend(rest);
    let mut reached: Option<SocketAddr> = None;
    let mut failures = Vec::new();
    for address in order {
        match connect(address, step_timeout).await {
            Ok(()) => reached = reached.or(Some(address)),
            Err(error) if address.is_ipv4() || reached.is_none() => {
                failures.push(format!("{address}: {error}"))
            }
            Err(_) => {}
        }
    }
    (
        judge(target, addresses, reached, &failures.join("; ")),
        reached,
    )
}

fn judge(
    target: &WebhookTarget,
    addresses: &[SocketAddr],
    reached: Option<SocketAddr>,
    failures: &str,
) -> CheckFinding {
    match reached {
        Some(address) if failures.is_empty() => {
            CheckFinding::pass(CHECK, format!("{address} accepts connections"))
        }
        Some(address) if address.is_ipv6() && addresses.iter().any(SocketAddr::is_ipv4) => {
            CheckFinding::fail(
                CHECK,
                format!(
                    "{address} accepts connections, but not {failures}: Netdata Cloud has no IPv6"
                ),
                remedy(target),
            )
        }
        Some(address) => CheckFinding::warn(
            CHECK,
            format!("{address} accepts connections, but not {failures}"),
            "make every address of the name that of the server",
        ),
        None if addresses.is_empty() => CheckFinding::skip(
            CHECK,
            "there is no address to connect to, so the other checks are skipped",
        ),
        None => CheckFinding::fail(
            CHECK,
            format!("no address accepts connections: {failures}"),
            remedy(target),
        ),
    }
}

async fn connect(address: SocketAddr, step_timeout: Duration) -> Result<(), String> {
    match timeout(step_timeout, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no response within {} s", step_timeout.as_secs())),
    }
}

fn remedy(target: &WebhookTarget) -> &'static str {
    match target.address {
        Some(_) => "start the proxy (netdata-webhook-proxy run), and see its log",
        None => "start the server, and open this port in firewalls and port forwarding",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::FindingLevel;

    #[test]
    fn netdata_cloud_needs_an_ipv4_address_that_accepts_connections() {
        let target = WebhookTarget::parse("https://a.example/").unwrap();
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
            let finding = judge(&target, addresses, reached, failures);
            assert_eq!(finding.level, level, "{finding:?}");
        }
    }
}
