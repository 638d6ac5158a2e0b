//! Times of day in UTC (RFC 3339), whose date and seconds are rendered once a second.

use std::fmt::{self, Write};
use std::time::Duration;
use time::OffsetDateTime;

/// Renders times, which are given as the time since 1970.
#[derive(Default)]
pub(crate) struct UtcClock {
    second: Option<u64>,
    rendered: String,
}

impl UtcClock {
    /// Writes a time with microseconds.
    pub(crate) fn write_micros(&mut self, to: &mut impl Write, time: Duration) -> fmt::Result {
        to.write_str(self.render(time))?;
        write!(to, ".{:06}Z", time.subsec_micros())
    }

    /// Writes a time with nanoseconds.
    pub(crate) fn write_nanos(&mut self, to: &mut impl Write, time: Duration) -> fmt::Result {
        to.write_str(self.render(time))?;
        write!(to, ".{:09}Z", time.subsec_nanos())
    }

    fn render(&mut self, time: Duration) -> &str {
        let second = time.as_secs();
        if self.second != Some(second) {
            self.second = Some(second);
            self.rendered = render(second);
        }
        &self.rendered
    }
}

fn render(second: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(second.cast_signed());
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = time.to_calendar_date();
    let month = u8::from(month);
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_rendered_anew_each_second() {
        let mut clock = UtcClock::default();
        for (second, nanos, micros, expected) in [
            (0, 0, "000000", "1970-01-01T00:00:00.000000000Z"),
            (0, 999_999_999, "999999", "1970-01-01T00:00:00.999999999Z"),
            (
                1_709_210_096,
                7_001,
                "000007",
                "2024-02-29T12:34:56.000007001Z",
            ),
            (
                1_709_210_097,
                10,
                "000000",
                "2024-02-29T12:34:57.000000010Z",
            ),
            // A clock may be set back.
            (0, 1_000, "000001", "1970-01-01T00:00:00.000001000Z"),
        ] {
            let time = Duration::new(second, nanos);
            let (mut short, mut long) = (String::new(), String::new());
            clock.write_micros(&mut short, time).unwrap();
            clock.write_nanos(&mut long, time).unwrap();
            assert_eq!(long, expected);
            assert_eq!(short, format!("{}.{micros}Z", &expected[..19]));
        }
    }
}
