//! The status page, in a real browser where there is one.

use crate::support::{
    Browser, Operator, Origin, Pki, Proxy, Reply, Sender, WEBHOOK, eventually, is_documented,
};
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
    scene.proxy.reload("nonsense");
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
        let target = if n % 2 == 0 { "/nowhere" } else { WEBHOOK };
        assert!(connection.send("PUT", target, "", "").unwrap().status >= 400);
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
fn browsers_may_do_nothing_with_it_but_show_it() {
    let scene = Scene::new();
    for path in [
        "/",
        "/api/status.json",
        "/metrics",
        "/livez",
        "/readyz",
        "/nothing",
    ] {
        let answer = scene.operator.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
            ("connection", "close"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}: {name}");
        }
    }
    assert_eq!(
        scene.operator.get("/").header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        scene
            .operator
            .get("/api/status.json")
            .header("content-type"),
        Some("application/json")
    );
}

#[test]
fn hostile_strings_are_text_in_html_and_in_json() {
    let scene = Scene::new();
    play_hostile(&scene);
    let shown = strings(&scene.status());
    let page = scene.operator.get("/").body;
    let main = page
        .split("<main>")
        .nth(1)
        .unwrap()
        .split("</main>")
        .next()
        .unwrap();
    for text in HOSTILE {
        assert!(
            shown.iter().any(|shown| shown == text),
            "{text} in {shown:#?}"
        );
        assert!(main.contains(&escaped(text)), "{text} in {main}");
    }
    // All that is left of the page is markup of its own.
    let own = HOSTILE
        .iter()
        .fold(main.to_owned(), |own, text| own.replace(&escaped(text), ""));
    for markup in ["<script", "<img", "<svg onload", "onmouseover"] {
        assert!(!own.contains(markup), "{markup} in {own}");
    }
    // An apostrophe is markup in attributes that are quoted with it alone.
    assert!(!own.contains("='"), "{own}");
    assert!(
        main.contains("&lt;script&gt;window.pwned = 1&lt;/script&gt;"),
        "{main}"
    );
}

/// Escapes `text` as it must be in text and between double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Collects what the page was kept from doing.
const WATCH: &str = "window.violations = []; \
    document.addEventListener(\"securitypolicyviolation\", (e) => violations.push(`${e.violatedDirective} ${e.sample}`));";

/// As many refreshes as there have been, and the page as it was made by the last of them.
const REFRESHED: &str = "performance.getEntriesByType(\"resource\").filter((e) => e.name.endsWith(\"status.json\")).length";

#[test]
fn hostile_strings_do_nothing_in_a_browser() {
    let Some(mut browser) = Browser::open() else {
        return;
    };
    let scene = Scene::new();
    play_hostile(&scene);
    browser.prepare(WATCH);
    browser.show(&scene.url());
    // Once as the server wrote it, and once as the script did.
    browser.wait_for(&format!("{REFRESHED} >= 2"));
    for text in HOSTILE {
        let count = browser.evaluate(&format!(
            "document.querySelector(\"main\").textContent.split({text:?}).length - 1"
        ));
        assert!(count.as_u64().unwrap() >= 5, "{text}: {count}");
    }
    browser.evaluate("document.querySelectorAll(\"main *\").forEach((e) => e.dispatchEvent(new Event(\"mouseover\")))");
    assert_eq!(browser.evaluate("window.pwned ?? null"), Value::Null);
    assert_eq!(
        browser.evaluate(
            "document.querySelectorAll(\"main :is(script, img, a[href^=javascript])\").length"
        ),
        0
    );
    assert_eq!(
        browser.evaluate("document.querySelectorAll(\"main svg\").length"),
        2,
        "ours"
    );
    assert_eq!(browser.evaluate("violations"), json!([]));
    // The policy is in force.
    let inject = "document.body.insertAdjacentHTML(\"beforeend\", \"<img src=x onerror='window.pwned = 5'>\")";
    assert_eq!(
        browser.evaluate(&format!(
            "try {{ {inject}; \"done\" }} catch (e) {{ e.name }}"
        )),
        "TypeError"
    );
    assert_eq!(browser.evaluate("window.pwned ?? null"), Value::Null);
    assert_ne!(browser.evaluate("violations"), json!([]));
}

