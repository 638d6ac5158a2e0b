//! Servers that refuse are left out, and taken back when a check finds them.

use super::{ALERT, OFTEN, SELDOM, post_all, scene, shares};
use crate::support::{
    Edit as _, Operator, Origin, Pki, Proxy, Reply, WEBHOOK, eventually, is_event,
};
use netdata_webhook_proxy::Config;
use netdata_webhook_proxy::internals::Upstreams;
use std::time::Duration;

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
        line.contains(&gone.url) && line.contains("the server refuses connections"),
        "{line}"
    );
    let lines = ["upstream_unhealthy", "upstream_check_failed"].map(|name| proxy.events(name));
    let counts = lines.map(|lines| lines.len());
    assert_eq!(counts, [1, 0], "it is not tried every time");
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
        eventually("that health", || {
            upstreams.health().eq(expected).then_some(())
        });
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
            &format!("not_delivered_total{{code=\"upstream_unreachable\",route=\"{WEBHOOK}\"}}"),
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
