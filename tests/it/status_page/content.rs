//! What the page and the JSON show, and what they keep.

use super::{Scene, alert, strings};
use crate::support::{Reply, WEBHOOK, eventually, is_documented};
use serde_json::{Value, json};

#[test]
fn the_page_and_the_json_show_what_happened() {
    let scene = Scene::new();
    let before = scene.status();
    assert_eq!(
        (&before["status"], &before["last_notification"]),
        (&json!("ok"), &Value::Null)
    );
    scene.play();
    let status = scene.status();
    let last = &status["last_notification"];
    assert_eq!(
        (&last["kind"], &last["result"], &last["status"]),
        (&json!("test"), &json!("answered"), &json!(200))
    );
    assert_eq!(
        status["test_tokens"][0]["token"],
        "0b6c1f2e-8a47-4f0e-9f53-2c1d7a90be11"
    );
    assert_eq!(status["test_tokens"][0]["route"], WEBHOOK);
    let codes: Vec<_> = status["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (&e["code"], &e["times"]))
        .collect();
    assert_eq!(codes[0], (&json!("common_name_mismatch"), &json!(1)));
    assert_eq!(codes[1], (&json!("certificate_missing"), &json!(7)));
    assert_eq!(codes[9], (&json!("ok"), &json!(1)));
    let oldest = &status["events"][9];
    for (key, value) in [
        ("label", "Alert"),
        ("kind", "alert"),
        ("shape", "nested"),
        ("severity", "warning"),
        ("title", "disk_space_usage"),
        ("node", "db-1.prod"),
        ("space", "Acme Corp"),
        ("result", "delivered"),
        ("route", WEBHOOK),
        ("remote_addr", "127.0.0.1"),
    ] {
        assert_eq!(oldest[key], value, "{key}");
    }
    assert_eq!(status["totals"], json!({ "passed": 6, "refused": 10 }));
    for (key, total) in [("passed", 6), ("refused", 10)] {
        let counts = status["history"][key].as_array().unwrap();
        assert_eq!(
            (
                counts.len(),
                counts.iter().filter_map(Value::as_u64).sum::<u64>()
            ),
            (96, total),
            "{key}"
        );
    }
    let which: Vec<_> = status["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["which"])
        .collect();
    assert_eq!(which, ["server", "chain", "ca", "client_last_seen"]);
    assert_eq!(
        status["certificates"][3]["name"], "O=Netdata, Inc., CN=app.netdata.cloud",
        "and no forgery"
    );
    let page = scene.operator.get("/").body;
    for part in [
        "All is well",
        "ram_available",
        "web-3.prod, Acme Corp",
        "Alert, critical",
        "No route has this path.",
        "×7",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let scene = Scene::new();
    let said = || {
        let status = scene.status();
        (
            status["status"].as_str().unwrap().to_owned(),
            strings(&status["findings"]).join(" "),
        )
    };
    assert_eq!(said(), ("ok".to_owned(), String::new()));
    scene.origin.will([Reply::Last("nonsense".into())]);
    assert_eq!(scene.post(&alert("a", "Warning", "b", "c")), 502);
    let (level, text) = eventually("the event", || {
        Some(said()).filter(|(level, _)| level != "ok")
    });
    assert_eq!(level, "warning");
    assert!(
        text.contains("The last notification was not delivered (upstream_unreachable)."),
        "{text}"
    );
    assert_eq!(
        scene.status()["last_notification"]["result"],
        "not delivered"
    );
    assert_eq!(
        scene.operator.get("/readyz").status,
        200,
        "traffic should come all the same"
    );
    assert_eq!(scene.post(&alert("a", "Warning", "b", "c")), 200);
    eventually("the next notification", || (said().0 == "ok").then_some(()));
    scene.proxy.refuses_to_reload("nonsense");
    assert!(said().1.contains("The last reload failed"), "{:?}", said());
    assert!(scene.operator.get("/").body.contains("Needs a look"));
}

#[test]
fn nothing_grows_without_bound() {
    let scene = Scene::new();
    let mut connection = scene.sender().connect().unwrap();
    let long = "x".repeat(100_000);
    for n in 0..150 {
        let body = alert(&format!("alert {n} {long}"), "Warning", &long, &long);
        assert_eq!(connection.post(&body.to_string()).unwrap().status, 200);
        let (target, status) = [("/nowhere", 404), (WEBHOOK, 405)][n % 2];
        let refused = connection.send("PUT", target, "", "").unwrap();
        assert_eq!(refused.status, status);
    }
    assert_eq!(scene.post(&json!({ "token": long })), 200);
    let status = eventually("the last event", || {
        Some(scene.status()).filter(|status| {
            status["totals"]["passed"] == 151 && status["totals"]["refused"] == 150
        })
    });
    assert_eq!(
        status["events"].as_array().unwrap().len(),
        102,
        "equal refusals are one event"
    );
    assert!(
        strings(&status)
            .iter()
            .all(|text| text.chars().count() <= 241)
    );
    assert_eq!(
        status["test_tokens"],
        json!([]),
        "half a token is of no use"
    );
    assert!(scene.operator.get("/").body.len() < 1024 * 1024);
}

#[test]
fn bodies_and_secrets_are_not_kept() {
    let scene = Scene::new();
    let mut body = alert("a", "Warning", "b", "c");
    body["alert"]["config"] = json!({ "command": "MARKER-IN-THE-BODY" });
    body["message"] = "MARKER-IN-THE-BODY".into();
    let header = "Authorization: Bearer MARKER-IN-THE-HEADER\r\n";
    assert_eq!(
        scene
            .sender()
            .send("POST", WEBHOOK, header, &body.to_string())
            .unwrap()
            .status,
        200
    );
    assert_eq!(
        scene.sender().get("?crc_token=MARKER-IN-THE-TOKEN").status,
        200
    );
    assert_eq!(
        scene
            .sender()
            .send("POST", "/MARKER-IN-THE-PATH", header, "")
            .unwrap()
            .status,
        404
    );
    scene.wait_for_events(3);
    for path in ["/", "/api/status.json", "/metrics"] {
        let answer = scene.operator.get(path).body;
        assert!(
            !answer.contains("MARKER") && !answer.contains("YOUR_CHALLENGE_SECRET"),
            "{path}: {answer}"
        );
    }
}

#[test]
fn the_manual_names_every_field_of_the_json() {
    fn keys(value: &Value) -> Vec<String> {
        match value {
            Value::Array(values) => values.iter().flat_map(keys).collect(),
            Value::Object(members) => members
                .iter()
                .flat_map(|(key, v)| [vec![key.clone()], keys(v)].concat())
                .collect(),
            _ => Vec::new(),
        }
    }

    let scene = Scene::new();
    scene.play();
    let keys = keys(&scene.status());
    assert!(keys.len() > 50);
    for key in keys {
        assert!(is_documented(&format!("`{key}`")), "{key}");
    }
}
