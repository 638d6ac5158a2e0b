//! Tells what a client speaks that does not speak TLS.

use crate::tls::{Refusal, RefusalCode};

/// The protocol of a client's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// TLS, or none of the others.
    Tls,
    PlainHttp,
    ProxyProtocol,
}

/// How requests begin: the methods of HTTP/1.1, and the preface of HTTP/2.
const REQUESTS: [&str; 10] = [
    "GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI ",
];

/// How headers of the PROXY protocol begin, in both versions.
const HEADERS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

impl Opening {
    /// Number of bytes that are enough to know.
    pub(super) const LENGTH: usize = 16;

    pub(super) fn of(first: &[u8]) -> Self {
        let begins_with = |start: &[u8]| first.starts_with(start);
        if HEADERS.into_iter().any(begins_with) {
            return Self::ProxyProtocol;
        }
        let mut requests = REQUESTS.iter().map(|request| request.as_bytes());
        if requests.any(begins_with) {
            Self::PlainHttp
        } else {
            Self::Tls
        }
    }

    /// Returns the refusal with what the client speaks, if that is the reason of it.
    pub(super) fn explain(self, refusal: Refusal) -> Refusal {
        match self.mistake() {
            Some(reason) if refusal.code == RefusalCode::TlsError => Refusal {
                reason: reason.to_owned(),
                ..refusal
            },
            _ => refusal,
        }
    }

    /// Returns what is wrong with a client that speaks this.
    fn mistake(self) -> Option<&'static str> {
        match self {
            Self::Tls => None,
            Self::PlainHttp => Some(
                "The client sent plain HTTP to the port for TLS: its URL must begin with https://.",
            ),
            Self::ProxyProtocol => Some(
                "The client sent a PROXY protocol header, which is not expected from its address: set \
                 listen.proxy_protocol = true and list the load balancer in listen.trusted_proxies, or turn the header off.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_tls_is_known_by_its_first_bytes() {
        for (first, expected) in [
            (
                &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
                Opening::Tls,
            ),
            (b"", Opening::Tls),
            (b"GETAWAY", Opening::Tls),
            (b"GET / HTTP/1.1\r\n", Opening::PlainHttp),
            (b"POST /webhooks", Opening::PlainHttp),
            (b"PRI * HTTP/2.0\r\n", Opening::PlainHttp),
            (b"PROXY TCP4 192.0", Opening::ProxyProtocol),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
                Opening::ProxyProtocol,
            ),
        ] {
            assert_eq!(Opening::of(first), expected, "{first:?}");
        }
    }
}
