//! An application that is not there, not in time, or not in order.
//!
//! | fault | the kind it stands for | test |
//! |---|---|---|
//! | an answer of 1 byte/s kept both connections after its sender had left; over HTTP/2, one that filled the window kept them for 30 s | what is waited for though nothing asks for it any more | `an_answer_without_end_ends_after_its_sender_has_left` |
//! | a webhook whose answer broke off could not be found in the log by its request | a notification that failed, and no warning that says which | `an_answer_that_breaks_off_is_warned_of` |

use crate::support::{
    Application, Carrier, Edit as _, Operator, Origin, PATIENCE, Pki, Proxy, Reply, Sender,
    ServerConnection, Stream, WEBHOOK, eventually,
};
use std::net::TcpListener;
use std::time::Duration;

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

fn scene() -> (Origin, Proxy, Sender) {
    let origin = Origin::spawn();
    let proxy = Proxy::in_front_of(&origin, Pki::shared(), "require", "");
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    (origin, proxy, sender)
}

/// Otherwise its socket would stay in CLOSE_WAIT until another request came, if ever.
#[test]
fn what_the_application_has_closed_is_closed_without_another_request() {
    let application = Application::listen();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "").edit(&origin.url, &application.url);
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    // As many connections as there are requests at once.
    let mut visits = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| sender.post("{\"alert\":\"x\"}").status))
            .collect();
        let mut visits: Vec<_> = senders.iter().map(|_| application.accept()).collect();
        for visit in &mut visits {
            visit.head();
            assert_eq!(visit.rest().unwrap(), b"{\"alert\":\"x\"}");
        }
        visits.iter_mut().for_each(|visit| visit.answer("ok"));
        assert!(
            senders
                .into_iter()
                .all(|sender| sender.join().unwrap() == 200)
        );
        visits
    });
    // The first one stays as it is.
    visits[1..].iter().for_each(ServerConnection::close_half);
    visits[1..].iter_mut().for_each(ServerConnection::is_closed);
    visits[0].is_open();
}

#[test]
fn who_is_not_there_is_unreachable() {
    let origin = Origin::spawn();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for upstream in [
        format!("http://{gone}"),
        "unix:/nonexistent/app.sock".to_owned(),
    ] {
        let config = Proxy::config(&origin, "require", "").edit(&origin.url, &upstream);
        let proxy = Proxy::spawn(Pki::shared(), &config);
        let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
        sender.post(ALERT).refuses(502, "upstream_unreachable");
        assert!(
            proxy
                .wait_for_log("upstream_unreachable")
                .contains("status=502")
        );
    }
    origin.received_nothing();
}

#[test]
fn what_is_no_answer_is_unreachable_and_not_repeated() {
    let (origin, _proxy, sender) = scene();
    let mut connection = sender.connect().unwrap();
    for (count, reply) in [
        Reply::Last("HTTP/1.1 200".into()),
        Reply::Last("garbage\r\n\r\n".into()),
        Reply::Last("HTTP/1.1 101 Switching Protocols\r\n\r\n".into()),
    ]
    .into_iter()
    .enumerate()
    {
        origin.will([reply]);
        connection
            .post(ALERT)
            .unwrap()
            .refuses(502, "upstream_unreachable");
        assert_eq!(
            origin.received().len(),
            count + 1,
            "the application may have acted on it"
        );
    }
    assert_eq!(connection.post(ALERT).unwrap().status, 200);
}

#[test]
fn an_answer_that_breaks_off_breaks_off_towards_the_sender() {
    let (origin, _proxy, sender) = scene();
    origin.will([Reply::Last(
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc".into(),
    )]);
    assert!(sender.connect().unwrap().post(ALERT).is_err());
    origin.will([Reply::Last(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".into(),
    )]);
    assert!(sender.connect().unwrap().post(ALERT).is_err());
}

#[test]
fn connections_are_used_again() {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "").edit("threads = 2", "threads = 1");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for _ in 0..10 {
        assert_eq!(sender.post(ALERT).status, 200);
    }
    assert_eq!((origin.received().len(), origin.connections()), (10, 1));
}

