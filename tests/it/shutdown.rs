//! SIGTERM loses nothing that is in flight.
//!
//! `a_connection_that_was_accepted_is_served_its_first_request` holds the fault that a new HTTP/2
//! connection got GOAWAY before its first request, which a client that cannot rewind its body then
//! loses; it stands for connections that are taken over only to be closed.
//!
//! `what_says_nothing_holds_nothing_up` holds the fault that SIGTERM waited for connections by
//! their own deadlines, 10 s for a silent one and 30 s for half a body, and a container's 10 s were
//! over before; it stands for deadlines that are meant for another time.

use crate::support::frames::{self, End, Frames};
use crate::support::{Edit as _, Http2, Load, Origin, Pki, Proxy, Reply, Sender, eventually};
use std::net::TcpStream;
use std::time::Duration;

/// What is waited for is what ends a process, and not this.
const PATIENT: &str = "[server]\nshutdown_timeout = \"1h\"";

const ALERT: &str = "{\"alert\":\"x\"}";

#[test]
fn what_is_in_flight_finishes_and_the_exit_code_is_0() {
    let origin = Origin::spawn();
    let mut proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    origin.will([
        Reply::Late(Duration::from_millis(700), answer.into()),
        Reply::Late(Duration::from_millis(700), answer.into()),
    ]);
    let http1 = std::thread::spawn({
        let sender = sender.clone();
        move || sender.post(ALERT)
    });
    let http2 = std::thread::spawn(move || Http2::connect(&sender).unwrap().post(ALERT).unwrap());
    origin.wait_for(2);
    proxy.signal("TERM");
    let answer = http1.join().unwrap();
    assert_eq!(
        (
            answer.status,
            answer.body.as_str(),
            answer.header("connection")
        ),
        (200, "done", Some("close"))
    );
    assert_eq!(http2.join().unwrap().body, "done");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn idle_connections_hold_nothing_up_and_no_new_ones_are_accepted() {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "").edit("[server]", PATIENT);
    let mut proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let mut idle = sender.connect().unwrap();
    assert_eq!(idle.post(ALERT).unwrap().status, 200);
    let mut http2 = Http2::connect(&sender).unwrap();
    assert_eq!(http2.post(ALERT).unwrap().status, 200);
    proxy.signal("TERM");
    idle.is_closed();
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(TcpStream::connect(sender.address).is_err());
}

