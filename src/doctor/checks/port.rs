//! Somebody accepts connections there.

use crate::doctor::finding::Finding;
use crate::sender::Place;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Also the address that the other checks connect to.
pub(in crate::doctor) async fn check(
    place: &Place,
    addresses: &[SocketAddr],
    patience: Duration,
) -> (Finding, Option<SocketAddr>) {
    // IPv4 first, as Netdata Cloud has nothing else.
    let (mut order, rest): (Vec<SocketAddr>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4());
    order.extend(rest);
    let mut reached: Option<SocketAddr> = None;
    let mut failures = Vec::new();
    for address in order {
        match connect(address, patience).await {
            Ok(()) => reached = reached.or(Some(address)),
            Err(error) if address.is_ipv4() || reached.is_none() => failures.push(format!("{address}: {error}")),
            Err(_) => {}
        }
    }
    let failures = failures.join("; ");
    let finding = match reached {
        Some(address) if failures.is_empty() => Finding::pass("port", format!("{address} accepts connections")),
        Some(address) => Finding::warn(
            "port",
            format!("{address} accepts connections, but not {failures}"),
            "let every address of the name lead to the server",
        ),
        None if addresses.is_empty() => {
            Finding::skip("port", "there is no address to connect to, so the rest is skipped")
        }
        None => Finding::fail("port", format!("nobody accepts connections: {failures}"), remedy(place)),
    };
    (finding, reached)
}

async fn connect(address: SocketAddr, patience: Duration) -> Result<(), String> {
    match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
    }
}

fn remedy(place: &Place) -> &'static str {
    match place.address {
        Some(_) => "start it: netdata-webhook-proxy run, and see its log",
        None => "start the server, and let firewalls and port forwarding pass this port",
    }
}
