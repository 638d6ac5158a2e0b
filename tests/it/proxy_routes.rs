//! Routes of kind "proxy": clients are checked, and requests passed through as they arrive.

use crate::support::{
    Application, Carrier, Http2, NETDATA, Operator, Origin, Pki, Proxy, Reply, Sender, Stream,
    WEBHOOK, eventually,
};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const HTTPS: &str = "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\ncertificate = \"server.pem\"\n\
                     private_key = \"server.key\"\n[tls.client]\nca = \"ca.pem\"\nverify = \"request\"\n\
                     [server]\nthreads = 1\n";

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
];

/// Bodies that declare no length go on as they come.
const STREAMS: &str = "buffer_body = 0\n";

/// Everything below `/app` goes to `upstream`. `more` follows the keys of the route.
fn config(upstream: &str, more: &str) -> String {
    format!(
        "{HTTPS}[[routes]]\npath = \"/app/*\"\nkind = \"proxy\"\nupstream = \"{upstream}\"\n{more}\n"
    )
}

fn scene(upstream: &str, more: &str) -> (Proxy, Sender) {
    let proxy = Proxy::spawn(Pki::shared(), &config(upstream, more));
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (proxy, sender)
}

#[test]
fn every_method_and_body_passes() {
    let origin = Origin::spawn();
    let (_proxy, sender) = scene(&origin.url, "");
    let mut http2 = Http2::connect(&sender).unwrap();
    for method in METHODS {
        for is_http2 in [false, true] {
            let (target, body) = (
                "/app/a/%41?b=%zz&c",
                if method == "HEAD" {
                    ""
                } else {
                    "not JSON \u{1}"
                },
            );
            // The answer to a HEAD has no body, so that the origin must not send one.
            let reply = "HTTP/1.1 201 Made\r\nContent-Length: 4\r\nX-App: yes\r\n\r\n";
            origin.will([Reply::Raw(format!(
                "{reply}{}",
                if method == "HEAD" { "" } else { "made" }
            ))]);
            let answer = match is_http2 {
                true => {
                    let length = format!("content-length: {}", body.len());
                    http2
                        .send(method, target, &["content-type: text/plain", &length], body)
                        .unwrap()
                }
                false => {
                    let mut connection = sender.connect().unwrap();
                    let head = format!(
                        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                    );
                    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                    connection.write(request.as_bytes()).unwrap();
                    if method == "HEAD" {
                        connection.read_head().unwrap()
                    } else {
                        connection.read().unwrap()
                    }
                }
            };
            let received = origin.received().pop().unwrap();
            assert_eq!(received.request_line, format!("{method} {target} HTTP/1.1"));
            assert_eq!(
                (received.body, received.headers.len() > 5),
                (body.into(), true),
                "{method}"
            );
            let expected = if method == "HEAD" { "" } else { "made" };
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (201, expected),
                "{method} {is_http2}"
            );
            assert_eq!(
                (answer.header("x-app"), answer.header("content-length")),
                (Some("yes"), Some("4")),
                "{method}"
            );
        }
    }
}

#[test]
fn identity_and_credentials_are_demanded_of_every_method() {
    let pki = Pki::shared();
    pki.write("basic.secret", "p4ssword\n");
    let origin = Origin::spawn();
    let auth = "[routes.auth]\nclient_certificate = true\n\
                basic = [{ username = \"netdata\", password = { file = \"basic.secret\" } }]\n";
    let (proxy, sender) = scene(&origin.url, auth);
    let right = "Authorization: Basic bmV0ZGF0YTpwNHNzd29yZA==\r\n";
    for method in METHODS.into_iter().filter(|method| *method != "HEAD") {
        let stranger = Sender::to(&proxy, None)
            .send(method, "/app/x", right, "x")
            .unwrap();
        stranger.refuses(403, "client_certificate_missing");
        let other = Sender::to(&proxy, Some(&pki.named("app.netdata.cloud.evil.example")));
        other
            .send(method, "/app/x", right, "x")
            .unwrap()
            .refuses(403, "common_name_mismatch");
        let sent = |headers: &str| sender.send(method, "/app/x", headers, "x").unwrap();
        sent("").refuses(401, "authorization_missing");
        sent("Authorization: Basic bmV0ZGF0YTpwNHNzd29yZB==\r\n")
            .refuses(401, "authorization_invalid");
        sent(&right.repeat(2)).refuses(401, "authorization_invalid");
    }
    origin.received_nothing();
    assert_eq!(
        sender.send("DELETE", "/app/x", right, "x").unwrap().status,
        200
    );
    let received = origin.received_one();
    assert_eq!(
        received.header("X-Netdata-Verified"),
        "client-certificate, basic"
    );
    assert!(received.all("Authorization").is_empty());
    let mut http2 = Http2::connect(&Sender::to(&proxy, None)).unwrap();
    http2
        .send("PUT", "/app/x", &[], "x")
        .unwrap()
        .refuses(403, "client_certificate_missing");
    assert_eq!(origin.received().len(), 1);
}

