//! What each replica shows: the shared queue, which one delivers, and what endangers the database.

use super::Scene;
use super::check::Streaming;
use crate::queue::alert;
use crate::support::{Operator, eventually, postgres};
use serde_json::Value;

/// What the page of a replica shows of the queue.
fn queue_of(operator: &Operator) -> Value {
    let status: Value = serde_json::from_str(&operator.get("/api/status.json").body).unwrap();
    status["queue"].clone()
}

fn operators(scene: &Scene) -> Vec<Operator> {
    let replicas = scene.replicas.iter();
    replicas
        .map(|replica| Operator::of(&replica.proxy))
        .collect()
}

#[test]
fn each_replica_shows_the_shared_queue_and_names_the_one_that_delivers() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    scene.origin.stop();
    for node in ["a", "b", "c"] {
        scene.stores(1, &alert(node, "critical"));
    }
    let first = format!(" {}", scene.replicas[0].proxy.id());
    let holder = scene.sql("select holder || '|' || term from netdata_webhook_proxy.deliverer");
    for operator in operators(&scene) {
        let queue = eventually("the whole queue", || {
            let queue = queue_of(&operator);
            let is_whole = queue["routes"][0]["waiting"] == 3 && queue["deliverer"].is_object();
            is_whole.then_some(queue)
        });
        let deliverer = &queue["deliverer"];
        let name = deliverer["name"].as_str().unwrap();
        assert!(name.ends_with(&first), "{queue}");
        assert_eq!(format!("{name}|{}", deliverer["term"]), holder);
        assert!(deliverer["since"].as_str().unwrap().starts_with("20"));
        assert_eq!(queue["shared"], true);
        assert!(queue["routes"][0]["oldest"].is_string(), "{queue}");
        operator.wait_for(
            "queue_messages{route=\"/webhooks/netdata\",state=\"waiting\"}",
            3.0,
        );
        let metrics = operator.metrics();
        assert!(metrics["queue_oldest_timestamp_seconds{route=\"/webhooks/netdata\"}"] > 1e9);
        eventually("the size", || {
            (operator.metrics()["queue_bytes"] > 600.0).then_some(())
        });
        for hazard in ["vacuum_held", "standby_away", "no_deliverer"] {
            assert_eq!(
                metrics[&*format!("queue_hazard{{hazard=\"{hazard}\"}}")],
                0.0
            );
        }
        let page = operator.get("/").body;
        assert!(page.contains(&format!("{name} delivers since")), "{page}");
    }
}

#[test]
fn a_replica_with_other_routes_says_so() {
    let Some(scene) = Scene::new("queue") else {
        return;
    };
    let other = scene.config.replace("/webhooks/netdata", "/webhooks/other");
    let other = super::Replica::start(&other);
    let operator = Operator::of(&other.proxy);
    operator.wait_for("queue_hazard{hazard=\"other_configuration\"}", 1.0);
    let findings = operator.get("/api/status.json").body;
    assert!(
        findings.contains("has other routes than this process"),
        "{findings}"
    );
    let same = &operators(&scene)[1];
    assert_eq!(
        same.metrics()["queue_hazard{hazard=\"other_configuration\"}"],
        0.0
    );
}

#[test]
fn commits_that_wait_for_a_standby_are_found_by_each_replica() {
    let Some(server) = postgres::Server::start() else {
        return;
    };
    let scene = Scene::at(&server.create_database("UTF8"), "queue");
    let set = |command: &str| {
        scene.sql(command);
        scene.sql("select pg_reload_conf()");
    };
    set("alter system set synchronous_standby_names = 'gone'");
    let waiting = scene.replicas[1].sender.post(&alert("n", "critical"));
    assert_eq!(waiting.status, 503, "{waiting:?}");
    for operator in operators(&scene) {
        operator.wait_for("queue_hazard{hazard=\"standby_away\"}", 1.0);
        let findings = operator.get("/api/status.json").body;
        assert!(findings.contains("waited for a standby"), "{findings}");
    }
    set("alter system reset synchronous_standby_names");
    for operator in operators(&scene) {
        operator.wait_for("queue_hazard{hazard=\"standby_away\"}", 0.0);
    }
}

#[test]
fn a_standby_that_is_asynchronous_is_found() {
    let Some(server) = postgres::Server::start() else {
        return;
    };
    let scene = Scene::at(&server.create_database("UTF8"), "queue");
    let _standby = Streaming::of(&server, "standby");
    let operator = &operators(&scene)[1];
    operator.wait_for("queue_hazard{hazard=\"asynchronous_standby\"}", 1.0);
    let findings = operator.get("/api/status.json").body;
    assert!(findings.contains("synchronous_standby_names"), "{findings}");
}
