//! `Upgrade` in a request is ignored (RFC 9110 section 7.8), and ends here.
//!
//! Held here: a request with `Upgrade` was refused on webhooks, while Java's client says `Upgrade:
//! h2c` with every request in the clear; and the kind, that what only offers something is no reason
//! to refuse, and reaches no application that might accept.

use crate::support::{Origin, Pki, Proxy, Reply, Sender, WEBHOOK};

const ALERT: &str = r#"{"alert":"x"}"#;

const OFFERS: [&str; 5] = [
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n",
    "Upgrade: h2c\r\n",
    "Upgrade: TLS/1.0\r\nUpgrade: websocket, h2c\r\nConnection: keep-alive, upgrade\r\n",
    "UPGRADE: \r\nHttp2-Settings: forged\r\n",
];

/// A webhook, and a route of kind "proxy".
fn scene() -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let app = format!(
        "[[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
        origin.url
    );
    let proxy = Proxy::spawn(
        Pki::shared(),
        &(Proxy::config(&origin, "require", "") + &app),
    );
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

/// A request on the connection of the one before, with a body in one of two ways.
fn request(method: &str, target: &str, offer: &str, is_chunked: bool) -> String {
    let body = match (method, is_chunked) {
        ("GET", _) => "\r\n".to_owned(),
        (_, true) => format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{ALERT}\r\n0\r\n\r\n",
            ALERT.len()
        ),
        (_, false) => format!("Content-Length: {}\r\n\r\n{ALERT}", ALERT.len()),
    };
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{offer}{body}")
}

#[test]
fn an_offer_is_ignored_and_goes_no_further() {
    let (origin, _proxy, sender) = scene();
    let mut connection = sender.connect().unwrap();
    for offer in OFFERS {
        let challenge = request("GET", &format!("{WEBHOOK}?crc_token=a"), offer, false);
        connection.write(challenge.as_bytes()).unwrap();
        let answer = connection.read().unwrap();
        assert!(
            answer.status == 200 && answer.body.contains("response_token"),
            "{offer:?}: {answer:?}"
        );
        for (method, target) in [
            ("POST", WEBHOOK),
            ("POST", "/app/x"),
            ("GET", "/app/x"),
            ("PUT", "/app/x"),
        ] {
            for is_chunked in [false, true] {
                connection
                    .write(request(method, target, offer, is_chunked).as_bytes())
                    .unwrap();
                let answer = connection.read().unwrap();
                assert_eq!(
                    (answer.status, answer.body.as_str()),
                    (200, "ok"),
                    "{method} {target} {offer:?}"
                );
                assert_eq!(answer.header("upgrade"), None);
                assert!(
                    answer
                        .header("connection")
                        .is_none_or(|said| said == "keep-alive"),
                    "{answer:?}"
                );
                let received = origin.received().pop().unwrap();
                for name in ["upgrade", "connection", "http2-settings"] {
                    assert!(received.all(name).is_empty(), "{offer:?}: {received:?}");
                }
            }
        }
    }
}

#[test]
fn what_follows_a_request_with_an_offer_is_a_request() {
    let (origin, _proxy, sender) = scene();
    for offer in OFFERS {
        let mut connection = sender.connect().unwrap();
        let first = request("POST", "/app/first", offer, false);
        connection
            .write((first + &request("GET", "/elsewhere", "", false)).as_bytes())
            .unwrap();
        assert_eq!(connection.read().unwrap().status, 200);
        connection.read().unwrap().refuses(404, "not_found");
        assert_eq!(
            origin.received().pop().unwrap().request_line,
            "POST /app/first HTTP/1.1"
        );
    }
    assert_eq!(origin.received().len(), OFFERS.len());
}

#[test]
fn an_application_that_switches_all_the_same_is_not_followed() {
    let (origin, _proxy, sender) = scene();
    for (method, target) in [("GET", "/app/x"), ("POST", WEBHOOK)] {
        origin.will([Reply::Raw(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".into(),
        )]);
        let body = if method == "GET" { "" } else { ALERT };
        sender
            .send(method, target, OFFERS[0], body)
            .unwrap()
            .refuses(502, "upstream_unreachable");
    }
}