#[test]
fn what_is_ours_cannot_be_forged_and_set_headers_have_every_variable() {
    let origin = Origin::spawn();
    let variables = "client_cn client_dn client_dn_legacy client_issuer_dn client_issuer_dn_legacy client_serial \
                     client_fingerprint client_cert client_not_after client_days_left client_verify remote_addr request_id \
                     notification severity host http_host server_port";
    let headers: Vec<String> = variables
        .split(' ')
        .map(|name| format!("\"My-{name}\" = \"<${name}>\""))
        .collect();
    let (_proxy, sender) = scene(
        &origin.url,
        &format!(
            "forward_authorization = true\nset_headers = {{ {} }}\n",
            headers.join(", ")
        ),
    );
    let forged = "X-Netdata-Verified: forged\r\nx_netdata_client_cn: forged\r\nClient-Cert: forged\r\n\
                  X-Netdata-Notification: forged\r\nX-Forwarded-For: 192.0.2.1\r\nX-Request-Id: mine\r\n\
                  My-client_cn: forged\r\nmy.CLIENT-cn: forged\r\nConnection: X-Netdata-Verified, X-Mine\r\n\
                  X-Mine: 1\r\nTE: trailers\r\nAuthorization: Bearer kept\r\n";
    assert_eq!(sender.send("GET", "/app", forged, "").unwrap().status, 200);
    let received = origin.received_one();
    assert!(!format!("{received:?}").contains("forged"), "{received:?}");
    for (name, value) in [
        ("X-Netdata-Verified", "client-certificate"),
        ("X-Netdata-Client-CN", NETDATA),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Request-Id", "mine"),
        ("Authorization", "Bearer kept"),
        ("My-client_cn", "<app.netdata.cloud>"),
        ("My-client_verify", "<SUCCESS>"),
        ("My-remote_addr", "<127.0.0.1>"),
        ("My-request_id", "<mine>"),
        ("My-host", "<localhost>"),
        ("My-notification", "<>"),
        ("My-severity", "<>"),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    for name in [
        "My-client_dn",
        "My-client_dn_legacy",
        "My-client_issuer_dn",
        "My-client_cert",
        "My-client_serial",
        "My-server_port",
    ] {
        assert!(received.header(name).len() > 4, "{name}: {received:?}");
    }
    for name in [
        "X-Netdata-Notification",
        "X-Netdata-Severity",
        "Connection",
        "TE",
        "X-Mine",
    ] {
        assert!(received.all(name).is_empty(), "{name}: {received:?}");
    }
}

#[test]
fn the_longest_match_wins() {
    let origins = [Origin::spawn(), Origin::spawn(), Origin::spawn()];
    let route = |path: &str, origin: &Origin| {
        format!(
            "[[routes]]\npath = \"{path}\"\nkind = \"proxy\"\nupstream = \"{}\"\n",
            origin.url
        )
    };
    let routes = [
        ("/app/admin/*", &origins[1]),
        ("/app/*", &origins[0]),
        ("/app/admin/login", &origins[2]),
    ];
    let routes: String = routes
        .iter()
        .map(|(path, origin)| route(path, origin))
        .collect();
    let proxy = Proxy::spawn(Pki::shared(), &(HTTPS.to_owned() + &routes));
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for (target, owner) in [
        ("/app", Some(0)),
        ("/app/", Some(0)),
        ("/app?x=/app/admin/login", Some(0)),
        ("/app/administrator", Some(0)),
        ("/app/admin", Some(1)),
        ("/app/admin/", Some(1)),
        ("/app/admin/login/x", Some(1)),
        ("/app/admin/login", Some(2)),
        ("/app/admin/login?x", Some(2)),
        ("/application", None),
        ("/", None),
    ] {
        let before: Vec<_> = origins
            .iter()
            .map(|origin| origin.received().len())
            .collect();
        let answer = sender.send("GET", target, "", "").unwrap();
        match owner {
            None => answer.refuses(404, "not_found"),
            Some(_) => assert_eq!(answer.status, 200, "{target}"),
        }
        for (index, origin) in origins.iter().enumerate() {
            assert_eq!(
                origin.received().len(),
                before[index] + usize::from(owner == Some(index)),
                "{target}: {index}"
            );
        }
    }
}

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

#[test]
fn answers_without_a_body_and_informational_ones_leave_the_connection_intact() {
    let origin = Origin::spawn();
    let (proxy, sender) = scene(&origin.url, "");
    let mut connection = sender.connect().unwrap();
    let mut http2 = Http2::connect(&sender).unwrap();
    for (method, reply, status, length) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            200,
            Some("5"),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            200,
            None,
        ),
        ("HEAD", "HTTP/1.1 404 Not Found\r\n\r\n", 404, None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
            304,
            Some("5"),
        ),
        (
            "GET",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            204,
            None,
        ),
        (
            "PUT",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
            Some("0"),
        ),
    ] {
        origin.will([Reply::Raw(reply.into())]);
        connection
            .write(format!("{method} /app/x HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
            .unwrap();
        let answer = connection.read_head().unwrap();
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (status, length),
            "{method} {reply:?}"
        );
        assert_eq!(answer.header("transfer-encoding"), None, "{reply:?}");
        // The next answer is the next request's.
        let next = connection.send("GET", "/app/next", "", "").unwrap();
        assert_eq!((next.status, next.body.as_str()), (200, "ok"), "{reply:?}");
        origin.will([Reply::Raw(reply.into())]);
        let answer = http2.send(method, "/app/x", &[], "").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (status, ""),
            "{reply:?}"
        );
        assert_eq!(http2.send("GET", "/app/next", &[], "").unwrap().body, "ok");
    }
    // Our own answers keep to it, too.
    let refused = http2.send("HEAD", "/nowhere", &[], "").unwrap();
    assert_eq!((refused.status, refused.body.as_str()), (404, ""));
    assert!(
        !proxy.log().iter().any(|line| line.contains("pingora")),
        "{:?}",
        proxy.log()
    );
}

