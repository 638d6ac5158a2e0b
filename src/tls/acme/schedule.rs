//! When a certificate is renewed, and how long to wait after a failure: decisions on times alone,
//! in seconds since 1970.
//!
//! `share` is a random number from 0 to 1: a fleet that was started at once does not come at once.

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// The waits after failures. With five failed validations of a name within an hour, Let's Encrypt
/// would stop answering.
const WAITS: [i64; 6] = [MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR];

/// The wait after any further failure, of which a fifth is left to chance.
const LONGEST_WAIT: i64 = 6 * HOUR;

/// Certificates of the same names that are ordered within a week. Let's Encrypt issues five.
const PER_WEEK: i64 = 4;

/// The time in which an authority's window is asked for again, whatever the authority says.
const ASK_AGAIN: std::ops::RangeInclusive<i64> = MINUTE..=DAY;

/// The wait until a window is asked for again, if there was none.
pub(super) const ASK_LATER: i64 = 6 * HOUR;

/// The lifetime of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Lifetime {
    fn length(self) -> i64 {
        (self.not_after - self.not_before).max(1)
    }

    /// Returns the last moment at which renewal begins, whatever the authority suggests: there is
    /// time for it to fail for a while.
    fn latest(self) -> i64 {
        self.not_after - self.length() / 6
    }

    /// Returns when to renew, if the authority does not say.
    pub(super) fn renewal(self, share: f64) -> i64 {
        let length = self.length();
        let part = if length < 10 * DAY {
            length / 2
        } else {
            length / 3 * 2
        };
        (self.not_before + part + part_of(length / 50, share)).min(self.latest())
    }

    /// Returns when to renew within the window that the authority suggests; `None` if that is none.
    pub(super) fn renewal_within(self, start: i64, end: i64, now: i64, share: f64) -> Option<i64> {
        if end <= start {
            return None;
        }
        let chosen = (start + part_of(end - start, share)).min(self.latest());
        // Within a minute, but not all at the same time; one that is about to end has less.
        let soon = (now + part_of(MINUTE, share)).min(self.latest().max(now));
        Some(if chosen <= now { soon } else { chosen })
    }

    /// Returns when the next certificate of the same names may be ordered, after those that were
    /// issued at the times in `issued`.
    ///
    /// Four a week are for lifetimes of weeks. With lifetimes of days or hours, it is one in each
    /// quarter of a lifetime.
    pub(super) fn next_allowed(self, issued: &[i64]) -> i64 {
        let spacing = HOUR.min(self.length() / 4);
        let number = PER_WEEK.max(WEEK / (self.length() / 4).max(1));
        let after_last = issued.last().map_or(0, |last| last + spacing);
        let oldest = usize::try_from(number)
            .ok()
            .and_then(|number| issued.len().checked_sub(number));
        let within_week = oldest.map_or(0, |index| issued[index] + WEEK);
        after_last.max(within_week)
    }
}

/// Returns how long to wait after this number of failures in a row.
pub(super) fn back_off(failures: u32, share: f64) -> i64 {
    let index = failures.saturating_sub(1) as usize;
    WAITS.get(index).copied().unwrap_or_else(|| {
        let spread = LONGEST_WAIT / 5;
        LONGEST_WAIT - spread + part_of(2 * spread, share)
    })
}

/// Returns when to ask for a window again, after the authority has said when.
pub(super) fn ask_again(now: i64, retry_after: i64) -> i64 {
    now + retry_after.clamp(*ASK_AGAIN.start(), *ASK_AGAIN.end())
}

/// Returns when to ask for a window again, after this number of failures of the authority in a row.
pub(super) fn ask_after_failures(now: i64, failures: u32) -> i64 {
    match failures {
        1..=6 => now + (MINUTE << (failures - 1)),
        _ => now + ASK_LATER,
    }
}

fn part_of(length: i64, share: f64) -> i64 {
    (length as f64 * share.clamp(0.0, 1.0)) as i64
}

/// Drops times that no longer count.
pub(super) fn forget_before(times: &mut Vec<i64>, earliest: i64) {
    times.retain(|time| *time > earliest);
}

/// Returns `true` if a failure may be followed by a try at once, because an operator asks for it:
/// there were fewer than three within the hour.
pub(super) fn may_hurry(failed: &[i64], now: i64) -> bool {
    failed.iter().filter(|at| **at > now - HOUR).count() < 3
}

