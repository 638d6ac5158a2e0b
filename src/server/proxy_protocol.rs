//! Learns from a load balancer that passes TCP through where a connection really comes from.
//!
//! The PROXY protocol's header (versions 1 and 2, haproxy.org/download/3.0/doc/proxy-protocol.txt) comes before TLS.

use ppp::{HeaderResult, v1, v2};
use std::io;
use std::net::SocketAddr;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Longer than any header without exotic extensions. A longer one is refused.
const MAX_HEADER: usize = 1024;

/// The longest header of version 1.
const MAX_V1: usize = 107;

/// How a header of version 2 begins.
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proxied {
    /// The sender; `None` where the balancer speaks for itself, as in a health check.
    pub(super) source: Option<SocketAddr>,
    /// What had been read behind the header.
    pub(super) rest: Vec<u8>,
}

/// Reads a header, which must be there. The caller sets the deadline.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Proxied> {
    let mut bytes = Vec::with_capacity(MAX_HEADER);
    loop {
        if bytes.len() >= MAX_HEADER || stream.read_buf(&mut bytes).await? == 0 {
            return Err(invalid());
        }
        if let Some(proxied) = parse(&bytes)? {
            return Ok(proxied);
        }
    }
}

/// `None` as long as `bytes` could still become a header.
fn parse(bytes: &[u8]) -> io::Result<Option<Proxied>> {
    if is_unfinished(bytes) {
        return Ok(None);
    }
    let (source, length) = match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => (source_v1(header.addresses), header.header.len()),
        HeaderResult::V2(Ok(header)) => (source_v2(&header), header.len()),
        _ => return Err(invalid()),
    };
    let rest = bytes.get(length..).ok_or_else(invalid)?.to_vec();
    Ok(Some(Proxied { source, rest }))
}

/// Whether more bytes could make a header of these.
fn is_unfinished(bytes: &[u8]) -> bool {
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(byte, expected)| byte == expected);
    if begins(V2_SIGNATURE) {
        return match bytes {
            [_, _, _, _, _, _, _, _, _, _, _, _, _, _, high, low, rest @ ..] => {
                rest.len() < usize::from(u16::from_be_bytes([*high, *low]))
            }
            _ => true,
        };
    }
    begins(b"PROXY ") && bytes.len() < MAX_V1 && !bytes.windows(2).any(|window| window == b"\r\n")
}

fn source_v1(addresses: v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

fn source_v2(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, &header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => Some((ip.source_address, ip.source_port).into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => Some((ip.source_address, ip.source_port).into()),
        _ => None,
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "there is no PROXY protocol header")
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x12\x34\x01\xbb";

    fn check(bytes: &[u8], source: Option<&str>, rest: &[u8]) {
        let proxied = parse(bytes).unwrap().unwrap();
        assert_eq!(proxied, Proxied { source: source.map(|s| s.parse().unwrap()), rest: rest.to_vec() });
    }

    #[test]
    fn both_versions_name_the_sender() {
        check(b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\nabc", Some("192.0.2.1:4660"), b"abc");
        check(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Some("[2001:db8::1]:1"), b"");
        check(b"PROXY UNKNOWN\r\n", None, b"");
        check(&[V2, b"abc"].concat(), Some("192.0.2.1:4660"), b"abc");
        check(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", None, b"");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\0\x01", b"PROXY TCP4 a b 1 2\r\n", b"PROXY TCP9\r\n"]
        {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        let mut other_version = V2.to_vec();
        other_version[12] = 0x31;
        assert!(parse(&other_version).is_err());
    }

    #[test]
    fn an_unfinished_header_is_waited_for() {
        for whole in [V2, b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n"] {
            for length in 1..whole.len() {
                assert_eq!(parse(&whole[..length]).unwrap(), None, "{length}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[&V2[..12], &bytes].concat());
            let _ = parse(&[b"PROXY ", &bytes[..]].concat());
        }
    }
}
