//! Learns from a load balancer that passes TCP through where a connection really comes from.
//!
//! The PROXY protocol's header (versions 1 and 2, haproxy.org/download/3.0/doc/proxy-protocol.txt)
//! comes before TLS.

use ppp::v2::{AddressFamily, Command};
use ppp::{HeaderResult, v1, v2};
use std::io;
use std::net::SocketAddr;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Longer than any header without exotic extensions. A longer one is refused.
const MAX_HEADER: usize = 1024;

/// The longest header of version 1.
const MAX_V1: usize = 107;

/// How one begins that says no more than that there is a sender.
const UNKNOWN: &[u8] = b"PROXY UNKNOWN";

/// How a header of version 2 begins.
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Where a connection really comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From here.
    Client(SocketAddr),
    /// From a client of which the balancer knows no address, or has none that means something here.
    Unknown,
    /// From the balancer itself, which checks whether there is an answer.
    Balancer,
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proxied {
    pub(super) source: Source,
    /// What had been read behind the header.
    pub(super) rest: Vec<u8>,
}

/// Reads a header, which must be there unless nothing at all comes. The caller sets the deadline.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Option<Proxied>> {
    let mut bytes = Vec::with_capacity(MAX_HEADER);
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
            Ok(1..) => {}
            Ok(0) => return Err(invalid()),
            Err(error) => return Err(error),
        }
        if let Some(proxied) = parse(&bytes)? {
            return Ok(Some(proxied));
        }
        if bytes.len() >= MAX_HEADER {
            return Err(invalid());
        }
    }
}

/// `None` as long as `bytes` could still become a header.
fn parse(bytes: &[u8]) -> io::Result<Option<Proxied>> {
    if is_unfinished(bytes) {
        return Ok(None);
    }
    let (source, length) = match unknown(bytes) {
        Some(length) => (Source::Unknown, length),
        None => match HeaderResult::parse(bytes) {
            HeaderResult::V1(Ok(header)) => (source_v1(header.addresses), header.header.len()),
            HeaderResult::V2(Ok(header)) => (source_v2(&header)?, header.len()),
            _ => return Err(invalid()),
        },
    };
    let rest = bytes.get(length..).ok_or_else(invalid)?.to_vec();
    Ok(Some(Proxied { source, rest }))
}

/// The length of a header of version 1 that does not know the sender. Whatever follows in its line
/// is to be ignored, and need not be text (section 2.1).
fn unknown(bytes: &[u8]) -> Option<usize> {
    let rest = bytes
        .strip_prefix(UNKNOWN)
        .filter(|rest| b" \r".contains(rest.first().unwrap_or(&0)))?;
    let end = memchr::memmem::find(rest, b"\r\n")? + 2;
    Some(UNKNOWN.len() + end).filter(|length| *length <= MAX_V1)
}

/// Whether more bytes could make a header of these.
fn is_unfinished(bytes: &[u8]) -> bool {
    let begins = |signature: &[u8]| {
        bytes
            .iter()
            .zip(signature)
            .all(|(byte, expected)| byte == expected)
    };
    if begins(V2_SIGNATURE) {
        return match bytes {
            [
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                _,
                high,
                low,
                rest @ ..,
            ] => rest.len() < usize::from(u16::from_be_bytes([*high, *low])),
            _ => true,
        };
    }
    begins(b"PROXY ") && bytes.len() < MAX_V1 && !bytes.windows(2).any(|window| window == b"\r\n")
}

fn source_v1(addresses: v1::Addresses) -> Source {
    match addresses {
        v1::Addresses::Tcp4(ip) => Source::Client((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Source::Client((ip.source_address, ip.source_port).into()),
        v1::Addresses::Unknown => Source::Unknown,
    }
}

fn source_v2(header: &v2::Header<'_>) -> io::Result<Source> {
    // What a balancer says for itself, or without addresses, is to be ignored as a whole (section
    // 2.2).
    if header.command == Command::Local {
        return Ok(Source::Balancer);
    }
    if header.address_family() == AddressFamily::Unspecified {
        return Ok(Source::Unknown);
    }
    // Where the lengths of what follows do not add up, the addresses may not be where they seem to
    // be.
    if header.tlvs().any(|tlv| tlv.is_err()) {
        return Err(invalid());
    }
    Ok(match &header.addresses {
        v2::Addresses::IPv4(ip) => Source::Client((ip.source_address, ip.source_port).into()),
        v2::Addresses::IPv6(ip) => Source::Client((ip.source_address, ip.source_port).into()),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => Source::Unknown,
    })
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

    fn check(bytes: &[u8], source: Source, rest: &[u8]) {
        assert_eq!(
            parse(bytes).unwrap(),
            Some(Proxied {
                source,
                rest: rest.to_vec()
            }),
            "{bytes:?}"
        );
    }

    fn client(address: &str) -> Source {
        Source::Client(address.parse().unwrap())
    }

    #[test]
    fn both_versions_name_the_sender() {
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
    fn what_follows_for_an_unknown_sender_is_ignored() {
        check(b"PROXY UNKNOWN\r\n", Source::Unknown, b"");
        check(
            b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nabc",
            Source::Unknown,
            b"abc",
        );
        check(
            b"PROXY UNKNOWN   many more words than there are addresses \xff\0\n\r\r\nabc",
            Source::Unknown,
            b"abc",
        );
        check(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", Source::Balancer, b"");
        let mut local = with_more(b"\x04\xff\xff");
        local[12] = 0x20;
        check(&local, Source::Balancer, b"");
        check(b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\x02ab", Source::Unknown, b"");
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
    fn a_line_that_names_no_sender_has_at_most_107_bytes() {
        let line = |length: usize| {
            let start = "PROXY UNKNOWN ";
            format!("{start}{}\r\n", "x".repeat(length - start.len() - 2))
        };
        check(line(107).as_bytes(), Source::Unknown, b"");
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
