//! Groups of servers: balanced, checked, left out and taken back.

use crate::support::{
    Connection, Edit as _, Operator, Origin, PATIENCE, Pki, Proxy, Reply, Sender, WEBHOOK,
    eventually, is_event,
};
use netdata_webhook_proxy::Config;
use netdata_webhook_proxy::internals::Upstreams;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

/// No server is checked again while a test runs.
const SELDOM: &str = "health_check = { interval = \"10m\" }";

/// Every server is checked all the time.
const OFTEN: &str = "health_check = { interval = \"50ms\" }";

/// A proxy with one thread, in front of a group of `origins`.
fn scene(origins: &[&Origin], group: &str) -> (Proxy, Connection) {
    let config = Proxy::config_of_group(origins, group).edit("threads = 2", "threads = 1");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let connection = Sender::to(&proxy, Some(&Pki::shared().netdata()))
        .connect()
        .unwrap();
    (proxy, connection)
}

fn post_all(connection: &mut Connection, count: usize) {
    for _ in 0..count {
        let answer = connection.post(ALERT).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// How many requests each received.
fn shares(origins: &[&Origin]) -> Vec<usize> {
    origins
        .iter()
        .map(|origin| origin.received().len())
        .collect()
}

#[test]
fn servers_take_turns() {
    let origins = [Origin::spawn(), Origin::spawn(), Origin::spawn()];
    let origins = origins.each_ref();
    let (_proxy, mut connection) = scene(&origins, SELDOM);
    post_all(&mut connection, 12);
    assert_eq!(shares(&origins), [4, 4, 4]);
}

#[test]
fn random_reaches_every_server() {
    let origins = [Origin::spawn(), Origin::spawn()];
    let origins = origins.each_ref();
    let (_proxy, mut connection) = scene(&origins, &format!("balance = \"random\"\n{SELDOM}"));
    post_all(&mut connection, 60);
    let shares = shares(&origins);
    assert!(
        shares.iter().sum::<usize>() == 60 && shares.iter().all(|share| *share > 0),
        "{shares:?}"
    );
}

#[test]
fn the_log_names_the_group_and_who_answered() {
    let origin = Origin::spawn();
    let (proxy, mut connection) = scene(&[&origin], SELDOM);
    post_all(&mut connection, 1);
    let line = proxy.wait_for_log("upstream_ms");
    assert!(
        line.contains("upstream=\"app\"") && line.contains(&format!("server=\"{}\"", origin.url)),
        "{line}"
    );
}

#[test]
fn who_refuses_is_left_out_and_the_request_goes_to_another() {
    let (gone, origin) = (Origin::spawn_apart(), Origin::spawn());
    let (proxy, mut connection) = scene(&[&gone, &origin], SELDOM);
    post_all(&mut connection, 4);
    gone.stop();
    post_all(&mut connection, 20);
    assert_eq!(shares(&[&gone, &origin]), [2, 22]);
    let line = proxy.wait_for_event("upstream_unhealthy");
    assert!(
        line.contains(&gone.url) && line.contains("Connection refused"),
        "{line}"
    );
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "upstream_unhealthy")
                || is_event(line, "upstream_check_failed"))
            .count(),
        1,
        "it is not tried every time"
    );
}

#[test]
fn what_was_on_a_dead_pooled_connection_reaches_another_server_with_the_same_key() {
    let (gone, origin) = (Origin::spawn_apart(), Origin::spawn());
    let (_proxy, mut connection) = scene(&[&gone, &origin], SELDOM);
    gone.will([
        Reply::ok("first"),
        Reply::Late(Duration::from_secs(2), String::new()),
    ]);
    post_all(&mut connection, 2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It has taken a request from a pooled connection, and answers no more.
            gone.wait_for(2);
            gone.stop();
        });
        post_all(&mut connection, 2);
    });
    let (taken, arrived) = (gone.received().remove(1), origin.received());
    let again = arrived
        .iter()
        .find(|request| request.header("X-Request-Id") == taken.header("X-Request-Id"))
        .unwrap();
    assert_eq!(
        again.header("Idempotency-Key"),
        taken.header("Idempotency-Key")
    );
}

