//! Which clients may connect, how many, and how often.
//!
//! `a_connection_is_served_for_as_long_as_it_may_be_idle` holds the fault that requests sent as the
//! timer fired were lost; it stands for limits that two sides know and count from different
//! moments. `the_checks_of_balancers_are_no_news` holds the fault that each of them was a refused
//! handshake, 120 of which pushed a forgery off the status page; it stands for warnings of what is
//! as it should be. `a_sender_that_a_balancer_does_not_name_is_not_believed` holds the fault that a
//! client behind `PROXY UNKNOWN` or `LOCAL` was taken for the balancer, and its `X-Forwarded-For`
//! for the balancer's word; it stands for trust that goes to an address and not to what speaks.
//! `the_proxy_protocol_names_the_sender` has the header whose parts are longer than it.
//! `one_address_cannot_take_every_connection` and `too_few_open_files_are_warned_of` hold the fault
//! that a single client could use up connections and descriptors before any limit said so; they
//! stand for limits that hold only once an operator has set them.

use crate::support::{
    Edit as _, Operator, Origin, PATIENCE, Pki, Proxy, Sender, WEBHOOK, eventually,
};
use rustix::net::{AddressFamily, SocketType};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

const ALERT: &str = "{\"alert\":\"x\"}";

fn scene(listen: &str, more: &str) -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "")
        .edit("[listen]\n", &format!("[listen]\n{listen}\n"))
        + more;
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

#[test]
fn who_is_not_allowed_gets_no_handshake() {
    let (origin, proxy, sender) = scene("allow = [\"10.0.0.0/8\", \"2001:db8::/32\"]", "");
    assert!(sender.connect().unwrap().post(ALERT).is_err());
    assert!(
        proxy
            .wait_for_event("connection_refused")
            .contains("listen.allow")
    );
    origin.received_nothing();
    let (origin, _proxy, sender) = scene("allow = [\"10.0.0.0/8\", \"127.0.0.1\"]", "");
    assert_eq!(sender.post(ALERT).status, 200);
    origin.received_one();
}

#[test]
fn connections_are_limited_in_all_and_by_address() {
    for limit in ["max_connections = 2", "max_connections_per_address = 2"] {
        let (_origin, proxy, sender) = scene("", &format!("[limits]\n{limit}\n"));
        let mut first = sender.connect().unwrap();
        let mut second = sender.connect().unwrap();
        assert_eq!(
            (
                first.post(ALERT).unwrap().status,
                second.post(ALERT).unwrap().status
            ),
            (200, 200)
        );
        assert!(sender.connect().unwrap().post(ALERT).is_err(), "{limit}");
        proxy.wait_for_log("is reached");
        assert_eq!(
            first.post(ALERT).unwrap().status,
            200,
            "who is there already is served on"
        );
        drop(first);
        eventually("another connection", || {
            sender.connect().ok()?.post(ALERT).ok()
        });
    }
}

#[test]
fn one_address_cannot_take_every_connection() {
    let (_origin, proxy, sender) = scene("", "[limits]\nmax_connections = 100\n");
    let mut held: Vec<_> = (0..25).map(|_| sender.connect().unwrap()).collect();
    assert!(
        held.iter_mut()
            .all(|connection| connection.post(ALERT).is_ok())
    );
    assert!(
        sender.connect().unwrap().post(ALERT).is_err(),
        "a quarter is what one address gets"
    );
    assert!(
        proxy
            .wait_for_event("connection_refused")
            .contains("limits.max_connections_per_address")
    );
    let other = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&other, &SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    rustix::net::connect(&other, &sender.address).unwrap();
    assert_eq!(
        sender
            .connect_to(other.into())
            .unwrap()
            .post(ALERT)
            .unwrap()
            .status,
        200,
        "others are served"
    );
}

#[test]
fn too_few_open_files_are_warned_of() {
    let (origin, proxy, _sender) = scene("", "");
    let program = env!("CARGO_BIN_EXE_netdata-webhook-proxy");
    let with_few = |arguments: &str| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(
            "ulimit -n 1000; exec {program} {arguments} --config {:?}",
            proxy.config
        ));
        command
    };
    let warning = "limits.max_connections = 10000 takes up to 20000 open files";
    let checked = with_few("check").output().unwrap();
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(
        checked.status.success() && said.contains(warning) && said.contains("may have 1000"),
        "{said}"
    );
    let running = Proxy::run(with_few("run"), &proxy.config);
    running.wait_for_log(warning);
    running.wait_for_event("ready");
    // The soft limit alone is raised, and no reason for a warning.
    assert!(
        proxy.log().iter().all(|line| !line.contains("open files")),
        "{:?}",
        proxy.log()
    );
    drop(origin);
}

