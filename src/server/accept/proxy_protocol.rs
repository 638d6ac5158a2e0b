//! Reads the client address from the PROXY protocol header of a load balancer that passes TCP
//! through.
//!
//! The PROXY protocol's header (versions 1 and 2, haproxy.org/download/3.0/doc/proxy-protocol.txt)
//! comes before TLS.

use ppp::v2::{AddressFamily, Command};
use ppp::{HeaderResult, v1, v2};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Maximum length of a header, in bytes. Only exotic extensions exceed it.
const MAX_HEADER: usize = 1024;

/// Maximum length of a header of version 1, in bytes.
const MAX_V1: usize = 107;

/// The start of a version 1 header that names no client.
const UNKNOWN: &[u8] = b"PROXY UNKNOWN";

/// The first bytes of a version 2 header.
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The origin that a header states for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionSource {
    /// The client at this address.
    Client(SocketAddr),
    /// A client whose address is unknown, or not an IP address.
    Unknown,
    /// The load balancer itself, for a health check.
    Balancer,
}

impl ConnectionSource {
    /// Returns the address of the client, if it is known.
    pub(super) fn client(self) -> Option<SocketAddr> {
        match self {
            Self::Client(address) => Some(address),
            Self::Unknown | Self::Balancer => None,
        }
    }
}

/// A header that was read from a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProxyHeader {
    pub(super) source: ConnectionSource,
    /// Bytes that were read after the header.
    pub(super) rest: Vec<u8>,
}

/// Reads the header, which is mandatory. Returns `None` if the connection ends without any byte.
/// The caller sets the deadline.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Option<ProxyHeader>> {
    let mut bytes = Vec::with_capacity(MAX_HEADER);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
            Ok(1..) => {}
            Ok(0) => return Err(invalid()),
            Err(error) => return Err(error),
        }
        if let Some(header) = parse_within_limit(&bytes)? {
            return Ok(Some(header));
        }
    }
}

/// Parses a header. Returns `None` as long as `bytes` are the beginning of one that is not too long.
fn parse_within_limit(bytes: &[u8]) -> io::Result<Option<ProxyHeader>> {
    match parse(bytes)? {
        None if bytes.len() >= MAX_HEADER => Err(invalid()),
        parsed => Ok(parsed),
    }
}

/// Parses a header. Returns `None` as long as `bytes` are the beginning of one.
fn parse(bytes: &[u8]) -> io::Result<Option<ProxyHeader>> {
    if is_unfinished(bytes) {
        return Ok(None);
    }
    let (source, length) = match unknown(bytes) {
        Some(length) => (ConnectionSource::Unknown, length),
        None => parse_known(bytes)?,
    };
    let rest = bytes.get(length..).ok_or_else(invalid)?.to_vec();
    Ok(Some(ProxyHeader { source, rest }))
}

/// Returns the origin that a header states, and the length of the header.
fn parse_known(bytes: &[u8]) -> io::Result<(ConnectionSource, usize)> {
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => Ok((source_v1(header.addresses), header.header.len())),
        HeaderResult::V2(Ok(header)) => Ok((source_v2(&header)?, header.len())),
        _ => Err(invalid()),
    }
}

/// Returns the length of a version 1 header that names no client. The rest of its line must be
/// ignored, and need not be text (section 2.1).
fn unknown(bytes: &[u8]) -> Option<usize> {
    let rest = bytes
        .strip_prefix(UNKNOWN)
        .filter(|rest| b" \r".contains(rest.first().unwrap_or(&0)))?;
    let end = memchr::memmem::find(rest, b"\r\n")? + 2;
    Some(UNKNOWN.len() + end).filter(|length| *length <= MAX_V1)
}

/// Returns `true` if more bytes could complete a header.
fn is_unfinished(bytes: &[u8]) -> bool {
    // Fewer bytes than the signature begin it, too.
    let begins = |signature: &[u8]| bytes.iter().zip(signature).all(|(byte, it)| byte == it);
    match begins(V2_SIGNATURE) {
        true => is_unfinished_v2(bytes),
        false => begins(b"PROXY ") && is_unfinished_v1(bytes),
    }
}

/// Returns `true` if the line of a version 1 header has no end yet.
fn is_unfinished_v1(bytes: &[u8]) -> bool {
    bytes.len() < MAX_V1 && !bytes.windows(2).any(|window| window == b"\r\n")
}

/// Returns `true` if a version 2 header is shorter than the length behind its signature, its command
/// and its address family says.
fn is_unfinished_v2(bytes: &[u8]) -> bool {
    match bytes.split_first_chunk::<16>() {
        Some((start, rest)) => rest.len() < usize::from(u16::from_be_bytes([start[14], start[15]])),
        None => true,
    }
}

fn source_v1(addresses: v1::Addresses) -> ConnectionSource {
    match addresses {
        v1::Addresses::Tcp4(ip) => client(ip.source_address, ip.source_port),
        v1::Addresses::Tcp6(ip) => client(ip.source_address, ip.source_port),
        v1::Addresses::Unknown => ConnectionSource::Unknown,
    }
}

