//! Delivery while no server is healthy, and what an answer says of health.

use super::{ADMIN, ALERT, SELDOM, Tally, health_of, scene};
use crate::support::{
    Edit as _, Operator, Origin, Pki, Proxy, Reply, Sender, eventually, is_event,
};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::Duration;

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
    let lines = ["upstream_unhealthy", "upstream_check_failed"].map(|name| proxy.events(name));
    assert_eq!(lines.each_ref().map(Vec::len), [0, 3], "{lines:#?}");
}

/// As long as requests are not waited for without end: servers that do not even refuse are not
/// tried one after the other.
#[test]
fn where_none_is_healthy_a_request_waits_for_one_that_is_silent_and_no_more() {
    // Connections to these are established by the system, and no handshake is ever answered.
    let silent: Vec<_> = (0..20)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let servers: Vec<_> = silent
        .iter()
        .map(|server| format!("\"https://{}\"", server.local_addr().unwrap()))
        .collect();
    let origin = Origin::spawn();
    let check = "health_check = { path = \"/healthz\", interval = \"10m\" }";
    let group = format!("connect_timeout = \"300ms\"\nretry_for = \"0s\"\n{check}");
    let config = Proxy::config_of_group(&[&origin], &group);
    let config = config.edit(
        &format!("servers = [{:?}]", origin.url),
        &format!("servers = [{}]", servers.join(", ")),
    );
    let (proxy, mut connection) = scene(Pki::shared(), &config);
    proxy.wait_for_events("upstream_check_failed", 20);
    let connections = || silent.iter().map(accepted).sum::<usize>();
    assert_eq!(connections(), 20, "the checks");
    connection
        .post(ALERT)
        .unwrap()
        .refuses(504, "upstream_timeout");
    assert_eq!(connections(), 1);
}

/// Accepts the connections that were made to `server`, and counts them.
fn accepted(server: &TcpListener) -> usize {
    server.set_nonblocking(true).unwrap();
    std::iter::from_fn(|| server.accept().ok()).count()
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