#[test]
fn who_comes_back_is_found_by_a_check() {
    let (gone, origin) = (Origin::spawn_apart(), Origin::spawn());
    let (proxy, mut connection) = scene(&[&gone, &origin], OFTEN);
    gone.stop();
    proxy.wait_for_event("upstream_check_failed");
    post_all(&mut connection, 4);
    assert_eq!(shares(&[&gone, &origin]), [0, 4]);
    gone.start();
    assert!(
        proxy
            .wait_for_event("upstream_recovered")
            .contains(&gone.url)
    );
    post_all(&mut connection, 4);
    assert_eq!(shares(&[&gone, &origin]), [2, 6]);
}

#[test]
fn where_none_is_healthy_requests_are_refused_at_once_by_what_refuses() {
    let origins = [Origin::spawn_apart(), Origin::spawn_apart()];
    let (proxy, mut connection) = scene(&origins.each_ref(), OFTEN);
    origins.iter().for_each(Origin::stop);
    proxy.wait_for_events("upstream_check_failed", 2);
    connection
        .post(ALERT)
        .unwrap()
        .refuses(502, "upstream_unreachable");
    assert!(
        proxy
            .wait_for_log("upstream_unreachable")
            .contains("status=502")
    );
    origins[1].start();
    proxy.wait_for_event("upstream_recovered");
    post_all(&mut connection, 3);
    assert_eq!(shares(&origins.each_ref()), [0, 3]);
}

#[test]
fn who_is_not_there_yet_and_was_never_checked_is_unreachable() {
    let origin = Origin::spawn_apart();
    let (proxy, mut connection) = scene(&[&origin], SELDOM);
    origin.stop();
    // The one server there is may have been unlucky, so that each request tries it again.
    connection
        .post(ALERT)
        .unwrap()
        .refuses(502, "upstream_unreachable");
    connection
        .post(ALERT)
        .unwrap()
        .refuses(502, "upstream_unreachable");
    origin.start();
    post_all(&mut connection, 1);
    proxy.wait_for_event("upstream_recovered");
}

#[test]
fn a_path_is_asked_for_and_its_status_decides() {
    let (origin, other) = (Origin::spawn(), Origin::spawn());
    other.answers_checks_with(204);
    let (proxy, mut connection) = scene(
        &[&origin, &other],
        "health_check = { path = \"/healthz\", interval = \"50ms\" }",
    );
    for (round, status) in [500, 404].into_iter().enumerate() {
        origin.answers_checks_with(status);
        let line = proxy.wait_for_events("upstream_check_failed", round + 1);
        assert!(
            line.contains(&format!("/healthz returned status {status}")),
            "{line}"
        );
        let before = shares(&[&origin, &other]);
        post_all(&mut connection, 4);
        assert_eq!(
            shares(&[&origin, &other]),
            [before[0], before[1] + 4],
            "{status}"
        );
        origin.answers_checks_with(302);
        proxy.wait_for_events("upstream_recovered", round + 1);
        post_all(&mut connection, 4);
        assert_eq!(
            shares(&[&origin, &other]),
            [before[0] + 2, before[1] + 6],
            "{status}"
        );
    }
    assert!(
        origin.checks() > 2 && other.checks() > 2,
        "{} {}",
        origin.checks(),
        other.checks()
    );
}

#[test]
fn without_a_path_a_check_only_connects() {
    let origin = Origin::spawn();
    let (_proxy, _connection) = scene(&[&origin], OFTEN);
    eventually("a few checks", || (origin.connections() > 3).then_some(()));
    assert_eq!(origin.checks(), 0);
    origin.received_nothing();
}

#[test]
fn a_check_that_hangs_has_failed() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = Origin::spawn();
    let config = Proxy::config_of_group(
        &[&origin],
        "health_check = { path = \"/healthz\", interval = \"50ms\" }",
    );
    let config = config.edit(
        "servers = [",
        &format!("servers = [\"http://{}\", ", silent.local_addr().unwrap()),
    );
    let proxy = Proxy::spawn(Pki::shared(), &config);
    assert!(
        proxy
            .wait_for_event("upstream_check_failed")
            .contains("no response within 1s")
    );
}

#[test]
fn sockets_are_servers_like_others() {
    let pki = Pki::shared();
    let (first, second) = (
        pki.path().join("first.sock"),
        pki.path().join("second.sock"),
    );
    let origins = [
        Origin::spawn_on_socket(&first),
        Origin::spawn_on_socket(&second),
    ];
    let origins = origins.each_ref();
    let (_proxy, mut connection) = scene(
        &origins,
        "health_check = { path = \"/healthz\", interval = \"50ms\" }",
    );
    eventually("checks", || {
        origins
            .iter()
            .all(|origin| origin.checks() > 1)
            .then_some(())
    });
    post_all(&mut connection, 4);
    assert_eq!(shares(&origins), [2, 2]);
}

