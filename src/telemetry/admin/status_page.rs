//! The status page, as a browser without scripts shows it; `page.js` keeps it up to date with the
//! same elements.

use super::health::Level;
use super::html::Html;
use super::status::{Entry, History, Server, Status, Token, Upstream, Validity};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// What a browser may do with the page: run this very script and style, and ask this listener.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// How high a bar of the chart may be, on its side of the line.
const BAR: u64 = 50;

pub(super) fn render(status: &Status) -> String {
    let mut main = Html::default();
    top(&mut main, status);
    health(&mut main, status);
    main.markup("<div class=\"grid\">");
    last_notification(&mut main, status.last_notification.as_ref());
    activity(&mut main, &status.history);
    certificates(&mut main, &status.certificates);
    main.markup("<div class=\"side\">");
    upstreams(&mut main, &status.upstreams);
    tokens(&mut main, &status.test_tokens);
    main.markup("</div></div>");
    events(&mut main, &status.events);
    footer(&mut main, status);
    fill(&main.finish())
}

fn fill(main: &str) -> String {
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + main.len());
    let mut rest = PAGE;
    for (place, content) in [
        ("<!--style-->", STYLE),
        ("<!--main-->", main),
        ("<!--script-->", SCRIPT),
    ] {
        let (before, after) = rest
            .split_once(place)
            .expect("the page has a place for everything");
        page.push_str(before);
        page.push_str(content);
        rest = after;
    }
    page + rest
}

fn top(html: &mut Html, status: &Status) {
    html.markup("<header class=\"top\"><p class=\"name\">netdata-webhook-proxy</p>");
    html.markup("<p class=\"quiet small\" id=\"updated\">As of ");
    time(html, &status.now);
    html.markup("</p></header><p id=\"stale\" role=\"alert\" hidden=\"\">The proxy does not answer. What stands here is old.</p>");
}

fn health(html: &mut Html, status: &Status) {
    html.markup("<section id=\"health\" aria-labelledby=\"headline\" class=\"")
        .markup(class_of(status.status));
    html.markup(
        "\"><svg viewBox=\"0 0 32 32\" aria-hidden=\"true\"><circle cx=\"16\" cy=\"16\" r=\"16\"></circle>\
         <path class=\"mark-ok\" d=\"M9 16.8l4.8 4.7L23 11.8\"></path>\
         <path class=\"mark-warning\" d=\"M16 8v9.5M16 23.2v.1\"></path>\
         <path class=\"mark-error\" d=\"M11 11l10 10M21 11L11 21\"></path></svg>\
         <div class=\"words\"><h1 id=\"headline\" role=\"status\">",
    );
    html.text(status.headline)
        .markup("</h1><p id=\"summary\">Started ");
    time(html, &status.started);
    html.text(format_args!(
        ", {}.",
        count(status.connections, "open connection")
    ));
    html.markup("</p><ul id=\"findings\">");
    for finding in &status.findings {
        html.markup("<li class=\"")
            .markup(class_of(finding.level))
            .markup("\"><span>");
        html.text(&finding.text).markup("</span></li>");
    }
    html.markup("</ul></div></section>");
}

fn last_notification(html: &mut Html, last: Option<&Entry>) {
    html.markup("<section class=\"card stack\" id=\"last\"><h2>Last notification</h2><div class=\"stack body\">");
    match last {
        None => {
            html.markup("<p class=\"big\">None yet</p><p class=\"quiet\">None has come since the start.</p>");
        }
        Some(entry) => {
            html.markup("<p class=\"big\">");
            time(html, &entry.at);
            html.markup("</p>");
            what(html, entry);
            html.markup("<p>");
            result(html, entry);
            html.markup(" <span class=\"quiet small number\">")
                .text(figures(entry))
                .markup("</span></p>");
        }
    }
    html.markup("</div></section>");
}

fn activity(html: &mut Html, history: &History) {
    let (passed, refused) = (
        history.passed.iter().sum::<u64>(),
        history.refused.iter().sum::<u64>(),
    );
    html.markup(
        "<section class=\"card stack\" id=\"activity\"><div class=\"head\"><h2>Last 24 hours</h2>",
    );
    html.markup("<p class=\"legend small number\"><span class=\"passed\">")
        .text(passed);
    html.markup(" passed</span><span class=\"refused\">")
        .text(refused)
        .markup(" refused</span></p></div>");
    html.markup(
        "<svg viewBox=\"0 0 960 104\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"",
    );
    html.text(format_args!(
        "In the last 24 hours, {passed} passed and {refused} were refused."
    ))
    .markup("\">");
    html.markup("<path d=\"M0 52h960M1 2v100M240 2v100M480 2v100M720 2v100M959 2v100\"></path>");
    bars(html, "<rect class=\"passed\"", &history.passed, |height| {
        51 - height
    });
    bars(html, "<rect class=\"refused\"", &history.refused, |_| 53);
    html.markup(
        "</svg><p class=\"axis quiet small\"><span>24 hours ago</span><span>12 hours ago</span><span>now</span></p></section>",
    );
}

