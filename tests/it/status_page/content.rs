//! What the page and the JSON show, and what they keep.

use super::{Scene, alert, strings};
use crate::support::{Edit as _, Reply, WEBHOOK, eventually, is_documented};
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
    assert_eq!(
        status["totals"],
        json!({ "passed": 6, "refused": 10, "not_delivered": 0 })
    );
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
        text.contains("1 warning alert was not delivered: a on b, ")
            && text.ends_with(" UTC, 502 upstream_unreachable."),
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
    body["alert"]["rendered"] = json!({ "info": "MARKER-IN-THE-BODY" });
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

#[test]
fn what_is_configured_is_shown_with_the_last_response_of_each_application() {
    let scene = Scene::new();
    let other = "http://127.0.0.1:1";
    let status = scene.status();
    assert_eq!(
        status["listeners"],
        json!([{ "address": scene.proxy.address(0), "scheme": "https", "verify": "require" }])
    );
    let route = &status["routes"][0];
    for (key, value) in [
        ("path", json!(WEBHOOK)),
        ("kind", json!("webhook")),
        ("upstream", json!(scene.origin.url)),
        ("demands", json!("the client certificate")),
        ("spaces", json!([])),
        ("challenge", json!(true)),
        ("note", Value::Null),
    ] {
        assert_eq!(route[key], value, "{key}");
    }
    let last = |status: &Value, name: &str| {
        let upstreams = status["upstreams"].as_array().unwrap();
        let upstream = upstreams.iter().find(|upstream| upstream["name"] == name);
        upstream.unwrap_or_else(|| panic!("{status:#}"))["last_response"].clone()
    };
    for name in [other, &scene.origin.url] {
        assert_eq!(last(&status, name), Value::Null);
    }
    assert_eq!(scene.post(&alert("a", "Warning", "b", "c")), 200);
    let lost = alert("a", "Warning", "b", "c").to_string();
    let answer = scene.sender().send("POST", "/webhooks/other", "", &lost);
    answer.unwrap().refuses(502, "upstream_unreachable");
    let status = eventually("the end of both", || {
        Some(scene.status()).filter(|status| status["totals"]["not_delivered"] == 1)
    });
    let (well, dead) = (last(&status, &scene.origin.url), last(&status, other));
    assert_eq!((&well["ok"], &well["status"]), (&json!(true), &json!(200)));
    assert!(
        well["duration_ms"].is_number() && well["failure"].is_null(),
        "{well}"
    );
    assert_eq!(
        (&dead["ok"], &dead["status"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(
        dead["failure"],
        "Cannot connect: the server refuses connections."
    );
    let page = scene.operator.get("/").body;
    for part in [
        "Last response: ",
        "requires the client certificate",
        "; answers no challenge",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn changes_that_need_a_restart_are_shown_until_they_are_taken_back() {
    let scene = Scene::new();
    assert_eq!(scene.status()["restart_required"], json!([]));
    let before = std::fs::read_to_string(&scene.proxy.config).unwrap();
    let changed = before
        .edit("https = \"127.0.0.1:0\"", "https = \"127.0.0.1:2\"")
        .edit("threads = 2", "threads = 3");
    scene.proxy.reload(&changed);
    let status = scene.status();
    assert_eq!(
        status["restart_required"],
        json!(["listen.https", "server"])
    );
    assert!(
        strings(&status["findings"]).contains(
            &"The configuration has changes that take effect after a restart or an upgrade: listen.https, server.".into()
        ),
        "{status:#}"
    );
    let line = scene.proxy.wait_for_event("config_restart_required");
    assert!(line.contains("keys=\"listen.https server\""), "{line}");
    scene.proxy.reload(&before);
    assert_eq!(scene.status()["restart_required"], json!([]));
}

#[test]
fn a_link_leads_to_netdata_cloud_alone() {
    let scene = Scene::new();
    let good = "https://app.netdata.cloud/spaces/acme?a=1&b=\u{e4}";
    let plain = "https://app.netdata.cloud/spaces/acme?a=1&b=2";
    for url in [
        plain,
        good,
        "http://app.netdata.cloud/",
        "https://app.netdata.cloud.evil.example/",
        "javascript:alert(1)",
    ] {
        let mut body = alert("a", "Warning", "b", "c");
        body["alert"]["url"] = url.into();
        assert_eq!(scene.post(&body), 200);
    }
    scene.wait_for_events(5);
    let page = scene.operator.get("/").body;
    let link = "<a href=\"https://app.netdata.cloud/spaces/acme?a=1&amp;b=2\" rel=\"noopener noreferrer\" target=\"_blank\">";
    assert_eq!(page.matches(link).count(), 1, "{page}");
    assert_eq!(
        page.matches("Open in Netdata Cloud").count(),
        1 + 1,
        "one row, and the script"
    );
}