#[test]
fn who_expects_to_be_told_to_continue_is_told_and_only_then() {
    let application = Application::listen();
    let (proxy, sender) = scene(&application.url, "max_body = \"1KiB\"");
    let mut connection = sender.connect().unwrap();
    let expecting = "PUT /app/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ";
    connection
        .write(format!("{expecting}4\r\n\r\n").as_bytes())
        .unwrap();
    assert_eq!(connection.read_head().unwrap().status, 100);
    let mut visit = application.accept();
    assert!(!visit.head().to_lowercase().contains("expect"));
    connection.write(b"body").unwrap();
    assert_eq!(visit.take(4), b"body");
    visit.answer("done");
    assert_eq!(connection.read().unwrap().body, "done");
    // A refused client is not asked for the body first.
    sender
        .raw(format!("{expecting}1025\r\n\r\n").as_bytes())
        .unwrap()
        .refuses(413, "body_too_large");
    let stranger = Sender::to(&proxy, None)
        .raw(format!("{expecting}4\r\n\r\n").as_bytes())
        .unwrap();
    stranger.refuses(403, "client_certificate_missing");
    application.assert_no_connection();
}

#[test]
fn every_way_to_end_an_answer_arrives_whole_or_visibly_broken() {
    let application = Application::listen();
    let (proxy, sender) = scene(&application.url, "");
    for carrier in Carrier::ALL {
        for (answer, length) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Some(5)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
                Some(5),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\nh\r\n0\r\nX: y\r\n\r\n",
                Some(1),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nuntil it is closed", Some(18)),
            ("HTTP/1.0 200 OK\r\n\r\nold", Some(3)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", None),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                None,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
                None,
            ),
        ] {
            let mut stream = Stream::begin(&sender, carrier, "GET", "/app/x", &[], 0);
            stream.end().unwrap();
            let mut visit = application.accept();
            visit.head();
            visit.send(answer);
            drop(visit);
            let head = stream.head();
            let got = head.and_then(|head| {
                assert_eq!((head.status, head.header("trailer")), (200, None));
                stream.rest()
            });
            match length {
                Some(length) => assert_eq!(got.unwrap(), length, "{carrier:?} {answer:?}"),
                None => assert!(got.is_err(), "{carrier:?} {answer:?}: {got:?}"),
            }
        }
    }
    let broken = "code=\"upstream_unreachable\"";
    // The last line may come after the end of its answer.
    proxy.wait_for_logs(broken, 9);
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| line.contains(broken))
            .count(),
        9,
        "{:#?}",
        proxy.log()
    );
}

