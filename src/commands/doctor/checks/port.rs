//! Check: the port accepts connections.

use crate::commands::client::WebhookTarget;
use crate::commands::doctor::finding::{Check, CheckFinding};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const CHECK: Check = Check("port");

/// Connects to the addresses in turn. Also returns the address for the other checks.
pub(crate) async fn check(
    target: &WebhookTarget,
    addresses: &[SocketAddr],
    step_timeout: Duration,
) -> (CheckFinding, Option<SocketAddr>) {
    let (reached, failures) = try_all(addresses, step_timeout).await;
    (judge(target, addresses, reached, &failures), reached)
}

/// Returns the first address that accepts connections, and the failures of others.
async fn try_all(addresses: &[SocketAddr], step_timeout: Duration) -> (Option<SocketAddr>, String) {
    let mut reached: Option<SocketAddr> = None;
    let mut failures = Vec::new();
    for address in in_order(addresses) {
        match connect(address, step_timeout).await {
            Ok(()) => reached = reached.or(Some(address)),
            Err(error) if address.is_ipv4() || reached.is_none() => {
                failures.push(format!("{address}: {error}"))
            }
            Err(_) => {}
        }
    }
    (reached, failures.join("; "))
}

/// Puts IPv4 first: Netdata Cloud has no IPv6.
fn in_order(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut addresses = addresses.to_vec();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses
}

fn judge(
    target: &WebhookTarget,
    addresses: &[SocketAddr],
    reached: Option<SocketAddr>,
    failures: &str,
) -> CheckFinding {
    match reached {
        Some(address) if failures.is_empty() => {
            CHECK.pass(format!("{address} accepts connections"))
        }
        Some(address) => partly_reached(target, addresses, address, failures),
        None if addresses.is_empty() => {
            CHECK.skip("there is no address to connect to, so the other checks are skipped")
        }
        None => CHECK.fail(
            format!("no address accepts connections: {failures}"),
            remedy(target),
        ),
    }
}

fn partly_reached(
    target: &WebhookTarget,
    addresses: &[SocketAddr],
    reached: SocketAddr,
    failures: &str,
) -> CheckFinding {
    let text = format!("{reached} accepts connections, but not {failures}");
    if reached.is_ipv6() && addresses.iter().any(SocketAddr::is_ipv4) {
        let text = format!("{text}: Netdata Cloud has no IPv6");
        return CHECK.fail(text, remedy(target));
    }
    CHECK.warn(text, "make every address of the name that of the server")
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
