//! The queue on the status page and in its JSON: what waits, why, since when, and what to do.

use super::{Scene, alert, drained, queue_card as page, queue_status as queue, receives};
use crate::status_page::{MARKUP, REFRESHED};
use crate::support::{Browser, Operator, Pki, Proxy, eventually, is_documented};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

const ROUTE: &str = "/webhooks/netdata";

/// Waits until the queue is as `is` says.
fn when(operator: &Operator, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || Some(queue(operator)).filter(&is))
}

#[test]
fn it_says_what_waits_and_since_when_and_why_and_when_it_is_tried_next() {
    let scene = Scene::new("fallback", "");
    let operator = Operator::of(&scene.proxy);
    let idle = json!({ "route": ROUTE, "status": "ok", "waiting": 0, "sending": 0, "oldest": null,
        "down_since": null, "next_try": null, "last_error": null });
    let before = queue(&operator);
    assert_eq!(before["routes"], json!([idle]));
    assert_eq!(before["delivering"], true);
    assert_eq!(before["max_bytes"], 1 << 30);
    assert_eq!(
        (&before["problem"], &before["damaged"], &before["parked"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
    assert!(page(&operator).contains("nothing waits"));
    scene.origin.stop();
    for state in ["warning", "critical", "clear"] {
        scene.stores(&alert("n", state));
    }
    // During an attempt, the next one is not known.
    let down = when(&operator, "an outage", |queue| {
        queue["routes"][0]["waiting"] == 3 && !queue["routes"][0]["next_try"].is_null()
    });
    let route = &down["routes"][0];
    assert_eq!(route["status"], "warning");
    for time in ["oldest", "down_since", "next_try"] {
        assert!(route[time].as_str().unwrap().ends_with('Z'), "{route}");
    }
    assert!(route["next_try"].as_str() >= route["down_since"].as_str());
    let error = route["last_error"]["error"].as_str().unwrap();
    assert!(error.contains("connect"), "{error}");
    let shown = eventually("the next attempt", || {
        Some(page(&operator)).filter(|page| page.contains("Next attempt: "))
    });
    for part in ["3 wait", "The application has taken none since ", error] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    scene.origin.start();
    drained(&operator);
    when(&operator, "the end", |queue| {
        queue["routes"] == json!([idle])
    });
}

#[test]
fn the_commands_that_it_names_show_and_send_what_is_parked() {
    let scene = Scene::new("queue", "");
    let operator = Operator::of(&scene.proxy);
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.asks(&["park", "1"]);
    let parked = when(&operator, "a parked one", |queue| {
        queue["parked"] != json!([])
    });
    let parked = &parked["parked"][0];
    assert_eq!(
        (&parked["route"], &parked["reason"], &parked["count"]),
        (&json!(ROUTE), &json!("operator"), &json!(1))
    );
    let shown = page(&operator);
    assert!(shown.contains("1 parked"), "{shown}");
    let run = |name: &str| {
        let command = parked[name].as_str().unwrap();
        assert!(shown.contains(command), "{command}: {shown}");
        let arguments = command
            .strip_prefix("netdata-webhook-proxy queue ")
            .unwrap();
        scene.asks(&arguments.split(' ').collect::<Vec<_>>())
    };
    assert!(run("list").contains("alert, critical: a"));
    scene.origin.start();
    assert_eq!(run("retry"), "retried: 1\n");
    receives(&scene.origin, &["n-critical"]);
    when(&operator, "no parked one", |queue| {
        queue["parked"] == json!([])
    });
}

#[test]
fn a_damaged_file_and_a_process_that_does_not_deliver_are_said() {
    let mut scene = Scene::new("queue", "");
    scene.proxy.signal("TERM");
    scene.proxy.wait();
    fs::write(scene.file(), "what a disk made of it").unwrap();
    // Its log would make it whole again.
    let log = scene.directory.path().join("queue.db-wal");
    assert!(fs::remove_file(&log).is_ok() || !log.exists());
    scene.start();
    let operator = Operator::of(&scene.proxy);
    let damaged = queue(&operator)["damaged"].as_str().unwrap().to_owned();
    assert!(fs::exists(&damaged).unwrap(), "{damaged}");
    let shown = page(&operator);
    assert!(
        shown.contains("set aside") && shown.contains(&damaged),
        "{shown}"
    );
    let other = Proxy::launch(&scene.proxy.config, |_| {});
    other.wait_for_event("ready");
    let other = Operator::of(&other);
    assert_eq!(queue(&other)["delivering"], false);
    assert!(page(&other).contains("Another process delivers"));
}

#[test]
fn without_a_queue_there_is_no_card() {
    let origin = crate::support::Origin::spawn();
    let text = Proxy::config(&origin, "require", "") + super::ADMIN;
    let proxy = Proxy::spawn(Pki::shared(), &text);
    let operator = Operator::of(&proxy);
    assert_eq!(queue(&operator), Value::Null);
    assert_eq!(page(&operator), "");
}

#[test]
fn every_member_is_documented() {
    let scene = Scene::new("queue", "");
    let operator = Operator::of(&scene.proxy);
    scene.origin.stop();
    scene.stores(&alert("n", "critical"));
    scene.stores(&alert("m", "critical"));
    scene.asks(&["park", "1"]);
    let whole = when(&operator, "one of each", |queue| {
        queue["parked"] != json!([]) && !queue["routes"][0]["last_error"].is_null()
    });
    let values = [
        &whole,
        &whole["routes"][0],
        &whole["routes"][0]["last_error"],
        &whole["parked"][0],
    ];
    for name in values
        .iter()
        .flat_map(|value| value.as_object().unwrap().keys())
    {
        assert!(is_documented(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_script_shows_the_queue_as_the_server_does() {
    let Some(mut browser) = Browser::open() else {
        return;
    };
    let scene = Scene::new("queue", "max_age = \"1s\"");
    let operator = Operator::of(&scene.proxy);
    scene.origin.stop();
    for node in ["n", "m", "<b>"] {
        scene.stores(&alert(node, "critical"));
    }
    scene.asks(&["park", "1"]);
    scene.proxy.wait_for_events("queue_parked", 2);
    // Neither an attempt nor a new error changes the page any more.
    let waits = |queue: &Value| queue["routes"][0]["waiting"] == 0;
    when(&operator, "three parked ones", waits);
    let url = format!("http://{}/", operator.address);
    let card = format!("{MARKUP}(document.querySelector(\"#queue\").cloneNode(true))");
    let same = (0..20).any(|_| {
        browser.show("about:blank");
        let html = json!(operator.get("/").body);
        let parsed = format!(
            "{MARKUP}(new DOMParser().parseFromString({html}, \"text/html\").querySelector(\"#queue\"))"
        );
        let served = browser.evaluate(&parsed);
        browser.show(&url);
        browser.wait_for(&format!("{REFRESHED} >= 1"));
        // The script shows what it has got a moment later.
        std::thread::sleep(Duration::from_millis(50));
        let made = browser.evaluate(&card);
        let is_whole = made.as_str().unwrap().contains("2 parked");
        made == served && is_whole
    });
    assert!(same, "{}", browser.evaluate(&card));
}
