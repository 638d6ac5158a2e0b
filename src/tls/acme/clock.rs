//! How far the clock of this machine is from an authority's.

use std::fmt;
use std::time::SystemTime;

/// The seconds that a response may state too early or too late without anything being wrong.
const TOLERANCE: u64 = 60;

/// A difference that is too large: certificates are taken for expired, or not valid yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockSkew {
    /// The seconds by which this clock is ahead.
    ahead: i64,
}

impl ClockSkew {
    /// Returns a difference, unless the clocks agree.
    pub(crate) fn of(ahead: i64) -> Option<Self> {
        (ahead.unsigned_abs() > TOLERANCE).then_some(Self { ahead })
    }

    /// Compares the time of a response with the date that it states.
    pub(super) fn from_date(date: &str, now: SystemTime) -> Option<Self> {
        let date = httpdate::parse_http_date(date).ok()?;
        let ahead = match now.duration_since(date) {
            Ok(ahead) => i64::try_from(ahead.as_secs()).ok()?,
            Err(behind) => -i64::try_from(behind.duration().as_secs()).ok()?,
        };
        Self::of(ahead)
    }
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.ahead {
            0.. => "ahead of",
            _ => "behind",
        };
        let seconds = self.ahead.unsigned_abs();
        write!(
            f,
            "the clock of this machine is {seconds} s {direction} the authority's"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_clock_that_is_off_by_more_than_a_minute_is_noticed() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let at = |offset: i64| {
            let seconds = 784_111_777_i64 + offset;
            let now = UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
            ClockSkew::from_date(date, now).map(|skew| skew.ahead)
        };
        assert_eq!((at(0), at(60), at(-60)), (None, None, None));
        assert_eq!((at(61), at(-3600)), (Some(61), Some(-3600)));
        assert_eq!(ClockSkew::from_date("now", UNIX_EPOCH), None);
    }
}
