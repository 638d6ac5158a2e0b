//! Limits how often an address may send requests.

use crate::config::Limits;
use crate::http::forwarded::rate_limit_key;
use crate::rejection::Rejection;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of requests between two searches for addresses that can be forgotten.
const FORGET_EVERY: usize = 1024;

/// Limits requests by address.
pub(super) struct RateLimiter {
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
    checks: AtomicUsize,
}

impl RateLimiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limiter: quota(limits).map(DefaultKeyedRateLimiter::keyed),
            checks: AtomicUsize::new(0),
        }
    }

    /// Counts a request from `address`.
    pub(super) fn check(&self, address: Option<IpAddr>) -> Result<(), Rejection> {
        let (Some(limiter), Some(address)) = (&self.limiter, address) else {
            return Ok(());
        };
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            limiter.retain_recent();
        }
        let checked = limiter.check_key(&rate_limit_key(address));
        checked.map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            Rejection::RateLimited(wait.as_secs() + 1)
        })
    }
}

fn quota(limits: &Limits) -> Option<Quota> {
    let rate = NonZeroU32::new(limits.requests_per_second)?;
    let burst = NonZeroU32::MIN.saturating_add(limits.burst);
    Some(Quota::per_second(rate).allow_burst(burst))
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("limited", &self.limiter.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(requests_per_second: u32, burst: u32) -> RateLimiter {
        RateLimiter::new(&Limits {
            requests_per_second,
            burst,
            ..Limits::default()
        })
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let rate = rate(1, 2);
        let (a, b) = (
            Some(IpAddr::from([192, 0, 2, 1])),
            Some(IpAddr::from([192, 0, 2, 2])),
        );
        for _ in 0..3 {
            assert_eq!(rate.check(a), Ok(()));
        }
        assert_eq!(rate.check(a), Err(Rejection::RateLimited(1)));
        assert_eq!(rate.check(b), Ok(()), "others are not held up");
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_count_together() {
        let rate = rate(1, 0);
        assert_eq!(rate.check("2001:db8::1".parse().ok()), Ok(()));
        assert!(rate.check("2001:db8::2".parse().ok()).is_err());
        assert_eq!(rate.check("2001:db8:0:1::1".parse().ok()), Ok(()));
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let rate = rate(0, 0);
        assert!((0..1000).all(|_| rate.check(Some(IpAddr::from([192, 0, 2, 1]))).is_ok()));
    }

    #[test]
    fn addresses_are_forgotten() {
        let rate = rate(1_000_000, 0);
        for n in 0..100_000_u32 {
            let _ = rate.check(Some(IpAddr::from(n.to_be_bytes())));
        }
        let remembered = rate.limiter.as_ref().map_or(0, governor::RateLimiter::len);
        assert!(remembered < 20_000, "{remembered}");
    }
}
