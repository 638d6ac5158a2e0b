//! The status page, as a browser without scripts shows it. `page.js` keeps it up to date with the
//! same elements.

use super::health::Level;
use super::status::{
    History, RouteToken, ServerStatus, Status, StatusEvent, UpstreamStatus, Validity,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use maud::{Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The content security policy of the page: this script and this style alone may run, and requests
/// may go to this listener alone.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// The height of the highest bar of the chart, on its side of the line.
const BAR_HEIGHT: u64 = 50;

/// The icon beside the headline, one mark for each level. The style shows one of them.
const MARKS: PreEscaped<&str> = PreEscaped(
    "<svg viewBox=\"0 0 32 32\" aria-hidden=\"true\"><circle cx=\"16\" cy=\"16\" r=\"16\"></circle>\
     <path class=\"mark-ok\" d=\"M9 16.8l4.8 4.7L23 11.8\"></path>\
     <path class=\"mark-warning\" d=\"M16 8v9.5M16 23.2v.1\"></path>\
     <path class=\"mark-error\" d=\"M11 11l10 10M21 11L11 21\"></path></svg>",
);

/// The buttons that choose which events are shown.
const EVENT_FILTER: PreEscaped<&str> = PreEscaped(
    "<fieldset><legend class=\"hidden\">Show</legend>\
     <input type=\"radio\" name=\"show\" id=\"all\" checked><label for=\"all\">All</label>\
     <input type=\"radio\" name=\"show\" id=\"only-passed\"><label for=\"only-passed\">Passed</label>\
     <input type=\"radio\" name=\"show\" id=\"only-refused\"><label for=\"only-refused\">Refused</label>\
     </fieldset>",
);

/// The head of the table of events.
const EVENT_COLUMNS: PreEscaped<&str> = PreEscaped(
    "<thead role=\"rowgroup\">\
     <tr role=\"row\"><th role=\"columnheader\" scope=\"col\">When</th>\
     <th role=\"columnheader\" scope=\"col\">What</th><th role=\"columnheader\" scope=\"col\">From</th>\
     <th role=\"columnheader\" scope=\"col\">Result</th></tr></thead>",
);

/// Renders the page. Everything but the markup in this file is escaped.
pub(super) fn render(status: &Status) -> String {
    let main = html! {
        (top(status))
        (health(status))
        div class="grid" {
            (last_notification(status.last_notification.as_ref()))
            (activity(&status.history))
            (certificates(&status.certificates))
            div class="side" {
                (upstreams(&status.upstreams))
                (tokens(&status.test_tokens))
            }
        }
        (events(&status.events))
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

fn last_notification(last: Option<&StatusEvent>) -> Markup {
    html! {
        section class="card stack" id="last" {
            h2 { "Last notification" }
            div class="stack body" {
                @match last {
                    None => {
                        p class="big" { "None yet" }
                        p class="quiet" { "None has come since the start." }
                    }
                    Some(entry) => {
                        p class="big" { (time(&entry.at)) }
                        (details(entry))
                        p {
                            (result(entry))
                            " "
                            span class="quiet small number" { (figures(entry)) }
                        }
                    }
                }
            }
        }
    }
}

fn activity(history: &History) -> Markup {
    let passed: u64 = history.passed.iter().sum();
    let refused: u64 = history.refused.iter().sum();
    let summary = format!("In the last 24 hours, {passed} passed and {refused} were refused.");
    html! {
        section class="card stack" id="activity" {
            div class="head" {
                h2 { "Last 24 hours" }
                p class="legend small number" {
                    span class="passed" { (passed) " passed" }
                    span class="refused" { (refused) " refused" }
                }
            }
            svg viewBox="0 0 960 104" preserveAspectRatio="none" role="img" aria-label=(summary) {
                path d="M0 52h960M1 2v100M240 2v100M480 2v100M720 2v100M959 2v100" {}
                (bars("passed", &history.passed, |height| 51 - height))
                (bars("refused", &history.refused, |_| 53))
            }
            p class="axis quiet small" {
                span { "24 hours ago" }
                span { "12 hours ago" }
                span { "now" }
            }
        }
    }
}

fn bars(class: &str, counts: &[u64], top: impl Fn(u64) -> u64) -> Markup {
    // A single event does not fill the chart.
    let most = counts.iter().copied().max().unwrap_or_default().max(4);
    let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let bars = bars.map(|(index, count)| (index, (count * BAR_HEIGHT).div_ceil(most).max(3)));
    html! {
        @for (index, height) in bars {
            rect class=(class) x=(index * 10 + 1) y=(top(height)) width="8" height=(height) {}
        }
    }
}

fn certificates(certificates: &[Validity]) -> Markup {
    html! {
        section class="card stack" id="certificates" {
            h2 { "Certificates" }
            div class="body" {
                @if certificates.is_empty() {
                    p class="quiet" { "There are none: TLS ends before this program." }
                } @else {
                    ul class="rows" {
                        @for certificate in certificates { (certificate_row(certificate)) }
                    }
                }
            }
        }
    }
}

fn certificate_row(certificate: &Validity) -> Markup {
    let state = format!("state number {}", tone_of(certificate.status));
    html! {
        li {
            span class="strong" { (certificate.label) }
            span class=(state) { (certificate.left) }
            span class="quiet small text" {
                (certificate.name) ", until "
                time class="date" datetime=(certificate.not_after) { (day(&certificate.not_after)) }
            }
        }
    }
}

fn upstreams(upstreams: &[UpstreamStatus]) -> Markup {
    html! {
        section class="card stack" id="upstreams" {
            h2 { "Applications" }
            div class="body" {
                @if upstreams.is_empty() {
                    p class="quiet" {
                        "Their health is not checked. Each event below says whether it arrived."
                    }
                } @else {
                    ul class="rows" {
                        @for upstream in upstreams {
                            @for server in &upstream.servers { (server_row(&upstream.name, server)) }
                        }
                    }
                }
            }
        }
    }
}

fn server_row(upstream: &str, server: &ServerStatus) -> Markup {
    let (class, state) = match server.healthy {
        true => ("state good", "in use"),
        false => ("state bad", "left out"),
    };
    html! {
        li {
            span class="strong text" { (upstream) }
            span class=(class) { (state) }
            span class="quiet small text" { (server.server) }
        }
    }
}

fn tokens(tokens: &[RouteToken]) -> Markup {
    html! {
        section class="card stack" id="tokens" {
            h2 { "Test token" }
            div class="body" {
                @if tokens.is_empty() {
                    p class="quiet" {
                        "When you press Test in Netdata Cloud, the token to paste there appears here."
                    }
                }
                @for token in tokens {
                    div class="token" {
                        p class="quiet small text" { (token.route) ", " (time(&token.at)) }
                        div class="value" {
                            code { (token.token) }
                            button type="button" hidden="" { "Copy" }
                        }
                    }
                }
            }
        }
    }
}

fn events(events: &[StatusEvent]) -> Markup {
    html! {
        section class="card" id="events" {
            div class="head" {
                h2 id="events-title" { "Recent events" }
                (EVENT_FILTER)
            }
            table role="table" aria-labelledby="events-title" {
                (EVENT_COLUMNS)
                tbody role="rowgroup" class="body" {
                    @if events.is_empty() {
                        tr role="row" {
                            td role="cell" class="what quiet" { "Nothing has happened yet." }
                        }
                    }
                    @for entry in events { (event_row(entry)) }
                }
            }
        }
    }
}

fn event_row(entry: &StatusEvent) -> Markup {
    html! {
        tr role="row" class=(if entry.ok { "passed" } else { "refused" }) {
            td role="cell" class="when small number" {
                (time(&entry.at))
                @if entry.times > 1 { " " span class="badge" { "×" (entry.times) } }
            }
            td role="cell" class="what" { (details(entry)) }
            td role="cell" class="from small" {
                @if let Some(address) = &entry.remote_addr { p class="number" { (address) } }
                @if let Some(route) = &entry.route { p class="quiet text" { (route) } }
            }
            td role="cell" class="result" {
                p { (result(entry)) }
                p class="quiet small number" { (figures(entry)) }
            }
        }
    }
}

/// Describes an event and the reason of its result.
fn details(entry: &StatusEvent) -> Markup {
    let origin: Vec<_> = [&entry.node, &entry.space]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    html! {
        (summary(entry))
        @if !origin.is_empty() { p class="quiet small text" { (origin.join(", ")) } }
        @if let Some(reason) = &entry.reason { p class="small text" { (reason) } }
        @if let Some(subject) = &entry.subject {
            p class="quiet small text" { "Certificate: " (subject) }
        }
        @if let Some(advice) = entry.advice { p class="quiet small text" { (advice) } }
    }
}

fn summary(entry: &StatusEvent) -> Markup {
    html! {
        p class="text" {
            span class={ "badge " (badge(entry)) } {
                (entry.label)
                @if let Some(severity) = &entry.severity { ", " (severity) }
            }
            @if let Some(title) = &entry.title { " " span class="strong" { (title) } }
            @if !entry.ok { " " code class="bad strong" { (entry.code) } }
        }
    }
}

fn result(entry: &StatusEvent) -> Markup {
    let class = if entry.ok {
        "strong good"
    } else {
        "strong bad"
    };
    html! { span class=(class) { (entry.result) } }
}

/// Returns the status and the duration of an event, if it has them.
fn figures(entry: &StatusEvent) -> String {
    let status = entry.status.map(|status| status.to_string());
    let duration = entry
        .duration_ms
        .map(|milliseconds| format!("{milliseconds} ms"));
    status
        .into_iter()
        .chain(duration)
        .collect::<Vec<_>>()
        .join(", ")
}

fn footer(status: &Status) -> Markup {
    html! {
        footer class="quiet small" {
            p id="totals" class="number" {
                "Since the start, " (status.totals.passed) " passed and "
                (status.totals.refused) " were refused."
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

fn badge(entry: &StatusEvent) -> &'static str {
    match entry.severity.as_deref() {
        Some("critical") => "critical",
        Some("warning") => "warning",
        Some("clear") => "clear",
        Some("info") => "info",
        _ if entry.ok || entry.kind.is_some() => "other",
        _ => "refused",
    }
}
