//! What a handshake asks of a client: versions, protocols, authorities, and whether a certificate
//! at all.

use super::{ALERT, Scene};
use crate::support::{Edit as _, Http2, Origin, Pki, Proxy, Sender, WEBHOOK, eventually};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

#[test]
fn no_server_name_and_no_host_changes_the_verdict() {
    let scene = Scene::new();
    for enable_sni in [true, false] {
        for host in [
            "localhost",
            "LOCALHOST.",
            "127.0.0.1",
            "other.example",
            "[::1]:1",
        ] {
            let mut sender = Sender::to(&scene.request, Some(&Pki::shared().named("evil")));
            Arc::get_mut(&mut sender.config).unwrap().enable_sni = enable_sni;
            let request =
                format!("POST {WEBHOOK} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}");
            sender
                .raw(request.as_bytes())
                .unwrap()
                .refuses(403, "common_name_mismatch");
        }
    }
    scene.origin.received_nothing();
}

#[test]
fn nobody_is_asked_where_verification_is_off() {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "off", "auth = \"none\"");
    assert_eq!(Sender::to(&proxy, None).post(ALERT).status, 200);
    assert_eq!(origin.received_one().header("X-Netdata-Verified"), "");
    assert_eq!(asked(&proxy), None);
}

#[test]
fn exactly_the_configured_authorities_are_named() {
    let scene = Scene::new();
    let (_, authority) = x509_parser::parse_x509_certificate(Pki::shared().authority()).unwrap();
    let subject = authority.subject().as_raw().to_vec();
    for proxy in [&scene.require, &scene.request] {
        assert_eq!(asked(proxy), Some(vec![subject.clone()]));
    }
}

#[test]
fn netdatas_own_authority_is_built_in() {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "").edit("ca = \"ca.pem\"\n", "");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let names = asked(&proxy).unwrap();
    assert_eq!(names.len(), 1);
    assert!(String::from_utf8_lossy(&names[0]).contains("Netdata Root CA"));
    assert!(
        Scene::post(
            &proxy,
            Some(&Pki::shared().netdata()),
            &rustls::version::TLS13
        )
        .is_err()
    );
    origin.received_nothing();
}

#[test]
fn only_new_versions_are_spoken_where_that_is_said() {
    let origin = Origin::spawn();
    let config =
        Proxy::config(&origin, "require", "").edit("[tls]\n", "[tls]\nmin_version = \"1.3\"\n");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let leaf = Pki::shared().netdata();
    assert!(Scene::post(&proxy, Some(&leaf), &rustls::version::TLS12).is_err());
    assert_eq!(
        Scene::post(&proxy, Some(&leaf), &rustls::version::TLS13)
            .unwrap()
            .status,
        200
    );
}

#[test]
fn http2_is_not_offered_where_that_is_said() {
    let origin = Origin::spawn();
    let config =
        Proxy::config(&origin, "require", "").edit("[listen]\n", "[listen]\nhttp2 = false\n");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    assert!(Http2::connect(&sender).is_err());
    assert_eq!(sender.post(ALERT).status, 200);
}

/// The names of the authorities in the request for a certificate, if there is one.
fn asked(proxy: &Proxy) -> Option<Vec<Vec<u8>>> {
    #[derive(Debug, Default)]
    struct Asked(Mutex<Option<Vec<Vec<u8>>>>);

    impl ResolvesClientCert for Asked {
        fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            *self.0.lock().unwrap() = Some(hints.iter().map(|hint| hint.to_vec()).collect());
            None
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    let asked = Arc::new(Asked::default());
    let mut sender = Sender::to(proxy, None);
    Arc::get_mut(&mut sender.config)
        .unwrap()
        .client_auth_cert_resolver = asked.clone();
    let socket = eventually("a connection", || TcpStream::connect(sender.address).ok());
    // Whether the request is answered is another matter.
    let _ = sender.connect_to(socket).unwrap().post(ALERT);
    asked.0.lock().unwrap().take()
}
