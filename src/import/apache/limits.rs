//! Sizes and times that are limited.

use super::host::{Host, Section};
use crate::import::draft::Keys;
use crate::import::quantity::{duration, size};
use crate::import::report::Ledger;

/// More than any notification has, and as much as may be held in memory.
const LARGEST_WEBHOOK: u64 = 16 << 20;

/// `LimitRequestBody`, in the innermost section that has it.
pub(super) fn max_body(host: &Host<'_>, sections: &[Section<'_>], is_webhook: bool, ledger: &Ledger) -> Option<String> {
    let inner = sections.iter().rev().find_map(|section| section.one("LimitRequestBody"));
    let directive = inner.or_else(|| host.one("LimitRequestBody"))?;
    match directive.value().parse::<u64>() {
        Ok(0 | LARGEST_WEBHOOK..) if is_webhook => {
            let remedy = "a webhook's body is held in memory, and 1 MiB is a lot for a notification: max_body";
            ledger.not_carried(directive, remedy);
            None
        }
        Ok(0) => {
            ledger.carried(directive, "routes.max_body: no limit");
            None
        }
        Ok(limit) => {
            ledger.carried(directive, format!("routes.max_body: {}", size(limit)));
            Some(size(limit))
        }
        Err(_) => {
            ledger.not_carried(directive, "max_body is a size");
            None
        }
    }
}

/// Writes `[limits]`.
pub(super) fn carry(host: &Host<'_>, keys: &mut Keys, ledger: &Ledger) {
    if let Some(directive) = host.one("RequestReadTimeout") {
        // `header=20-40,MinRate=500 body=20,MinRate=500`: at most 40 s, or 20 and more as bytes come.
        let of = |part: &str| {
            let value = directive.arguments.iter().find_map(|it| it.strip_prefix(part)?.strip_prefix('='))?;
            let longest = value.split(',').next()?.rsplit('-').next()?;
            duration(longest)
        };
        for (part, key) in [("header", "header_timeout"), ("body", "body_timeout")] {
            if let Some(time) = of(part) {
                ledger.carried(directive, format!("limits.{key} = \"{time}\""));
                keys.set(key, time);
            }
        }
    }
    let keep_alive = host.one("KeepAlive").filter(|it| it.value().eq_ignore_ascii_case("off"));
    for directive in host.one("KeepAliveTimeout").into_iter().chain(keep_alive) {
        let seconds = directive.value().parse::<u64>().unwrap_or(0);
        // Go's clients keep idle connections for 90 s.
        if seconds > 90 {
            ledger.carried(directive, format!("limits.idle_timeout = \"{seconds}s\""));
            keys.set("idle_timeout", format!("{seconds}s"));
        } else {
            let hole = "Netdata Cloud's client keeps idle connections for 90 s, and loses an alert when the server closes \
                        first; limits.idle_timeout stays at 300s";
            ledger.closed(directive, hole);
        }
    }
    if let Some(directive) = host.one("Timeout") {
        ledger.not_needed(directive, "each part of a request has a time of its own: see [limits]");
    }
}
