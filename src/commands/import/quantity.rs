//! Durations and sizes, as NGINX and Apache write them and as this program does.

use super::directive::Directive;
use super::report::Ledger;
use super::toml_writer::ConfigTable;

/// More than any notification has, and the most that is held in memory.
const LARGEST_WEBHOOK: u64 = 16 << 20;

/// Go's clients keep idle connections for 90 s, and lose requests on connections closed before.
const SAFE_IDLE: u64 = 91;

/// The longest duration, in milliseconds: a year.
const LONGEST: u64 = 31_536_000_000;

/// Returns the `max_body` of a route for a limit; `None` for the default.
pub(super) fn max_body(
    directive: &Directive,
    limit: Option<u64>,
    is_webhook: bool,
    ledger: &Ledger,
) -> Option<String> {
    let Some(limit) =
        limit.filter(|limit| *limit > 0 && !(is_webhook && *limit >= LARGEST_WEBHOOK))
    else {
        if is_webhook {
            let remedy = "a webhook's body is held in memory, and 1 MiB is a lot for a \
                          notification: max_body";
            ledger.not_carried(directive, remedy);
        } else {
            ledger.carried(directive, "routes.max_body: no limit");
        }
        return None;
    };
    let size = size(limit);
    ledger.carried(directive, format!("routes.max_body: {size}"));
    Some(size).filter(|size| !is_webhook || size != "1MiB")
}

/// Writes how long idle connections are kept.
pub(super) fn idle_timeout(directive: &Directive, limits: &mut ConfigTable, ledger: &Ledger) {
    let seconds = milliseconds(directive.value()).unwrap_or(0) / 1000;
    if seconds >= SAFE_IDLE {
        limits.set("idle_timeout", format!("{seconds}s"));
        let key = format!("limits.idle_timeout = \"{seconds}s\"");
        return ledger.carried(directive, key);
    }
    let hole = "Netdata Cloud's client keeps idle connections for 90 s, and loses an alert when \
        the server closes first; limits.idle_timeout stays at 300s";
    ledger.closed(directive, hole);
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
        let end = after.find(|c| !is_unit(c)).unwrap_or(after.len());
        let unit = match &after[..end] {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = after[end..].trim_start();
    }
    Some(total).filter(|total| (1..=LONGEST).contains(total))
}

/// Reads `1m`, `64k`, `1g` or plain bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number(text)?;
    let unit: u64 = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Returns bytes as a size of this program.
fn size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    Some((number.parse().ok()?, rest))
}
