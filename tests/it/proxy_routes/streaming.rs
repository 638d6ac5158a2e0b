//! Bodies pass in both directions as they arrive, and neither side runs ahead of the other.

use super::{STREAMS, config, scene};
use crate::support::{Application, Carrier, Origin, Pki, Proxy, Reply, Sender, Stream, eventually};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Each part arrives before the next one is sent, in both directions at once.
#[test]
fn nothing_is_held_back() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, STREAMS);
    for carrier in Carrier::ALL {
        let mut stream = Stream::begin(&sender, carrier, "POST", "/app/talk", &["x-a: b"], 30);
        let mut visit = application.accept();
        let head = visit.head();
        assert!(
            head.starts_with("POST /app/talk HTTP/1.1\r\n") && head.contains("b\r\n"),
            "{head}"
        );
        assert_eq!(
            head.contains("Content-Length: 30"),
            carrier == Carrier::Sized,
            "{head}"
        );
        stream.send(b"0123456789").unwrap();
        assert_eq!(visit.take(10), b"0123456789");
        visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-B: c\r\n\r\n");
        let answer = stream.head().unwrap();
        assert_eq!(
            (answer.status, answer.header("x-b")),
            (200, Some("c")),
            "{carrier:?}"
        );
        for _ in 0..2 {
            visit.send("5\r\nhello\r\n");
            assert_eq!(stream.take(5).unwrap(), b"hello");
            stream.send(b"abcdefghij").unwrap();
            assert_eq!(visit.take(10), b"abcdefghij");
        }
        stream.end().unwrap();
        assert_eq!(visit.rest().unwrap(), b"");
        visit.send("0\r\n\r\n");
        assert_eq!(stream.rest().unwrap(), 0, "{carrier:?}");
    }
}

/// What the sockets on the way may hold: of two connections, as much as the system lets them, and
/// some more.
fn on_the_way() -> u64 {
    let most = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        text.split_whitespace()
            .last()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    2 * (most("tcp_rmem") + most("tcp_wmem")) + (16 << 20)
}

/// By how much the proxy may grow.
const GROWTH: u64 = 12 << 20;

/// The most memory that a process ever had, in bytes.
fn peak_memory(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Waits until what is counted goes no further.
fn until_stuck(count: &AtomicU64) -> u64 {
    let mut last = (0, Instant::now());
    eventually("a sender that has to wait", || {
        let now = count.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        (now > 0 && last.1.elapsed() > Duration::from_millis(700)).then_some(now)
    })
}

#[test]
fn a_slow_application_slows_its_sender_down() {
    let on_the_way = on_the_way();
    let large = on_the_way + (48 << 20);
    let application = Application::listen();
    let (proxy, sender) = scene(&application.url, STREAMS);
    for carrier in Carrier::ALL {
        let mut stream = Stream::begin(&sender, carrier, "PUT", "/app/up", &[], large);
        let mut visit = application.accept();
        visit.head();
        let (before, sent) = (peak_memory(&proxy), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let part = vec![b'x'; 64 << 10];
                while sent.load(Ordering::SeqCst) < large {
                    stream.send(&part).unwrap();
                    sent.fetch_add(part.len() as u64, Ordering::SeqCst);
                }
                stream.end().unwrap();
            });
            let stuck = until_stuck(&sent);
            assert!(stuck < on_the_way, "{carrier:?}: {stuck} bytes were taken");
            let mut received = 0;
            loop {
                match visit.some().unwrap().len() {
                    0 => break,
                    more => received += more as u64,
                }
            }
            assert_eq!(received, large, "{carrier:?}");
            sending.join().unwrap();
        });
        visit.answer("taken");
        assert_eq!(stream.head().unwrap().status, 200);
        assert_eq!(stream.rest().unwrap(), 5);
        let growth = peak_memory(&proxy).saturating_sub(before);
        assert!(growth < GROWTH, "{carrier:?}: it grew by {growth} bytes");
    }
}

