//! What does not speak TLS on the port for it is named in the log for what it is.

use crate::support::{Edit as _, Origin, Pki, Proxy, is_event};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// The line about a client that sends `bytes`.
fn refusal(proxy: &Proxy, bytes: &[u8]) -> String {
    let before = proxy.events("handshake_refused").len();
    let mut client = TcpStream::connect(proxy.address(0)).unwrap();
    client.write_all(bytes).unwrap();
    // An error is the end of the connection, too.
    let _ = client.read_to_end(&mut Vec::new());
    proxy.wait_for_events("handshake_refused", before + 1)
}

#[test]
fn what_does_not_speak_tls_is_named() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02";
    for (bytes, expected) in [
        (
            &b"POST /webhooks/netdata HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            "plain HTTP to the port for TLS: its URL must begin with https://",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "plain HTTP to the port for TLS",
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "a PROXY protocol header, which is not expected from its address: set listen.proxy_protocol = true",
        ),
        (version_2, "a PROXY protocol header"),
    ] {
        let line = refusal(&proxy, bytes);
        assert!(
            line.contains(expected) && line.contains("tls_error"),
            "{expected} in {line}"
        );
    }
    let line = refusal(&proxy, b"SSH-2.0-OpenSSH_9.2\r\n");
    assert!(
        !line.contains("plain HTTP") && !line.contains("PROXY"),
        "{line}"
    );
    origin.received_nothing();
}

/// A load balancer sends the header from an address that is not trusted: what comes behind the
/// header of a trusted one is named as well.
#[test]
fn plain_http_behind_a_proxy_header_is_named() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let trusting = "[listen]\nproxy_protocol = true\ntrusted_proxies = \"127.0.0.1\"\n";
    let config = Proxy::config(&origin, "require", "").edit_first("[listen]\n", trusting);
    let proxy = Proxy::spawn(&pki, &config);
    let line = refusal(
        &proxy,
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n",
    );
    assert!(
        line.contains("plain HTTP") && line.contains("192.0.2.1"),
        "{line}"
    );
    assert!(is_event(&line, "handshake_refused"));
}
