//! The addresses that a request came from, as a list for the upstream.

use crate::http::request_head::RequestHead;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Returns the addresses that a trusted proxy reported, and the one that this request came from.
pub(super) fn forwarded_for(request: &RequestHead, peer: IpAddr, trusted: bool) -> String {
    let mut addresses = String::new();
    let said = request.all("x-forwarded-for").filter(|_| trusted);
    for addresses_so_far in said.filter_map(|value| std::str::from_utf8(value).ok()) {
        let _ = write!(addresses, "{addresses_so_far}, ");
    }
    let _ = write!(addresses, "{}", peer.to_canonical());
    addresses
}

/// Returns the elements that a proxy sent in `Forwarded` (RFC 7239), and the address that the
/// request came from; `None` if there are none, or if they would turn what follows into a part of a
/// quoted string.
pub(super) fn forwarded(request: &RequestHead, peer: IpAddr) -> Option<String> {
    let mut elements = String::new();
    for said in request.all("forwarded") {
        let said = std::str::from_utf8(said)
            .ok()
            .filter(|said| ends_outside_of_quotes(said))?;
        let _ = write!(elements, "{said}, ");
    }
    let own = match peer.to_canonical() {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    (!elements.is_empty()).then_some(elements + &own)
}

fn ends_outside_of_quotes(text: &str) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    !is_quoted
}
