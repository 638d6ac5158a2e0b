//! A critical alert here, its clear there: the second one never overtakes the first.

use super::{Scene, server};
use crate::queue::alert;

const ROUNDS: usize = 60;

/// Sends critical alerts to the replica that does not deliver, which stores them, and their clears to
/// the one that does, at once. Returns the number of those that overtook their critical alert.
fn overtaken(scene: &Scene) -> usize {
    for round in 0..ROUNDS {
        let node = format!("n{round}");
        let critical = scene.replicas[1].sender.post(&alert(&node, "0"));
        assert_eq!(critical.status, 202, "{critical:?}");
        let clear = scene.replicas[0].sender.post(&alert(&node, "1"));
        assert!(clear.status == 202 || clear.status == 200, "{clear:?}");
    }
    scene.drained();
    let is_overtaken = |round: &usize| {
        let node = format!("n{round}");
        let received = scene.received_of(&node);
        assert_eq!(received.len(), 2, "{received:?}");
        received == [format!("{node}-1"), format!("{node}-0")]
    };
    (0..ROUNDS).filter(is_overtaken).count()
}

#[test]
fn what_was_acknowledged_here_is_delivered_before_what_comes_there() {
    let Some(scene) = Scene::new("fallback") else {
        return;
    };
    assert_eq!(overtaken(&scene), 0);
}

/// The control: a question that sees nothing, so that only what was read before counts.
#[test]
fn without_an_answer_of_the_database_a_clear_overtakes() {
    let Some(server) = server() else { return };
    let scene = Scene::at(&server.create_owned_database(""), "fallback");
    scene.sql(
        "alter table netdata_webhook_proxy.notification
           enable row level security, force row level security;
         create policy blind on netdata_webhook_proxy.notification
           using (current_setting('application_name') not like '% ask')",
    );
    let count = overtaken(&scene);
    eprintln!("{count} of {ROUNDS} overtook without the question");
    assert!(count > 0);
}

#[test]
fn a_direct_attempt_that_fails_keeps_its_place() {
    let Some(scene) = Scene::new("fallback") else {
        return;
    };
    scene.origin.stop();
    scene.stores(0, &alert("n", "0"));
    scene.stores(1, &alert("n", "1"));
    scene.stores(0, &alert("n", "2"));
    let places = "select count(*) from netdata_webhook_proxy.notification where place < id";
    assert_eq!(scene.sql(places), "1");
    scene.origin.start();
    scene.drained();
    assert_eq!(scene.received_of("n"), ["n-0", "n-1", "n-2"]);
}
