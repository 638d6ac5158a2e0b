//! Pauses between attempts: doubled each time, up to a limit, and spread.

use super::Trial;

/// The first pause, in milliseconds.
const FIRST: u64 = 1000;

/// The longest pause between two probes of a route: an application that is up for 8 of 15 seconds
/// still gets everything.
pub(super) const MAX_OF_ROUTE: u64 = 10_000;

/// The longest pause between two attempts of one notification.
pub(super) const MAX_OF_KEY: u64 = 60_000;

/// The longest pause that an application can ask for.
const MAX_RETRY_AFTER: u64 = 300_000;

/// Returns the pause after the `count`th failure in a row.
pub(super) fn pause(count: u32, max: u64, trial: Trial) -> u64 {
    let doublings = count.saturating_sub(1).min(16);
    let pause = (FIRST << doublings).min(max) * trial.spread / 1000;
    pause.max(trial.retry_after.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_are_spread() {
        let trial = |spread, retry_after| Trial {
            failure: Failure::Down,
            retry_after,
            spread,
        };
        for (count, max, trial, expected) in [
            (1, MAX_OF_ROUTE, trial(1000, 0), 1000),
            (2, MAX_OF_ROUTE, trial(1000, 0), 2000),
            (4, MAX_OF_ROUTE, trial(1000, 0), 8000),
            (5, MAX_OF_ROUTE, trial(1000, 0), 10_000),
            (u32::MAX, MAX_OF_ROUTE, trial(1200, 0), 12_000),
            (7, MAX_OF_KEY, trial(800, 0), 48_000),
            (1, MAX_OF_KEY, trial(1000, 7000), 7000),
            (1, MAX_OF_KEY, trial(1000, u64::MAX), 300_000),
        ] {
            assert_eq!(pause(count, max, trial), expected, "{count} {trial:?}");
        }
    }
}