fn client(address: impl Into<IpAddr>, port: u16) -> ConnectionSource {
    ConnectionSource::Client((address.into(), port).into())
}

fn source_v2(header: &v2::Header<'_>) -> io::Result<ConnectionSource> {
    // A header for the balancer's own connection, or without addresses, must be ignored as a whole
    // (section 2.2).
    if header.command == Command::Local {
        return Ok(ConnectionSource::Balancer);
    }
    if header.address_family() == AddressFamily::Unspecified {
        return Ok(ConnectionSource::Unknown);
    }
    // If the lengths of the extensions do not add up, the addresses may not be where they seem to
    // be.
    match header.tlvs().any(|tlv| tlv.is_err()) {
        true => Err(invalid()),
        false => Ok(client_v2(&header.addresses)),
    }
}

fn client_v2(addresses: &v2::Addresses) -> ConnectionSource {
    match addresses {
        v2::Addresses::IPv4(ip) => client(ip.source_address, ip.source_port),
        v2::Addresses::IPv6(ip) => client(ip.source_address, ip.source_port),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => ConnectionSource::Unknown,
    }
}

fn invalid() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "there is no PROXY protocol header",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x12\x34\x01\xbb";

    fn check(bytes: &[u8], source: ConnectionSource, rest: &[u8]) {
        assert_eq!(
            parse(bytes).unwrap(),
            Some(ProxyHeader {
                source,
                rest: rest.to_vec()
            }),
            "{bytes:?}"
        );
    }

    fn client(address: &str) -> ConnectionSource {
        ConnectionSource::Client(address.parse().unwrap())
    }

    #[test]
    fn both_versions_name_the_client() {
        check(
            b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\nabc",
            client("192.0.2.1:4660"),
            b"abc",
        );
        check(
            b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
            client("[2001:db8::1]:1"),
            b"",
        );
        check(&[V2, b"abc"].concat(), client("192.0.2.1:4660"), b"abc");
        let tlvs = with_more(b"\x04\0\0\x05\0\x02ab");
        check(
            &[&tlvs[..], b"abc"].concat(),
            client("192.0.2.1:4660"),
            b"abc",
        );
    }

    #[test]
    fn what_follows_for_an_unknown_client_is_ignored() {
        check(b"PROXY UNKNOWN\r\n", ConnectionSource::Unknown, b"");
        check(
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nabc",
            ConnectionSource::Unknown,
            b"abc",
        );
        check(
            b"PROXY UNKNOWN   many more words than there are addresses \xff\0\n\r\r\nabc",
            ConnectionSource::Unknown,
            b"abc",
        );
        check(
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
            ConnectionSource::Balancer,
            b"",
        );
        let mut local = with_more(b"\x04\xff\xff");
        local[12] = 0x20;
        check(&local, ConnectionSource::Balancer, b"");
        check(
            b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\x02ab",
            ConnectionSource::Unknown,
            b"",
        );
    }

    /// A header of version 2 with `more` behind its addresses.
    fn with_more(more: &[u8]) -> Vec<u8> {
        let mut header = [V2, more].concat();
        header[15] += more.len() as u8;
        header
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\x02\0\x01",
            b"PROXY TCP4 a b 1 2\r\n",
            b"PROXY TCP9\r\n",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for bytes in [long.as_bytes(), b"PROXY UNKNOWNX\r\n"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        for tlvs in [
            &b"\x04"[..],
            b"\x04\0",
            b"\x04\0\x01",
            b"\x04\0\0\x05\xff\xffab",
        ] {
            assert!(parse(&with_more(tlvs)).is_err(), "{tlvs:?}");
        }
        let mut other_version = V2.to_vec();
        other_version[12] = 0x31;
        assert!(parse(&other_version).is_err());
    }

    #[test]
    fn an_unfinished_header_is_waited_for() {
        for whole in [
            V2,
            b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n",
            b"PROXY UNKNOWN a b c d e f g h\r\n",
        ] {
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

    #[test]
    fn a_line_that_names_no_client_has_at_most_107_bytes() {
        let line = |length: usize| {
            let start = "PROXY UNKNOWN ";
            format!("{start}{}\r\n", "x".repeat(length - start.len() - 2))
        };
        check(line(107).as_bytes(), ConnectionSource::Unknown, b"");
        assert!(parse(line(108).as_bytes()).is_err());
        assert!(parse(&line(200).as_bytes()[..107]).is_err());
        assert_eq!(parse(&line(200).as_bytes()[..106]).unwrap(), None);
    }

    /// Each byte by which version 2 is recognised.
    #[test]
    fn each_byte_of_the_signature_counts() {
        for at in 0..V2_SIGNATURE.len() {
            let mut other = V2.to_vec();
            other[at] ^= 0x20;
            assert!(parse(&other).is_err(), "{at}");
        }
    }
}
