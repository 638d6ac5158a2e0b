//! Checks whether a request is meant for this listener.
//!
//! A page in the operator's browser may point a name of its own at 127.0.0.1 and then read all
//! responses (DNS rebinding). Such requests carry that name.

use http::header;
use http::uri::Authority;
use pingora::http::RequestHeader;
use std::net::IpAddr;

/// The names of the listener that requests may have.
pub(super) enum AcceptedHosts {
    /// The listener has a loopback address: any loopback address and `localhost` are accepted.
    Local,
    /// The listener is on a network, where its names are unknown: all are accepted.
    Any,
}

impl AcceptedHosts {
    pub(super) fn of(listen: IpAddr) -> Self {
        if listen.to_canonical().is_loopback() {
            Self::Local
        } else {
            Self::Any
        }
    }

    pub(super) fn accept(&self, request: &RequestHeader) -> bool {
        match self {
            Self::Any => true,
            // A target that is a whole URL has a host of its own. No browser sends one, but to a
            // proxy.
            Self::Local => {
                host(request).is_some_and(is_local) && request.raw_path().starts_with(b"/")
            }
        }
    }
}

fn host(request: &RequestHeader) -> Option<&str> {
    request.headers.get(header::HOST)?.to_str().ok()
}

fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    !authority.as_str().contains('@') && is_local_name(authority.host())
}

/// Returns `true` for `localhost` and for loopback addresses.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(listen: &str, target: &str, host: Option<&str>) -> bool {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        if let Some(host) = host {
            request.insert_header("Host", host).unwrap();
        }
        AcceptedHosts::of(listen.parse().unwrap()).accept(&request)
    }

    #[test]
    fn on_a_loopback_address_only_local_names_are_accepted() {
        for host in [
            "localhost",
            "localhost:9464",
            "LocalHost",
            "127.0.0.1:9464",
            "127.1.2.3",
            "[::1]:9464",
            "[::1]",
        ] {
            assert!(accepts("127.0.0.1", "/", Some(host)), "{host}");
            assert!(accepts("::1", "/", Some(host)), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9464",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "0.0.0.0",
            "localhost@evil.example",
            "evil@localhost",
            "",
            "a b",
        ] {
            assert!(!accepts("127.0.0.1", "/", Some(host)), "{host}");
        }
        assert!(!accepts("127.0.0.1", "/", None));
        assert!(!accepts(
            "127.0.0.1",
            "http://evil.example/",
            Some("localhost")
        ));
    }

    #[test]
    fn on_a_network_every_name_is_accepted() {
        assert!(accepts("0.0.0.0", "/", Some("proxy.internal:9464")));
        assert!(accepts("192.0.2.1", "/", None));
    }
}
