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
        if HEADERS.iter().any(|header| first.starts_with(header)) {
            return Self::ProxyProtocol;
        }
        let is_http = REQUESTS
            .iter()
            .any(|request| first.starts_with(request.as_bytes()));
        if is_http { Self::PlainHttp } else { Self::Tls }
    }

    /// Returns the refusal with what the client speaks, if that is the reason of it.
    pub(super) fn explain(self, refusal: Refusal) -> Refusal {
        let reason = match self {
            _ if refusal.code != RefusalCode::TlsError => return refusal,
            Self::Tls => return refusal,
            Self::PlainHttp => {
                "The client sent plain HTTP to the port for TLS: its URL must begin with https://."
            }
            Self::ProxyProtocol => {
                "The client sent a PROXY protocol header, which is not expected from its address: set \
                 listen.proxy_protocol = true and list the load balancer in listen.trusted_proxies, or turn the header off."
            }
        };
        Refusal {
            reason: reason.to_owned(),
            ..refusal
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