#[test]
fn a_stale_connection_costs_no_alert() {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "").edit("threads = 2", "threads = 1");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let mut connection = Sender::to(&proxy, Some(&Pki::shared().netdata()))
        .connect()
        .unwrap();
    for _ in 0..50 {
        // It closes without a word, now before and now after the next request is on its way.
        origin.will([Reply::Stale]);
        assert_eq!(connection.post(ALERT).unwrap().status, 200);
    }
}

#[test]
fn a_pooled_connection_that_dies_under_a_request_is_replaced_once() {
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "").edit("threads = 2", "threads = 1");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let mut connection = Sender::to(&proxy, Some(&Pki::shared().netdata()))
        .connect()
        .unwrap();
    // Pooled, then closed with the next request taken and no byte of an answer.
    origin.will([Reply::ok("first"), Reply::Last(String::new())]);
    assert_eq!(connection.post(ALERT).unwrap().body, "first");
    assert_eq!(connection.post(ALERT).unwrap().body, "ok");
    let received = origin.received();
    assert_eq!((received.len(), origin.connections()), (3, 2));
    assert_eq!(
        received[1].header("Idempotency-Key"),
        received[2].header("Idempotency-Key")
    );
    assert_eq!(
        received[1].header("X-Request-Id"),
        received[2].header("X-Request-Id")
    );
    // After a part of an answer, the application has acted on it.
    origin.will([Reply::Last("HTTP/1.1 2".into())]);
    connection
        .post(ALERT)
        .unwrap()
        .refuses(502, "upstream_unreachable");
    assert_eq!(origin.received().len(), 4);
}

#[test]
fn an_answer_that_comes_before_the_whole_request_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(
                b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "max_body = \"8MiB\"")
        .edit(&origin.url, &format!("http://{address}"));
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let body = format!("{{\"alert\":\"{}\"}}", "x".repeat(4 << 20));
    let answer = Sender::to(&proxy, Some(&Pki::shared().netdata())).post(&body);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(
        answer.body, "",
        "the application's own answer, not the proxy's"
    );
}

#[test]
fn who_is_late_is_not_asked_again() {
    let origin = Origin::spawn();
    let proxy = Proxy::spawn(
        Pki::shared(),
        &Proxy::config_of_group(&[&origin], "response_timeout = \"200ms\""),
    );
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    origin.will([Reply::Late(Duration::from_secs(1), String::new())]);
    sender.post(ALERT).refuses(504, "upstream_timeout");
    origin.will([Reply::Raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab".into(),
    )]);
    assert!(
        sender.connect().unwrap().post(ALERT).is_err(),
        "the rest of the answer does not come"
    );
    assert_eq!(origin.received().len(), 2);
}

#[test]
fn a_name_is_resolved() {
    let origin = Origin::spawn();
    let upstream = origin.url.edit("127.0.0.1", "localhost");
    let config = Proxy::config(&origin, "require", "").edit(&origin.url, &upstream);
    let proxy = Proxy::spawn(Pki::shared(), &config);
    assert_eq!(
        Sender::to(&proxy, Some(&Pki::shared().netdata()))
            .post(ALERT)
            .status,
        200
    );
}

#[test]
fn who_leaves_while_the_application_works_is_said_to_have_left_and_keeps_nothing_from_it() {
    let application = Application::listen();
    let origin = Origin::spawn();
    let config = Proxy::config(&origin, "require", "").edit(&origin.url, &application.url);
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    for (round, carrier) in [Carrier::Sized, Carrier::Http2].into_iter().enumerate() {
        let mut stream = Stream::begin(&sender, carrier, "POST", WEBHOOK, &[], ALERT.len() as u64);
        stream.send(ALERT.as_bytes()).unwrap();
        stream.end().unwrap();
        let mut visit = application.accept();
        visit.head();
        assert_eq!(visit.rest().unwrap(), ALERT.as_bytes(), "{carrier:?}");
        stream.leave();
        // Longer than the check for a disconnected client waits.
        std::thread::sleep(Duration::from_millis(200));
        visit.answer("ok");
        let line = proxy.wait_for_logs("outcome=\"sender_gone\" code=\"sender_gone\"", round + 1);
        assert!(
            line.contains(&format!("upstream=\"{}\"", application.url)),
            "{carrier:?}: {line}"
        );
    }
    // A client that stays gets its response, however long it takes.
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| sender.post(ALERT).status);
        let mut visit = application.accept();
        visit.head();
        visit.rest().unwrap();
        std::thread::sleep(Duration::from_millis(200));
        visit.answer("ok");
        assert_eq!(sender.join().unwrap(), 200);
    });
    proxy.wait_for_log("outcome=\"forwarded\"");
}

