//! What a client without a certificate tries while a validation is pending.

use super::{ALERT, config_without_authority, keep_certificate, pending};
use crate::support::{
    Edit as _, Hello, HelloReply, Origin, PATIENCE, Pki, Proxy, Sender, WEBHOOK, client_config,
    read_reply,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConnection, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// The alert of a server that speaks none of the offered protocols.
const NO_PROTOCOL: u8 = 120;

/// Takes any certificate without reading it.
#[derive(Debug)]
struct Unread;

impl ServerCertVerifier for Unread {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// What a client that validates gets, with what it sends afterwards.
struct Validation {
    certificate: Vec<u8>,
    protocol: Option<Vec<u8>>,
    /// Everything that comes after the handshake.
    answer: Vec<u8>,
    tickets: u32,
}

/// Validates `name` as an authority does, and posts an alert on the same connection.
fn validate(
    address: SocketAddr,
    name: &str,
    version: &'static SupportedProtocolVersion,
) -> Result<Validation, rustls::Error> {
    let mut config = client_config(None, &[version]);
    // Libraries do not understand the extension, which is critical.
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(Unread));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{ALERT}",
        ALERT.len()
    );
    client.writer().write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    loop {
        while client.wants_write() && client.write_tls(&mut socket).is_ok() {}
        match client.read_tls(&mut socket) {
            Ok(1..) => {
                client.process_new_packets()?;
            }
            Ok(0) | Err(_) => break,
        }
        let _ = client.reader().read_to_end(&mut answer);
    }
    Ok(Validation {
        certificate: client
            .peer_certificates()
            .map(|chain| chain[0].to_vec())
            .unwrap_or_default(),
        protocol: client.alpn_protocol().map(<[u8]>::to_vec),
        answer,
        tickets: client.tls13_tickets_received(),
    })
}

#[test]
fn a_validation_is_answered_and_nothing_else_is_served_on_its_connection() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    // Validators may use TLS 1.2, whatever clients must.
    let config = config_without_authority(&origin).edit("[tls]", "[tls]\nmin_version = \"1.3\"");
    let (proxy, address) = pending(&pki, &config);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for name in ["hooks.example", "HOOKS.example", "hooks.example."] {
            let got = validate(address, name, version).unwrap();
            let (_, certificate) = x509_parser::parse_x509_certificate(&got.certificate).unwrap();
            let digest = certificate
                .extensions()
                .iter()
                .find(|it| it.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
                .unwrap();
            assert_eq!(digest.value, [&[4, 32][..], &[7; 32]].concat(), "{name}");
            assert_eq!(got.protocol.as_deref(), Some(&b"acme-tls/1"[..]));
            assert!(
                got.answer.is_empty(),
                "{:?}",
                String::from_utf8_lossy(&got.answer)
            );
            assert_eq!(got.tickets, 0, "a session of it could be resumed");
        }
    }
    proxy.wait_for_events("acme_validation_answered", 6);
    origin.received_nothing();
}

