//! `delivery = "queue"`: every notification is stored first.

use super::{Scene, alert, drained, receives};
use crate::support::{Operator, Reply};

#[test]
fn every_notification_is_acknowledged_once_it_is_stored() {
    let scene = Scene::new("queue", "");
    scene.stores(&alert("n", "critical"));
    scene.stores(&alert("n", "clear"));
    receives(&scene.origin, &["n-critical", "n-clear"]);
    let received = scene.origin.received();
    assert_eq!(received[0].header("X-Netdata-Attempt"), "1");
    assert_eq!(received[0].body, alert("n", "critical").as_bytes());
    drained(&Operator::of(&scene.proxy));
}

#[test]
fn the_same_one_is_stored_once_while_it_is_the_newest_that_waits() {
    let scene = Scene::new("queue", "");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.stores(&alert("n", "critical"));
    scene.stores(&alert("n", "clear"));
    scene.stores(&alert("n", "critical"));
    scene.origin.start();
    receives(&scene.origin, &["n-critical", "n-clear", "n-critical"]);
}

#[test]
fn tests_and_challenges_are_not_stored() {
    let scene = Scene::new("queue", "");
    let test = r#"{"message":"m","title":"Test Notification","token":"4dfa1e0c"}"#;
    assert_eq!(scene.sender.post(test).status, 200);
    assert_eq!(scene.sender.get("?crc_token=x").status, 200);
    scene.origin.received_nothing();
}

#[test]
fn what_waits_survives_a_restart() {
    let mut scene = Scene::new("queue", "");
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.stores(&alert("n", "clear"));
    scene.proxy.signal("TERM");
    assert!(scene.proxy.wait().success());
    scene.start();
    assert!(
        scene
            .proxy
            .wait_for_event("queue_delivering")
            .contains("waiting=2")
    );
    scene.stores(&alert("n", "warning"));
    scene.origin.start();
    receives(&scene.origin, &["n-critical", "n-clear", "n-warning"]);
}

#[test]
fn one_alert_that_is_not_taken_holds_up_no_other() {
    let scene = Scene::new("queue", "");
    let refuse = || Reply::Raw("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n".into());
    scene.origin.will([refuse(), refuse()]);
    scene.stores(&alert("n", "critical"));
    scene.origin.wait_for(1);
    scene.stores(&alert("n", "clear"));
    scene.origin.forget_replies();
    scene.origin.will([]);
    scene.stores(&alert("m", "critical"));
    receives(
        &scene.origin,
        &["n-critical", "m-critical", "n-critical", "n-clear"],
    );
}

#[test]
fn a_full_queue_says_so_and_keeps_what_it_has() {
    let scene = Scene::new("queue", "max_size = \"1MiB\"");
    scene.origin.stop();
    let padding = "x".repeat(200_000);
    let alert =
        |state: usize| alert("n", &state.to_string()).replace("\"a\"", &format!("\"{padding}\""));
    let mut stored = 0;
    let refused = loop {
        let answer = scene.sender.post(&alert(stored));
        if answer.status != 202 {
            break answer;
        }
        stored += 1;
    };
    refused.refuses(503, "queue_full");
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert!(stored >= 3, "{stored}");
    scene.origin.start();
    let expected: Vec<_> = (0..stored).map(|state| format!("n-{state}")).collect();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    receives(&scene.origin, &expected);
    drained(&Operator::of(&scene.proxy));
    scene.stores(&alert(stored));
}
