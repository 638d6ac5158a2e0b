//! An operator retries, parks and drops; a running proxy notices, and another does at its start.

use super::{Scene, err};
use crate::queue::{alert, drained, receives};
use crate::support::{Operator, eventually};
use serde_json::{Value, json};

fn three() -> [String; 3] {
    [
        alert("n", "critical"),
        alert("n", "clear"),
        alert("m", "critical"),
    ]
}

#[test]
fn what_is_parked_lets_the_next_pass_and_is_sent_when_it_is_retried() {
    let scene = Scene::waiting(&three());
    assert_eq!(scene.asks(&["park", "1"]), "parked 1, alert, critical: a\n");
    let dropped = scene.asks(&["drop", "3", "--json"]);
    let expected = json!({ "dropped": [3], "missing": [] });
    assert_eq!(serde_json::from_str::<Value>(&dropped).unwrap(), expected);
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
    assert_eq!(scene.ids(&["--parked"]), [1]);
    assert_eq!(
        scene.asks(&["retry", "1"]),
        "retried 1, alert, critical: a\n"
    );
    receives(&scene.origin, &["n-clear", "n-critical"]);
    drained(&operator);
    assert!(scene.asks(&["list"]).contains("Nothing waits"));
}

#[test]
fn all_that_is_parked_is_sent_again_or_that_of_one_route() {
    let scene = Scene::waiting(&three());
    scene.asks(&["park", "1", "2", "3"]);
    scene.origin.start();
    assert_eq!(
        scene.asks(&["retry", "--all", "--route", "/b"]),
        "retried: 0\n"
    );
    assert_eq!(scene.ids(&["--parked"]), [1, 2, 3]);
    let retried = scene.asks(&["retry", "--all", "--json"]);
    assert_eq!(retried, "{\"count\":3}\n");
    scene.origin.wait_for(3);
    drained(&Operator::of(&scene.proxy));
}

#[test]
fn what_waits_for_the_application_is_sent_at_once() {
    let scene = Scene::new("queue", "");
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n";
    scene.origin.will([crate::support::Reply::Raw(busy.into())]);
    scene.stores(&alert("n", "critical"));
    scene.proxy.wait_for_event("queue_outage_began");
    eventually("the error of the attempt", || {
        let listed = scene.listed(&[]);
        (listed[0]["last_error"] == "status 503").then_some(())
    });
    let table = scene.asks(&["list"]);
    assert!(
        table.contains(" in 4 min ") || table.contains(" in 5 min "),
        "{table}"
    );
    scene.asks(&["retry", "1"]);
    receives(&scene.origin, &["n-critical", "n-critical"]);
}

#[test]
fn without_a_proxy_commands_take_effect_at_the_next_start() {
    let mut scene = Scene::waiting(&three());
    scene.proxy.signal("KILL");
    scene.proxy.wait();
    scene.asks(&["drop", "2"]);
    scene.asks(&["park", "3"]);
    scene.origin.start();
    scene.start();
    receives(&scene.origin, &["n-critical"]);
    scene.end();
    let retried = scene.queue(&["retry", "--all"]).output().unwrap();
    assert!(retried.status.success());
    assert!(
        err(&retried).contains("once it starts"),
        "{}",
        err(&retried)
    );
    scene.start();
    receives(&scene.origin, &["n-critical", "m-critical"]);
}

#[test]
fn what_is_not_there_is_named_and_the_rest_is_changed() {
    let scene = Scene::waiting(&three());
    let output = scene.queue(&["park", "2", "9", "2", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(out.lines().count(), 2, "{out}");
    assert_eq!(
        err(&output).matches("error: 9 is not in the queue").count(),
        1
    );
    let again = scene.queue(&["park", "1"]).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(
        err(&again).contains("1 is parked already"),
        "{}",
        err(&again)
    );
    let dropped = scene.queue(&["drop", "9", "--json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&dropped.stdout).unwrap();
    assert_eq!(found, json!({ "dropped": [], "missing": [9] }));
    assert_eq!(scene.ids(&[]), [1, 2, 3]);
}