fn bars(html: &mut Html, rect: &'static str, counts: &[u64], top: impl Fn(u64) -> u64) {
    // A single event does not fill the chart.
    let most = counts.iter().copied().max().unwrap_or_default().max(4);
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (count * BAR).div_ceil(most).max(3);
        html.markup(rect)
            .markup(" x=\"")
            .text(index * 10 + 1)
            .markup("\" y=\"")
            .text(top(height));
        html.markup("\" width=\"8\" height=\"")
            .text(height)
            .markup("\"></rect>");
    }
}

fn certificates(html: &mut Html, certificates: &[Validity]) {
    html.markup("<section class=\"card stack\" id=\"certificates\"><h2>Certificates</h2><div class=\"body\">");
    if certificates.is_empty() {
        html.markup("<p class=\"quiet\">There are none: TLS ends before this program.</p>");
    } else {
        html.markup("<ul class=\"rows\">");
        for certificate in certificates {
            html.markup("<li><span class=\"strong\">")
                .text(certificate.label);
            html.markup("</span><span class=\"state number ")
                .markup(tone_of(certificate.status))
                .markup("\">");
            html.text(&certificate.left)
                .markup("</span><span class=\"quiet small text\">")
                .text(&certificate.name);
            html.markup(", until <time class=\"date\" datetime=\"");
            html.text(&certificate.not_after)
                .markup("\">")
                .text(day(&certificate.not_after));
            html.markup("</time></span></li>");
        }
        html.markup("</ul>");
    }
    html.markup("</div></section>");
}

fn upstreams(html: &mut Html, upstreams: &[Upstream]) {
    html.markup(
        "<section class=\"card stack\" id=\"upstreams\"><h2>Applications</h2><div class=\"body\">",
    );
    if upstreams.is_empty() {
        html.markup("<p class=\"quiet\">Their health is not checked. Each event below says whether it arrived.</p>");
    } else {
        html.markup("<ul class=\"rows\">");
        for Upstream { name, servers } in upstreams {
            for Server { server, healthy } in servers {
                let (tone, state) = if *healthy {
                    ("good", "in use")
                } else {
                    ("bad", "left out")
                };
                html.markup("<li><span class=\"strong text\">")
                    .text(name)
                    .markup("</span><span class=\"state ");
                html.markup(tone)
                    .markup("\">")
                    .text(state)
                    .markup("</span><span class=\"quiet small text\">");
                html.text(server).markup("</span></li>");
            }
        }
        html.markup("</ul>");
    }
    html.markup("</div></section>");
}

fn tokens(html: &mut Html, tokens: &[Token]) {
    html.markup(
        "<section class=\"card stack\" id=\"tokens\"><h2>Test token</h2><div class=\"body\">",
    );
    if tokens.is_empty() {
        html.markup(
            "<p class=\"quiet\">When you press Test in Netdata Cloud, the token to paste there appears here.</p>",
        );
    }
    for Token { route, token, at } in tokens {
        html.markup("<div class=\"token\"><p class=\"quiet small text\">")
            .text(route)
            .markup(", ");
        time(html, at);
        html.markup("</p><div class=\"value\"><code>").text(token);
        html.markup("</code><button type=\"button\" hidden=\"\">Copy</button></div></div>");
    }
    html.markup("</div></section>");
}

