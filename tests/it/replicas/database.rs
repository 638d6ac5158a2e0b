//! The database is away: nothing is acknowledged that is not stored.

use super::{Scene, Server};
use crate::queue::alert;
use crate::support::{Operator, eventually};

#[test]
fn a_queue_without_its_database_refuses_and_goes_on_by_itself() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let scene = Scene::at(&server.create_database("UTF8"), "queue");
    server.kill();
    for replica in &scene.replicas {
        let answer = replica.sender.post(&alert("n", "critical"));
        assert_eq!(
            (answer.status, &*answer.code()),
            (503, "queue_failed"),
            "{answer:?}"
        );
        assert!(answer.header("retry-after").is_some());
        replica.proxy.wait_for_event("queue_unwritable");
        // Another replica could not store either.
        let operator = Operator::of(&replica.proxy);
        assert_eq!(operator.get("/readyz").status, 200);
        let status = operator.get("/api/status.json").body;
        assert!(status.contains("The queue cannot be written"), "{status}");
    }
    server.run();
    for replica in &scene.replicas {
        replica.proxy.wait_for_event("queue_writable");
    }
    eventually("a notification that is stored", || {
        let answer = scene.replicas[1].sender.post(&alert("n", "clear"));
        (answer.status == 202).then_some(())
    });
    scene.drained();
    assert!(scene.received_of("n").contains(&"n-clear".to_owned()));
}

#[test]
fn fallback_without_the_database_goes_on_directly_with_a_mark() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let scene = Scene::at(&server.create_database("UTF8"), "fallback");
    let direct = scene.replicas[0].sender.post(&alert("n", "0"));
    assert_eq!(direct.status, 200, "{direct:?}");
    assert!(
        scene.origin.received()[0]
            .all("X-Netdata-Unordered")
            .is_empty()
    );
    server.kill();
    for (at, replica) in scene.replicas.iter().enumerate() {
        eventually("a direct delivery", || {
            let answer = replica.sender.post(&alert("n", &format!("away{at}")));
            (answer.status == 200).then_some(())
        });
        let received = scene.origin.received();
        let last = received.last().unwrap();
        assert_eq!(last.header("X-Netdata-Unordered"), "1", "{last:?}");
        assert!(last.all("X-Netdata-Term").is_empty(), "{last:?}");
    }
    // And with the application away as well, nothing is acknowledged.
    scene.origin.stop();
    for replica in &scene.replicas {
        let answer = replica.sender.post(&alert("n", "lost"));
        assert!(answer.status >= 500, "{answer:?}");
    }
    scene.origin.start();
    server.run();
    for replica in &scene.replicas {
        replica.proxy.wait_for_event("queue_writable");
    }
    eventually("an unmarked delivery", || {
        let answer = scene.replicas[0].sender.post(&alert("m", "after"));
        let received = scene.origin.received();
        let last = received
            .iter()
            .rev()
            .find(|it| it.header("Idempotency-Key") == "m-after");
        let is_unmarked = last.is_some_and(|it| it.all("X-Netdata-Unordered").is_empty());
        (answer.status < 300 && is_unmarked).then_some(())
    });
}