/// The page's markup, without what depends on the time and on what a script adds to it.
const MARKUP: &str = "((main) => { main.querySelectorAll(\"time\").forEach((e) => { e.textContent = \"\"; \
    e.removeAttribute(\"title\"); if (e.closest(\"#updated\")) e.removeAttribute(\"datetime\"); }); \
    main.querySelectorAll(\"button\").forEach((e) => e.removeAttribute(\"hidden\")); return main.innerHTML; })";

#[test]
fn the_script_makes_the_same_page_as_the_server() {
    let Some(mut browser) = Browser::open() else {
        return;
    };
    let scene = Scene::new();
    browser.show("about:blank");
    for play in [|_: &Scene| {}, Scene::play, play_hostile] {
        play(&scene);
        // Both pages count open connections, which end a moment after their clients have left.
        scene.operator.wait_for("connections", 0.0);
        let html = json!(scene.operator.get("/").body);
        browser.show("about:blank");
        let parsed = format!(
            "new DOMParser().parseFromString({html}, \"text/html\").querySelector(\"main\")"
        );
        let served = browser.evaluate(&format!("{MARKUP}({parsed})"));
        browser.show(&scene.url());
        browser.wait_for(&format!(
            "{REFRESHED} >= 1 && document.title.includes(\"All is well\")"
        ));
        let made = browser.evaluate(&format!(
            "{MARKUP}(document.querySelector(\"main\").cloneNode(true))"
        ));
        assert_eq!(made, served);
    }
}

#[test]
fn the_copy_button_copies() {
    let Some(mut browser) = Browser::open() else {
        return;
    };
    let scene = Scene::new();
    let token = "0b6c1f2e-<b>&amp;\"'";
    assert_eq!(scene.post(&json!({ "token": token })), 200);
    scene.wait_for_events(1);
    let origin = scene.url();
    let permissions = json!({ "origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.call("Browser.grantPermissions", permissions);
    browser.show(&origin);
    browser.wait_for("!document.querySelector(\"button\").hidden");
    browser.click("#tokens button");
    browser.wait_for("document.querySelector(\"#tokens button\").textContent === \"Copied\"");
    browser.evaluate("window.focus()");
    assert_eq!(browser.evaluate("navigator.clipboard.readText()"), token);
    // A page that came over plain HTTP from another machine has no such clipboard.
    browser.prepare(
        "Object.defineProperty(navigator, \"clipboard\", { value: undefined }); \
         document.addEventListener(\"copy\", () => { window.copied = getSelection().toString(); });",
    );
    browser.show(&origin);
    browser.wait_for("!document.querySelector(\"button\").hidden");
    browser.click("#tokens button");
    browser.wait_for("document.querySelector(\"#tokens button\").textContent === \"Copied\"");
    assert_eq!(browser.evaluate("window.copied"), token);
}

#[test]
fn it_refreshes_by_itself_and_stays_where_it_is() {
    let Some(mut browser) = Browser::open() else {
        return;
    };
    let scene = Scene::new();
    scene.play();
    browser.resize(390, "light");
    browser.show(&scene.url());
    browser.wait_for(&format!("{REFRESHED} >= 1"));
    browser.evaluate(
        "scrollTo(0, document.querySelector(\"#certificates\").getBoundingClientRect().top)",
    );
    browser.click("label[for=only-refused]");
    // Something above it grows, and what is looked at stays in its place.
    let place = "[document.querySelector(\"#events\").getBoundingClientRect().top, document.querySelector(\"#tokens code\")]";
    browser.evaluate(&format!("window.before = {place}"));
    let rows = "[...document.querySelectorAll(\"#events tbody tr\")].filter((e) => e.checkVisibility()).length";
    assert_eq!(browser.evaluate(rows), 4);
    for n in 0..3 {
        assert_eq!(
            scene.post(&alert(&format!("fresh {n}"), "Critical", "n", "s")),
            200
        );
    }
    browser.wait_for("document.querySelector(\"#last\").textContent.includes(\"fresh 2\")");
    assert_eq!(
        browser.evaluate(&format!("{place}.map((v, i) => v === before[i])")),
        json!([true, true])
    );
    assert_eq!(browser.evaluate(rows), 4, "what was chosen stays chosen");
    browser.click("label[for=all]");
    assert_eq!(browser.evaluate(rows), 13);
    drop(scene.proxy);
    browser.wait_for("document.querySelector(\"#stale\").checkVisibility()");
}

/// The smallest contrast of any text with what is behind it (WCAG 2.2 section 1.4.3), and that
/// text.
const CONTRAST: &str = r#"(() => {
    const channels = (color) => color.match(/[\d.]+/g).map(Number);
    const luminance = (color) => channels(color).slice(0, 3).map((c) => c / 255)
        .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (e) => {
        const color = getComputedStyle(e).backgroundColor;
        return (channels(color)[3] ?? 1) === 1 || !e.parentElement ? color : ground(e.parentElement);
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let least = [21, ""];
    while (texts.nextNode()) {
        const e = texts.currentNode.parentElement;
        if (texts.currentNode.data.trim() === "" || !e.checkVisibility() || e.closest("script")) continue;
        const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground(e))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < least[0]) least = [contrast, texts.currentNode.data];
    }
    return least;
})()"#;

