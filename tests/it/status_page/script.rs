//! What the page's script does in a browser.

use super::{REFRESHED, Scene, alert, play_hostile};
use crate::support::{Browser, Reply};
use serde_json::json;

/// The page's markup, without what depends on the time and on what a script adds to it.
pub(crate) const MARKUP: &str = "((main) => { main.querySelectorAll(\"time\").forEach((e) => { e.textContent = \"\"; \
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

#[test]
fn twenty_events_are_shown_and_more_of_each_kind_on_demand() {
    let Some(mut browser) = Browser::open() else {
        return;
    };
    let scene = Scene::new();
    let unwell = "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n";
    for n in 0..25 {
        let body = alert(&format!("well {n}"), "Warning", "n", "s");
        assert_eq!(scene.post(&body), 200);
        scene.origin.will([Reply::Raw(unwell.into())]);
        let body = alert(&format!("lost {n}"), "Critical", "n", "s");
        assert_eq!(scene.post(&body), 503);
    }
    assert_eq!(scene.sender().post("[]").status, 400);
    scene.wait_for_events(51);
    browser.show(&scene.url());
    browser.wait_for(&format!("{REFRESHED} >= 1"));
    let rows = "[...document.querySelectorAll(\"#events tbody tr\")].filter((e) => e.checkVisibility()).length";
    let more = "document.querySelector(\"#events .more\").checkVisibility()";
    for (choice, some, all) in [
        ("all", 20, 51),
        ("only-lost", 20, 25),
        ("only-passed", 20, 25),
        ("only-refused", 1, 1),
    ] {
        browser.click(&format!("label[for={choice}]"));
        assert_eq!(browser.evaluate(rows), some, "{choice}");
        assert_eq!(browser.evaluate(more), some != all, "{choice}");
        if some != all {
            browser.click("label[for=more]");
            assert_eq!(browser.evaluate(rows), all, "{choice}");
            browser.click("label[for=more]");
        }
    }
    let text = browser.evaluate("document.querySelector(\"#findings\").textContent");
    let text = text.as_str().unwrap();
    assert!(
        text.starts_with(
            "25 notifications were not delivered, 25 of them critical. The last: lost 24 on n, "
        ),
        "{text}"
    );
    let label = browser.evaluate("document.querySelector(\"#activity svg\").ariaLabel");
    assert_eq!(
        label,
        "In the last 24 hours: 25 passed, 1 refused, 25 not delivered."
    );
    let scale = browser.evaluate("document.querySelector(\"#activity .scale\").innerText");
    assert_eq!(scale, "25\n0\n25");
}
