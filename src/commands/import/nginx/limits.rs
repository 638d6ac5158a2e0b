//! Sizes and rates that are limited, and how long connections are kept.

use super::scope::Scope;
use crate::commands::import::directive::{Directive, InEffect};
use crate::commands::import::quantity::{self, bytes};
use crate::commands::import::report::Ledger;
use crate::commands::import::toml_writer::ConfigTable;

/// Writes `[limits]`, as the webhook has them.
pub(super) fn carry(
    scope: &Scope<'_>,
    http: &[Directive],
    keys: &mut ConfigTable,
    ledger: &Ledger,
) {
    if let Some(directive) = scope.one("keepalive_timeout") {
        quantity::idle_timeout(directive, keys, ledger);
    }
    for directive in scope.all("limit_req") {
        rate(directive, http, keys, ledger);
    }
}

/// `limit_req zone=… burst=…`, with the zone's rate.
fn rate(directive: &Directive, http: &[Directive], keys: &mut ConfigTable, ledger: &Ledger) {
    let name = directive.parameter("zone").unwrap_or_default();
    let is_it = |it: &&Directive| {
        let zone = it.parameter("zone").unwrap_or_default();
        it.name == "limit_req_zone" && zone.split(':').next() == Some(name)
    };
    let zone = http
        .iter()
        .find(is_it)
        .filter(|it| matches!(it.value(), "$binary_remote_addr" | "$remote_addr"));
    let rate = zone
        .and_then(|zone| zone.parameter("rate"))
        .and_then(|rate| match rate.split_once("r/") {
            Some((number, "s")) => number.parse::<i64>().ok(),
            Some((number, "m")) => Some(i64::from(number.parse::<u32>().ok()?.div_ceil(60))),
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
    if let Some(burst) = directive
        .parameter("burst")
        .and_then(|burst| burst.parse::<u32>().ok())
    {
        keys.set("burst", i64::from(burst.min(1_000_000_000)));
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
