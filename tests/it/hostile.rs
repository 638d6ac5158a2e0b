//! Requests that mean harm: the application sees one request or none, and others are served
//! meanwhile.

use crate::support::frames::{self, Frames};
use crate::support::{Http2, Origin, Pki, Proxy, Sender, WEBHOOK, is_event};
use bytes::Bytes;
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

const ALERT: &str = "{\"alert\":\"x\"}";

fn scene(more: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::spawn(
        Pki::shared(),
        &(Proxy::config(&origin, "require", "") + more),
    );
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

/// A second request, smuggled in the body of the first.
fn smuggled() -> String {
    format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n{{\"alert\":\"smuggled\"}}"
    )
}

#[test]
fn ambiguous_framing_is_refused_and_ends_the_connection() {
    let (origin, _proxy, sender) = scene("");
    let length = ALERT.len();
    for fields in [
        format!("Host: x\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        format!("Host: x\r\nContent-Length: {length}\r\nContent-Length: {length}\r\n"),
        format!("Host: x\r\nContent-Length: {length}\r\nContent-Length: 0\r\n"),
        format!("Host: x\r\nContent-Length: {length}, {length}\r\n"),
        format!("Host: x\r\nContent-Length: +{length}\r\n"),
        "Host: x\r\nContent-Length: -1\r\n".into(),
        "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".into(),
        "Host: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n".into(),
        "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n".into(),
        "Host: x\r\nTransfer-Encoding: xchunked\r\n".into(),
        "Host: x\r\nTransfer-Encoding: \x0bchunked\r\n".into(),
        format!("Host: x\r\nContent-Length : {length}\r\n"),
        format!("Host: x\r\n Content-Length: {length}\r\n"),
        format!("Host: x\r\nX-A: b\r\n folded\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\n"),
        format!("Host: x\r\nHost: x\r\nContent-Length: {length}\r\n"),
        format!("Host: x\r\nX-A: a\0b\r\nContent-Length: {length}\r\n"),
        format!("Host: x\r\nX-A: a\rb\r\nContent-Length: {length}\r\n"),
        format!("Host: x\nContent-Length: {length}\r\n"),
        format!("Host: x\r\nX-A\r\nContent-Length: {length}\r\n"),
        format!("Host: x\r\n: a\r\nContent-Length: {length}\r\n"),
    ] {
        let mut connection = sender.connect().unwrap();
        let request = format!(
            "POST {WEBHOOK} HTTP/1.1\r\n{fields}\r\n{ALERT}{}",
            smuggled()
        );
        connection.write(request.as_bytes()).unwrap();
        connection
            .read()
            .unwrap_or_else(|error| panic!("{fields:?}: {error}"))
            .refuses(400, "malformed_request");
        connection.is_closed();
    }
    origin.received_nothing();
}

#[test]
fn request_lines_that_are_none_are_refused() {
    let (origin, proxy, sender) = scene("");
    for line in [
        format!("POST {WEBHOOK}"),
        format!("POST  {WEBHOOK} HTTP/1.1"),
        format!("POST {WEBHOOK} HTTP/1.1 "),
        format!("POST {WEBHOOK} HTTP/2.0"),
        format!("POST {WEBHOOK}\0 HTTP/1.1"),
        format!("POST {WEBHOOK} x HTTP/1.1"),
        format!("P@ST{{ {WEBHOOK} HTTP/1.1"),
        "POST webhooks/netdata HTTP/1.1".into(),
        "\x16\x03\x01\x02".into(),
    ] {
        let request = format!(
            "{line}\r\nHost: x\r\nContent-Length: {}\r\n\r\n{ALERT}",
            ALERT.len()
        );
        sender
            .raw(request.as_bytes())
            .unwrap()
            .refuses(400, "malformed_request");
    }
    assert!(
        proxy
            .wait_for_log("malformed_request")
            .contains("remote_addr=127.0.0.1")
    );
    sender
        .raw(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .unwrap()
        .refuses(400, "malformed_request");
    sender
        .raw(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n")
        .unwrap()
        .refuses(405, "method_not_allowed");
    origin.received_nothing();
}

#[test]
fn other_forms_of_the_target_lead_nowhere_else() {
    let (origin, _proxy, sender) = scene("");
    for target in [
        "/",
        "/webhooks/netdata/",
        "//webhooks/netdata",
        "/webhooks/../webhooks/netdata",
        "/webhooks/%6eetdata",
        "*",
    ] {
        sender
            .send("POST", target, "", ALERT)
            .unwrap()
            .refuses(404, "not_found");
    }
    origin.received_nothing();
    let absolute = format!("http://localhost{WEBHOOK}?a=1");
    assert_eq!(
        sender.send("POST", &absolute, "", ALERT).unwrap().status,
        200
    );
    assert_eq!(
        origin.received_one().request_line,
        format!("POST {WEBHOOK}?a=1 HTTP/1.1")
    );
}

#[test]
fn a_pipelined_request_is_verified_or_dropped() {
    let (origin, _proxy, sender) = scene("");
    let mut connection = sender.connect().unwrap();
    let first = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{ALERT}",
        ALERT.len()
    );
    let second = format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}");
    connection
        .write(format!("{first}{second}").as_bytes())
        .unwrap();
    assert_eq!(connection.read().unwrap().status, 200);
    if let Ok(answer) = connection.read() {
        answer.refuses(422, "schema_mismatch");
    }
    assert_eq!(origin.received_one().body, ALERT.as_bytes());
}

#[test]
fn chunk_extensions_and_trailers_do_not_reach_the_application() {
    let (origin, _proxy, sender) = scene("");
    let body = format!(
        "{:x};ext=\"a\"\r\n{ALERT}\r\n0\r\nX-Netdata-Verified: forged\r\nContent-Length: 5\r\n\r\n",
        ALERT.len()
    );
    let request =
        format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let answer = sender.raw(request.as_bytes()).unwrap();
    match answer.status {
        200 => {
            let received = origin.received_one();
            assert_eq!(received.body, ALERT.as_bytes());
            assert_eq!(received.header("X-Netdata-Verified"), "client-certificate");
        }
        _ => answer.refuses(400, "malformed_request"),
    }
}

#[test]
fn a_large_head_is_refused() {
    let (origin, proxy, sender) = scene("[limits]\nmax_header_size = \"4KiB\"\n");
    let large = format!("X-A: {}\r\n", "x".repeat(4096));
    sender
        .send("POST", WEBHOOK, &large, ALERT)
        .unwrap()
        .refuses(431, "header_too_large");
    let many = "X-A: b\r\n".repeat(1000);
    sender
        .send("POST", WEBHOOK, &many, ALERT)
        .unwrap()
        .refuses(431, "header_too_large");
    sender
        .raw("x".repeat(1 << 20).as_bytes())
        .unwrap()
        .refuses(431, "header_too_large");
    let mut http2 = Http2::connect(&sender).unwrap();
    let mut send = |size: usize| {
        http2.send(
            "POST",
            WEBHOOK,
            &[&format!("x-a: {}", "x".repeat(size))],
            ALERT,
        )
    };
    assert_eq!(send(3_900).unwrap().status, 200);
    assert_eq!(origin.received_one().body, ALERT.as_bytes());
    send(4_096).unwrap().refuses(431, "header_too_large");
    proxy.wait_for_logs("code=\"header_too_large\"", 4);
    send(20_000).unwrap().refuses(431, "header_too_large");
    assert_eq!(origin.received().len(), 1);
    assert_eq!(sender.post(ALERT).status, 200);
}

#[test]
fn a_head_may_be_as_large_as_max_header_size() {
    let (origin, _proxy, sender) = scene("[limits]\nmax_header_size = \"4KiB\"\n");
    let request = |size: usize| {
        let head = format!(
            "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nX-A: ",
            ALERT.len()
        );
        let padding = "x".repeat(size - head.len() - "\r\n\r\n".len());
        format!("{head}{padding}\r\n\r\n{ALERT}")
    };
    assert_eq!(sender.raw(request(4096).as_bytes()).unwrap().status, 200);
    sender
        .raw(request(4097).as_bytes())
        .unwrap()
        .refuses(431, "header_too_large");
    origin.received_one();
}

#[test]
fn a_slow_head_is_refused_in_time() {
    let (origin, _proxy, sender) = scene("[limits]\nheader_timeout = \"500ms\"\n");
    let mut connection = sender.connect().unwrap();
    connection
        .write(b"POST /webhooks/netdata HTTP/1.1\r\nHost: x\r\nX-")
        .unwrap();
    connection.read().unwrap().refuses(408, "timeout");
    connection.is_closed();
    origin.received_nothing();
}

#[test]
fn a_handshake_that_does_not_come_ends_in_time() {
    let (_origin, proxy, _sender) = scene("[limits]\nhandshake_timeout = \"500ms\"\n");
    let mut silent = TcpStream::connect(proxy.address(0)).unwrap();
    silent
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    assert_eq!(silent.read(&mut [0; 10]).unwrap_or(0), 0, "it is closed");
    proxy.wait_for_log("took too long");
}

#[test]
fn a_slow_http2_head_ends_in_time() {
    let (origin, _proxy, sender) = scene("[limits]\nheader_timeout = \"500ms\"\n");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let whole = [
        preface,
        &frames::frame(frames::SETTINGS, 0, 0, &[])[..],
        &frames::headers(0, 1, &frames::POST),
    ]
    .concat();
    // Nothing; half of the preface; half of a frame; a block of which another frame is to come, and
    // does not.
    let mut unfinished = whole.clone();
    unfinished[preface.len() + 9 + 4] = 0;
    for begun in [
        &[][..],
        &whole[..10],
        &whole[..whole.len() - 5],
        &unfinished,
    ] {
        let mut stream = Frames::silent(&sender);
        stream.write_all(begun).unwrap();
        stream.flush().unwrap();
        // However it ends, it does so before the reader gives up.
        let end = stream
            .read_to_end(&mut Vec::new())
            .map_err(|error| error.kind());
        assert_ne!(
            end,
            Err(std::io::ErrorKind::WouldBlock),
            "{begun:?} is held open"
        );
    }
    origin.received_nothing();
}

#[test]
fn a_client_hello_in_single_bytes_changes_nothing() {
    let (origin, proxy, _sender) = scene("");
    for (leaf, passes) in [(Some(Pki::shared().netdata()), true), (None, false)] {
        let sender = Sender::to(&proxy, leaf.as_ref());
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = rustls::ClientConnection::new(sender.config.clone(), name).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        let mut socket = TcpStream::connect(sender.address).unwrap();
        socket.set_nodelay(true).unwrap();
        for byte in &hello {
            socket.write_all(&[*byte]).unwrap();
        }
        let mut stream = rustls::StreamOwned::new(tls, socket);
        let request = format!(
            "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{ALERT}",
            ALERT.len()
        );
        let mut status = [0; 12];
        let answered = stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.read_exact(&mut status))
            .is_ok();
        assert_eq!(answered && &status == b"HTTP/1.1 200", passes);
    }
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn http2_requests_that_are_none_are_refused() {
    let (origin, _proxy, sender) = scene("");
    for headers in [
        &[("transfer-encoding", "chunked")][..],
        &[("connection", "close")],
        &[("content-length", "5")],
        &[("content-length", "13"), ("content-length", "14")],
        &[("upgrade", "websocket")],
    ] {
        let mut connection = Frames::connect(&sender);
        let fields = [&frames::POST[..], headers].concat();
        let request = frames::request(1, &fields, ALERT);
        connection.send(&request).unwrap();
        connection.end_of(1).refuses(400, "malformed_request");
    }
    origin.received_nothing();
}

#[test]
fn resets_without_end_do_not_stop_others() {
    let (_origin, proxy, sender) = scene("");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut config = (*sender.config).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let flood = runtime.spawn(async move {
        let socket = tokio::net::TcpStream::connect(sender.address).await.ok()?;
        let name = ServerName::try_from("localhost").ok()?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
            .ok()?;
        let (mut requests, connection) = h2::client::handshake(stream).await.ok()?;
        tokio::spawn(connection);
        for _ in 0..20_000 {
            requests = requests.ready().await.ok()?;
            let request = http::Request::post(format!("https://localhost{WEBHOOK}"))
                .body(())
                .ok()?;
            let (_, mut stream) = requests.send_request(request, false).ok()?;
            let _ = stream.send_data(Bytes::from_static(b"{"), false);
            stream.send_reset(h2::Reason::CANCEL);
        }
        Some(())
    });
    let good = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for _ in 0..20 {
        assert_eq!(good.post(ALERT).status, 200);
    }
    // Whether the flood was cut off or ran out, it ends.
    runtime
        .block_on(async { tokio::time::timeout(crate::support::PATIENCE, flood).await })
        .unwrap()
        .unwrap();
    assert_eq!(good.post(ALERT).status, 200);
    assert!(!proxy.log().iter().any(|line| is_event(line, "panicked")));
}