#[test]
fn a_sender_that_leaves_takes_its_request_along() {
    let application = Application::listen();
    let (proxy, sender) = scene(&application.url, STREAMS);
    for (round, carrier) in Carrier::ALL.into_iter().enumerate() {
        let mut stream = Stream::begin(&sender, carrier, "POST", "/app/x", &[], 100);
        stream.send(b"a part").unwrap();
        let mut visit = application.accept();
        visit.head();
        assert_eq!(visit.take(6), b"a part");
        stream.leave();
        assert!(
            visit.rest().is_err(),
            "{carrier:?}: a part is not the whole"
        );
        assert!(
            proxy
                .wait_for_logs("outcome=\"sender_gone\"", round + 1)
                .contains("body_bytes=6")
        );
    }
}

#[test]
fn an_answer_may_come_before_the_request_is_whole() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, STREAMS);
    for carrier in Carrier::ALL {
        let mut stream = Stream::begin(&sender, carrier, "POST", "/app/x", &[], 1 << 20);
        stream.send(&[b'x'; 1000]).unwrap();
        let mut visit = application.accept();
        visit.head();
        visit.take(1000);
        visit.send("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nless");
        let answer = stream.head().unwrap();
        assert_eq!(answer.status, 413, "{carrier:?}");
        assert_eq!(stream.take(4).unwrap(), b"less", "{carrier:?}");
        // What is left of the request goes nowhere.
        drop(visit);
        application.assert_no_connection();
    }
}

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

