//! What breaks on the way is sent again, where it may be.

use super::{ALERT, BREAK, SELDOM, keys, scene};
use crate::support::{Application, Edit as _, Origin, Pki, Proxy, Reply, WEBHOOK};
use std::sync::Mutex;
use std::time::Duration;

#[test]
fn a_break_before_the_answer_is_made_up_for_once() {
    let (pki, theirs) = (Pki::new(), Pki::of("Their Root CA"));
    pki.write(
        "upstream-ca.pem",
        &std::fs::read_to_string(theirs.path().join("ca.pem")).unwrap(),
    );
    let tls = Origin::spawn_tls(Pki::server_config(
        &theirs.server("app.internal", |_| {}),
        None,
    ));
    let socket = Origin::spawn_on_socket(&pki.path().join("app.sock"));
    let plain = Origin::spawn();
    let of_group = |origin: &Origin, more: &str| {
        Proxy::config_of_group(&[origin], &format!("{SELDOM}\n{more}"))
    };
    for (origin, config) in [
        (&plain, Proxy::config(&plain, "require", "")),
        (&plain, of_group(&plain, "")),
        (&socket, of_group(&socket, "")),
        (
            &tls,
            of_group(
                &tls,
                "ca = \"upstream-ca.pem\"\nserver_name = \"app.internal\"",
            ),
        ),
    ] {
        let (_proxy, mut connection) = scene(&pki, &config);
        for is_pooled in [false, true] {
            if is_pooled {
                assert_eq!(connection.post(ALERT).unwrap().status, 200);
            }
            let before = origin.received().len();
            origin.will([BREAK, Reply::ok("again")]);
            let answer = connection.post(ALERT).unwrap();
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (200, "again"),
                "{} {is_pooled}",
                origin.url
            );
            let arrived = keys(origin).split_off(before);
            assert_eq!(arrived.len(), 2, "{arrived:?}");
            assert_eq!(arrived[0], arrived[1], "it is the same notification");
            // Once, and no more.
            origin.will([BREAK, BREAK]);
            connection
                .post(ALERT)
                .unwrap()
                .refuses(502, "upstream_unreachable");
            assert_eq!(
                origin.received().len(),
                before + 4,
                "{} {is_pooled}",
                origin.url
            );
        }
    }
}

/// Of a connection that ends with a reset, reading fails; of one that is reset with much still to
/// be sent, writing does.
#[test]
fn a_reset_is_a_break_wherever_it_is_noticed() {
    let application = Application::listen();
    let (_proxy, connection) = scene(
        Pki::shared(),
        &Proxy::config_for(&application.url, "require", "max_body = \"16MiB\""),
    );
    let connection = Mutex::new(connection);
    let long = format!("{{\"alert\":\"{}\"}}", "x".repeat(8 << 20));
    for (body, is_read) in [(ALERT, true), (ALERT, false), (&long, false)] {
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| connection.lock().unwrap().post(body).unwrap());
            let mut visit = application.accept();
            if is_read {
                visit.head();
                visit.rest().unwrap();
            }
            visit.reset();
            let mut again = application.accept();
            again.head();
            assert!(again.rest().unwrap() == body.as_bytes());
            // Not to be used for the next round.
            again.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            assert_eq!(answer.join().unwrap().body, "ok");
        });
    }
}

#[test]
fn what_may_have_been_acted_on_is_not_repeated() {
    let origin = Origin::spawn();
    let (_proxy, mut connection) = scene(
        Pki::shared(),
        &Proxy::config_of_group(&[&origin], "response_timeout = \"300ms\""),
    );
    for (count, (reply, status)) in [
        (Reply::Last("H".into()), 502),
        (Reply::Last("HTTP/1.1 200 OK\r\nContent-Le".into()), 502),
        (Reply::Last("nonsense\r\n\r\n".into()), 502),
        (Reply::Late(Duration::from_secs(1), String::new()), 504),
    ]
    .into_iter()
    .enumerate()
    {
        origin.will([reply]);
        assert_eq!(connection.post(ALERT).unwrap().status, status);
        assert_eq!(origin.received().len(), count + 1);
    }
}

