//! HTTP/1.0 and HTTP/1.1 as old clients and odd ones speak it.
//!
//! | test | the fault | stands for |
//! |---|---|---|
//! | `http10_keeps_its_connection_if_it_asks_for_that` | every HTTP/1.0 request had a connection of its own | clients that are older than the default |
//! | `what_http10_cannot_be_told_otherwise_ends_with_the_connection` | an answer without a length on a connection that goes on | bodies whose end is not told |
//! | `chunks_that_others_may_read_differently_are_refused` | an empty size line counted as 0 and forwarded an empty POST; a bare LF in an extension and a trailer without a colon passed | two readers of one body |
//! | `a_request_behind_a_chunked_one_is_served` | what followed in the same packet was lost | two readers of one connection |
//! | `a_request_that_cannot_be_read_is_logged_with_what_is_known` | the line of a malformed head, a 431 and CONNECT lacked certificate, TLS, method and path | refusals that leave no trace |

use crate::support::{Origin, Pki, Proxy, Reply, Sender, WEBHOOK};

const ALERT: &str = "{\"alert\":\"x\"}";

fn scene() -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let everything = format!(
        "[[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
        origin.url
    );
    let proxy = Proxy::spawn(
        Pki::shared(),
        &(Proxy::config(&origin, "require", "") + &everything),
    );
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

fn post10(fields: &str) -> String {
    format!(
        "POST {WEBHOOK} HTTP/1.0\r\n{fields}Content-Length: {}\r\n\r\n{ALERT}",
        ALERT.len()
    )
}

#[test]
fn http10_keeps_its_connection_if_it_asks_for_that() {
    let (origin, _proxy, sender) = scene();
    let mut connection = sender.connect().unwrap();
    let challenge = format!("GET {WEBHOOK}?crc_token=a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    let requests = [
        challenge,
        post10("Connection: keep-alive\r\n"),
        post10("Connection: x, keep-alive\r\n"),
    ];
    // One after the other, and then all at once.
    for request in &requests {
        connection.write(request.as_bytes()).unwrap();
        let answer = connection.read().unwrap();
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("keep-alive"))
        );
        assert!(answer.header("content-length").is_some());
    }
    connection.write(requests.concat().as_bytes()).unwrap();
    for _ in &requests {
        assert_eq!(connection.read().unwrap().status, 200);
    }
    connection.write(post10("").as_bytes()).unwrap();
    let answer = connection.read().unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    connection.is_closed();
    for fields in [
        "Connection: keep-alive, close\r\n",
        "Connection: close\r\n",
        "Keep-Alive: 300\r\n",
    ] {
        let mut connection = sender.connect().unwrap();
        connection.write(post10(fields).as_bytes()).unwrap();
        assert_eq!(
            connection.read().unwrap().header("connection"),
            Some("close"),
            "{fields:?}"
        );
        connection.is_closed();
    }
    assert_eq!(origin.received().len(), 8);
}

