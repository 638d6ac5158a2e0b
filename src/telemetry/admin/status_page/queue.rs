//! The card of the queue: what waits and why, what is parked, and the commands that send it.

use super::{time, tone_of};
use crate::telemetry::admin::health::Level;
use crate::telemetry::admin::queue_status::{ParkedRoute, QueueStatus, WaitingRoute};
use maud::{Markup, html};

/// The number of bytes in a MiB.
const MIB: i64 = 1 << 20;

/// Renders the card, which is empty and not shown without a queue.
pub(super) fn card(queue: Option<&QueueStatus>) -> Markup {
    html! {
        section class="card stack" id="queue" {
            @if let Some(queue) = queue { (content(queue)) }
        }
    }
}

fn content(queue: &QueueStatus) -> Markup {
    html! {
        h2 { "Queue" }
        ul class="rows" {
            @if let Some(problem) = &queue.problem {
                @let store = if queue.shared { "The database" } else { "The file" };
                (row(store, "bad", "cannot be written", html! { (problem) }))
            }
            @if let Some(damaged) = &queue.damaged {
                (row("A damaged file", "warning", "set aside", html! { (damaged) }))
            }
            (delivery_row(queue))
            @for route in &queue.routes { (route_row(route)) }
            @for parked in &queue.parked { (parked_row(parked)) }
            (size_row(queue))
        }
    }
}

fn row(name: &str, tone: &str, state: &str, details: Markup) -> Markup {
    html! {
        li {
            span class="strong text" { (name) }
            span class={ "state number " (tone) } { (state) }
            span class="quiet small text" { (details) }
        }
    }
}

fn delivery_row(queue: &QueueStatus) -> Markup {
    let by = html! {
        @if let Some(deliverer) = &queue.deliverer {
            (deliverer.name) " delivers since " (time(&deliverer.since)) ", in term "
            (deliverer.term) ". "
        }
    };
    match (queue.delivering, &queue.deliverer) {
        (true, None) => html! {},
        (true, Some(_)) => row("Delivery", "quiet", "here", by),
        (false, None) => row(
            "Delivery",
            "quiet",
            "elsewhere",
            html! {
                "Another process delivers what is stored. This one stores, and takes over."
            },
        ),
        (false, Some(_)) => row(
            "Delivery",
            "quiet",
            "elsewhere",
            html! {
                (by) "This one stores, and takes over."
            },
        ),
    }
}

fn route_row(route: &WaitingRoute) -> Markup {
    let state = match route.waiting {
        0 => "nothing waits".to_owned(),
        1 => "1 waits".to_owned(),
        waiting => format!("{waiting} wait"),
    };
    let details = html! {
        @if let Some(since) = &route.down_since {
            "The application has taken none since " (time(since)) ". "
        }
        @if let Some(oldest) = &route.oldest { "Oldest: " (time(oldest)) ". " }
        @if let Some(next) = &route.next_try { "Next attempt: " (time(next)) ". " }
        @if route.sending > 0 { "Under way: " (route.sending) ". " }
        @if let Some(last) = &route.last_error {
            "Last error, " (time(&last.at)) ": " (last.error)
        }
    };
    row(&route.route, tone_of(route.status), &state, details)
}

fn parked_row(parked: &ParkedRoute) -> Markup {
    let details = html! {
        (parked.why) " " code { (parked.list) } " shows them. " code { (parked.retry) }
        " sends everything that is parked again."
    };
    let state = format!("{} parked", parked.count);
    row(&parked.route, "warning", &state, details)
}

fn size_row(queue: &QueueStatus) -> Markup {
    let percent = queue.bytes.saturating_mul(100) / queue.max_bytes.max(1);
    let tone = tone_of(if percent > 80 {
        Level::Warning
    } else {
        Level::Ok
    });
    let mebibytes = |bytes: i64| bytes.max(0).unsigned_abs().div_ceil(MIB.unsigned_abs());
    let details = html! { (mebibytes(queue.bytes)) " of " (mebibytes(queue.max_bytes)) " MiB" };
    row("Size", tone, &format!("{percent} %"), details)
}