fn events(html: &mut Html, events: &[Entry]) {
    html.markup(
        "<section class=\"card\" id=\"events\"><div class=\"head\"><h2 id=\"events-title\">Recent events</h2>\
         <fieldset><legend class=\"hidden\">Show</legend>\
         <input type=\"radio\" name=\"show\" id=\"all\" checked><label for=\"all\">All</label>\
         <input type=\"radio\" name=\"show\" id=\"only-passed\"><label for=\"only-passed\">Passed</label>\
         <input type=\"radio\" name=\"show\" id=\"only-refused\"><label for=\"only-refused\">Refused</label>\
         </fieldset></div><table role=\"table\" aria-labelledby=\"events-title\"><thead role=\"rowgroup\">\
         <tr role=\"row\"><th role=\"columnheader\" scope=\"col\">When</th>\
         <th role=\"columnheader\" scope=\"col\">What</th><th role=\"columnheader\" scope=\"col\">From</th>\
         <th role=\"columnheader\" scope=\"col\">Result</th></tr></thead><tbody role=\"rowgroup\" class=\"body\">",
    );
    if events.is_empty() {
        html.markup("<tr role=\"row\"><td role=\"cell\" class=\"what quiet\">Nothing has happened yet.</td></tr>");
    }
    events.iter().for_each(|entry| event(html, entry));
    html.markup("</tbody></table></section>");
}

fn event(html: &mut Html, entry: &Entry) {
    html.markup("<tr role=\"row\" class=\"")
        .markup(if entry.ok { "passed" } else { "refused" });
    html.markup("\"><td role=\"cell\" class=\"when small number\">");
    time(html, &entry.at);
    if entry.times > 1 {
        html.markup(" <span class=\"badge\">×")
            .text(entry.times)
            .markup("</span>");
    }
    html.markup("</td><td role=\"cell\" class=\"what\">");
    what(html, entry);
    html.markup("</td><td role=\"cell\" class=\"from small\">");
    if let Some(address) = &entry.remote_addr {
        html.markup("<p class=\"number\">")
            .text(address)
            .markup("</p>");
    }
    if let Some(route) = &entry.route {
        html.markup("<p class=\"quiet text\">")
            .text(route)
            .markup("</p>");
    }
    html.markup("</td><td role=\"cell\" class=\"result\"><p>");
    result(html, entry);
    html.markup("</p><p class=\"quiet small number\">")
        .text(figures(entry))
        .markup("</p></td></tr>");
}

/// What happened, and why.
fn what(html: &mut Html, entry: &Entry) {
    html.markup("<p class=\"text\"><span class=\"badge ")
        .markup(badge(entry))
        .markup("\">")
        .text(entry.label);
    if let Some(severity) = &entry.severity {
        html.markup(", ").text(severity);
    }
    html.markup("</span>");
    if let Some(title) = &entry.title {
        html.markup(" <span class=\"strong\">")
            .text(title)
            .markup("</span>");
    }
    if !entry.ok {
        html.markup(" <code class=\"bad strong\">")
            .text(entry.code)
            .markup("</code>");
    }
    html.markup("</p>");
    let place: Vec<_> = [&entry.node, &entry.space]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if !place.is_empty() {
        html.markup("<p class=\"quiet small text\">")
            .text(place.join(", "))
            .markup("</p>");
    }
    if let Some(reason) = &entry.reason {
        html.markup("<p class=\"small text\">")
            .text(reason)
            .markup("</p>");
    }
    for (name, text) in [
        ("Certificate: ", entry.subject.as_deref()),
        ("", entry.advice),
    ] {
        if let Some(text) = text {
            html.markup("<p class=\"quiet small text\">")
                .text(name)
                .text(text)
                .markup("</p>");
        }
    }
}

fn result(html: &mut Html, entry: &Entry) {
    html.markup(if entry.ok {
        "<span class=\"strong good\">"
    } else {
        "<span class=\"strong bad\">"
    });
    html.text(entry.result).markup("</span>");
}

/// The status and the duration, as far as there are any.
fn figures(entry: &Entry) -> String {
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

fn footer(html: &mut Html, status: &Status) {
    html.markup(
        "<footer class=\"quiet small\"><p id=\"totals\" class=\"number\">Since the start, ",
    );
    html.text(status.totals.passed)
        .markup(" passed and ")
        .text(status.totals.refused);
    html.markup(" were refused.</p><p>Version ")
        .text(status.version);
    html.markup(
        "</p><p><a href=\"/api/status.json\">JSON</a></p><p><a href=\"/metrics\">Metrics</a></p>\
         <p><a href=\"/readyz\">Readiness</a></p></footer>",
    );
}

fn time(html: &mut Html, at: &str) {
    html.markup("<time datetime=\"")
        .text(at)
        .markup("\">")
        .text(at.replace('T', " ").replace('Z', " UTC"));
    html.markup("</time>");
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

fn badge(entry: &Entry) -> &'static str {
    match entry.severity.as_deref() {
        Some("critical") => "critical",
        Some("warning") => "warning",
        Some("clear") => "clear",
        Some("info") => "info",
        _ if entry.ok || entry.kind.is_some() => "other",
        _ => "refused",
    }
}