/// Returns the beginning of the time that counts for limits.
pub(super) fn week_before(now: i64) -> i64 {
    now - WEEK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(length: i64) -> Lifetime {
        Lifetime {
            not_before: 1_000_000,
            not_after: 1_000_000 + length,
        }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_or_half_of_its_life() {
        let check = |length, share, expected| {
            assert_eq!(
                life(length).renewal(share) - 1_000_000,
                expected,
                "{length}"
            );
        };
        check(90 * DAY, 0.0, 60 * DAY);
        check(90 * DAY, 1.0, 60 * DAY + 90 * DAY / 50);
        check(45 * DAY, 0.0, 30 * DAY);
        check(160 * HOUR, 0.0, 80 * HOUR);
        check(60, 0.0, 30);
        check(60, 1.0, 31);
    }

    #[test]
    fn a_window_is_kept_to_but_never_beyond_a_sixth_before_the_end() {
        let (life, now) = (life(60 * DAY), 1_000_000);
        let at = |days: i64| now + days * DAY;
        let within = |start, end, now, share| life.renewal_within(start, end, now, share);
        assert_eq!(within(at(40), at(42), now, 0.5), Some(at(41)));
        assert_eq!(within(at(40), at(42), now, 0.0), Some(at(40)));
        assert_eq!(within(at(55), at(57), now, 0.5), Some(at(50)), "too late");
        assert_eq!(within(at(42), at(40), now, 0.5), None);
        assert_eq!(within(at(40), at(40), now, 0.5), None);
        // Revoked.
        assert_eq!(within(at(-2), at(-1), now, 0.5), Some(now + 30));
        assert_eq!(within(at(-2), at(-1), now, 1.0), Some(now + 60));
        assert_eq!(within(at(-2), at(-1), at(50) - 10, 1.0), Some(at(50)));
        assert_eq!(within(at(-2), at(-1), at(55), 1.0), Some(at(55)));
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        let waits: Vec<_> = (1..=7)
            .map(|failures| back_off(failures, 0.5) / MINUTE)
            .collect();
        assert_eq!(waits, [1, 10, 30, 60, 120, 240, 360]);
        assert_eq!(
            (back_off(9, 0.0), back_off(99, 1.0)),
            (LONGEST_WAIT / 5 * 4, LONGEST_WAIT / 5 * 6)
        );
        // Five failed validations within an hour are the limit of Let's Encrypt.
        let within_hour = WAITS.iter().scan(0, |at, wait| {
            *at += wait;
            Some(*at)
        });
        assert!(1 + within_hour.filter(|at| *at < HOUR).count() < 5);
    }

    #[test]
    fn certificates_of_the_same_names_are_few() {
        let issued = |ages: &[i64]| ages.iter().map(|age| 10 * WEEK - age).collect::<Vec<_>>();
        let check = |length, ages: &[i64], expected: i64| {
            let at = life(length).next_allowed(&issued(ages)) - 10 * WEEK;
            assert_eq!(at.max(0), expected, "{length} {ages:?}");
        };
        check(90 * DAY, &[], 0);
        check(90 * DAY, &[HOUR], 0);
        check(90 * DAY, &[10], HOUR - 10);
        check(90 * DAY, &[4 * DAY, 3 * DAY, 2 * DAY], 0);
        check(90 * DAY, &[6 * DAY, 4 * DAY, 3 * DAY, 2 * DAY], DAY);
        check(
            90 * DAY,
            &[6 * DAY, 5 * DAY, 4 * DAY, 3 * DAY, 2 * DAY],
            2 * DAY,
        );
        // A lifetime of a minute is renewed twice in that.
        let minutes: Vec<i64> = (1..2000).rev().map(|n| n * 30).collect();
        check(60, &minutes, 0);
        check(60, &[5], 10);
    }

    #[test]
    fn a_window_is_asked_for_again_in_a_minute_at_least_and_a_day_at_most() {
        assert_eq!(ask_again(0, 1), MINUTE);
        assert_eq!(ask_again(0, 6 * HOUR), 6 * HOUR);
        assert_eq!(ask_again(0, WEEK), DAY);
        let asked: Vec<_> = (1..=7)
            .map(|failures| ask_after_failures(0, failures) / MINUTE)
            .collect();
        assert_eq!(asked, [1, 2, 4, 8, 16, 32, 360]);
    }

    #[test]
    fn an_operator_may_hurry_twice_an_hour() {
        let now = 10 * HOUR;
        assert!(may_hurry(&[], now));
        assert!(may_hurry(
            &[now - 2 * HOUR, now - 2 * HOUR, now - 1, now],
            now
        ));
        assert!(!may_hurry(&[now - 10, now - 1, now], now));
    }
}
