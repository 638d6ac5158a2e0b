//! Bodies that declare no length, on routes of kind "proxy".
//!
//! Many applications take nothing from a body in chunks, and answer 200 as if it were empty: those
//! behind WSGI and CGI, Django, Python's `http.server`. So a body in chunks, or over HTTP/2 without
//! `content-length`, is gathered up to `buffer_body` and gets a `Content-Length`
//! ([`a_body_of_unknown_length_is_declared`], [`wsgi_gets_the_body`]). What can go wrong while it
//! is gathered is that it is longer ([`what_is_longer_goes_on_in_chunks`]), that it is not a body,
//! is too large, stops or breaks off ([`what_never_becomes_whole_reaches_no_application`]), that
//! the client waits to be told to continue, and that the connection to the application turns out to
//! be closed. A request without a body is not one of unknown length
//! ([`no_body_is_not_one_of_unknown_length`]).

use crate::support::frames::{self, End, Frames};
use crate::support::{
    Application, Carrier, Pki, Proxy, Sender, Stream, eventually, free_address, skip,
};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Those of which a body may have no declared length.
const UNDECLARED: [Carrier; 2] = [Carrier::Chunked, Carrier::Http2];

/// What is gathered by default.
const DEFAULT: usize = 1 << 20;

/// Everything below `/app` goes to `upstream`. `more` follows the keys of the route.
fn scene(upstream: &str, more: &str) -> (Proxy, Sender) {
    let config = format!(
        "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\ncertificate = \"server.pem\"\nprivate_key = \"server.key\"\n\
         [tls.client]\nca = \"ca.pem\"\n[server]\nthreads = 1\n\
         [[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{upstream}\"\n{more}\n"
    );
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (proxy, sender)
}

/// Sends a body in parts of this size.
fn send(stream: &mut Stream, body: &[u8], part: usize) {
    body.chunks(part)
        .for_each(|part| stream.send(part).unwrap());
    stream.end().unwrap();
}

/// How the head tells where the body ends.
fn framing(head: &str) -> Vec<&str> {
    let is_framing = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("content-length:") || line.starts_with("transfer-encoding:")
    };
    head.lines().filter(is_framing).collect()
}

#[test]
fn a_body_of_unknown_length_is_declared() {
    let application = Application::listen();
    for (key, bound) in [
        ("", DEFAULT),
        ("buffer_body = \"1KiB\"", 1024),
        ("buffer_body = 1", 1),
    ] {
        let (_proxy, sender) = scene(&application.url, key);
        for carrier in UNDECLARED {
            for length in [0, 1, bound - 1, bound] {
                let body: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
                let mut stream = Stream::begin(&sender, carrier, "POST", "/app/x", &[], 0);
                send(&mut stream, &body, 10_000);
                let mut visit = application.accept();
                let head = visit.head();
                assert_eq!(
                    framing(&head),
                    [format!("Content-Length: {length}")],
                    "{key} {carrier:?}"
                );
                assert!(visit.rest().unwrap() == body, "{key} {carrier:?} {length}");
                visit.send("HTTP/1.1 204 Taken\r\nConnection: close\r\n\r\n");
                assert_eq!(
                    stream.head().unwrap().status,
                    204,
                    "{key} {carrier:?} {length}"
                );
            }
        }
    }
}

#[test]
fn what_is_longer_goes_on_in_chunks() {
    let application = Application::listen();
    for (key, length) in [
        ("", DEFAULT + 1),
        ("buffer_body = \"1KiB\"", 1025),
        ("buffer_body = 0", 1),
    ] {
        let (_proxy, sender) = scene(&application.url, key);
        for carrier in UNDECLARED {
            let body: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let mut stream = Stream::begin(&sender, carrier, "POST", "/app/x", &[], 0);
            body.chunks(10_000)
                .for_each(|part| stream.send(part).unwrap());
            // It arrives before there is an end of it.
            let mut visit = application.accept();
            assert_eq!(
                framing(&visit.head()),
                ["Transfer-Encoding: chunked"],
                "{key} {carrier:?}"
            );
            assert!(visit.take(length) == body, "{key} {carrier:?}");
            send(&mut stream, b"more", 4);
            assert_eq!(visit.rest().unwrap(), b"more", "{key} {carrier:?}");
            visit.send("HTTP/1.1 204 Taken\r\nConnection: close\r\n\r\n");
            assert_eq!(stream.head().unwrap().status, 204, "{key} {carrier:?}");
        }
    }
}

/// Takes a request whose head declares `expected`, and answers it.
fn answer(application: &Application, expected: &[&str]) {
    let mut visit = application.accept();
    let head = visit.head();
    assert_eq!(framing(&head), expected, "{head}");
    visit.send("HTTP/1.1 204 Taken\r\nConnection: close\r\n\r\n");
}

