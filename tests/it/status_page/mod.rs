//! The status page and the JSON behind it.

mod content;
mod hostile;
mod look;
mod script;

pub(crate) use script::MARKUP;

use crate::support::{Operator, Origin, Pki, Proxy, Sender, WEBHOOK, eventually};
use rcgen::DnType;
use serde_json::{Value, json};

/// A name that a user of Netdata Cloud might choose.
const HOSTILE: [&str; 4] = [
    "<script>window.pwned = 1</script>",
    "\"><img src=x onerror=\"window.pwned = 2\">",
    "' onmouseover='window.pwned = 3",
    "</td></table></main><svg onload=window.pwned=4>",
];

struct Scene {
    origin: Origin,
    proxy: Proxy,
    operator: Operator,
    pki: Pki,
}

impl Scene {
    fn new() -> Self {
        let (pki, origin) = (Pki::new(), Origin::spawn());
        let more = "[[routes]]\npath = \"/webhooks/other\"\nupstream = \"http://127.0.0.1:1\"\n\
                    [admin]\nlisten = \"127.0.0.1:0\"\n";
        let proxy = Proxy::spawn(&pki, &(Proxy::config(&origin, "require", "") + more));
        let operator = Operator::of(&proxy);
        Self {
            origin,
            proxy,
            operator,
            pki,
        }
    }

    fn sender(&self) -> Sender {
        Sender::to(&self.proxy, Some(&self.pki.netdata()))
    }

    fn post(&self, body: &Value) -> u16 {
        self.sender().post(&body.to_string()).status
    }

    fn url(&self) -> String {
        format!("http://{}/", self.operator.address)
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.operator.get("/api/status.json").body).unwrap()
    }

    /// Waits for so many events.
    fn wait_for_events(&self, count: usize) -> Value {
        eventually("the events", || {
            Some(self.status()).filter(|s| s["events"].as_array().unwrap().len() >= count)
        })
    }

    /// Some of everything: a day in the life of a proxy.
    fn play(&self) {
        let ordinary = [
            alert("disk_space_usage", "Warning", "db-1.prod", "Acme Corp"),
            alert("ram_available", "Critical", "web-3.prod", "Acme Corp"),
            alert("ram_available", "Clear", "web-3.prod", "Acme Corp"),
            json!({ "message": "Node cache-2 became unreachable", "host": "cache-2", "severity": "critical",
                "status": { "reachable": false, "text": "unreachable" } }),
            json!({ "message": "Test", "title": "Test Notification", "token": "0b6c1f2e-8a47-4f0e-9f53-2c1d7a90be11" }),
        ];
        // Events are told after the answer: in this order they are if each is awaited.
        for (number, body) in ordinary.iter().enumerate() {
            assert_eq!(self.post(body), 200);
            self.wait_for_events(number + 1);
        }
        assert_eq!(self.sender().get("?crc_token=abc").status, 200);
        self.wait_for_events(6);
        assert_eq!(self.sender().post("{\"x\":1}").code(), "schema_mismatch");
        self.wait_for_events(7);
        assert_eq!(
            self.sender()
                .send("POST", "/webhooks/wrong", "", "{}")
                .unwrap()
                .status,
            404
        );
        self.wait_for_events(8);
        for times in 1..=7 {
            assert!(
                Sender::to(&self.proxy, None)
                    .send("POST", WEBHOOK, "", "{}")
                    .is_err()
            );
            eventually("the refusal", || {
                Some(self.status()).filter(|status| status["events"][0]["times"] == times)
            });
        }
        let evil = self.pki.leaf(|params| {
            params.distinguished_name =
                crate::support::subject(&[(DnType::CommonName, HOSTILE[0].into())]);
        });
        assert_eq!(
            Sender::to(&self.proxy, Some(&evil)).post("{}").code(),
            "common_name_mismatch"
        );
        self.wait_for_events(10);
    }
}

fn alert(name: &str, status: &str, node: &str, space: &str) -> Value {
    json!({ "message": "m", "space": { "name": space }, "node": { "hostname": node },
        "alert": { "name": name, "state": { "status": status } } })
}

/// Has every string that may be hostile be so.
fn play_hostile(scene: &Scene) {
    let before = happened(&scene.status());
    for text in HOSTILE {
        assert_eq!(scene.post(&alert(text, "Warning", text, text)), 200);
        assert_eq!(scene.post(&json!({ "token": text, "title": text })), 200);
        assert_eq!(
            scene.post(&json!({ "message": text, "host": text, "status": {}, "severity": text })),
            200
        );
        let named = scene.pki.named(text);
        assert_eq!(
            Sender::to(&scene.proxy, Some(&named)).post("{}").code(),
            "common_name_mismatch"
        );
        let stranger = Pki::of(text).leaf(|params| {
            params.distinguished_name =
                crate::support::subject(&[(DnType::CommonName, text.into())]);
        });
        assert!(
            Sender::to(&scene.proxy, Some(&stranger))
                .send("POST", WEBHOOK, "", "{}")
                .is_err()
        );
        let request_id = format!("X-Request-Id: {text}\r\n");
        assert_eq!(
            scene
                .sender()
                .send("POST", "/%3Cb%3E", &request_id, "{}")
                .unwrap()
                .status,
            404
        );
    }
    // None of them may still be on its way when the page is looked at.
    let all = before + 6 * HOSTILE.len() as u64;
    eventually("the events", || {
        (happened(&scene.status()) == all).then_some(())
    });
}

/// How much happened: what happens again and again is one event.
fn happened(status: &Value) -> u64 {
    status["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["times"].as_u64().unwrap())
        .sum()
}

/// The strings of a JSON value, wherever they stand.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// As many refreshes as there have been, and the page as it was made by the last of them.
pub(crate) const REFRESHED: &str = "performance.getEntriesByType(\"resource\").filter((e) => e.name.endsWith(\"status.json\")).length";
