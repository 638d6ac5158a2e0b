//! Durations, sizes and rates, as NGINX and Apache write them and as this program does.

use super::directive::Directive;
use super::scope::Scope;
use super::site::RouteRules;
use super::toml_writer::ConfigTable;

/// More than any notification has, and the most that is held in memory.
const LARGEST_WEBHOOK: u64 = 16 << 20;

const IN_MEMORY: &str = "a webhook's body is held in memory, and 1 MiB is a lot for a \
    notification: max_body";

/// The longest duration, in milliseconds: a year.
const LONGEST: u64 = 31_536_000_000;

/// The units of durations in milliseconds; without one, a duration is in seconds.
const DURATIONS: [(&str, u64); 7] = [
    ("ms", 1),
    ("", 1000),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// The units of sizes, with the names that this program has for them.
const SIZES: [(&str, u64, &str); 4] = [
    ("g", 1 << 30, "GiB"),
    ("m", 1 << 20, "MiB"),
    ("k", 1 << 10, "KiB"),
    ("", 1, ""),
];

/// Returns the `max_body` of a route; `None` for the default.
pub(super) fn max_body(rules: &RouteRules<'_>) -> Option<String> {
    let is_webhook = rules.is_webhook;
    let scope = rules.scopes.last()?;
    let Some(directive) = scope.one("client_max_body_size LimitRequestBody") else {
        return rules.default_max_body.map(str::to_owned);
    };
    let limit = bytes(directive.value()).filter(|limit| *limit > 0);
    match limit.filter(|limit| !is_webhook || *limit < LARGEST_WEBHOOK) {
        Some(limit) => {
            let size = size(limit);
            directive.carried(format!("routes.max_body: {size}"));
            Some(size).filter(|size| !is_webhook || size != "1MiB")
        }
        None => {
            say_unlimited(directive, is_webhook);
            None
        }
    }
}

fn say_unlimited(directive: &Directive, is_webhook: bool) {
    match is_webhook {
        true => directive.not_carried(IN_MEMORY),
        false => directive.carried("routes.max_body: no limit"),
    }
}

/// Writes the limits of a server that are in effect at a place.
pub(super) fn limits(scope: &Scope<'_>, limits: &mut ConfigTable) {
    for directive in scope.all("limit_req") {
        let rate = rate(scope, directive.parameter("zone"));
        limits.carry(directive, "requests_per_second", rate);
        let burst = directive
            .parameter("burst")
            .and_then(|it| it.parse::<i64>().ok());
        if let (Some(burst), Some(_)) = (burst, rate) {
            limits.set("burst", burst);
        }
    }
}

/// Returns the requests per second of a `limit_req_zone` by address.
fn rate(scope: &Scope<'_>, name: Option<&str>) -> Option<i64> {
    let zone = scope.every("limit_req_zone").find(|it| {
        let zone = it.parameter("zone").and_then(|zone| zone.split(':').next());
        zone == name && matches!(it.value(), "$binary_remote_addr" | "$remote_addr")
    })?;
    let (number, unit) = zone.parameter("rate")?.split_once("r/")?;
    let seconds = if unit == "m" { 60 } else { 1 };
    let rate = number.parse::<u32>().ok()?.div_ceil(seconds);
    (rate > 0).then_some(rate.into())
}

/// Returns `30`, `30s`, `500ms`, `1m 30s` or `1h` as a duration of this program; `None` for nothing
/// and for more than a year.
pub(super) fn duration(text: &str) -> Option<String> {
    let total = milliseconds(text)?;
    match total.is_multiple_of(1000) {
        true => Some(format!("{}s", total / 1000)),
        false => Some(format!("{total}ms")),
    }
}

fn milliseconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let is_unit = |c: char| c.is_ascii_alphabetic();
        let (unit, after) = after.split_at(after.find(|c| !is_unit(c)).unwrap_or(after.len()));
        let (_, unit) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(*unit)?)?;
        rest = after.trim_start();
    }
    Some(total).filter(|total| (1..=LONGEST).contains(total))
}

/// Reads `1m`, `64k`, `1g` or plain bytes.
fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number(text)?;
    let mut sizes = SIZES.iter();
    let (_, unit, _) = sizes.find(|(name, ..)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*unit)
}

/// Returns bytes as a size of this program.
fn size(bytes: u64) -> String {
    let mut sizes = SIZES.iter();
    let found = sizes.find(|(_, unit, _)| bytes.is_multiple_of(*unit));
    found.map_or_else(String::new, |(_, unit, name)| {
        format!("{}{name}", bytes / unit)
    })
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    Some((number.parse().ok()?, rest))
}
