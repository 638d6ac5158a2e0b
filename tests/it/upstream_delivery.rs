//! Delivery does not give up early.
//!
//! | fault | the kind it stands for | test |
//! |---|---|---|
//! | with two servers and `kill -9`, 284 of 4,000 notifications got 502 | a connection, fresh or pooled, that breaks before a byte of the answer loses the notification on it | `servers_that_die_under_load_cost_no_notification`, `a_break_before_the_answer_is_made_up_for_once` |
//! | the second attempt met the same dying server | the choice of a server knows nothing of the attempt before | `the_second_attempt_prefers_another_server` |
//! | a 408 for an idle connection was passed to the sender, to which it means nothing | an answer that says "not taken" is taken for the application's | `a_408_on_a_pooled_connection_is_not_for_the_sender` |
//! | with one server whose check fails, 374 of 100/s got 503 for 3.7 s after the application listened again | what a check found is believed for longer than what requests would find | `an_application_that_listens_again_is_used_before_its_next_check`, `an_answer_proves_more_than_a_check` |

use crate::support::{
    Application, Connection, Edit as _, Operator, Origin, Pki, Proxy, Reply, Sender, WEBHOOK,
    eventually, is_event,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

/// No server is checked again while a test runs.
const SELDOM: &str = "health_check = { interval = \"10m\" }";

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Whatever comes over this is not there when it is used again.
const BREAK: Reply = Reply::Last(String::new());

/// A proxy with one thread, and `config` otherwise.
fn scene(pki: &Pki, config: &str) -> (Proxy, Connection) {
    let proxy = Proxy::spawn(pki, &config.edit("threads = 2", "threads = 1"));
    let connection = Sender::to(&proxy, Some(&pki.netdata())).connect().unwrap();
    (proxy, connection)
}

fn health_of(origin: &Origin) -> String {
    format!(
        "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
        origin.url
    )
}

/// How often each notification of `origin` came, by its request id.
fn keys(origin: &Origin) -> Vec<(String, String)> {
    let key = |name: &str, received: &crate::support::Received| received.header(name).to_owned();
    origin
        .received()
        .iter()
        .map(|received| {
            (
                key("X-Request-Id", received),
                key("Idempotency-Key", received),
            )
        })
        .collect()
}

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

/// What each sender's requests came to.
#[derive(Default)]
struct Tally {
    sent: AtomicUsize,
    failures: Mutex<Vec<(String, u16)>>,
    is_over: AtomicBool,
}

impl Tally {
    /// Sends one notification after the other, each with an id of its own, until it is over.
    fn send(&self, sender: &Sender, number: usize, pause: Duration) {
        let mut connection = sender.connect().unwrap();
        while !self.is_over.load(Ordering::SeqCst) {
            let id = format!("load-{number}-{}", self.sent.fetch_add(1, Ordering::SeqCst));
            let body = format!("{{\"alert\":{{\"transition_id\":\"{id}\"}}}}");
            let headers = format!("Content-Type: application/json\r\nX-Request-Id: {id}\r\n");
            let answer = connection.send("POST", WEBHOOK, &headers, &body).unwrap();
            if answer.status != 200 {
                self.failures.lock().unwrap().push((id, answer.status));
            }
            std::thread::sleep(pause);
        }
    }

    fn wait_for_more(&self, more: usize) {
        let target = self.sent.load(Ordering::SeqCst) + more;
        eventually("requests", || {
            (self.sent.load(Ordering::SeqCst) >= target).then_some(())
        });
    }
}

/// Each server in turn is killed and started again, with requests on pooled and on fresh
/// connections.
#[test]
fn servers_that_die_under_load_cost_no_notification() {
    const SENDERS: usize = 8;
    let mut lost = 0;
    for (keepalive, is_killed) in [
        ("", true),
        ("keepalive = 0\n", true),
        ("", false),
        ("keepalive = 0\n", false),
    ] {
        let origins = [Origin::spawn_apart(), Origin::spawn_apart()];
        // Each request is at the application for a while.
        origins
            .iter()
            .for_each(|origin| origin.answers_after(Duration::from_millis(5)));
        let group = format!("{keepalive}health_check = {{ interval = \"50ms\" }}\n{ADMIN}");
        let proxy = Proxy::spawn(
            Pki::shared(),
            &Proxy::config_of_group(&origins.each_ref(), &group),
        );
        let (operator, sender) = (
            Operator::of(&proxy),
            Sender::to(&proxy, Some(&Pki::shared().netdata())),
        );
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for number in 0..SENDERS {
                let (tally, sender) = (&tally, &sender);
                scope.spawn(move || tally.send(sender, number, Duration::ZERO));
            }
            for origin in origins.iter().chain(&origins) {
                tally.wait_for_more(100);
                if is_killed {
                    origin.kill()
                } else {
                    origin.stop()
                }
                operator.wait_for(&health_of(origin), 0.0);
                tally.wait_for_more(100);
                origin.start();
                operator.wait_for(&health_of(origin), 1.0);
            }
            tally.is_over.store(true, Ordering::SeqCst);
        });
        let (sent, failures) = (
            tally.sent.into_inner(),
            tally.failures.into_inner().unwrap(),
        );
        eprintln!(
            "{keepalive:?} killed={is_killed}: {} of {sent} failed",
            failures.len()
        );
        lost += failures.len();
        let mut arrived: Vec<_> = origins.iter().flat_map(keys).map(|(id, _)| id).collect();
        arrived.sort();
        arrived.dedup();
        assert!(
            arrived.len() + failures.len() >= sent,
            "{} of {sent} arrived",
            arrived.len()
        );
    }
    assert_eq!(lost, 0);
}