#[test]
fn what_http10_cannot_be_told_otherwise_ends_with_the_connection() {
    let (origin, _proxy, sender) = scene();
    for reply in [
        Reply::Raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n".into(),
        ),
        Reply::Last("HTTP/1.1 200 OK\r\n\r\nbody".into()),
    ] {
        origin.will([reply]);
        let mut connection = sender.connect().unwrap();
        connection
            .write(b"GET /app/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .unwrap();
        let answer = connection.read_head().unwrap();
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
        assert!(answer.header("transfer-encoding").is_none());
        let mut body = Vec::new();
        while let Some(byte) = connection.byte().unwrap() {
            body.push(byte);
        }
        assert_eq!(body, b"body");
    }
    // Where there is no body, there is no end of it to tell.
    origin.will([Reply::Raw("HTTP/1.1 204 No Content\r\n\r\n".into())]);
    let mut connection = sender.connect().unwrap();
    connection
        .write(b"GET /app/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .unwrap();
    assert_eq!(
        connection.read().unwrap().header("connection"),
        Some("keep-alive")
    );
    connection.write(post10("").as_bytes()).unwrap();
    assert_eq!(connection.read().unwrap().status, 200);
}

#[test]
fn chunks_that_others_may_read_differently_are_refused() {
    let (origin, _proxy, sender) = scene();
    let size = format!("{:x}", ALERT.len());
    for body in [
        "\r\n\r\n".to_owned(),
        "\r\n0\r\n\r\n".to_owned(),
        format!("{size};a\nb\r\n{ALERT}\r\n0\r\n\r\n"),
        format!("{size}\n{ALERT}\r\n0\r\n\r\n"),
        format!("{size}\r\n{ALERT}\n0\r\n\r\n"),
        format!(" {size}\r\n{ALERT}\r\n0\r\n\r\n"),
        format!("{size} \r\n{ALERT}\r\n0\r\n\r\n"),
        format!("+{size}\r\n{ALERT}\r\n0\r\n\r\n"),
        format!("0x{size}\r\n{ALERT}\r\n0\r\n\r\n"),
        format!("{size};a\0\r\n{ALERT}\r\n0\r\n\r\n"),
        format!("{size}\r\n{ALERT}\r\n0\r\nX\r\n\r\n"),
        format!("{size}\r\n{ALERT}\r\n0\r\nX : y\r\n\r\n"),
        format!("{size}\r\n{ALERT}\r\n0\r\nX: y\n\r\n"),
        format!("{size}\r\n{ALERT}\r\n0\r\n folded\r\n\r\n"),
        format!("{size}\r\n{ALERT}\r\n0\n\r\n"),
        format!("{size}\r\n{ALERT}\r\n0\r\n\n"),
    ] {
        for path in [WEBHOOK, "/app/x"] {
            let mut connection = sender.connect().unwrap();
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
            connection
                .write(format!("{head}{body}").as_bytes())
                .unwrap();
            connection.read().unwrap().refuses(400, "malformed_request");
            connection.is_closed();
        }
    }
    origin.received_nothing();
}

#[test]
fn a_request_behind_a_chunked_one_is_served() {
    let (origin, _proxy, sender) = scene();
    let mut connection = sender.connect().unwrap();
    let head = format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\n");
    let chunked = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{}\r\n8\r\n{}\r\n0\r\nX: y\r\n\r\n",
        &ALERT[..5],
        &ALERT[5..]
    );
    let plain = format!("{head}Content-Length: {}\r\n\r\n{ALERT}", ALERT.len());
    connection
        .write(
            [&chunked[..], &plain, &chunked, &chunked, &plain]
                .concat()
                .as_bytes(),
        )
        .unwrap();
    for _ in 0..5 {
        assert_eq!(connection.read().unwrap().status, 200);
    }
    let received = origin.received();
    assert_eq!(received.len(), 5);
    assert!(
        received
            .iter()
            .all(|request| request.body == ALERT.as_bytes() && request.all("x").is_empty())
    );
}

#[test]
fn a_request_that_cannot_be_read_is_logged_with_what_is_known() {
    let (origin, proxy, sender) = scene();
    let large = "x".repeat(40_000);
    for (request, status, code, asks) in [
        (
            "POST /two HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".to_owned(),
            400,
            "malformed_request",
            "method=\"POST\" path=\"/two\"",
        ),
        (
            format!("GET {WEBHOOK}?crc_token=secret#x HTTP/1.1\r\nHost: x\r\n\r\n"),
            400,
            "malformed_request",
            "method=\"GET\" path=\"/webhooks/netdata?crc_token=***\"",
        ),
        (
            format!("PUT /large HTTP/1.1\r\nHost: x\r\nX-A: {large}\r\n\r\n"),
            431,
            "header_too_large",
            "method=\"PUT\" path=\"/large\"",
        ),
        (
            "CONNECT tunnel:443 HTTP/1.1\r\nHost: tunnel:443\r\n\r\n".to_owned(),
            405,
            "method_not_allowed",
            "method=\"CONNECT\" path=\"tunnel:443\"",
        ),
    ] {
        sender
            .raw(request.as_bytes())
            .unwrap()
            .refuses(status, code);
        let line = proxy.wait_for_log(asks);
        for part in [
            "client_cn=\"app.netdata.cloud\"",
            "tls=\"TLSv1.3\"",
            &format!("code=\"{code}\""),
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    assert!(
        !proxy
            .log()
            .iter()
            .any(|line| line.contains("crc_token=secret"))
    );
    sender
        .raw(b"\x16\x03\x01\x02\r\n\r\n")
        .unwrap()
        .refuses(400, "malformed_request");
    origin.received_nothing();
}