#[test]
fn a_name_is_one_server_for_each_of_its_addresses() {
    let origin = Origin::spawn();
    let config =
        Proxy::config_of_group(&[&origin], SELDOM).edit("http://127.0.0.1", "http://localhost");
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(
        proxy
            .wait_for_log("upstream_ms")
            .contains("server=\"http://localhost:")
    );
}

#[test]
fn a_name_that_cannot_be_resolved_does_not_keep_the_others_from_serving() {
    let origin = Origin::spawn();
    let config = Proxy::config_of_group(&[&origin], SELDOM);
    let config = config.edit(
        "servers = [",
        "servers = [\"http://does-not-exist.invalid:3000\", ",
    );
    let proxy = Proxy::spawn(Pki::shared(), &config);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    assert_eq!(sender.post(ALERT).status, 200);
    assert!(
        proxy
            .wait_for_event("name_resolution_failed")
            .contains("does-not-exist.invalid")
    );
    let alone = Proxy::config_of_group(&[&origin], SELDOM)
        .edit(&origin.url, "http://does-not-exist.invalid:3000");
    let proxy = Proxy::spawn(Pki::shared(), &alone);
    let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
    // What cannot be tried at all is the one thing that is unavailable.
    sender.post(ALERT).refuses(503, "upstream_unavailable");
}

#[test]
fn keepalive_is_how_many_connections_are_kept() {
    for (keepalive, connections) in [("keepalive = 0", 6), ("keepalive = 1", 2), ("", 2)] {
        let origin = Origin::spawn();
        let (_proxy, mut connection) = scene(&[&origin], &format!("{keepalive}\n{SELDOM}"));
        let checked = eventually("the first check", || {
            Some(origin.connections()).filter(|count| *count > 0)
        });
        post_all(&mut connection, 5);
        assert_eq!(
            (checked, origin.connections()),
            (1, connections),
            "{keepalive:?}"
        );
    }
    // Two at once, of which one connection is kept.
    let origin = Origin::spawn();
    let (proxy, mut connection) = scene(&[&origin], &format!("keepalive = 1\n{SELDOM}"));
    eventually("the first check", || {
        (origin.connections() == 1).then_some(())
    });
    let late = || {
        Reply::Late(
            Duration::from_millis(300),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(),
        )
    };
    for expected in [3, 4] {
        origin.will([late(), late()]);
        let before = origin.received().len();
        std::thread::scope(|scope| {
            scope.spawn(|| Sender::to(&proxy, Some(&Pki::shared().netdata())).post(ALERT));
            origin.wait_for(before + 1);
            post_all(&mut connection, 1);
        });
        assert_eq!(origin.connections(), expected);
    }
}

#[test]
fn a_reload_keeps_what_is_known_of_servers_that_stay() {
    let (gone, origin, third) = (Origin::spawn_apart(), Origin::spawn(), Origin::spawn());
    let (proxy, mut connection) = scene(&[&gone, &origin], SELDOM);
    gone.stop();
    post_all(&mut connection, 2);
    proxy.wait_for_event("upstream_unhealthy");
    let connected = origin.connections();
    let config = |origins: &[&Origin], group: &str| {
        Proxy::config_of_group(origins, group).edit("threads = 2", "threads = 1")
    };
    proxy.reload(&config(&[&gone, &origin, &third], SELDOM));
    post_all(&mut connection, 6);
    assert_eq!(shares(&[&gone, &third])[0], 0);
    assert!(shares(&[&third])[0] >= 2);
    assert_eq!(
        proxy
            .log()
            .iter()
            .filter(|line| is_event(line, "upstream_unhealthy"))
            .count(),
        1
    );
    // The checks of the group that was replaced have ended, and those of the new one begun; the
    // connection was kept.
    eventually("a check after the reload", || {
        (origin.connections() == connected + 1).then_some(())
    });
    proxy.reload(&config(&[&third], SELDOM));
    let before = shares(&[&origin, &third]);
    post_all(&mut connection, 3);
    assert_eq!(shares(&[&origin, &third]), [before[0], before[1] + 3]);
    // A group that is no more is not checked any more.
    proxy.reload(&config(&[&third], OFTEN));
    let (left, checked) = (origin.connections(), third.connections());
    eventually("a few checks", || {
        (third.connections() > checked + 5).then_some(())
    });
    assert_eq!(origin.connections(), left);
}