/// Sends `part` again and again, until the connection is cut.
fn without_end(visit: &ServerConnection, part: &[u8], pause: Duration) {
    use std::io::Write as _;
    let mut socket = visit.socket();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    eventually("the end of the connection", || {
        std::thread::sleep(pause);
        socket.write_all(part).is_err().then_some(())
    });
}

#[test]
fn an_answer_without_end_ends_after_its_sender_has_left() {
    let config = |url: &str, kind: &str| {
        let config = Proxy::config_for(url, "require", "");
        if kind == "proxy" {
            config.edit("challenge_secret", "kind = \"proxy\" #")
        } else {
            config
        }
    };
    let long = vec![b'x'; 64 * 1024];
    let (drop, long) = (
        (&b"x"[..], Duration::from_millis(100)),
        (&long[..], Duration::ZERO),
    );
    std::thread::scope(|scope| {
        for kind in ["webhook", "proxy"] {
            for carrier in Carrier::ALL {
                for (part, pause) in [drop, long] {
                    scope.spawn(move || {
                        let application = Application::listen();
                        let proxy = Proxy::spawn(Pki::shared(), &config(&application.url, kind));
                        let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
                        let headers = ["content-type: application/json"];
                        let mut stream = Stream::begin(
                            &sender,
                            carrier,
                            "POST",
                            WEBHOOK,
                            &headers,
                            ALERT.len() as u64,
                        );
                        stream.send(ALERT.as_bytes()).unwrap();
                        stream.end().unwrap();
                        let mut visit = application.accept();
                        visit.head();
                        visit.rest().unwrap();
                        visit.send("HTTP/1.1 200 OK\r\n\r\n");
                        visit.send(part);
                        assert_eq!(stream.head().unwrap().status, 200);
                        stream.some().unwrap();
                        stream.leave();
                        without_end(&visit, part, pause);
                        proxy.wait_for_log("outcome=\"sender_gone\"");
                    });
                }
            }
        }
    });
}

#[test]
fn an_answer_that_breaks_off_is_warned_of() {
    let origin = Origin::spawn();
    let config = Proxy::config_of_group(
        &[&origin],
        "response_timeout = \"200ms\"\n[admin]\nlisten = \"127.0.0.1:0\"",
    );
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let operator = Operator::of(&proxy);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    for (id, reply, code) in [
        ("cut", Reply::Last(HEAD.into()), "upstream_unreachable"),
        ("stuck", Reply::Raw(HEAD.into()), "upstream_timeout"),
    ] {
        origin.will([reply]);
        let headers = format!("Content-Type: application/json\r\nX-Request-Id: {id}\r\n");
        assert!(
            sender.send("POST", WEBHOOK, &headers, ALERT).is_err(),
            "it must not be taken for the whole"
        );
        let series =
            format!("requests_total{{code=\"{code}\",outcome=\"refused\",route=\"{WEBHOOK}\"}}");
        operator.wait_for(&series, 1.0);
        let line = proxy.wait_for_log(&format!(
            "event=\"notification_not_delivered\" request_id=\"{id}\""
        ));
        for part in [
            "ERROR ",
            "upstream=\"app\"",
            &format!("server=\"{}\"", origin.url),
            "detail=\"The response ",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        proxy.wait_for_log(&format!("code=\"{code}\""));
    }
    let status: serde_json::Value =
        serde_json::from_str(&operator.get("/api/status.json").body).unwrap();
    let events = status["events"].as_array().unwrap();
    let shown: Vec<_> = events
        .iter()
        .map(|event| (&event["result"], &event["reason"]))
        .collect();
    assert!(
        shown
            .iter()
            .all(|(result, reason)| *result == "not delivered" && reason.is_string()),
        "{shown:?}"
    );
    assert_eq!(shown.len(), 2);
}