#[test]
fn every_other_hello_meets_the_ordinary_settings() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let (proxy, address) = pending(&pki, &config_without_authority(&origin));
    let acme: &[u8] = b"acme-tls/1";
    let validation = || Hello::validation("hooks.example");
    let name = |name: Option<&str>| Hello {
        server_name: name.map(|name| name.as_bytes().to_vec()),
        ..validation()
    };
    for hello in [
        validation().protocols(&[acme, b"h2"]),
        validation().protocols(&[b"h2", acme]),
        validation().protocols(&[acme, b"http/1.1"]),
        validation().protocols(&[b"http/1.1", acme]),
        validation().protocols(&[acme, acme]),
        validation().protocols(&[b"ACME-TLS/1"]),
        validation().protocols(&[b"acme-tls/1\0"]),
        validation().protocols(&[b"acme-tls/2"]),
        validation().protocols(&[b"h2"]),
        Hello {
            protocols: None,
            ..validation()
        },
        name(Some("other.example")),
        name(Some("a.hooks.example")),
        name(Some("hooks.example.evil.example")),
        name(Some("self-test.invalid")),
        name(Some("127.0.0.1")),
        name(None),
    ] {
        for is_tls12 in [false, true] {
            let hello = Hello {
                is_tls12,
                ..hello.clone()
            };
            let reply = hello.send(address);
            // There is no certificate to go on with.
            assert!(
                matches!(reply, HelloReply::Alert(_)),
                "{hello:?}: {reply:?}"
            );
        }
    }
    assert!(proxy.events("acme_validation_answered").is_empty());
    // The same, with a certificate to go on with: the ordinary settings know no such protocol.
    let ordinary = Proxy::spawn(&pki, &Proxy::config(&origin, "require", ""));
    let hello = Hello {
        is_tls12: true,
        ..validation()
    };
    assert_eq!(
        hello.send(ordinary.address(0)),
        HelloReply::Alert(NO_PROTOCOL)
    );
    origin.received_nothing();
}

#[test]
fn a_hello_is_the_same_however_it_is_cut() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let (_proxy, address) = pending(&pki, &config_without_authority(&origin));
    let padded = Hello {
        padding: 15 * 1024,
        ..Hello::validation("hooks.example")
    };
    assert_eq!(padded.send(address), HelloReply::GoesOn);
    let other = padded.clone().protocols(&[b"acme-tls/1", b"h2"]);
    assert!(matches!(other.send(address), HelloReply::Alert(_)));
    // Longer than any hello that is read for its own sake.
    let longer = Hello {
        padding: 40 * 1024,
        ..padded
    };
    assert_ne!(longer.send(address), HelloReply::GoesOn);
    let hello = Hello::validation("hooks.example");
    for (record, segment) in [(1, 1 << 14), (16 * 1024, 1), (7, 3)] {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for part in hello.records(record).chunks(segment) {
            socket.write_all(part).unwrap();
        }
        assert_eq!(
            read_reply(&mut socket),
            HelloReply::GoesOn,
            "{record} {segment}"
        );
    }
    origin.received_nothing();
}

#[test]
fn a_second_hello_is_tested_like_the_first() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let (_proxy, address) = pending(&pki, &config_without_authority(&origin));
    let second = Hello::validation("hooks.example");
    let first = Hello {
        has_key_share: false,
        ..second.clone()
    };
    assert_eq!(
        first.send_then(address, &second),
        HelloReply::GoesOn,
        "the same again"
    );
    for other in [
        Hello {
            protocols: None,
            ..second.clone()
        },
        second.clone().protocols(&[b"acme-tls/1", b"h2"]),
        second.clone().protocols(&[b"h2"]),
        Hello {
            server_name: Some(b"other.example".to_vec()),
            ..second.clone()
        },
        Hello {
            server_name: None,
            ..second.clone()
        },
    ] {
        let reply = first.send_then(address, &other);
        assert_ne!(reply, HelloReply::GoesOn, "{other:?}");
    }
    origin.received_nothing();
}

#[test]
fn a_second_hello_does_not_lead_to_the_answer_either() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    // One that has a certificate, so that the first hello is answered at all.
    keep_certificate(&pki);
    let (proxy, address) = pending(&pki, &config_without_authority(&origin));
    let second = Hello::validation("hooks.example");
    for first in [
        Hello {
            protocols: None,
            has_key_share: false,
            ..second.clone()
        },
        Hello {
            has_key_share: false,
            ..second.clone()
        }
        .protocols(&[b"h2"]),
    ] {
        // In TLS 1.3, what follows the first record is encrypted: the log says what it is.
        first.send_then(address, &second);
    }
    proxy.wait_for_events("handshake_refused", 2);
    assert!(proxy.events("acme_validation_answered").is_empty());
    origin.received_nothing();
}