#[test]
fn no_body_is_not_one_of_unknown_length() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, "");
    for (method, expected) in [
        ("GET", vec![]),
        ("DELETE", vec![]),
        ("POST", vec!["Content-Length: 0"]),
    ] {
        let mut connection = sender.connect().unwrap();
        connection
            .write(format!("{method} /app/x HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .unwrap();
        answer(&application, &expected);
        assert_eq!(connection.read_head().unwrap().status, 204);
        let fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", "x"),
            (":path", "/app/x"),
        ];
        let mut connection = Frames::connect(&sender);
        let request = frames::headers(frames::END_STREAM, 1, &fields);
        connection.send(&request).unwrap();
        answer(&application, &expected);
        assert_eq!(connection.end_of(1), End::Answer(String::new()));
    }
}

#[test]
fn what_never_becomes_whole_reaches_no_application() {
    let application = Application::listen();
    let (proxy, sender) = scene(
        &application.url,
        "max_body = \"1KiB\"\n[limits]\nbody_timeout = \"300ms\"\n",
    );
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "x\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
    ] {
        let mut connection = sender.connect().unwrap();
        let head = "POST /app/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        connection
            .write(format!("{head}{body}").as_bytes())
            .unwrap();
        connection.read().unwrap().refuses(400, "malformed_request");
    }
    for carrier in UNDECLARED {
        let mut large = Stream::begin(&sender, carrier, "PUT", "/app/x", &[], 0);
        // It may have been refused before it is sent.
        let _ = large.send(&[b'x'; 1025]).and_then(|()| large.end());
        assert_eq!(large.head().unwrap().status, 413, "{carrier:?}");
        let mut late = Stream::begin(&sender, carrier, "PUT", "/app/x", &[], 0);
        late.send(b"a part").unwrap();
        assert_eq!(late.head().unwrap().status, 408, "{carrier:?}");
    }
    let mut gone = Stream::begin(&sender, Carrier::Chunked, "PUT", "/app/x", &[], 0);
    gone.send(b"a part").unwrap();
    gone.leave();
    let line = proxy.wait_for_log("outcome=\"sender_gone\"");
    assert!(
        line.contains("body_bytes=6") && !line.contains("upstream"),
        "{line}"
    );
    application.assert_no_connection();
}

#[test]
fn a_client_that_waits_for_word_is_told_once() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, "");
    let mut connection = sender.connect().unwrap();
    let head = "PUT /app/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.write(head.as_bytes()).unwrap();
    assert_eq!(connection.read_head().unwrap().status, 100);
    connection.write(b"4\r\nbody\r\n0\r\n\r\n").unwrap();
    let mut visit = application.accept();
    assert_eq!(framing(&visit.head()), ["Content-Length: 4"]);
    assert_eq!(visit.rest().unwrap(), b"body");
    visit.answer("done");
    let answer = connection.read().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
}

#[test]
fn what_was_gathered_is_sent_again_where_that_does_no_harm() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, "");
    let mut connection = sender.connect().unwrap();
    let put = b"PUT /app/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    connection.write(put).unwrap();
    let mut visit = application.accept();
    visit.head();
    assert_eq!(visit.rest().unwrap(), b"body");
    visit.answer("one");
    // The connection is kept, and dies with the second one on it.
    connection.write(put).unwrap();
    visit.head();
    drop(visit);
    let mut again = application.accept();
    assert_eq!(framing(&again.head()), ["Content-Length: 4"]);
    assert_eq!(again.rest().unwrap(), b"body");
    again.answer("two");
    assert_eq!(
        (
            connection.read().unwrap().body,
            connection.read().unwrap().body
        ),
        ("one".into(), "two".into())
    );
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const WSGI: &str = "
import sys
from wsgiref.simple_server import make_server

def application(environ, start):
    body = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    start('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]

make_server(sys.argv[1], int(sys.argv[2]), application).serve_forever()
";

#[test]
fn wsgi_gets_the_body() {
    let address = free_address();
    let mut python = Command::new("python3");
    python
        .args([
            "-c",
            WSGI,
            &address.ip().to_string(),
            &address.port().to_string(),
        ])
        .stderr(Stdio::null());
    let Ok(child) = python.spawn() else {
        return skip("there is no python3");
    };
    let _running = Running(child);
    eventually("an application that listens", || {
        TcpStream::connect(address).ok().map(drop)
    });
    let (_proxy, sender) = scene(&format!("http://{address}"), "");
    for carrier in UNDECLARED {
        let mut stream = Stream::begin(
            &sender,
            carrier,
            "POST",
            "/app/x",
            &["content-type: text/plain"],
            0,
        );
        send(&mut stream, b"not to be lost", 4);
        assert_eq!(stream.head().unwrap().status, 200, "{carrier:?}");
        assert_eq!(stream.take(14).unwrap(), b"not to be lost", "{carrier:?}");
    }
}

/// What declares its length is told so, and does not wait for its end.
#[test]
fn a_declared_length_is_not_gathered() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, "");
    let mut stream = Stream::begin(&sender, Carrier::Sized, "POST", "/app/x", &[], 10);
    stream.send(b"01234").unwrap();
    let mut visit = application.accept();
    assert_eq!(framing(&visit.head()), ["Content-Length: 10"]);
    assert_eq!(visit.take(5), b"01234");
}
