//! Requests that could be read in two ways, broken ones, and the limit of their size.

use super::{STREAMS, scene};
use crate::support::{Application, Carrier, Origin, Stream};

/// A second request, smuggled in what follows the first.
const SMUGGLED: &str = "POST /app/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nx=bad";

#[test]
fn ambiguous_framing_reaches_nobody() {
    let origin = Origin::spawn();
    let (_proxy, sender) = scene(&origin.url, "");
    for (version, fields) in [
        (
            "1.1",
            "Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "1.1",
            "Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        ),
        (
            "1.1",
            "Host: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        ),
        (
            "1.1",
            "Host: x\r\nContent-Length: 5\r\nContent-Length: 0\r\n",
        ),
        ("1.1", "Host: x\r\nContent-Length: 5, 5\r\n"),
        ("1.1", "Host: x\r\nContent-Length: +5\r\n"),
        (
            "1.1",
            "Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "1.1",
            "Host: x\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("1.1", "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n"),
        ("1.1", "Host: x\r\nTransfer-Encoding: \x0bchunked\r\n"),
        ("1.1", "Host: x\r\nContent-Length : 5\r\n"),
        ("1.1", "Host: x\r\n Content-Length: 5\r\n"),
        ("1.1", "Host: x\r\nX-A: b\r\n folded\r\n"),
        ("1.1", "Content-Length: 5\r\n"),
        ("1.1", "Host: x\r\nHost: y\r\n"),
        ("1.1", "Host: x\r\nX-A: a\0b\r\n"),
        ("1.1", "Host: x\nContent-Length: 5\r\n"),
        ("1.0", "Host: x\r\nTransfer-Encoding: chunked\r\n"),
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let mut connection = sender.connect().unwrap();
            let request =
                format!("{method} /app/x HTTP/{version}\r\n{fields}\r\n0\r\n\r\n{SMUGGLED}");
            connection.write(request.as_bytes()).unwrap();
            connection.read().unwrap().refuses(400, "malformed_request");
            connection.is_closed();
        }
    }
    sender
        .raw(b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n")
        .unwrap()
        .refuses(405, "method_not_allowed");
    origin.received_nothing();
}

#[test]
fn broken_chunks_end_the_request_on_both_sides() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, STREAMS);
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "x\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n",
        "5\r\nhelloXX0\r\n\r\n",
    ] {
        let mut connection = sender.connect().unwrap();
        let head = "POST /app/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection
            .write(format!("{head}{body}{SMUGGLED}").as_bytes())
            .unwrap();
        let answer = connection.read();
        let mut visit = application.accept();
        assert!(visit.head().starts_with("POST /app/x "));
        assert!(visit.rest().is_err(), "{body:?} has no end");
        if let Ok(answer) = answer {
            answer.refuses(400, "malformed_request");
        }
        application.assert_no_connection();
    }
}

#[test]
fn what_follows_a_request_is_a_request_and_what_is_in_it_is_not() {
    let origin = Origin::spawn();
    let (_proxy, sender) = scene(&origin.url, "");
    let mut connection = sender.connect().unwrap();
    let with_body = format!(
        "POST /app/x HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
        SMUGGLED.len()
    );
    let without = "GET /app/y HTTP/1.1\r\nHost: x\r\n\r\n";
    connection
        .write(format!("{with_body}{without}").as_bytes())
        .unwrap();
    assert_eq!(
        (
            connection.read().unwrap().status,
            connection.read().unwrap().status
        ),
        (200, 200)
    );
    let [first, second] = &origin.received()[..] else {
        panic!("{:?}", origin.received())
    };
    assert_eq!(
        (first.request_line.as_str(), &first.body[..]),
        ("POST /app/x HTTP/1.1", SMUGGLED.as_bytes())
    );
    assert_eq!(
        (second.request_line.as_str(), &second.body[..]),
        ("GET /app/y HTTP/1.1", &b""[..])
    );
}

#[test]
fn trailers_and_chunk_extensions_stay_behind() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, "");
    let request = "POST /app/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Netdata-Verified\r\n\r\n\
                   5;ext=\"a\"\r\nhello\r\n0\r\nX-Netdata-Verified: forged\r\nContent-Length: 5\r\n\r\n";
    let mut connection = sender.connect().unwrap();
    connection.write(request.as_bytes()).unwrap();
    let mut visit = application.accept();
    let head = visit.head();
    assert!(
        !head.contains("forged") && !head.contains("Trailer"),
        "{head}"
    );
    assert_eq!(visit.rest().unwrap(), b"hello");
    visit.answer("one");
    assert_eq!(connection.read().unwrap().body, "one");
    application.assert_no_connection();
}

#[test]
fn an_http2_body_that_is_not_as_long_as_declared_is_no_request() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, "");
    for (length, body) in [
        ("content-length: 10", &b"short"[..]),
        ("content-length: 2", b"too long"),
    ] {
        let mut stream = Stream::begin(&sender, Carrier::Http2, "POST", "/app/x", &[length], 0);
        // The stream may have been reset meanwhile.
        let _ = stream.send(body).and_then(|()| stream.end());
        let mut visit = application.accept();
        visit.head();
        assert!(visit.rest().is_err(), "{length}");
        let refused = stream.head();
        assert!(
            refused.as_ref().map_or(true, |answer| answer.status == 400),
            "{length}: {refused:?}"
        );
    }
}

#[test]
fn a_limit_is_kept_whether_the_length_is_declared_or_not() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, &format!("{STREAMS}max_body = \"1KiB\"\n"));
    for carrier in Carrier::ALL {
        let mut stream = Stream::begin(
            &sender,
            carrier,
            "PUT",
            "/app/x",
            &[],
            1024 + u64::from(carrier == Carrier::Sized),
        );
        // It may have been refused before it is sent.
        let _ = stream.send(&[b'x'; 1025]).and_then(|()| stream.end());
        assert_eq!(stream.head().unwrap().status, 413, "{carrier:?}");
        if carrier == Carrier::Sized {
            application.assert_no_connection();
        } else {
            let mut visit = application.accept();
            visit.head();
            assert!(visit.rest().is_err(), "{carrier:?}: it has no end");
        }
        let mut stream = Stream::begin(&sender, carrier, "PUT", "/app/x", &[], 1024);
        stream
            .send(&[b'x'; 1024])
            .and_then(|()| stream.end())
            .unwrap();
        let mut visit = application.accept();
        visit.head();
        assert_eq!(visit.rest().unwrap().len(), 1024);
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(stream.head().unwrap().status, 200, "{carrier:?}");
    }
}