/// Has the listener tell of a longer and worse day than a test can have.
const EVENTFUL: &str = r#"{
    const asked = fetch;
    window.fetch = async (...what) => {
        const status = await (await asked(...what)).json();
        const wave = (i, a, b) => Math.max(0, Math.round(a * Math.sin(i / 9) + b * Math.sin(i / 2.3) + a / 2));
        status.history.passed = status.history.passed.map((_, i) => wave(i, 9, 4));
        status.history.refused = status.history.refused.map((_, i) => wave(i + 40, 2, 3) % 5);
        status.status = "error";
        status.headline = "Not ready";
        status.findings.unshift({ level: "error", text: "The upstream app has no healthy server." });
        status.certificates.forEach((c, i) => {
            c.status = ["warning", "ok", "error"][i % 3];
            c.left = ["9 days left", "2276 days left", "expired"][i % 3];
        });
        status.upstreams = [{ name: "app", servers: [
            { server: "http://10.0.0.1:3000", healthy: true }, { server: "http://10.0.0.2:3000", healthy: false }] }];
        status.events.forEach((e, i) => { e.at = new Date(Date.now() - i * i * 4e4).toISOString(); });
        return new Response(JSON.stringify(status));
    };
}"#;

/// With the environment variable `PICTURES`, it leaves pictures in that directory.
#[test]
fn it_fits_and_can_be_read_on_a_phone_and_on_a_desk_by_day_and_by_night() {
    let Some(mut browser) = Browser::open() else {
        return;
    };
    let scene = Scene::new();
    scene.play();
    let look = |browser: &mut Browser, name: &str| {
        for (width, scheme) in [
            (390, "light"),
            (390, "dark"),
            (1280, "light"),
            (1280, "dark"),
        ] {
            browser.resize(width, scheme);
            browser.show(&scene.url());
            browser.wait_for(&format!("{REFRESHED} >= 1"));
            let wide = browser
                .evaluate("document.documentElement.scrollWidth")
                .as_u64()
                .unwrap();
            assert!(wide <= u64::from(width), "{name} {width} {scheme}: {wide}");
            let least = browser.evaluate(CONTRAST);
            assert!(
                least[0].as_f64().unwrap() >= 4.5,
                "{name} {width} {scheme}: {least}"
            );
            let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor");
            assert_eq!(ground == "rgb(16, 19, 22)", scheme == "dark", "{ground}");
            if let Some(directory) = std::env::var_os("PICTURES") {
                let path =
                    std::path::Path::new(&directory).join(format!("{name}-{width}-{scheme}.png"));
                std::fs::write(path, browser.screenshot()).unwrap();
            }
        }
    };
    look(&mut browser, "well");
    scene.origin.will([Reply::Last("nonsense".into())]);
    assert_eq!(
        scene.post(&alert(
            "disk_space_usage",
            "Critical",
            "db-1.prod",
            "Acme Corp"
        )),
        502
    );
    scene.proxy.reload("nonsense");
    look(&mut browser, "warning");
    play_hostile(&scene);
    look(&mut browser, "hostile");
    browser.prepare(EVENTFUL);
    look(&mut browser, "eventful");
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
