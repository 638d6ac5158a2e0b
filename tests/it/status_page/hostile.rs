//! Text of a client's choice on the page, and what a browser may do with it.

use super::{HOSTILE, REFRESHED, Scene, play_hostile, strings};
use crate::support::Browser;
use serde_json::{Value, json};

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