#[test]
fn health_can_be_read() {
    let origins = [Origin::spawn_apart(), Origin::spawn()];
    let config = Proxy::config_of_group(
        &origins.each_ref(),
        "health_check = { path = \"/healthz\", interval = \"50ms\" }",
    );
    let pki = Pki::new();
    pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let config = Config::from_toml(&config, pki.path()).unwrap().config;
    let upstreams = Upstreams::new(&config, &Upstreams::default());
    let wait_for = |first: bool, second: bool| {
        let expected = [
            ("app", origins[0].url.as_str(), first),
            ("app", origins[1].url.as_str(), second),
        ];
        let deadline = Instant::now() + PATIENCE;
        while upstreams.health().collect::<Vec<_>>() != expected {
            assert!(
                Instant::now() < deadline,
                "{:?}",
                upstreams.health().collect::<Vec<_>>()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let watched = &upstreams;
        let watching = scope.spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = watched.watch() => {}
                    _ = ended => {}
                }
            });
        });
        wait_for(true, true);
        origins[0].stop();
        wait_for(false, true);
        origins[1].answers_checks_with(503);
        wait_for(false, false);
        origins[0].start();
        wait_for(true, false);
        end.send(()).unwrap();
        watching.join().unwrap();
    });
}

/// A series of `upstream_healthy`.
fn health_of(origin: &Origin) -> String {
    format!(
        "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
        origin.url
    )
}

#[test]
fn the_operator_sees_how_servers_are() {
    let origins = [
        Origin::spawn_apart(),
        Origin::spawn_apart(),
        Origin::spawn(),
    ];
    let [first, second, third] = origins.each_ref();
    let admin = format!("{OFTEN}\n[admin]\nlisten = \"127.0.0.1:0\"\n");
    let (proxy, mut connection) = scene(&[first, second], &admin);
    let operator = Operator::of(&proxy);
    let status = || {
        serde_json::from_str::<serde_json::Value>(&operator.get("/api/status.json").body).unwrap()
    };
    for origin in [first, second] {
        operator.wait_for(&health_of(origin), 1.0);
    }
    assert_eq!(operator.get("/readyz").status, 200);
    first.stop();
    operator.wait_for(&health_of(first), 0.0);
    assert_eq!(operator.metrics()[&health_of(second)], 1.0);
    assert_eq!(
        operator.get("/readyz").status,
        200,
        "the other one does for both"
    );
    assert!(operator.get("/").body.contains("left out"));
    let shown = status();
    let servers = shown["upstreams"][0]["servers"].as_array().unwrap();
    let left_out = servers
        .iter()
        .find(|server| server["server"] == first.url.as_str())
        .unwrap();
    assert_eq!(
        (&shown["upstreams"][0]["name"], &left_out["healthy"]),
        (&"app".into(), &false.into())
    );
    assert!(
        shown["findings"]
            .to_string()
            .contains("does without 1 of its 2 servers"),
        "{shown}"
    );
    second.stop();
    operator.wait_for(&health_of(second), 0.0);
    let ready = operator.get("/readyz");
    assert!(
        ready.status == 503 && ready.body.contains("app has no healthy server"),
        "{ready:?}"
    );
    operator.moves(
        "none is healthy",
        || connection.post(ALERT).unwrap().refuses(502, "upstream_unreachable"),
        &[
            &format!("requests_total{{code=\"upstream_unreachable\",outcome=\"refused\",route=\"{WEBHOOK}\"}}"),
            &format!("request_duration_seconds_count{{route=\"{WEBHOOK}\"}}"),
            "upstream_duration_seconds_count{upstream=\"app\"}",
            // The connection is made with the first request on it.
            "handshakes_total{outcome=\"ok\",reason=\"\"}",
            &format!("notifications_total{{kind=\"alert\",route=\"{WEBHOOK}\",severity=\"\",shape=\"nested\"}}"),
        ],
    );
    second.start();
    operator.wait_for(&health_of(second), 1.0);
    assert_eq!(operator.get("/readyz").status, 200);
    // A server that leaves the group has no metrics any more.
    let config =
        Proxy::config_of_group(&[second, third], &admin).edit("threads = 2", "threads = 1");
    proxy.reload(&config);
    operator.wait_for(&health_of(third), 1.0);
    assert!(!operator.metrics().contains_key(&health_of(first)));
}