#[test]
fn refusals_and_delays_of_the_application_have_their_codes() {
    let gone = Application::listen();
    let url = gone.url.clone();
    drop(gone);
    let (_proxy, sender) = scene(&url, "");
    for carrier in Carrier::ALL {
        let mut stream = Stream::begin(&sender, carrier, "POST", "/app/x", &[], 1);
        let _ = stream.send(b"x").and_then(|()| stream.end());
        assert_eq!(stream.head().unwrap().status, 502, "{carrier:?}");
    }
    let silent = Application::listen();
    let group = format!(
        "[upstreams.app]\nservers = [\"{}\"]\nresponse_timeout = \"300ms\"\n",
        silent.url
    );
    let (_proxy, sender) = scene("app", &group);
    sender
        .send("GET", "/app/x", "", "")
        .unwrap()
        .refuses(504, "upstream_timeout");
    sender
        .send("POST", "/app/x", "", "x")
        .unwrap()
        .refuses(504, "upstream_timeout");
    // A sender that stops in the middle is the one to blame.
    let (_proxy, sender) = scene(&silent.url, "[limits]\nbody_timeout = \"300ms\"\n");
    let mut connection = sender.connect().unwrap();
    connection
        .write(b"POST /app/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        .unwrap();
    connection.read().unwrap().refuses(408, "timeout");
    connection.is_closed();
}

#[test]
fn another_server_is_tried_where_nothing_has_been_given_away() {
    let (gone, origin) = (Origin::spawn_apart(), Origin::spawn());
    let group = format!(
        "[upstreams.app]\nservers = [\"{}\", \"{}\"]\nhealth_check = {{ interval = \"10m\" }}\n[admin]\n\
         listen = \"127.0.0.1:0\"\n",
        gone.url, origin.url
    );
    let (proxy, sender) = scene("app", &group);
    let operator = Operator::of(&proxy);
    let mut connection = sender.connect().unwrap();
    for _ in 0..2 {
        assert_eq!(
            connection.send("GET", "/app/x", "", "").unwrap().status,
            200
        );
    }
    gone.stop();
    // One of these meets the connection that was just cut, and one, the closed port.
    for method in ["GET", "PUT", "POST", "DELETE"] {
        assert_eq!(
            connection
                .send(method, "/app/x", "", "body")
                .unwrap()
                .status,
            200,
            "{method}"
        );
    }
    operator.wait_for(
        &format!(
            "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
            gone.url
        ),
        0.0,
    );
    operator.wait_for(
        &format!(
            "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
            origin.url
        ),
        1.0,
    );
    assert_eq!(origin.received().len(), 5);
}

#[test]
fn an_idempotent_request_outlives_the_death_of_a_pooled_connection() {
    let application = Application::listen();
    let (_proxy, sender) = scene(&application.url, "");
    let mut connection = sender.connect().unwrap();
    for (method, is_repeated) in [("GET", true), ("DELETE", true), ("POST", false)] {
        // The first request's connection is kept, and dies with the second one on it.
        let mut send = || {
            connection
                .write(format!("{method} /app/x HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
                .unwrap();
        };
        send();
        let mut visit = application.accept();
        visit.head();
        visit.answer("one");
        send();
        // The first answer has been read by the proxy, but not yet here.
        visit.head();
        drop(visit);
        if is_repeated {
            let mut again = application.accept();
            assert!(again.head().starts_with(method));
            // Not to be pooled for the next round.
            again.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntwo");
        }
        assert_eq!(connection.read().unwrap().body, "one");
        match is_repeated {
            true => assert_eq!(connection.read().unwrap().body, "two", "{method}"),
            false => connection
                .read()
                .unwrap()
                .refuses(502, "upstream_unreachable"),
        }
    }
    application.assert_no_connection();
}

#[test]
fn proxied_requests_are_counted_as_such() {
    let origin = Origin::spawn();
    let pki = Pki::shared();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let webhook = format!(
        "[[routes]]\npath = \"{WEBHOOK}\"\nupstream = \"{}\"\nchallenge_secret = {{ file = \"challenge.secret\" }}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n",
        origin.url
    );
    let (proxy, sender) = scene(&origin.url, &webhook);
    let operator = Operator::of(&proxy);
    let mut connection = sender.connect().unwrap();
    assert_eq!(connection.post("{\"alert\":\"x\"}").unwrap().status, 200);
    let series = |outcome: &str, code: &str| {
        format!("requests_total{{code=\"{code}\",outcome=\"{outcome}\",route=\"/app/*\"}}")
    };
    let duration = "request_duration_seconds_count{route=\"/app/*\"}";
    let upstream = format!(
        "upstream_duration_seconds_count{{upstream=\"{}\"}}",
        origin.url
    );
    operator.wait_for(&upstream, 1.0);
    for method in ["GET", "PUT"] {
        operator.moves(
            method,
            || {
                assert_eq!(
                    connection
                        .send(method, "/app/x?crc_token=x", "", "")
                        .unwrap()
                        .status,
                    200
                )
            },
            &[&series("forwarded", "ok"), duration, &upstream],
        );
    }
    origin.will([Reply::Last(String::new())]);
    operator.moves(
        "a refusal",
        || {
            connection
                .send("POST", "/app/x", "", "x")
                .unwrap()
                .refuses(502, "upstream_unreachable")
        },
        &[
            &series("refused", "upstream_unreachable"),
            duration,
            &upstream,
        ],
    );
    assert!(
        !operator
            .metrics()
            .keys()
            .any(|series| series.contains("/app/*") && series.starts_with("challenges"))
    );
    let status: serde_json::Value =
        serde_json::from_str(&operator.get("/api/status.json").body).unwrap();
    let events: Vec<_> = status["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["label"])
        .collect();
    assert_eq!(
        events,
        ["Request", "Alert"],
        "those that went well leave room for notifications"
    );
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
