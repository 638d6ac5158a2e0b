//! One line for each request and each refused handshake, and what it holds.

use super::ALERT;
use crate::support::{Http2, Origin, Pki, Proxy, Sender, WEBHOOK, is_event};
use rcgen::DnType;
use rustls::SupportedProtocolVersion;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// What was logged after the line that says that the start is over.
fn since_ready(proxy: &Proxy) -> Vec<String> {
    let log = proxy.log();
    let ready = log.iter().position(|line| is_event(line, "ready")).unwrap();
    log[ready + 1..].to_vec()
}

#[test]
fn a_refused_handshake_is_one_line() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let mut refused = 0;
    for version in VERSIONS {
        for leaf in [None, Some(&pki.impostor()), Some(&pki.self_signed())] {
            assert!(
                Sender::with_versions(&proxy, leaf, &[version])
                    .send("POST", WEBHOOK, "", ALERT)
                    .is_err()
            );
            refused += 1;
            proxy.wait_for_events("handshake_refused", refused);
        }
    }
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03",
    ] {
        let mut socket = TcpStream::connect(proxy.address(0)).unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        // An answer or a reset: either way it is over.
        let _ = socket.read_to_end(&mut Vec::new());
        refused += 1;
        proxy.wait_for_events("handshake_refused", refused);
    }
    // An impostor may call itself what it likes.
    let impostor = Pki::new().leaf(|params| params.distinguished_name = forged_name());
    assert!(
        Sender::to(&proxy, Some(&impostor))
            .send("POST", WEBHOOK, "", ALERT)
            .is_err()
    );
    refused += 1;
    let line = proxy.wait_for_events("handshake_refused", refused);
    assert!(
        line.contains("forged") && !line.contains('\u{1b}'),
        "{line}"
    );
    let lines = since_ready(&proxy);
    assert_eq!(lines.len(), refused, "{lines:#?}");
    assert!(
        lines.iter().all(|line| line.contains(
            " WARN TLS handshake refused event=\"handshake_refused\" remote_addr=127.0.0.1 code="
        )),
        "{lines:#?}"
    );
    origin.received_nothing();
}

fn forged_name() -> rcgen::DistinguishedName {
    crate::support::subject(&[(
        DnType::CommonName,
        "x\n2026-01-01 INFO request forged\u{1b}[31m".into(),
    )])
}

#[test]
fn a_request_has_one_line_whatever_is_in_it() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, &pki, "require", "");
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let mut answered = 0;
    for (method, target, headers, body) in [
        ("POST", WEBHOOK, "", ALERT),
        ("POST", WEBHOOK, "", "not JSON"),
        ("GET", "/webhooks/netdata?crc_token=my-crc-token", "", ""),
        ("GET", "/other%0aINFO%20forged?\u{9b}31m", "", ""),
        ("PUT", WEBHOOK, "X-Request-Id: a\tb\r\n", ""),
        ("POST", WEBHOOK, "Transfer-Encoding: chunked\r\n", ALERT),
        ("CONNECT", "/", "", ""),
    ] {
        assert!(
            sender.send(method, target, headers, body).unwrap().status >= 200,
            "{method} {target}"
        );
        answered += 1;
        proxy.wait_for_events("request", answered);
    }
    let mut http2 = Http2::connect(&sender).unwrap();
    assert_eq!(http2.post(ALERT).unwrap().status, 200);
    answered += 1;
    proxy.wait_for_events("request", answered);
    let lines = since_ready(&proxy);
    assert_eq!(lines.len(), answered, "{lines:#?}");
    assert!(
        lines.iter().all(|line| line.contains("request_id=\"")),
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("my-crc-token")),
        "{lines:#?}"
    );
}

#[test]
fn the_self_test_has_no_lines() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    for verify in ["require", "request"] {
        let proxy = Proxy::spawn(&pki, &Proxy::config(&origin, verify, ""));
        let log = proxy.log();
        assert!(
            !log.iter()
                .any(|line| line.contains("self-test") || line.contains("outcome=")),
            "{log:#?}"
        );
        // Nor does it keep others from having theirs.
        let sender = Sender::to(&proxy, Some(&pki.netdata()));
        assert_eq!(sender.post(ALERT).status, 200);
        proxy.wait_for_log("outcome=\"forwarded\"");
    }
}

#[test]
fn a_line_has_the_length_of_the_answer_to_what_could_not_be_read_as_well() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let limits = "[limits]\nheader_timeout = \"1s\"\nmax_header_size = \"1KiB\"\n";
    let proxy = Proxy::spawn(&pki, &(Proxy::config(&origin, "require", "") + limits));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    for (request, code) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_found"),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", "malformed_request"),
        (&*"x".repeat(2000), "header_too_large"),
        ("GET / HTTP/1.1\r\nHo", "timeout"),
    ] {
        let answer = sender.raw(request.as_bytes()).unwrap();
        let line = proxy.wait_for_log(&format!("code=\"{code}\""));
        assert!(
            line.contains(&format!(" bytes_sent={} ", answer.body.len()))
                && !answer.body.is_empty(),
            "{line}"
        );
    }
}

#[test]
fn at_level_info_a_request_has_its_line_alone() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let proxy = Proxy::spawn(&pki, &Proxy::config(&origin, "require", ""));
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    proxy.wait_for_log("outcome=\"forwarded\"");
    let lines = since_ready(&proxy);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        is_event(&lines[0], "request") && !lines[0].contains("connection{"),
        "{lines:#?}"
    );
}
