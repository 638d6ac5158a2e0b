//! Durations and sizes, as NGINX and Apache write them and as this program does.

use super::directive::Directive;
use super::report::Ledger;
use super::toml_writer::Keys;

/// More than any notification has, and as much as may be held in memory.
const LARGEST_WEBHOOK: u64 = 16 << 20;

/// Below this, Go's clients, which keep idle connections for 90 s, lose requests.
const SAFE_IDLE: u64 = 91;

/// What `limit`, as `directive` has it, becomes in a route; `None` for the default.
pub(super) fn max_body(
    directive: &Directive,
    limit: Option<u64>,
    is_webhook: bool,
    ledger: &Ledger,
) -> Option<String> {
    match limit {
        Some(0 | LARGEST_WEBHOOK..) | None if is_webhook => {
            let remedy = "a webhook's body is held in memory, and 1 MiB is a lot for a notification: max_body";
            ledger.not_carried(directive, remedy);
            None
        }
        Some(0) | None => {
            ledger.carried(directive, "routes.max_body: no limit");
            None
        }
        Some(limit) => {
            ledger.carried(directive, format!("routes.max_body: {}", size(limit)));
            Some(size(limit)).filter(|size| !is_webhook || size != "1MiB")
        }
    }
}

/// Writes for how many seconds idle connections are kept.
pub(super) fn idle_timeout(directive: &Directive, seconds: u64, keys: &mut Keys, ledger: &Ledger) {
    if seconds >= SAFE_IDLE {
        keys.set("idle_timeout", format!("{seconds}s"));
        return ledger.carried(directive, format!("limits.idle_timeout = \"{seconds}s\""));
    }
    let hole = "Netdata Cloud's client keeps idle connections for 90 s, and loses an alert when the server closes first; \
                limits.idle_timeout stays at 300s";
    ledger.closed(directive, hole);
}

/// `30`, `30s`, `500ms`, `1m 30s` or `1h` as a duration of this program; `None` for nothing and for
/// more than a year.
pub(super) fn duration(text: &str) -> Option<String> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
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
    match total {
        0 | 31_536_000_001.. => None,
        _ if total.is_multiple_of(1000) => Some(format!("{}s", total / 1000)),
        _ => Some(format!("{total}ms")),
    }
}

/// The seconds of a duration that [`duration`] wrote.
pub(super) fn seconds(duration: &str) -> u64 {
    duration.strip_suffix("ms").map_or_else(
        || duration.trim_end_matches('s').parse().unwrap_or(0),
        |milliseconds| milliseconds.parse::<u64>().unwrap_or(0) / 1000,
    )
}

/// `1m`, `64k`, `1g` or plain bytes.
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

/// Bytes as a size of this program.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units
        .into_iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit))
    {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

fn number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_translated() {
        for (text, expected) in [
            ("60", Some("60s")),
            ("60s", Some("60s")),
            ("1m", Some("60s")),
            ("1m 30s", Some("90s")),
            ("1h30m", Some("5400s")),
            ("500ms", Some("500ms")),
            ("1d", Some("86400s")),
            ("0", None),
            ("", None),
            ("x", None),
            ("1y", None),
            ("99999999999999999999", None),
            ("9999999999999999w", None),
        ] {
            assert_eq!(duration(text).as_deref(), expected, "{text}");
        }
        assert_eq!(["90s", "500ms", "1500ms"].map(seconds), [90, 0, 1]);
        for (text, expected) in [
            ("1m", "1MiB"),
            ("64k", "64KiB"),
            ("1500", "1500"),
            ("0", "0"),
            ("10M", "10MiB"),
        ] {
            assert_eq!(bytes(text).map(size).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(
            (bytes("1t"), bytes("m"), bytes("99999999999g")),
            (None, None, None)
        );
    }
}
