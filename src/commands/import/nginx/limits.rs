//! Sizes and rates that are limited, and how long connections are kept.

use super::scope::Scope;
use crate::commands::import::directive::Directive;
use crate::commands::import::quantity::{self, bytes, duration, seconds};
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::Keys;

/// Writes `[limits]`, as the webhook has them.
pub(super) fn carry(scope: &Scope<'_>, http: &[Directive], keys: &mut Keys, ledger: &Ledger) {
    if let Some(directive) = scope.one("keepalive_timeout") {
        let time = duration(directive.value());
        quantity::idle_timeout(directive, time.as_deref().map_or(0, seconds), keys, ledger);
    }
    for directive in scope.all("limit_req") {
        rate(directive, http, keys, ledger);
    }
}

/// `limit_req zone=… burst=…`, with the zone's rate.
fn rate(directive: &Directive, http: &[Directive], keys: &mut Keys, ledger: &Ledger) {
    let parameter = |it: &Directive, name: &str| {
        it.arguments
            .iter()
            .find_map(|argument| Some(argument.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    };
    let name = parameter(directive, "zone").unwrap_or_default();
    let is_it = |it: &&Directive| {
        let zone = parameter(it, "zone").unwrap_or_default();
        it.name == "limit_req_zone" && zone.split(':').next() == Some(&name)
    };
    let zone = http
        .iter()
        .find(is_it)
        .filter(|it| matches!(it.value(), "$binary_remote_addr" | "$remote_addr"));
    let rate = zone
        .and_then(|zone| parameter(zone, "rate"))
        .and_then(|rate| match rate.split_once("r/") {
            Some((number, "s")) => number.parse::<u64>().ok(),
            Some((number, "m")) => Some(number.parse::<u64>().ok()?.div_ceil(60)),
            _ => None,
        });
    let Some(rate) = rate.filter(|rate| (1..1_000_000_000).contains(rate)) else {
        return ledger.not_carried(
            directive,
            "requests are counted by address, in a second: limits.requests_per_second",
        );
    };
    keys.set("requests_per_second", rate);
    ledger.carried(directive, format!("limits.requests_per_second = {rate}"));
    zone.into_iter()
        .for_each(|it| ledger.carried(it, "limits.requests_per_second"));
    if let Some(burst) = parameter(directive, "burst").and_then(|burst| burst.parse::<u64>().ok()) {
        keys.set("burst", burst.min(1_000_000_000));
    }
}

/// `client_max_body_size`
pub(super) fn max_body(scope: &Scope<'_>, is_webhook: bool, ledger: &Ledger) -> Option<String> {
    match scope.one("client_max_body_size") {
        Some(directive) => {
            quantity::max_body(directive, bytes(directive.value()), is_webhook, ledger)
        }
        // NGINX's own limit is that of a webhook.
        None => (!is_webhook).then(|| "1MiB".to_owned()),
    }
}
