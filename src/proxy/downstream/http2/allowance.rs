//! Limits the frames that do not advance any request.

use h2::Reason;
use tokio::time::Instant;

/// The number of frames that do not advance a request which may arrive at once, and in each second.
const IDLE_FRAMES: u64 = 1000;
const IDLE_FRAMES_PER_SECOND: u64 = 100;

/// The number of such frames that are allowed in addition for each request and each KiB of a
/// response: windows have to be updated.
pub(super) const IDLE_FRAMES_PER_REQUEST: u64 = 10;

/// The number of frames that do not advance a request and may still arrive.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u64,
    /// When time was counted last.
    since: Instant,
    /// The bytes that were written and have not been credited yet.
    written: u64,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: IDLE_FRAMES,
            since: now,
            written: 0,
        }
    }

    pub(super) fn earn(&mut self, frames: u64) {
        self.left = (self.left + frames).min(IDLE_FRAMES);
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.earn(self.written / 1024 * IDLE_FRAMES_PER_REQUEST);
        self.written %= 1024;
    }

    pub(super) fn spend(&mut self, now: Instant) -> Result<(), Reason> {
        let seconds = now.duration_since(self.since).as_secs();
        if seconds > 0 {
            self.since = now;
            self.earn(seconds.saturating_mul(IDLE_FRAMES_PER_SECOND));
        }
        self.left = self.left.checked_sub(1).ok_or(Reason::ENHANCE_YOUR_CALM)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn frames_are_allowed_for_by_what_is_done_and_by_time() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let spent = |allowance: &mut Allowance, now| {
            (0..10_000)
                .take_while(|_| allowance.spend(now).is_ok())
                .count()
        };
        assert_eq!(spent(&mut allowance, now), 1000);
        allowance.earn(3);
        assert_eq!(spent(&mut allowance, now), 3);
        allowance.wrote(1000);
        allowance.wrote(1100);
        assert_eq!(spent(&mut allowance, now), 20);
        assert_eq!(spent(&mut allowance, now + Duration::from_secs(2)), 200);
        assert_eq!(spent(&mut allowance, now + Duration::from_secs(3600)), 1000);
    }
}
