//! The status page, as a browser without scripts shows it. `page.js` keeps it up to date with the
//! same elements.

mod cards;
mod events;
mod queue;

use super::health::Level;
use super::status::Status;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use maud::{Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const PAGE: &str = include_str!("../page/page.html");
const STYLE: &str = include_str!("../page/page.css");
const SCRIPT: &str = include_str!("../page/page.js");

/// The content security policy of the page: this script and this style alone may run, and requests
/// may go to this listener alone.
pub(in crate::telemetry::admin) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// The icon beside the headline, one mark for each level. The style shows one of them.
const MARKS: PreEscaped<&str> = PreEscaped(
    "<svg viewBox=\"0 0 32 32\" aria-hidden=\"true\"><circle cx=\"16\" cy=\"16\" r=\"16\"></circle>\
     <path class=\"mark-ok\" d=\"M9 16.8l4.8 4.7L23 11.8\"></path>\
     <path class=\"mark-warning\" d=\"M16 8v9.5M16 23.2v.1\"></path>\
     <path class=\"mark-error\" d=\"M11 11l10 10M21 11L11 21\"></path></svg>",
);

/// Renders the page. Everything but the markup in this file is escaped.
pub(in crate::telemetry::admin) fn render(status: &Status) -> String {
    let main = html! {
        (top(status))
        (health(status))
        div class="grid" {
            (events::last_notification(status.last_notification.as_ref()))
            (cards::activity(&status.history))
            (cards::certificates(&status.certificates))
            div class="side" {
                (cards::upstreams(&status.upstreams))
                (cards::tokens(&status.test_tokens))
            }
            (queue::card(status.queue.as_ref()))
            (cards::configured(&status.configured))
        }
        (events::table(&status.events))
        (footer(status))
    };
    fill(&main.into_string())
}

fn fill(main: &str) -> String {
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + main.len());
    let mut rest = PAGE;
    for (placeholder, content) in [
        ("<!--style-->", STYLE),
        ("<!--main-->", main),
        ("<!--script-->", SCRIPT),
    ] {
        let (before, after) = rest
            .split_once(placeholder)
            .expect("the page has all placeholders");
        page.push_str(before);
        page.push_str(content);
        rest = after;
    }
    page + rest
}

fn top(status: &Status) -> Markup {
    html! {
        header class="top" {
            p class="name" { "netdata-webhook-proxy" }
            p class="quiet small" id="updated" { "As of " (time(&status.now)) }
        }
        p id="stale" role="alert" hidden="" {
            "The proxy does not answer. What stands here is old."
        }
    }
}

fn health(status: &Status) -> Markup {
    html! {
        section id="health" aria-labelledby="headline" class=(class_of(status.status)) {
            (MARKS)
            div class="words" {
                h1 id="headline" role="status" { (status.headline) }
                p id="summary" {
                    "Started " (time(&status.started))
                    ", " (count(status.connections, "open connection")) "."
                }
                ul id="findings" {
                    @for finding in &status.findings {
                        li class=(class_of(finding.level)) { span { (finding.text) } }
                    }
                }
            }
        }
    }
}

fn footer(status: &Status) -> Markup {
    html! {
        footer class="quiet small" {
            p id="totals" class="number" {
                "Since the start: " (status.totals.passed) " passed, "
                (status.totals.refused) " refused, "
                (status.totals.not_delivered) " not delivered."
            }
            p { "Version " (status.version) }
            p { a href="/api/status.json" { "JSON" } }
            p { a href="/metrics" { "Metrics" } }
            p { a href="/readyz" { "Readiness" } }
        }
    }
}

fn time(at: &str) -> Markup {
    let shown = at.replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(at) { (shown) } }
}

fn day(at: &str) -> &str {
    at.split('T').next().unwrap_or_default()
}

fn count(number: i64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn class_of(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn tone_of(level: Level) -> &'static str {
    match level {
        Level::Ok => "good",
        Level::Warning => "warning",
        Level::Error => "bad",
    }
}
