//! A critical alert here, its clear there: the second one never overtakes the first.

use super::Scene;
use crate::queue::alert;

#[test]
fn what_was_acknowledged_here_is_delivered_before_what_comes_there() {
    let Some(scene) = Scene::new("fallback") else {
        return;
    };
    for round in 0..60 {
        let node = format!("n{round}");
        // The one that does not deliver stores it. Its clear reaches the one that does at once.
        let critical = scene.replicas[1].sender.post(&alert(&node, "0"));
        assert_eq!(critical.status, 202, "{critical:?}");
        let clear = scene.replicas[0].sender.post(&alert(&node, "1"));
        assert!(clear.status == 202 || clear.status == 200, "{clear:?}");
    }
    scene.drained();
    for round in 0..60 {
        let node = format!("n{round}");
        assert_eq!(
            scene.received_of(&node),
            [format!("{node}-0"), format!("{node}-1")]
        );
    }
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
