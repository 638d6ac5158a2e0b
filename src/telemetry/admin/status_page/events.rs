//! The last notification and the table of events.

use super::time;
use crate::telemetry::admin::event::StatusEvent;
use maud::{Markup, PreEscaped, html};

/// The buttons that choose which events are shown.
const EVENT_FILTER: PreEscaped<&str> = PreEscaped(
    "<fieldset><legend class=\"hidden\">Show</legend>\
     <input type=\"radio\" name=\"show\" id=\"all\" checked><label for=\"all\">All</label>\
     <input type=\"radio\" name=\"show\" id=\"only-passed\"><label for=\"only-passed\">Passed</label>\
     <input type=\"radio\" name=\"show\" id=\"only-refused\"><label for=\"only-refused\">Refused</label>\
     <input type=\"radio\" name=\"show\" id=\"only-lost\"><label for=\"only-lost\">Not delivered</label>\
     </fieldset>",
);

/// The head of the table of events.
const EVENT_COLUMNS: PreEscaped<&str> = PreEscaped(
    "<thead role=\"rowgroup\">\
     <tr role=\"row\"><th role=\"columnheader\" scope=\"col\">When</th>\
     <th role=\"columnheader\" scope=\"col\">What</th><th role=\"columnheader\" scope=\"col\">From</th>\
     <th role=\"columnheader\" scope=\"col\">Result</th></tr></thead>",
);

/// The switch that shows more than the first 20 events of those chosen.
const MORE: PreEscaped<&str> = PreEscaped(
    "<p class=\"more small\"><input type=\"checkbox\" id=\"more\"><label for=\"more\">Show more</label></p>",
);

pub(super) fn last_notification(last: Option<&StatusEvent>) -> Markup {
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

pub(super) fn table(events: &[StatusEvent]) -> Markup {
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
            (MORE)
        }
    }
}

fn event_row(entry: &StatusEvent) -> Markup {
    html! {
        tr role="row" class=(class_of(entry)) {
            td role="cell" class="when small number" {
                (time(&entry.at))
                @if entry.times > 1 { " " span class="badge" { "×" (entry.times) } }
            }
            td role="cell" class="what" { (details(entry)) }
            td role="cell" class="from small" {
                @if let Some(address) = &entry.remote_addr { p class="number" { (address) } }
                @if let Some(route) = &entry.route { p class="quiet text" { (route) } }
                @if let Some(id) = &entry.request_id { p class="quiet id" { code { (id) } } }
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
    let message = entry.message.as_ref();
    let message = message.filter(|message| Some(*message) != entry.title.as_ref());
    html! {
        (summary(entry))
        @if let Some(message) = message { p class="small text" { (message) } }
        (origin(entry))
        @if let Some(reason) = &entry.reason { p class="small text" { (reason) } }
        @if let Some(subject) = &entry.subject {
            p class="quiet small text" { "Certificate: " (subject) }
        }
        @if let Some(advice) = entry.advice { p class="quiet small text" { (advice) } }
        @if let Some(url) = &entry.url {
            p class="small" {
                a href=(url) rel="noopener noreferrer" target="_blank" { "Open in Netdata Cloud" }
            }
        }
    }
}

/// Describes the node and the space. The space's id is what `spaces` should name.
fn origin(entry: &StatusEvent) -> Markup {
    let names: Vec<_> = [&entry.node, &entry.space]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let id = entry.space_id.as_ref();
    let id = id.filter(|id| Some(*id) != entry.space.as_ref());
    html! {
        @if !names.is_empty() {
            p class="quiet small text" {
                (names.join(", "))
                @if let Some(id) = id { " " code { (id) } }
            }
        }
    }
}

fn class_of(entry: &StatusEvent) -> &'static str {
    match (entry.ok, entry.result) {
        (true, _) => "passed",
        (false, "not delivered") => "lost",
        (false, _) => "refused",
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
