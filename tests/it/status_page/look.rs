//! How the page looks on small and large screens, in light and in dark.

use super::{REFRESHED, Scene, alert, play_hostile};
use crate::support::{Browser, Reply};

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
            { server: "http://10.0.0.1:3000", healthy: true }, { server: "http://10.0.0.2:3000", healthy: false }],
            last_response: { at: status.now, ok: false, status: null, duration_ms: 2003.1,
                failure: "Cannot connect: the server did not respond within connect_timeout." } }];
        status.history.not_delivered = status.history.not_delivered.map((_, i) => i === 70 ? 3 : 0);
        status.queue = { delivering: true, bytes: 9e8, max_bytes: 2 ** 30, problem: "disk I/O error",
            damaged: "/var/lib/netdata-webhook-proxy/queue.db.damaged-1764450000",
            routes: [{ route: "/webhooks/netdata", status: "warning", waiting: 1234, sending: 1, oldest: status.started,
                down_since: status.started, next_try: new Date(Date.now() + 9e3).toISOString(),
                last_error: { at: status.now, error: "cannot connect: connection refused" } },
                { route: "/webhooks/other", status: "ok", waiting: 0, sending: 0, oldest: null, down_since: null,
                next_try: null, last_error: null }],
            parked: [{ route: "/webhooks/netdata", reason: "poison", count: 3,
                why: "The application refused them again and again, and took others.",
                list: "netdata-webhook-proxy queue list --parked --route /webhooks/netdata",
                retry: "netdata-webhook-proxy queue retry --all" }] };
        status.routes[0].note = "any customer of Netdata Cloud can post here";
        status.routes[0].spaces = ["0b8c6c1e-55d2-4f8e-9a55-2f6a1c7d9e01"];
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
    scene.proxy.refuses_to_reload("nonsense");
    look(&mut browser, "warning");
    play_hostile(&scene);
    look(&mut browser, "hostile");
    browser.prepare(EVENTFUL);
    look(&mut browser, "eventful");
}
