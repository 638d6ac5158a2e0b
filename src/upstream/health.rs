//! The health of a server, as health checks and requests find it.

use super::connect::ConnectError;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::{info, warn};

/// The health of a server. Servers start out healthy.
///
/// Each `record_…` method returns `true` if the health changed.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The last health check failed.
    check_failing: AtomicBool,
    /// A request succeeded after the last failed check, which is therefore outdated.
    is_proven: AtomicBool,
    /// A check failed although a request had succeeded. The log says so once.
    is_disputed: AtomicBool,
    /// A request could not connect, and no later request or check could.
    connect_failing: AtomicBool,
}

impl Health {
    /// Returns `true` if requests should be sent to the server.
    pub(super) fn is_healthy(&self) -> bool {
        self.passes_checks() && !self.connect_failing.load(Ordering::Relaxed)
    }

    /// Returns `true` if the last check passed or is outdated. Used where no server is healthy: a
    /// single failed connection does not prove that a server is down.
    pub(super) fn passes_checks(&self) -> bool {
        !self.check_failing.load(Ordering::Relaxed) || self.is_proven.load(Ordering::Relaxed)
    }

    /// Records a failed connection.
    pub(super) fn record_failure(
        &self,
        upstream: &str,
        server: &str,
        error: &ConnectError,
    ) -> bool {
        let was_healthy = self.is_healthy();
        self.connect_failing.store(true, Ordering::Relaxed);
        if was_healthy {
            warn!(event = "upstream_unhealthy", upstream, server, %error, "upstream server marked unhealthy");
        }
        was_healthy
    }

    /// Records an established connection.
    pub(super) fn record_connection(&self, upstream: &str, server: &str) -> bool {
        // Most calls change nothing: they only read.
        let was_failing = self.connect_failing.load(Ordering::Relaxed)
            && self.connect_failing.swap(false, Ordering::Relaxed);
        let has_changed = was_failing && self.passes_checks();
        if has_changed {
            log_recovery(upstream, server);
        }
        has_changed
    }

    /// Records a success of a request, which proves as much as a passed check.
    pub(super) fn record_success(&self, upstream: &str, server: &str) -> bool {
        let has_changed = self.check_failing.load(Ordering::Relaxed)
            && !self.is_proven.swap(true, Ordering::Relaxed);
        if has_changed && !self.is_disputed.load(Ordering::Relaxed) {
            log_recovery(upstream, server);
        }
        has_changed
    }

    /// Records the result of a health check, which failed if there is an `error`.
    pub(super) fn record_check(&self, upstream: &str, server: &str, error: Option<&str>) -> bool {
        match error {
            Some(error) => self.record_failed_check(upstream, server, error),
            None => self.record_passed_check(upstream, server),
        }
    }

    fn record_failed_check(&self, upstream: &str, server: &str, error: &str) -> bool {
        if !self.check_failing.swap(true, Ordering::Relaxed) {
            warn!(
                event = "upstream_check_failed",
                upstream, server, error, "upstream server failed its health check"
            );
            return true;
        }
        let was_proven = self.is_proven.swap(false, Ordering::Relaxed);
        // Checks and requests may contradict each other for a long time.
        if was_proven && !self.is_disputed.swap(true, Ordering::Relaxed) {
            log_dispute(upstream, server, error);
        }
        was_proven
    }

    fn record_passed_check(&self, upstream: &str, server: &str) -> bool {
        let was_healthy = self.is_healthy();
        let was_disputed = self.is_disputed.swap(false, Ordering::Relaxed);
        self.is_proven.store(false, Ordering::Relaxed);
        self.connect_failing.store(false, Ordering::Relaxed);
        self.check_failing.store(false, Ordering::Relaxed);
        if !was_healthy || was_disputed {
            log_recovery(upstream, server);
        }
        !was_healthy
    }
}

fn log_dispute(upstream: &str, server: &str, error: &str) {
    warn!(
        event = "upstream_check_disputed",
        upstream,
        server,
        error,
        "upstream server fails its health check although it accepts requests"
    );
}

fn log_recovery(upstream: &str, server: &str) {
    info!(
        event = "upstream_recovered",
        upstream, server, "upstream server recovered"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to a server.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        CheckFails,
        CheckPasses,
        CannotConnect,
        Connects,
        Answers,
    }
    use Event::*;

    #[test]
    fn checks_and_requests_decide_together() {
        // After each event: whether that is news, and whether it is healthy then.
        for events in [
            &[
                (CheckPasses, false, true),
                (Connects, false, true),
                (Answers, false, true),
            ][..],
            &[
                (CheckFails, true, false),
                (CheckFails, false, false),
                (CheckPasses, true, true),
            ],
            &[
                (CannotConnect, true, false),
                (CannotConnect, false, false),
                (Connects, true, true),
            ],
            &[(CannotConnect, true, false), (CheckPasses, true, true)],
            // A request is newer than the check before it, and the next check is newer than that.
            &[
                (CheckFails, true, false),
                (Answers, true, true),
                (Answers, false, true),
                (CheckFails, true, false),
            ],
            &[
                (CheckFails, true, false),
                (Answers, true, true),
                (CheckPasses, false, true),
                (CheckFails, true, false),
            ],
            // One that can be connected to may still not be what its check asks for.
            &[
                (CheckFails, true, false),
                (CannotConnect, false, false),
                (Connects, false, false),
                (Answers, true, true),
            ],
            &[
                (CheckFails, true, false),
                (Answers, true, true),
                (CannotConnect, true, false),
                (Connects, true, true),
            ],
            &[
                (CheckFails, true, false),
                (CannotConnect, false, false),
                (CheckPasses, true, true),
            ],
        ] {
            let health = Health::default();
            assert!(health.is_healthy());
            for (index, (event, is_news, is_healthy)) in events.iter().enumerate() {
                let (upstream, server) = ("app", "http://a");
                let found = match event {
                    CheckFails => health.record_check(upstream, server, Some("no")),
                    CheckPasses => health.record_check(upstream, server, None),
                    CannotConnect => {
                        health.record_failure(upstream, server, &ConnectError::Refused("no".into()))
                    }
                    Connects => health.record_connection(upstream, server),
                    Answers => health.record_success(upstream, server),
                };
                assert_eq!(
                    (found, health.is_healthy()),
                    (*is_news, *is_healthy),
                    "{index} of {events:?}"
                );
            }
        }
    }
}