#[test]
fn requests_are_limited_by_address() {
    let (origin, _proxy, sender) = scene("", "[limits]\nrequests_per_second = 1\nburst = 4\n");
    let mut connection = sender.connect().unwrap();
    let statuses: Vec<u16> = (0..10)
        .map(|_| connection.post(ALERT).unwrap().status)
        .collect();
    assert!(
        statuses[..5].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
    let mut passed = statuses.iter().filter(|status| **status == 200).count();
    let refused = eventually("a refusal", || {
        let answer = connection.post(ALERT).unwrap();
        passed += usize::from(answer.status == 200);
        Some(answer).filter(|answer| answer.status == 429)
    });
    refused.refuses(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!(origin.received().len(), passed);
    let other = connection.send("POST", "/other", "", ALERT).unwrap();
    other.refuses(404, "not_found");
}

#[test]
fn idle_connections_are_closed() {
    let (_origin, _proxy, sender) = scene("", "[limits]\nidle_timeout = \"500ms\"\n");
    let mut connection = sender.connect().unwrap();
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
    connection.is_closed();
}

#[test]
fn a_connection_is_served_for_as_long_as_it_may_be_idle() {
    let (origin, _proxy, sender) = scene("", "[limits]\nidle_timeout = \"500ms\"\n");
    let statuses = std::thread::scope(|scope| {
        let post = |offset: u64| {
            let mut connection = sender.connect().unwrap();
            assert_eq!(connection.post(ALERT).unwrap().status, 200);
            // Four milliseconds before the limit, to four after it.
            std::thread::sleep(Duration::from_micros(496_000 + offset));
            connection.post(ALERT).map(|answer| answer.status).ok()
        };
        let threads: Vec<_> = (0..64)
            .map(|index| scope.spawn(move || post(index * 125)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(statuses, [Some(200); 64]);
    assert_eq!(origin.received().len(), 128);
}

/// Sends `header`, and then a request over TLS, on one connection.
fn through_proxy(sender: &Sender, header: &[u8]) -> std::io::Result<u16> {
    let mut socket = TcpStream::connect(sender.address)?;
    socket.write_all(header)?;
    let claims = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: claimed.example\r\n";
    Ok(sender
        .connect_to(socket)?
        .send("POST", WEBHOOK, claims, ALERT)?
        .status)
}

/// A header of version 2 for 192.0.2.7, with `more` behind the addresses.
fn version2(command: u8, more: &[u8]) -> Vec<u8> {
    let start = [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[0x20 | command, 0x11, 0, 12 + more.len() as u8],
    ]
    .concat();
    [
        &start,
        &b"\xc0\0\x02\x07\x7f\0\0\x01\x12\x34\x01\xbb"[..],
        more,
    ]
    .concat()
}

#[test]
fn the_proxy_protocol_names_the_sender() {
    let listen = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\nallow = [\"192.0.2.0/24\", \"2001:db8::1\"]";
    let (origin, proxy, sender) = scene(listen, "");
    for (header, address) in [
        (
            &b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n"[..],
            "192.0.2.1",
        ),
        (b"PROXY TCP6 2001:db8::1 ::1 4660 443\r\n", "2001:db8::1"),
        (&version2(1, b""), "192.0.2.7"),
        (&version2(1, b"\x04\0\0\x05\0\x02ab"), "192.0.2.7"),
    ] {
        assert_eq!(through_proxy(&sender, header).unwrap(), 200, "{address}");
        assert_eq!(
            origin.received().pop().unwrap().header("X-Forwarded-For"),
            address
        );
        proxy.wait_for_log(&format!("remote_addr={address} "));
    }
    for header in [
        &b""[..],
        b"PROXY TCP4 198.51.100.1 127.0.0.1 1 2\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY garbage\r\n",
        &version2(1, b"\x04"),
        &version2(1, b"\x04\0"),
        &version2(1, b"\x04\0\x01"),
        &version2(1, b"\x04\0\0\x05\xff\xffab"),
    ] {
        assert!(through_proxy(&sender, header).is_err(), "{header:?}");
    }
    assert_eq!(origin.received().len(), 4);
}

#[test]
fn a_sender_that_a_balancer_does_not_name_is_not_believed() {
    let listen = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";
    let (origin, proxy, sender) = scene(listen, "");
    for header in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"PROXY UNKNOWN 192.0.2.1 127.0.0.1 4660 443\r\n",
        b"PROXY UNKNOWN whatever  else\0there may be, and more of it than there are addresses\r\n",
        &version2(0, b""),
        &version2(0, b"\x04\xff\xff"),
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0",
    ] {
        assert_eq!(through_proxy(&sender, header).unwrap(), 200, "{header:?}");
        let received = origin.received().pop().unwrap();
        assert_eq!(
            received.header("X-Forwarded-For"),
            "127.0.0.1",
            "{header:?}"
        );
        assert_eq!(received.header("X-Forwarded-Proto"), "https");
        assert_eq!(received.header("X-Forwarded-Host"), "localhost");
    }
    assert!(!proxy.log().iter().any(|line| line.contains("203.0.113.9")));
    // One that it names may be a proxy that speaks for others.
    let header = b"PROXY TCP4 127.0.0.1 127.0.0.1 4660 443\r\n";
    assert_eq!(through_proxy(&sender, header).unwrap(), 200);
    assert_eq!(
        origin.received().pop().unwrap().header("X-Forwarded-For"),
        "203.0.113.9, 127.0.0.1"
    );
}

#[test]
fn the_checks_of_balancers_are_no_news() {
    let listen =
        "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\nallow = [\"192.0.2.0/24\"]";
    let more = "[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"debug\"\n";
    let (origin, proxy, sender) = scene(listen, more);
    let checks = [
        &b""[..],
        // It does not come to TLS.
        b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n",
        &version2(0, b""),
        &[&version2(0, b"")[..], b"GET / HTTP/1.0\r\n\r\n"].concat(),
    ];
    for _ in 0..30 {
        for check in checks {
            let mut socket = TcpStream::connect(sender.address).unwrap();
            socket.write_all(check).unwrap();
        }
    }
    proxy.wait_for_events("connection_unused", 60);
    proxy.wait_for_events("balancer_check_not_allowed", 60);
    let operator = Operator::of(&proxy);
    let status: serde_json::Value =
        serde_json::from_str(&operator.get("/api/status.json").body).unwrap();
    assert_eq!(status["events"], serde_json::json!([]));
    let metrics = operator.metrics();
    let refusals = |name: &&String| {
        name.starts_with("connections_refused_total") || name.starts_with("handshakes_total")
    };
    assert!(metrics.keys().any(|name| refusals(&name)));
    assert!(
        metrics
            .iter()
            .all(|(name, value)| !refusals(&name) || *value == 0.0),
        "{metrics:?}"
    );
    assert!(
        !proxy.log().iter().any(|line| line.contains(" WARN ")),
        "{:#?}",
        proxy.log()
    );
    // What is not a check is news all the same.
    let mut socket = TcpStream::connect(sender.address).unwrap();
    socket
        .write_all(b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n\x16\x03\x01")
        .unwrap();
    drop(socket);
    proxy.wait_for_event("handshake_refused");
    origin.received_nothing();
}

#[test]
fn the_proxy_protocol_is_believed_of_trusted_proxies_only() {
    let (origin, _proxy, sender) = scene(
        "proxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\"]",
        "",
    );
    assert!(through_proxy(&sender, b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n").is_err());
    origin.received_nothing();
    assert_eq!(
        sender.post(ALERT).status,
        200,
        "who is no proxy speaks for itself"
    );
}

#[test]
fn a_plain_listener_serves_routes_without_a_certificate() {
    let origin = Origin::spawn();
    let bearer = "[routes.auth]\nclient_certificate = false\nbearer = [{ token = { file = \"challenge.secret\" } }]\n";
    let config = Proxy::config(&origin, "request", bearer)
        .edit("[listen]\n", "[listen]\nhttp = \"127.0.0.1:0\"\n");
    let config = config
        + &format!(
            "[[routes]]\npath = \"/strict\"\nupstream = \"{}\"\n",
            origin.url
        );
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let status = |path: &str, token: &str| {
        let mut socket = TcpStream::connect(proxy.address(1)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
        );
        socket
            .write_all(format!("{head}Content-Length: {}\r\n\r\n{ALERT}", ALERT.len()).as_bytes())
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(status("/webhooks/netdata", "YOUR_CHALLENGE_SECRET").starts_with("HTTP/1.1 200"));
    assert!(status("/webhooks/netdata", "wrong").starts_with("HTTP/1.1 401"));
    assert!(status("/strict", "YOUR_CHALLENGE_SECRET").contains("client_certificate_missing"));
    assert_eq!(origin.received_one().header("X-Forwarded-Proto"), "http");
}
