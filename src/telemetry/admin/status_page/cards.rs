//! The cards of the page: the last day, certificates, applications, tokens and the configuration.

use super::{day, time, tone_of};
use crate::telemetry::admin::status::{
    History, LastResponse, RouteToken, ServerStatus, UpstreamStatus, Validity,
};
use crate::telemetry::configured::{Configured, ConfiguredListener, ConfiguredRoute};
use maud::{Markup, html};

/// The height of the highest bar of the chart, on its side of the line.
const BAR_HEIGHT: u64 = 50;

pub(super) fn activity(history: &History) -> Markup {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let (passed, refused) = (sum(&history.passed), sum(&history.refused));
    let lost = sum(&history.not_delivered);
    let summary =
        format!("In the last 24 hours: {passed} passed, {refused} refused, {lost} not delivered.");
    let (above, below) = scale(history);
    html! {
        section class="card stack" id="activity" {
            div class="head" {
                h2 { "Last 24 hours" }
                p class="legend small number" {
                    span class="passed" { (passed) " passed" }
                    span class="refused" { (refused) " refused" }
                    span class="lost" { (lost) " not delivered" }
                }
            }
            div class="chart" {
                p class="scale quiet small number" aria-hidden="true" {
                    span { (above) } span { "0" } span { (below) }
                }
                svg viewBox="0 0 960 104" preserveAspectRatio="none" role="img" aria-label=(summary) {
                    path d="M0 52h960M1 2v100M240 2v100M480 2v100M720 2v100M959 2v100" {}
                    (bars("passed", &history.passed, above, |height| 51 - height))
                    (bars("refused", &history.refused, below, |_| 53))
                    (bars("lost", &history.not_delivered, below, |_| 53))
                }
            }
            p class="axis quiet small" {
                span { "24 hours ago" }
                span { "in each 15 minutes" }
                span { "now" }
            }
        }
    }
}

/// Returns the numbers that the highest bars above and below the line stand for.
fn scale(history: &History) -> (u64, u64) {
    // A single event does not fill the chart.
    let most = |counts: &[u64]| counts.iter().copied().max().unwrap_or_default().max(4);
    let below = most(&history.refused).max(most(&history.not_delivered));
    (most(&history.passed), below)
}

fn bars(class: &str, counts: &[u64], most: u64, top: impl Fn(u64) -> u64) -> Markup {
    let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let bars = bars.map(|(index, count)| (index, (count * BAR_HEIGHT).div_ceil(most).max(3)));
    html! {
        @for (index, height) in bars {
            rect class=(class) x=(index * 10 + 1) y=(top(height)) width="8" height=(height) {}
        }
    }
}

pub(super) fn certificates(certificates: &[Validity]) -> Markup {
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

pub(super) fn upstreams(upstreams: &[UpstreamStatus]) -> Markup {
    html! {
        section class="card stack" id="upstreams" {
            h2 { "Applications" }
            div class="body" {
                ul class="rows" {
                    @for upstream in upstreams {
                        @for server in &upstream.servers { (server_row(&upstream.name, server)) }
                        (response_row(upstream))
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

fn response_row(upstream: &UpstreamStatus) -> Markup {
    html! {
        li {
            span class="strong text" { (upstream.name) }
            @match &upstream.last_response {
                None => { span class="state quiet" { "not used yet" } }
                Some(response) => { (last_response(response)) }
            }
        }
    }
}

fn last_response(response: &LastResponse) -> Markup {
    let class = if response.ok {
        "state number good"
    } else {
        "state number bad"
    };
    let status = response
        .status
        .map_or("no response".to_owned(), |status| status.to_string());
    html! {
        span class=(class) { (status) }
        span class="quiet small text" {
            "Last response: " (time(&response.at))
            @if let Some(duration) = response.duration_ms { ", " (duration) " ms" }
            @if let Some(failure) = &response.failure { ". " (failure) }
        }
    }
}

pub(super) fn tokens(tokens: &[RouteToken]) -> Markup {
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

pub(super) fn configured(configured: &Configured) -> Markup {
    html! {
        section class="card stack" id="configured" {
            h2 { "Configured" }
            div class="body" {
                ul class="rows" {
                    @for listener in &configured.listeners { (listener_row(listener)) }
                    @for route in &configured.routes { (route_row(route)) }
                }
            }
        }
    }
}

fn listener_row(listener: &ConfiguredListener) -> Markup {
    let demand = match listener.verify {
        "require" => "a client certificate is required",
        "request" => "a client certificate is requested",
        _ => "no client certificate is requested",
    };
    html! {
        li {
            span class="strong text" { (listener.scheme) "://" (listener.address) }
            span class="quiet small" { "listener" }
            span class="quiet small text" { (demand) }
        }
    }
}

fn route_row(route: &ConfiguredRoute) -> Markup {
    let spaces = match route.spaces.as_slice() {
        [] => String::new(),
        spaces => format!(", of {}", spaces.join(", ")),
    };
    html! {
        li {
            span class="strong text" { (route.path) " → " (route.upstream) }
            span class="quiet small" { (route.kind) }
            span class="quiet small text" {
                "requires " (route.demands) (spaces)
                @if route.kind == "webhook" && !route.challenge { "; answers no challenge" }
            }
            @if let Some(note) = route.note { span class="note small text" { "Note: " (note) "." } }
        }
    }
}
