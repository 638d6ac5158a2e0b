//! What the application sees, and what comes back; `header_names` has what it never sees.
//!
//! Held here: `X-Forwarded-For` with a port or brackets, as Azure writes it, is understood;
//! `Forwarded`, which some applications prefer, is continued like it, and never within somebody
//! else's quotation.

use crate::support::{
    Edit as _, Http2, NETDATA, Origin, Pki, Proxy, Received, Reply, Sender, WEBHOOK,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};

const ALERT: &str = r#"{"alert":{"transition_id":"t-1","state":{"status":"Critical"}}}"#;

fn scene(route: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", route);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

fn forwarded(origin: &Origin, sender: &Sender, headers: &str) -> Received {
    assert_eq!(
        sender.send("POST", WEBHOOK, headers, ALERT).unwrap().status,
        200
    );
    origin.received().pop().unwrap()
}

#[test]
fn the_request_line_and_what_is_the_senders_pass_unchanged() {
    let (origin, _proxy, sender) = scene("");
    let target = format!("{WEBHOOK}?a=%41+b&&c=%zz;d");
    sender
        .send(
            "POST",
            &target,
            "X-Extra: a  b\r\nx-extra: c\r\nUser-Agent: Go-http-client/1.1\r\n",
            ALERT,
        )
        .unwrap();
    let received = origin.received_one();
    assert_eq!(received.request_line, format!("POST {target} HTTP/1.1"));
    assert_eq!(received.all("x-extra"), ["a  b", "c"]);
    assert_eq!(received.header("user-agent"), "Go-http-client/1.1");
    assert_eq!(received.header("host"), "localhost");
}

#[test]
fn what_was_found_out_is_said_in_headers() {
    let (origin, _proxy, sender) = scene("");
    let received = forwarded(&origin, &sender, "");
    for (name, value) in [
        ("X-Netdata-Verified", "client-certificate"),
        ("X-Netdata-Client-CN", NETDATA),
        ("X-Netdata-Notification", "alert"),
        ("X-Netdata-Severity", "critical"),
        ("Idempotency-Key", "t-1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "localhost"),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    let certificate = received.header("Client-Cert").trim_matches(':');
    let leaf = BASE64_STANDARD.decode(certificate).unwrap();
    assert!(
        x509_parser::parse_x509_certificate(&leaf)
            .unwrap()
            .1
            .subject()
            .to_string()
            .contains(NETDATA)
    );
    assert_eq!(received.header("X-Request-Id").len(), 32);
}

#[test]
fn a_request_id_is_kept_if_it_is_valid() {
    let (origin, proxy, sender) = scene("");
    let received = forwarded(&origin, &sender, "X-Request-Id: my-id.1\r\n");
    assert_eq!(received.header("X-Request-Id"), "my-id.1");
    proxy.wait_for_log("request_id=\"my-id.1\"");
    for id in ["a b", "<script>", "\u{e9}", &"x".repeat(200)] {
        let received = forwarded(&origin, &sender, &format!("X-Request-Id: {id}\r\n"));
        assert_eq!(received.header("X-Request-Id").len(), 32, "{id}");
    }
    let answer = sender
        .send("POST", "/other", "X-Request-Id: my-id.2\r\n", "")
        .unwrap();
    assert!(
        answer.body.contains("\"request_id\":\"my-id.2\""),
        "{answer:?}"
    );
}

#[test]
fn what_ends_at_this_hop_is_not_passed_on() {
    let (origin, _proxy, sender) = scene("");
    let hop = "Connection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: trailers\r\n\
               Trailer: X\r\nProxy-Authorization: Basic x\r\nX-Mine: 1\r\nX-Other: 2\r\n";
    let received = forwarded(&origin, &sender, hop);
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "proxy-authorization",
        "x-mine",
    ] {
        assert!(received.all(name).is_empty(), "{name}: {received:?}");
    }
    assert_eq!(received.header("x-other"), "2");
}

#[test]
fn http2_requests_arrive_with_their_host_and_headers() {
    let (origin, _proxy, sender) = scene("");
    let mut http2 = Http2::connect(&sender).unwrap();
    http2
        .send(
            "POST",
            &format!("{WEBHOOK}?q=1"),
            &["user-agent: Go-http-client/2.0", "x-extra: a"],
            ALERT,
        )
        .unwrap();
    let received = origin.received_one();
    assert_eq!(
        received.request_line,
        format!("POST {WEBHOOK}?q=1 HTTP/1.1")
    );
    assert_eq!(
        (received.header("host"), received.header("x-extra")),
        ("localhost", "a")
    );
    assert_eq!(received.header("user-agent"), "Go-http-client/2.0");
}

#[test]
fn set_headers_know_every_variable() {
    let (origin, _proxy, sender) = scene(
        "set_headers = { \"X-SSL-Client-CN\" = \"$client_cn\", \"X-All\" = \"$client_dn|$client_verify|$remote_addr|$notification|$severity|$host\", \
         \"X-Serial\" = \"$client_serial $client_fingerprint\", \"X-Id\" = \"$request_id\", \"X-Price\" = \"5$$\", \"Host\" = \"app.internal\", \"X-None\" = \"\" }",
    );
    let received = forwarded(
        &origin,
        &sender,
        "X_SSL_Client_CN: forged\r\nx-ssl-client-cn: forged\r\nX-None: forged\r\n",
    );
    assert_eq!(received.header("X-SSL-Client-CN"), NETDATA);
    assert_eq!(
        received.header("X-All"),
        format!("CN={NETDATA},O=Netdata\\, Inc.|SUCCESS|127.0.0.1|alert|critical|localhost")
    );
    assert_eq!(
        received.header("X-Serial").split(' ').nth(1).map(str::len),
        Some(64)
    );
    assert_eq!(received.header("X-Id"), received.header("X-Request-Id"));
    assert_eq!(
        (received.header("X-Price"), received.header("Host")),
        ("5$", "app.internal")
    );
    assert!(!format!("{received:?}").contains("forged"), "{received:?}");
}

/// A scene in which `trusted` are believed.
fn behind(trusted: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let config = Proxy::config(
        &origin,
        "require",
        "set_headers = { \"X-Sender\" = \"$remote_addr\" }",
    );
    let config = config.edit(
        "[listen]\n",
        &format!("[listen]\ntrusted_proxies = [\"{trusted}\"]\n"),
    );
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

#[test]
fn only_trusted_proxies_say_where_a_request_comes_from() {
    let headers = "X-Forwarded-For: 203.0.113.9, 198.51.100.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: public.example\r\n";
    for (trusted, address, chain, proto, host) in [
        ("10.0.0.0/8", "127.0.0.1", "127.0.0.1", "https", "localhost"),
        (
            "127.0.0.0/8",
            "198.51.100.7",
            "203.0.113.9, 198.51.100.7, 127.0.0.1",
            "http",
            "public.example",
        ),
    ] {
        let (origin, proxy, sender) = behind(trusted);
        let received = forwarded(&origin, &sender, headers);
        assert_eq!(received.header("X-Sender"), address);
        assert_eq!(received.header("X-Forwarded-For"), chain);
        assert_eq!(
            (
                received.header("X-Forwarded-Proto"),
                received.header("X-Forwarded-Host")
            ),
            (proto, host)
        );
        assert!(
            proxy
                .wait_for_log("forwarded")
                .contains(&format!("remote_addr={address} "))
        );
    }
}

#[test]
fn a_trusted_proxy_may_name_ports() {
    let (origin, _proxy, sender) = behind("127.0.0.0/8");
    for (said, address) in [
        ("203.0.113.9:51234", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        (
            "192.0.2.1:1, 203.0.113.9:51234, 127.0.0.9:80",
            "203.0.113.9",
        ),
        ("203.0.113.9:port", "127.0.0.1"),
    ] {
        let received = forwarded(&origin, &sender, &format!("X-Forwarded-For: {said}\r\n"));
        assert_eq!(received.header("X-Sender"), address, "{said}");
        assert_eq!(
            received.header("X-Forwarded-For"),
            format!("{said}, 127.0.0.1")
        );
    }
}

#[test]
fn what_a_trusted_proxy_says_in_forwarded_is_continued() {
    let (origin, _proxy, sender) = behind("127.0.0.0/8");
    for (said, expected) in [
        (
            &["for=192.0.2.60;proto=http;by=203.0.113.43"][..],
            Some("for=192.0.2.60;proto=http;by=203.0.113.43, for=127.0.0.1"),
        ),
        (
            &["for=1.1.1.1", "For=\"[2001:db8::1]:4711\", for=_a"],
            Some("for=1.1.1.1, For=\"[2001:db8::1]:4711\", for=_a, for=127.0.0.1"),
        ),
        (&["for=\"a\\\"b\""], Some("for=\"a\\\"b\", for=127.0.0.1")),
        (&[], None),
        // What follows would be a part of the quotation.
        (&["for=\"a"], None),
        (&["for=\"a\\\""], None),
        (&["for=1.1.1.1", "for=\""], None),
    ] {
        let headers: String = said
            .iter()
            .map(|said| format!("Forwarded: {said}\r\n"))
            .collect();
        let received = forwarded(&origin, &sender, &headers);
        assert_eq!(received.all("Forwarded"), expected.as_slice(), "{said:?}");
    }
    let (origin, _proxy, sender) = behind("10.0.0.0/8");
    assert!(
        forwarded(&origin, &sender, "Forwarded: for=192.0.2.60\r\n")
            .all("Forwarded")
            .is_empty()
    );
}

#[test]
fn an_application_may_listen_on_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let origin = Origin::spawn_on_socket(&directory.path().join("app.sock"));
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for _ in 0..3 {
        assert_eq!(sender.post(ALERT).body, "ok");
    }
    assert_eq!(origin.received()[2].body, ALERT.as_bytes());
}

#[test]
fn the_answer_comes_back_unchanged() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    origin.will([
        Reply::Raw(
            "HTTP/1.1 418 Teapot\r\nContent-Length: 3\r\nX-A: 1\r\nX-A: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\nabc"
                .into(),
        ),
        Reply::Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n".into()),
        Reply::Raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".into()),
        Reply::Raw("HTTP/1.1 204 No Content\r\n\r\n".into()),
        Reply::Last("HTTP/1.0 500 Oops\r\n\r\nuntil the end".into()),
    ]);
    let answer = connection.post(ALERT).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (418, "abc"));
    assert_eq!(
        answer
            .headers
            .iter()
            .filter(|(name, _)| name == "X-A")
            .count(),
        2
    );
    assert_eq!(answer.header("x-hop"), None);
    for (status, body) in [
        (200, "abcdefg"),
        (202, ""),
        (204, ""),
        (500, "until the end"),
    ] {
        let answer = connection.post(ALERT).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
    }
    origin.will([Reply::Raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".into(),
    )]);
    assert_eq!(
        Http2::connect(&sender).unwrap().post(ALERT).unwrap().body,
        "abc"
    );
}
