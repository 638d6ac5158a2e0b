//! The operator: sees what waits and why, and decides what becomes of it, beside a running proxy and
//! without one.

use super::{Scene, alert, drained, receives, transitions};
use crate::support::{Operator, Origin, Pki, Proxy, Reply, Sender, eventually};
use serde_json::Value;
use std::process::{Command, Output};

impl Scene {
    /// Runs `queue` with `arguments`.
    fn queue(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
            .args(["queue", "--config"])
            .arg(&self.proxy.config)
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Does so, and returns what it prints.
    #[track_caller]
    pub(super) fn asks(&self, arguments: &[&str]) -> String {
        let output = self.queue(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The ids of what is listed.
    fn listed(&self, options: &[&str]) -> Vec<i64> {
        let text = self.asks(&[&["list", "--json"], options].concat());
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        list.iter().map(|one| one["id"].as_i64().unwrap()).collect()
    }
}

/// A scene in which the application takes nothing, and this waits.
fn waiting(bodies: &[String]) -> Scene {
    let scene = Scene::new("queue", "");
    scene.origin.stop();
    bodies.iter().for_each(|body| scene.stores(body));
    scene
}

#[test]
fn what_waits_is_listed_and_shown_with_everything_that_is_known() {
    let mut scene = waiting(&[alert("n", "critical"), alert("m", "warning")]);
    scene.proxy.wait_for_event("queue_outage_began");
    for _ in ["beside a running proxy", "without one"] {
        assert_eq!(scene.listed(&[]), [1, 2]);
        assert_eq!(scene.listed(&["--route", "/webhooks/netdata"]), [1, 2]);
        assert!(scene.listed(&["--route", "/other"]).is_empty());
        assert!(scene.listed(&["--parked"]).is_empty());
        let table = scene.asks(&["list"]);
        assert!(
            table.contains("critical, a") && table.contains("2 wait, 0 are parked"),
            "{table}"
        );
        let shown = scene.asks(&["show", "1"]);
        assert!(shown.contains("POST /webhooks/netdata HTTP/1.1"), "{shown}");
        assert!(shown.contains("Idempotency-Key: n-critical"), "{shown}");
        let json: Value = serde_json::from_str(&scene.asks(&["show", "2", "--json"])).unwrap();
        assert_eq!(json["about"]["transition_id"], "m-warning");
        assert_eq!(json["body"], alert("m", "warning"));
        assert_eq!(scene.asks(&["show", "1", "--body"]), alert("n", "critical"));
        let exported = scene.asks(&["export"]);
        let bodies: Vec<Value> = exported
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            bodies.iter().map(|one| &one["body"]).collect::<Vec<_>>(),
            [&alert("n", "critical"), &alert("m", "warning")]
        );
        if scene.proxy.events("draining").is_empty() {
            scene.proxy.signal("TERM");
            scene.proxy.wait();
        }
    }
    let missing = scene.queue(&["show", "7"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn what_is_parked_lets_the_next_pass_and_is_sent_when_it_is_retried() {
    let scene = waiting(&[
        alert("n", "critical"),
        alert("n", "clear"),
        alert("m", "critical"),
    ]);
    assert_eq!(scene.asks(&["park", "1"]), "parked: 1\n");
    assert_eq!(scene.asks(&["drop", "3", "--json"]), "{\"dropped\":1}\n");
    let operator = Operator::of(&scene.proxy);
    let parked =
        "netdata_webhook_proxy_queue_messages{route=\"/webhooks/netdata\",state=\"parked\"} 1";
    eventually("a parked one", || {
        operator.get("/metrics").body.contains(parked).then_some(())
    });
    let status = operator.get("/api/status.json").body;
    assert!(status.contains("queue retry --all"), "{status}");
    scene.origin.start();
    receives(&scene.origin, &["n-clear"]);
    assert_eq!(scene.listed(&["--parked"]), [1]);
    assert_eq!(scene.asks(&["retry", "1"]), "retried: 1\n");
    receives(&scene.origin, &["n-clear", "n-critical"]);
    drained(&operator);
    assert!(scene.asks(&["list"]).contains("Nothing waits"));
    let gone = scene.queue(&["drop", "1", "2"]);
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn without_a_proxy_commands_take_effect_at_the_next_start() {
    let mut scene = waiting(&[
        alert("n", "critical"),
        alert("n", "clear"),
        alert("m", "critical"),
    ]);
    scene.proxy.signal("KILL");
    scene.proxy.wait();
    scene.asks(&["drop", "2"]);
    scene.asks(&["park", "3"]);
    scene.origin.start();
    scene.start();
    receives(&scene.origin, &["n-critical"]);
    scene.asks(&["retry", "--all"]);
    receives(&scene.origin, &["n-critical", "m-critical"]);
}

#[test]
fn a_queue_that_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("queue.db");
    let output = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(["queue", "list", "--file"])
        .arg(&missing)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!missing.exists());
}

#[test]
fn it_stays_ready_where_the_routes_of_an_unhealthy_group_store() {
    for (delivery, status) in [("fallback", 200), ("direct", 503)] {
        let origin = Origin::spawn_apart();
        let directory = tempfile::tempdir().unwrap();
        let group = format!(
            "health_check = {{ interval = \"50ms\" }}\n[queue]\npath = {:?}\n{}",
            directory.path().join("queue.db"),
            super::ADMIN
        );
        let config = Proxy::config_of_group(&[&origin], &group);
        let config = config.replace(
            "path = \"/webhooks/netdata\"",
            &format!("path = \"/webhooks/netdata\"\ndelivery = \"{delivery}\""),
        );
        let proxy = Proxy::spawn(Pki::shared(), &config);
        let operator = Operator::of(&proxy);
        origin.stop();
        proxy.wait_for_event("upstream_check_failed");
        eventually("a finding", || {
            let found = operator.get("/api/status.json").body;
            found.contains("has no healthy server").then_some(())
        });
        assert_eq!(operator.get("/readyz").status, status, "{delivery}");
        if delivery == "fallback" {
            let sender = Sender::to(&proxy, Some(&Pki::shared().netdata()));
            assert_eq!(sender.post(&alert("n", "critical")).status, 202);
            eventually("what waits", || {
                let found = operator.get("/api/status.json").body;
                found
                    .contains("1 notification of /webhooks/netdata wait")
                    .then_some(())
            });
            assert_eq!(operator.get("/readyz").status, 200);
            // A passed check is a reason to try at once.
            origin.start();
            origin.wait_for(1);
        }
    }
}

#[test]
fn a_poison_is_tried_less_and_less_often_and_the_status_page_says_so() {
    let scene = Scene::new("queue", "");
    let refuse = || Reply::Raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into());
    scene.origin.will([refuse(), refuse()]);
    scene.stores(&alert("n", "critical"));
    scene.proxy.wait_for_event("queue_not_taken");
    let list: Vec<Value> = serde_json::from_str(&scene.asks(&["list", "--json"])).unwrap();
    if let Some(one) = list.first() {
        assert_eq!(one["last_error"], "status 500");
    }
    let received = scene.origin.wait_for(3);
    assert_eq!(transitions(&received), ["n-critical"; 3]);
    let attempts: Vec<_> = received
        .iter()
        .map(|it| it.header("X-Netdata-Attempt"))
        .collect();
    assert_eq!(attempts, ["1", "2", "3"]);
}

#[test]
fn what_waits_for_too_long_is_parked_and_can_still_be_sent() {
    let scene = Scene::new("queue", "max_age = \"1s\"");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    let line = scene.proxy.wait_for_event("queue_parked");
    assert!(
        line.contains("too_old") && line.contains("queue retry 1"),
        "{line}"
    );
    let list: Vec<Value> =
        serde_json::from_str(&scene.asks(&["list", "--parked", "--json"])).unwrap();
    assert_eq!(list[0]["parked"], "too_old");
    let text = std::fs::read_to_string(&scene.proxy.config).unwrap();
    scene.proxy.reload(&text.replace("max_age = \"1s\"", ""));
    scene.origin.start();
    scene.asks(&["retry", "--all"]);
    receives(&scene.origin, &["n-critical"]);
}