#[test]
fn the_second_attempt_prefers_another_server() {
    let origins = [Origin::spawn(), Origin::spawn(), Origin::spawn()];
    for balance in ["round_robin", "random"] {
        let group = format!("balance = \"{balance}\"\n{SELDOM}\nkeepalive = 0");
        let (_proxy, mut connection) = scene(
            Pki::shared(),
            &Proxy::config_of_group(&origins.each_ref(), &group),
        );
        for _ in 0..12 {
            let before = origins.each_ref().map(|origin| origin.received().len());
            // Which of them gets it first is not known: none of those that get it at all has
            // another answer first.
            origins.iter().for_each(|origin| origin.will([BREAK]));
            let status = connection.post(ALERT).unwrap().status;
            let after = origins.each_ref().map(|origin| origin.received().len());
            let came: Vec<_> = after
                .iter()
                .zip(before)
                .map(|(after, before)| after - before)
                .collect();
            assert_eq!(
                (status, came.iter().sum::<usize>(), came.iter().max()),
                (502, 2, Some(&1)),
                "{came:?}"
            );
            origins.iter().for_each(Origin::forget_replies);
        }
    }
}

#[test]
fn a_408_on_a_pooled_connection_is_not_for_the_sender() {
    const IDLE: &str =
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let origin = Origin::spawn();
    let (_proxy, mut connection) = scene(Pki::shared(), &Proxy::config(&origin, "require", ""));
    for reply in [IDLE.to_owned(), IDLE.replace("Connection: close\r\n", "")] {
        // Closed afterwards, or not used again.
        origin.will([Reply::ok("first"), Reply::Last(reply), Reply::ok("again")]);
        assert_eq!(connection.post(ALERT).unwrap().body, "first");
        let before = origin.received().len();
        assert_eq!(connection.post(ALERT).unwrap().body, "again");
        let arrived = keys(&origin).split_off(before);
        assert_eq!(arrived.len(), 2);
        assert_eq!(arrived[0], arrived[1]);
    }
    // On the second attempt, and on a fresh connection in general, it is an answer like any other.
    origin.will([Reply::Last(IDLE.into()), Reply::Last(IDLE.into())]);
    assert_eq!(connection.post(ALERT).unwrap().status, 408);
    let before = origin.received().len();
    origin.will([Reply::Last(IDLE.into())]);
    assert_eq!(connection.post(ALERT).unwrap().status, 408);
    assert_eq!(origin.received().len(), before + 1);
}

#[test]
fn on_proxy_routes_a_408_is_repeated_where_the_request_may_be() {
    const IDLE: &str =
        "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let origin = Origin::spawn();
    let config =
        Proxy::config(&origin, "require", "").edit("challenge_secret", "kind = \"proxy\" #");
    let (_proxy, mut connection) = scene(Pki::shared(), &config);
    for (method, body, status) in [
        ("GET", "", 200),
        ("PUT", "", 200),
        ("PUT", "x", 408),
        ("POST", "", 408),
        ("POST", "x", 408),
    ] {
        origin.will([Reply::ok("first"), Reply::Last(IDLE.into())]);
        assert_eq!(
            connection.send("GET", WEBHOOK, "", "").unwrap().body,
            "first"
        );
        assert_eq!(
            connection.send(method, WEBHOOK, "", body).unwrap().status,
            status,
            "{method} {body:?}"
        );
    }
    // As before, nothing that went over a fresh connection is repeated there.
    origin.will([Reply::Stale]);
    assert_eq!(connection.send("GET", WEBHOOK, "", "").unwrap().status, 200);
    let before = origin.received().len();
    origin.will([BREAK]);
    connection
        .send("GET", WEBHOOK, "Connection: close\r\n", "")
        .unwrap()
        .refuses(502, "upstream_unreachable");
    assert_eq!(origin.received().len(), before + 1);
}