#[test]
fn early_data_is_refused() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let (_proxy, address) = pending(&pki, &config_without_authority(&origin));
    let hello = Hello {
        has_early_data: true,
        ..Hello::validation("hooks.example")
    };
    // The handshake goes on without it, or not at all.
    let reply = hello.send(address);
    assert!(
        matches!(reply, HelloReply::GoesOn | HelloReply::Alert(_)),
        "{reply:?}"
    );
    origin.received_nothing();
}

/// Connects so many times, and sends the hello of a validation: half of it, and all of it, so that
/// half of them stall in the hello and half in the handshake of the answer.
fn stalled(address: SocketAddr, number: usize) -> Vec<TcpStream> {
    let whole = Hello::validation("hooks.example").records(16 * 1024);
    let stall = |number: usize| {
        let mut socket = TcpStream::connect(address).unwrap();
        let end = whole.len() / (1 + number % 2);
        socket.write_all(&whole[..end]).unwrap();
        socket
    };
    (0..number).map(stall).collect()
}

fn is_answered(address: SocketAddr) {
    let got = validate(address, "hooks.example", &rustls::version::TLS13).unwrap();
    assert!(!got.certificate.is_empty());
}

#[test]
fn a_thousand_stalled_hellos_harm_no_ordinary_client() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    keep_certificate(&pki);
    // Longer than any client waits for its answer.
    let config = config_without_authority(&origin) + "[limits]\nhandshake_timeout = \"120s\"\n";
    let (proxy, address) = pending(&pki, &config);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    let stalled = stalled(address, 1000);
    for _ in 0..20 {
        assert_eq!(sender.post(ALERT).status, 200);
    }
    drop(stalled);
    is_answered(address);
}

#[test]
fn stalled_hellos_are_given_up_and_leave_room_for_validations() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = config_without_authority(&origin) + "[limits]\nhandshake_timeout = \"3s\"\n";
    let (_proxy, address) = pending(&pki, &config);
    // More than are answered at once.
    for mut socket in stalled(address, 600) {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        let ended = socket.read_to_end(&mut rest);
        let is_late = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        assert!(
            !ended.is_err_and(|error| is_late(&error)),
            "it is still open"
        );
    }
    is_answered(address);
}

#[test]
fn a_validation_comes_through_a_load_balancer() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let config = config_without_authority(&origin).edit(
        "[tls]",
        "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\n[tls]",
    );
    let (proxy, address) = pending(&pki, &config);
    let hello = Hello::validation("hooks.example").records(16 * 1024);
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The header and a part of the hello arrive together.
    socket.write_all(&[header, &hello[..100]].concat()).unwrap();
    socket.write_all(&hello[100..]).unwrap();
    assert_eq!(read_reply(&mut socket), HelloReply::GoesOn);
    drop(socket);
    assert!(proxy.events("connection_refused").is_empty());
    origin.received_nothing();
}

#[test]
fn the_header_of_a_load_balancer_is_demanded_of_it_and_believed_of_no_other() {
    let (pki, origin) = (Pki::new(), Origin::spawn());
    let hello = Hello::validation("hooks.example");
    let trusting = |trusted: &str| {
        let settings = format!("proxy_protocol = true\ntrusted_proxies = [\"{trusted}\"]\n[tls]");
        config_without_authority(&origin).edit("[tls]", &settings)
    };
    let (balanced, address) = pending(&pki, &trusting("127.0.0.1"));
    assert_eq!(hello.send(address), HelloReply::Closed);
    let line = balanced.wait_for_event("connection_refused");
    assert!(line.contains("proxy_protocol"), "{line}");
    drop(balanced);
    let (direct, address) = pending(&pki, &trusting("192.0.2.1"));
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
    let forged = [header, &hello.records(16 * 1024)[..]].concat();
    socket.write_all(&forged).unwrap();
    assert_ne!(read_reply(&mut socket), HelloReply::GoesOn);
    assert!(direct.events("acme_validation_answered").is_empty());
    assert_eq!(hello.send(address), HelloReply::GoesOn);
    origin.received_nothing();
}