#[test]
fn an_application_that_listens_again_is_used_before_its_next_check() {
    for check in [
        "interval = \"10m\"",
        "interval = \"10m\", path = \"/healthz\"",
    ] {
        let origin = Origin::spawn_apart();
        origin.stop();
        let config = Proxy::config_of_group(
            &[&origin],
            &format!("health_check = {{ {check} }}\n{ADMIN}"),
        );
        let (proxy, mut connection) = scene(Pki::shared(), &config);
        let operator = Operator::of(&proxy);
        proxy.wait_for_event("upstream_check_failed");
        operator.wait_for(&health_of(&origin), 0.0);
        connection
            .post(ALERT)
            .unwrap()
            .refuses(502, "upstream_unreachable");
        let tally = Tally::default();
        std::thread::scope(|scope| {
            origin.start();
            let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
            for number in 0..4 {
                let (tally, sender) = (&tally, sender.clone());
                scope.spawn(move || tally.send(&sender, number, Duration::from_millis(40)));
            }
            // Long before the next check.
            operator.wait_for(&health_of(&origin), 1.0);
            tally.wait_for_more(50);
            tally.is_over.store(true, Ordering::SeqCst);
        });
        let (sent, failures) = (
            tally.sent.into_inner(),
            tally.failures.into_inner().unwrap(),
        );
        eprintln!("{check}: {} of {sent} failed", failures.len());
        assert!(
            failures.is_empty(),
            "{} of {sent} failed: {failures:?}",
            failures.len()
        );
        assert!(
            proxy
                .wait_for_event("upstream_recovered")
                .contains(&origin.url)
        );
        assert_eq!(operator.get("/readyz").status, 200);
        assert_eq!(
            proxy
                .log()
                .iter()
                .filter(|line| is_event(line, "upstream_recovered"))
                .count(),
            1
        );
    }
}

/// Each of several that fail their checks is tried in its turn, and one that takes a request is
/// used alone from then on.
#[test]
fn where_none_is_healthy_another_is_tried_after_one_that_refuses() {
    let origins = [
        Origin::spawn_apart(),
        Origin::spawn_apart(),
        Origin::spawn_apart(),
    ];
    origins.iter().for_each(Origin::stop);
    let (proxy, mut connection) = scene(
        Pki::shared(),
        &Proxy::config_of_group(&origins.each_ref(), SELDOM),
    );
    proxy.wait_for_events("upstream_check_failed", 3);
    connection
        .post(ALERT)
        .unwrap()
        .refuses(502, "upstream_unreachable");
    origins[1].start();
    for count in 1..=6 {
        assert_eq!(connection.post(ALERT).unwrap().status, 200);
        assert_eq!(origins[1].received().len(), count);
    }
    assert!(
        proxy
            .wait_for_event("upstream_recovered")
            .contains(&origins[1].url)
    );
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "upstream_unhealthy")
                || is_event(line, "upstream_check_failed"))
            .count(),
        3,
        "{:#?}",
        proxy.log()
    );
}

/// As long as requests are not waited for without end: servers that do not even refuse are not
/// tried one after the other.
#[test]
fn where_none_is_healthy_a_request_waits_for_one_that_is_silent_and_no_more() {
    // Nothing answers at TEST-NET-1 (RFC 5737); where a network refuses at once, there is nothing
    // to be seen.
    let servers: Vec<_> = (1..=20)
        .map(|host| format!("\"http://192.0.2.{host}:9\""))
        .collect();
    let origin = Origin::spawn();
    let group = "connect_timeout = \"300ms\"\nhealth_check = { interval = \"1s\" }";
    let config = Proxy::config_of_group(&[&origin], group);
    let config = config.edit(
        &format!("servers = [{:?}]", origin.url),
        &format!("servers = [{}]", servers.join(", ")),
    );
    let (proxy, mut connection) = scene(Pki::shared(), &config);
    proxy.wait_for_events("upstream_check_failed", 20);
    let started = Instant::now();
    let status = connection.post(ALERT).unwrap().status;
    assert!(matches!(status, 502 | 504), "{status}");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

/// A check that fails although requests are taken is said to contradict them once, and not every
/// time.
#[test]
fn an_answer_proves_more_than_a_check() {
    let origin = Origin::spawn();
    origin.answers_checks_with(400);
    let group = format!("health_check = {{ path = \"/healthz\", interval = \"50ms\" }}\n{ADMIN}");
    let (proxy, mut connection) = scene(Pki::shared(), &Proxy::config_of_group(&[&origin], &group));
    let operator = Operator::of(&proxy);
    proxy.wait_for_event("upstream_check_failed");
    // What fails is no proof.
    origin.will([Reply::Raw(
        "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into(),
    )]);
    assert_eq!(
        connection.post(ALERT).unwrap().status,
        500,
        "the application's own answer"
    );
    assert!(
        !proxy
            .log()
            .iter()
            .any(|line| is_event(line, "upstream_recovered"))
    );
    for round in 0..20 {
        assert_eq!(connection.post(ALERT).unwrap().status, 200);
        let checks = origin.checks();
        eventually("another check", || {
            (origin.checks() > checks).then_some(round)
        });
    }
    proxy.wait_for_event("upstream_check_disputed");
    assert_eq!(
        [
            "upstream_recovered",
            "upstream_check_failed",
            "upstream_check_disputed"
        ]
        .map(|event| proxy.events(event).len()),
        [1, 1, 1],
        "{:#?}",
        proxy.log()
    );
    origin.answers_checks_with(200);
    operator.wait_for(&health_of(&origin), 1.0);
    origin.answers_checks_with(500);
    proxy.wait_for_events("upstream_check_failed", 2);
    operator.wait_for(&health_of(&origin), 0.0);
}