#[test]
fn shutdown_timeout_ends_what_does_not_finish() {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[server]", "[server]\nshutdown_timeout = \"500ms\"");
    let mut proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    origin.will([Reply::Late(Duration::from_secs(60), String::new())]);
    let alert = "{\"alert\":{\"transition_id\":\"t-1\"}}";
    std::thread::spawn(move || sender.connect().unwrap().post(alert).is_err());
    origin.wait_for(1);
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    proxy.wait_for_event("drain_timed_out");
    // The application may have acted on it, but no response was sent.
    let line = proxy.wait_for_event("request_aborted");
    for part in [
        "request_id=",
        "remote_addr=127.0.0.1",
        "route=\"/webhooks/netdata\"",
        "transition_id=\"t-1\"",
        "upstream=",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn the_pid_file_is_there_while_the_process_is() {
    let pki = Pki::new();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[server]", "[server]\npid_file = \"proxy.pid\"");
    let mut proxy = Proxy::spawn(&pki, &config);
    let path = pki.path().join("proxy.pid");
    let written = eventually("the pid file", || {
        std::fs::read_to_string(&path)
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    assert!(written.trim().parse::<u32>().is_ok());
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn interrupt_ends_at_once() {
    let origin = Origin::spawn();
    let mut proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    proxy.signal("INT");
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_process_that_ends_under_load_answers_whom_it_has_accepted() {
    let origin = Origin::spawn();
    let mut proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let load = Load::start(&Sender::to(&proxy, Some(&Pki::shared().netdata())));
    load.goes_on_for(20);
    load.may_be_refused();
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    let answered = load.ends_without_failure();
    assert!(origin.received().len() >= answered);
}

#[test]
fn a_request_that_is_just_arriving_is_answered() {
    let origin = Origin::spawn();
    let mut proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    // One has sent a part of its head, the others nothing, and another has only connected.
    let mut connections = [(); 3].map(|()| sender.connect().unwrap());
    let [begun, silent, idle] = &mut connections;
    for connection in [&mut *begun, silent, idle] {
        assert_eq!(connection.post(ALERT).unwrap().status, 200);
    }
    begun
        .write(b"POST /webhooks/netdata HTTP/1.1\r\nHost: loc")
        .unwrap();
    let new = TcpStream::connect(sender.address).unwrap();
    proxy.signal("TERM");
    proxy.wait_for_event("draining");
    let answer = silent.post(ALERT).unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    let answer = sender.connect_to(new).unwrap().post(ALERT).unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    // When the last call is over for a connection without a request, it is not for what had begun.
    idle.is_closed();
    begun
        .write(format!("alhost\r\nContent-Length: {}\r\n\r\n{ALERT}", ALERT.len()).as_bytes())
        .unwrap();
    assert_eq!(begun.read().unwrap().status, 200);
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn a_connection_that_was_accepted_is_served_its_first_request() {
    let origin = Origin::spawn();
    let mut proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let mut http2 = Http2::connect(&sender).unwrap();
    let mut frames = Frames::connect(&sender);
    let mut http1 = sender.connect().unwrap();
    http1.write(b"").unwrap();
    proxy.signal("TERM");
    proxy.wait_for_event("draining");
    // Whatever was to be said about the end would have been said before the answer to a ping.
    frames
        .send(&frames::frame(frames::PING, 0, 0, &[0; 8]))
        .unwrap();
    while let Some(frame) = frames.next() {
        assert_ne!(frame.kind, frames::GOAWAY);
        if frame.kind == frames::PING {
            break;
        }
    }
    frames
        .send(&frames::request(1, &frames::POST, ALERT))
        .unwrap();
    assert_eq!(frames.end_of(1), End::Answer("ok".into()));
    assert_eq!(http2.post(ALERT).unwrap().status, 200);
    assert_eq!(
        http1.post(ALERT).unwrap().header("connection"),
        Some("close")
    );
    assert_eq!(frames.goes_away(), Some(0));
    assert_eq!(proxy.wait().code(), Some(0));
    assert_eq!(origin.received().len(), 3);
}

#[test]
fn what_says_nothing_holds_nothing_up() {
    let origin = Origin::spawn();
    let limits = "[limits]\nhandshake_timeout = \"1h\"\nheader_timeout = \"1h\"\nbody_timeout = \"1h\"\n\
                  idle_timeout = \"1h\"\n";
    let config = Proxy::config(&origin, "require", "").edit("[server]", PATIENT) + limits;
    let mut proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    let head = "POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    let with = |bytes: &[u8]| {
        let mut connection = sender.connect().unwrap();
        connection.write(bytes).unwrap();
        connection
    };
    let silent: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(sender.address).unwrap())
        .collect();
    let greeted: Vec<_> = (0..5)
        .map(|_| {
            let mut socket = TcpStream::connect(sender.address).unwrap();
            // The beginning of a ClientHello.
            std::io::Write::write_all(&mut socket, b"\x16\x03\x01\x02\x00").unwrap();
            socket
        })
        .collect();
    let idle: Vec<_> = (0..5).map(|_| with(b"")).collect();
    let heads: Vec<_> = (0..100)
        .map(|_| with(b"POST /webhooks/netdata HTTP/1.1\r\nHo"))
        .collect();
    let mut bodies: Vec<_> = (0..10).map(|_| with(head.as_bytes())).collect();
    let http2: Vec<_> = (0..3)
        .map(|_| {
            let request = http::Request::post("https://localhost/webhooks/netdata")
                .body(())
                .unwrap();
            let mut stream = Http2::connect(&sender).unwrap().begin(request).unwrap();
            stream.send(bytes::Bytes::from_static(b"{")).unwrap();
            stream
        })
        .collect();
    let (tell, reply) = Reply::when_told("done");
    origin.will([reply]);
    let good = std::thread::spawn(move || sender.post(ALERT));
    origin.wait_for(1);
    proxy.signal("TERM");
    proxy.wait_for_event("draining");
    tell.send(()).unwrap();
    assert_eq!(good.join().unwrap().body, "done");
    bodies
        .iter_mut()
        .for_each(|body| body.read().unwrap().refuses(408, "timeout"));
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(proxy.events("drain_timed_out").is_empty());
    drop((silent, greeted, idle, heads, http2));
}

#[test]
fn interrupt_ends_a_drain_at_once() {
    let origin = Origin::spawn();
    let mut proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    origin.will([Reply::Late(Duration::from_secs(60), String::new())]);
    std::thread::spawn(move || sender.connect().unwrap().post(ALERT).is_err());
    origin.wait_for(1);
    proxy.signal("TERM");
    proxy.wait_for_event("draining");
    proxy.signal("INT");
    assert_eq!(proxy.wait().code(), Some(0));
}
