//! A process that stood still: a frozen container, a paused virtual machine, a processor that was
//! taken away.
//!
//! When it goes on, every timer that it had has run out, while what was sent meanwhile lies in its
//! sockets. Whoever counts the timers first cuts off everything that was in time: of requests that
//! lay whole in the socket, none was answered. So here: between requests, in a head, in a body, in
//! a handshake, on a connection that has not been accepted, over HTTP/1.1 and HTTP/2, and an
//! application's answer as well ([`what_lies_in_the_sockets_is_served`]). A body that does not fit
//! into the socket gets a moment more. What has not been sent is timed out all the same
//! ([`what_is_not_there_is_timed_out_all_the_same`]).

use crate::support::{
    Application, Carrier, Connection, Http2, Origin, Pki, Proxy, Sender, Stream, WEBHOOK,
};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const ALERT: &str = "{\"alert\":\"x\"}";

/// Each limit, and how long the process stands still.
const LIMIT: Duration = Duration::from_secs(1);
const STANDSTILL: Duration = Duration::from_millis(2500);

fn scene(upstream: &str, more: &str) -> (Proxy, Sender) {
    let limits = [
        "handshake_timeout",
        "header_timeout",
        "body_timeout",
        "idle_timeout",
    ];
    let limits: String = limits
        .iter()
        .map(|name| format!("{name} = \"{}s\"\n", LIMIT.as_secs()))
        .collect();
    let config = Proxy::config_for(upstream, "require", "max_body = \"16MiB\"")
        + "[limits]\n"
        + &limits
        + more;
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (proxy, sender)
}

/// Stops the process for longer than any of its timers, and does something meanwhile.
fn stand_still<T>(proxy: &Proxy, meanwhile: impl FnOnce() -> T) -> T {
    proxy.signal("STOP");
    let result = meanwhile();
    thread::sleep(STANDSTILL);
    proxy.signal("CONT");
    result
}

/// A connection over which the handshake is done.
fn connected(sender: &Sender) -> Connection {
    let mut connection = sender.connect().unwrap();
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    connection
}

#[test]
fn what_lies_in_the_sockets_is_served() {
    let origin = Origin::spawn();
    let (proxy, sender) = scene(&origin.url, "");
    let request = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{ALERT}",
        ALERT.len()
    );
    // How much of a request has arrived before: nothing of it, a part of its head, its head, a part
    // of its body.
    let cuts = [0, 10, request.len() - ALERT.len(), request.len() - 3];
    let mut begun: Vec<_> = cuts.iter().map(|_| connected(&sender)).collect();
    let mut http2 = Stream::begin(&sender, Carrier::Http2, "POST", WEBHOOK, &[], 0);
    http2.send(&ALERT.as_bytes()[..5]).unwrap();
    for (connection, cut) in begun.iter_mut().zip(cuts) {
        connection.write(&request.as_bytes()[..cut]).unwrap();
    }
    // One that was accepted and says nothing yet, and one that cannot be accepted any more.
    let accepted = TcpStream::connect(proxy.address(0)).unwrap();
    thread::sleep(LIMIT / 4);
    let fresh = stand_still(&proxy, || {
        for (connection, cut) in begun.iter_mut().zip(cuts) {
            connection.write(&request.as_bytes()[cut..]).unwrap();
        }
        http2.send(&ALERT.as_bytes()[5..]).unwrap();
        http2.end().unwrap();
        let late = TcpStream::connect(proxy.address(0)).unwrap();
        [accepted, late].map(|socket| {
            let mut connection = sender.connect_to(socket).unwrap();
            // The handshake begins with it, and goes on when the process does.
            thread::spawn(move || connection.post(ALERT).map(|answer| answer.status))
        })
    });
    for (connection, cut) in begun.iter_mut().zip(cuts) {
        assert_eq!(
            connection.read().map(|answer| answer.status).ok(),
            Some(200),
            "after {cut} bytes"
        );
    }
    assert_eq!(
        http2.head().map(|answer| answer.status).ok(),
        Some(200),
        "in a body of HTTP/2"
    );
    for (number, connection) in fresh.into_iter().enumerate() {
        assert_eq!(
            connection.join().unwrap().ok(),
            Some(200),
            "fresh connection {number}"
        );
    }
    assert_eq!(origin.received().len(), 2 * cuts.len() + 3);
}

#[test]
fn an_idle_http2_connection_is_served() {
    let origin = Origin::spawn();
    let (proxy, sender) = scene(&origin.url, "");
    let mut http2 = Http2::connect(&sender).unwrap();
    assert_eq!(http2.post(ALERT).unwrap().status, 200);
    let answer = thread::scope(|scope| {
        proxy.signal("STOP");
        let asking = scope.spawn(|| http2.post(ALERT).map(|answer| answer.status).ok());
        thread::sleep(STANDSTILL);
        proxy.signal("CONT");
        asking.join().unwrap()
    });
    assert_eq!(answer, Some(200));
}

/// More than the sockets hold: the client can go on only when the process does.
#[test]
fn a_large_body_gets_a_moment_more() {
    let origin = Origin::spawn();
    let (proxy, sender) = scene(&origin.url, "");
    let body = format!("{{\"alert\":\"{}\"}}", "x".repeat(12 << 20));
    let mut connection = connected(&sender);
    let head = format!(
        "POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write(head.as_bytes()).unwrap();
    thread::sleep(LIMIT / 4);
    thread::scope(|scope| {
        proxy.signal("STOP");
        let sending = scope.spawn(|| {
            connection.write(body.as_bytes()).unwrap();
            connection.read().map(|answer| answer.status).ok()
        });
        thread::sleep(STANDSTILL);
        proxy.signal("CONT");
        assert_eq!(sending.join().unwrap(), Some(200));
    });
}

#[test]
fn an_answer_that_lies_in_the_socket_goes_back() {
    let application = Application::listen();
    let group = format!(
        "[upstreams.app]\nservers = [\"{}\"]\nresponse_timeout = \"1s\"\n",
        application.url
    );
    let routes = "health_check = { interval = \"10m\" }\n[[routes]]\npath = \"/app\"\nkind = \"proxy\"\nupstream = \"app\"\n";
    let (proxy, sender) = scene("app", &(group + routes));
    // The check connects, and sends nothing.
    drop(application.accept());
    for target in [WEBHOOK, "/app"] {
        let mut connection = sender.connect().unwrap();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{ALERT}",
            ALERT.len()
        );
        connection.write(request.as_bytes()).unwrap();
        let mut visit = application.accept();
        visit.head();
        assert_eq!(visit.rest().unwrap(), ALERT.as_bytes());
        stand_still(&proxy, || {
            visit.send("HTTP/1.1 202 Taken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        });
        assert_eq!(connection.read().unwrap().status, 202, "{target}");
    }
}

#[test]
fn what_is_not_there_is_timed_out_all_the_same() {
    let origin = Origin::spawn();
    let (proxy, sender) = scene(&origin.url, "");
    let (mut idle, mut head, mut body) =
        (connected(&sender), connected(&sender), connected(&sender));
    head.write(b"POST / HTTP/1.1\r\n").unwrap();
    body.write(
        format!("POST {WEBHOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{").as_bytes(),
    )
    .unwrap();
    stand_still(&proxy, || ());
    head.read().unwrap().refuses(408, "timeout");
    body.read().unwrap().refuses(408, "timeout");
    for connection in [&mut idle, &mut head, &mut body] {
        connection.is_closed();
    }
}
