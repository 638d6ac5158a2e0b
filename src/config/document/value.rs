//! What the values of a configuration file say, and what to call those that say something else.

use std::time::Duration;
use toml::de::DeValue;

/// Returns the end of a message about the unknown `name`, which suggests the nearest of `known`.
/// Returns `None` if `known` is empty.
pub(in crate::config) fn suggest<'k>(
    name: &str,
    known: impl Iterator<Item = &'k str>,
) -> Option<String> {
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    known.dedup();
    let distances = known.iter();
    let distances = distances.map(|known| (strsim::damerau_levenshtein(name, known), *known));
    let (distance, nearest) = distances.min()?;
    Some(match distance <= nearest.len().max(name.len()) / 2 {
        true => format!("; did you mean \"{nearest}\"?"),
        false => format!(
            "; the nearest known one is \"{nearest}\" of {}",
            known.join(", ")
        ),
    })
}

/// Describes a value that was found in place of a word or a number.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= 32 => format!("{text:?}"),
        other => kind(other).to_owned(),
    }
}

/// Describes the type of a value only: secrets are often written in place of a table.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    // A year is longer than any sensible timeout, and sums of instants cannot overflow.
    let total = number
        .checked_mul(milliseconds)
        .filter(|total| (1..=31_536_000_000).contains(total))?;
    Some(Duration::from_millis(total))
}

pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let unit = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..unit].parse().ok()?, text[unit..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1 s", 1000),
            ("1ms", 1),
            ("8760h", 31_536_000_000),
            ("31536000000ms", 31_536_000_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.5s",
            "0s",
            "0ms",
            "31536000001ms",
            "1d",
            "99999999999999999999s",
            "9999999h",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for (text, bytes) in [
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("17", 17),
            ("2GiB", 2 << 30),
            ("3B", 3),
            ("17179869183GiB", 17_179_869_183 << 30),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "KiB",
            "1KB",
            "1k",
            "-1",
            "99999999999999999999",
            "17179869184GiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