#[test]
fn a_slow_sender_slows_the_application_down() {
    let on_the_way = on_the_way();
    let large = on_the_way + (48 << 20);
    let application = Application::listen();
    let (proxy, sender) = scene(&application.url, "");
    for (carrier, head) in [
        (
            Carrier::Sized,
            format!("HTTP/1.1 200 OK\r\nContent-Length: {large}\r\n\r\n"),
        ),
        (
            Carrier::Chunked,
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".into(),
        ),
        (
            Carrier::Http2,
            format!("HTTP/1.1 200 OK\r\nContent-Length: {large}\r\n\r\n"),
        ),
    ] {
        let mut stream = Stream::begin(&sender, carrier, "GET", "/app/down", &[], 0);
        stream.end().unwrap();
        let mut visit = application.accept();
        visit.head();
        visit.send(head);
        assert_eq!(stream.head().unwrap().status, 200);
        let (before, sent, mut socket) = (peak_memory(&proxy), AtomicU64::new(0), visit.socket());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let part = vec![b'x'; 64 << 10];
                while sent.load(Ordering::SeqCst) < large {
                    socket.write_all(&part).unwrap();
                    sent.fetch_add(part.len() as u64, Ordering::SeqCst);
                }
                socket.shutdown(std::net::Shutdown::Write).unwrap();
            });
            let stuck = until_stuck(&sent);
            assert!(stuck < on_the_way, "{carrier:?}: {stuck} bytes were taken");
            assert_eq!(stream.rest().unwrap(), large, "{carrier:?}");
        });
        let growth = peak_memory(&proxy).saturating_sub(before);
        assert!(growth < GROWTH, "{carrier:?}: it grew by {growth} bytes");
    }
}

/// Over TLS, and over a socket in the file system: as much as does not fit on the way, in both
/// directions.
#[test]
fn every_kind_of_server_takes_streams() {
    let (pki, theirs) = (Pki::new(), Pki::of("Their Root CA"));
    pki.write(
        "upstream-ca.pem",
        &std::fs::read_to_string(theirs.path().join("ca.pem")).unwrap(),
    );
    let ours = pki.netdata();
    theirs.server("proxy.internal", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    for name in ["pem", "key"] {
        let text =
            std::fs::read_to_string(theirs.path().join(format!("proxy.internal.{name}"))).unwrap();
        pki.write(&format!("proxy.internal.{name}"), &text);
    }
    let leaf = theirs.server("app.internal", |_| {});
    let tls = Origin::spawn_tls(Pki::server_config(&leaf, Some(&theirs)));
    let socket = Origin::spawn_on_socket(&pki.path().join("app.sock"));
    let group = "ca = \"upstream-ca.pem\"\nserver_name = \"app.internal\"\n\
                 client_certificate = \"proxy.internal.pem\"\nclient_private_key = \"proxy.internal.key\"\n";
    // A check connects, and speaks no TLS.
    for (origin, group, checks) in [(&tls, group, 0), (&socket, "", 1)] {
        let seldom = "health_check = { interval = \"10m\" }";
        let group = format!(
            "[upstreams.app]\nservers = [\"{}\"]\n{seldom}\n{group}",
            origin.url
        );
        let proxy = Proxy::spawn(&pki, &config("app", &group));
        let sender = Sender::to(&proxy, Some(&ours));
        eventually("the first check", || {
            (origin.connections() == checks).then_some(())
        });
        let mut connection = sender.connect().unwrap();
        let (up, down) = ("u".repeat(3 << 20), "d".repeat(3 << 20));
        for round in 1..=2 {
            origin.will([Reply::ok(&down)]);
            let answer = connection.send("PUT", "/app/x", "", &up).unwrap();
            assert!(
                answer.status == 200 && answer.body == down,
                "{}",
                answer.status
            );
            let received = origin.received().pop().unwrap();
            assert!(received.body == up.as_bytes() && origin.received().len() == round);
        }
        assert_eq!(
            origin.connections(),
            checks + 1,
            "the connection was used again"
        );
    }
}

/// A client may say that its request is over when it has the answer. The server had all of the
/// request before.
#[test]
fn an_end_that_comes_after_the_answer_costs_no_connection() {
    let origin = Origin::spawn();
    let (_proxy, sender) = scene(&origin.url, "");
    for round in 1..=3 {
        let length = ["content-length: 5"];
        let mut stream = Stream::begin(&sender, Carrier::Http2, "POST", "/app/x", &length, 5);
        stream.send(b"hello").unwrap();
        assert_eq!(
            (stream.head().unwrap().status, stream.rest().unwrap()),
            (200, 2)
        );
        stream.end().unwrap();
        assert_eq!((origin.received().len(), origin.connections()), (round, 1));
    }
}
