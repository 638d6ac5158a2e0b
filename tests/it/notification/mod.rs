//! Notifications are verified whole, and forwarded byte for byte.

mod passed;
mod refused;
mod schema;
mod test_notifications;

use crate::support::{Answer, Operator, Origin, Pki, Proxy, Received, Sender, WEBHOOK};

const FLAT_REACHABILITY: &str = include_str!("../bodies/flat-reachability.json");

const NESTED_CRITICAL: &str = include_str!("../bodies/nested-critical.json");

const TEST: &str = include_str!("../bodies/test-notification.json");

/// Every body that was captured, its kind, its shape and its severity. The Test notification is
/// answered here.
const CAPTURED: [(&str, &str, &str, &str); 7] = [
    (
        include_str!("../bodies/flat-alert.json"),
        "alert",
        "flat",
        "warning",
    ),
    (FLAT_REACHABILITY, "reachability", "flat", "info"),
    (
        include_str!("../bodies/nested-clear.json"),
        "alert",
        "nested",
        "clear",
    ),
    (NESTED_CRITICAL, "alert", "nested", "critical"),
    (
        include_str!("../bodies/nested-reachable.json"),
        "reachability",
        "nested",
        "info",
    ),
    (
        include_str!("../bodies/nested-unreachable.json"),
        "reachability",
        "nested",
        "critical",
    ),
    (TEST, "test", "", ""),
];

fn scene(route: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", route);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

/// The same scene, with an operator that reads the metrics.
fn watched(route: &str) -> (Origin, Proxy, Sender, Operator) {
    let (origin, proxy, sender) = scene(&format!("{route}\n[admin]\nlisten = \"127.0.0.1:0\""));
    let operator = Operator::of(&proxy);
    (origin, proxy, sender, operator)
}

/// `X-Netdata-Severity`, if it is there.
fn severity_of(received: &Received) -> String {
    received.all("X-Netdata-Severity").concat()
}

fn post_bytes(sender: &Sender, body: &[u8]) -> Answer {
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    sender.raw(&[head.as_bytes(), body].concat()).unwrap()
}
