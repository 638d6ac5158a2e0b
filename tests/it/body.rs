//! Bodies: their framing, their size, their time, their type.

use crate::support::{Http2, Origin, Pki, Proxy, Sender, WEBHOOK};
use std::sync::Mutex;

const ALERT: &str = "{\"alert\":\"x\"}";

fn scene(route: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", route);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

fn alert_of(bytes: usize) -> String {
    format!("{{\"alert\":\"{}\"}}", "x".repeat(bytes - 12))
}

fn chunked(body: &str, size: usize) -> String {
    let chunks = body
        .as_bytes()
        .chunks(size)
        .map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)));
    format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunks.collect::<String>()
    )
}

#[test]
fn chunks_become_one_body_of_known_length() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    for size in [1, 5, 1000] {
        connection.write(chunked(ALERT, size).as_bytes()).unwrap();
        assert_eq!(connection.read().unwrap().status, 200);
        let received = origin.received().pop().unwrap();
        assert_eq!(received.body, ALERT.as_bytes());
        assert_eq!(received.header("content-length"), ALERT.len().to_string());
        assert!(received.all("transfer-encoding").is_empty());
    }
}

#[test]
fn a_body_may_be_as_large_as_max_body() {
    let (origin, _proxy, sender) = scene("max_body = \"5MiB\"");
    let body = alert_of(5 << 20);
    assert_eq!(sender.post(&body).status, 200);
    assert!(origin.received_one().body == body.as_bytes());
    assert_eq!(
        Http2::connect(&sender).unwrap().post(&body).unwrap().status,
        200
    );
    sender
        .post(&alert_of((5 << 20) + 1))
        .refuses(413, "body_too_large");
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn a_larger_one_is_refused_declared_or_not() {
    let (origin, _proxy, sender) = scene("max_body = \"1KiB\"");
    sender.post(&alert_of(1025)).refuses(413, "body_too_large");
    sender
        .raw(chunked(&alert_of(1025), 100).as_bytes())
        .unwrap()
        .refuses(413, "body_too_large");
    sender
        .raw(chunked(&alert_of(300_000), 1000).as_bytes())
        .unwrap()
        .refuses(413, "body_too_large");
    Http2::connect(&sender)
        .unwrap()
        .post(&alert_of(2000))
        .unwrap()
        .refuses(413, "body_too_large");
    let declared =
        format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999999999\r\n\r\n");
    sender
        .raw(declared.as_bytes())
        .unwrap()
        .refuses(413, "body_too_large");
    origin.received_nothing();
}

#[test]
fn another_type_or_a_coding_is_refused() {
    let (origin, _proxy, sender) = scene("");
    for (headers, status) in [
        ("", 200),
        ("Content-Type: application/json; charset=utf-8\r\n", 200),
        ("Content-Type: Application/JSON\r\n", 200),
        ("Content-Type: application/vnd.netdata+json\r\n", 200),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Type: application/jsonx\r\n", 415),
        (
            "Content-Type: application/json\r\nContent-Type: text/html\r\n",
            415,
        ),
        ("Content-Type:\r\n", 415),
    ] {
        let answer = sender.send("POST", WEBHOOK, headers, ALERT).unwrap();
        match status {
            200 => assert_eq!(answer.status, 200, "{headers}"),
            status => answer.refuses(status, "unsupported_media_type"),
        }
    }
    for coding in ["gzip", "br", "identity, gzip"] {
        let answer = sender
            .send(
                "POST",
                WEBHOOK,
                &format!("Content-Encoding: {coding}\r\n"),
                ALERT,
            )
            .unwrap();
        answer.refuses(415, "unsupported_encoding");
    }
    assert_eq!(origin.received().len(), 4);
}

#[test]
fn who_waits_for_100_continue_gets_it() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        ALERT.len()
    );
    connection.write(head.as_bytes()).unwrap();
    assert_eq!(connection.read().unwrap().status, 100);
    origin.received_nothing();
    connection.write(ALERT.as_bytes()).unwrap();
    assert_eq!(connection.read().unwrap().status, 200);
    assert!(origin.received_one().all("expect").is_empty());
}

#[test]
fn a_refused_one_gets_no_100_continue() {
    let (origin, _proxy, sender) = scene("max_body = \"1KiB\"");
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n"
    );
    sender
        .raw(head.as_bytes())
        .unwrap()
        .refuses(413, "body_too_large");
    origin.received_nothing();
}

#[test]
fn a_slow_body_is_refused_in_time() {
    let origin = Origin::spawn();
    let limits = "[limits]\nbody_timeout = \"500ms\"\nheader_timeout = \"1500ms\"\n";
    let config = Proxy::config(&origin, "require", "") + limits;
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let mut other = sender.connect().unwrap();
    other.write(b"POST / HTTP/1.1\r\n").unwrap();
    let mut connection = sender.connect().unwrap();
    connection
        .write(
            format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n").as_bytes(),
        )
        .unwrap();
    for byte in ALERT.bytes().take(5) {
        connection.write(&[byte]).unwrap();
    }
    // The rest of the body, for which there are two more seconds, is not waited for first.
    let order = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (what, connection) in [("body", &mut connection), ("head", &mut other)] {
            let order = &order;
            scope.spawn(move || {
                connection.read().unwrap().refuses(408, "timeout");
                order.lock().unwrap().push(what);
            });
        }
    });
    assert_eq!(order.into_inner().unwrap(), ["body", "head"]);
    connection.is_closed();
    origin.received_nothing();
}

#[test]
fn a_broken_chunk_is_refused_and_ends_the_connection() {
    let (origin, _proxy, sender) = scene("");
    for chunk in [
        "x\r\n{}\r\n0\r\n\r\n",
        "-1\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}garbage\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}",
    ] {
        let mut connection = sender.connect().unwrap();
        let head =
            format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection
            .write(format!("{head}{chunk}").as_bytes())
            .unwrap();
        connection.read().unwrap().refuses(400, "malformed_request");
        connection.is_closed();
    }
    origin.received_nothing();
}

#[test]
fn a_refused_body_does_not_spoil_the_next_request() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    for (target, status) in [("/other", 404), (WEBHOOK, 415), ("/other", 404)] {
        let answer = connection
            .send(
                "POST",
                target,
                "Content-Type: text/plain\r\n",
                &alert_of(1000),
            )
            .unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    assert_eq!(origin.received_one().body, ALERT.as_bytes());
}

#[test]
fn who_leaves_in_the_middle_of_a_body_leaves_nothing_behind() {
    let (origin, proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    connection
        .write(
            format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{{\"al")
                .as_bytes(),
        )
        .unwrap();
    drop(connection);
    let line = proxy.wait_for_log("outcome=\"sender_gone\" code=\"sender_gone\"");
    assert!(!line.contains("upstream="), "{line}");
    origin.received_nothing();
}
