//! Rate limits for lines that a client can cause: a number of each event is logged per second, and
//! the rest is counted.

#[cfg(feature = "server")]
use prometheus::{IntCounter, IntCounterVec, Opts};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tracing::{Level, warn};

/// The number of lines of one event that are written in a second. An attack causes as many as it
/// can, a mistake in a configuration only a few.
const PER_SECOND: u32 = 50;

const SECOND: Duration = Duration::from_secs(1);

/// An event that a client can cause without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    HandshakeRefused,
    ConnectionRefused,
    ConnectionNotServed,
    UnrecognisedBody,
    ShownToken,
    UnshownToken,
    NoAnswer,
    ServerUnhealthy,
    ServerRecovered,
    NotDelivered,
    Parked,
    Dropped,
    ValidationAnswered,
    /// A warning of Pingora, rustls or another crate, which has no event.
    OfLibrary,
}

impl Repeated {
    const ALL: [Self; 14] = [
        Self::HandshakeRefused,
        Self::ConnectionRefused,
        Self::ConnectionNotServed,
        Self::UnrecognisedBody,
        Self::ShownToken,
        Self::UnshownToken,
        Self::NoAnswer,
        Self::ServerUnhealthy,
        Self::ServerRecovered,
        Self::NotDelivered,
        Self::Parked,
        Self::Dropped,
        Self::ValidationAnswered,
        Self::OfLibrary,
    ];

    /// Returns the name of the event, in the log and in the metric.
    fn event(self) -> &'static str {
        match self {
            Self::HandshakeRefused => "handshake_refused",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionNotServed => "connection_failed",
            Self::UnrecognisedBody => "unrecognized_body",
            Self::ShownToken => "test_token_received",
            Self::UnshownToken => "test_token_invalid",
            Self::NoAnswer => "upstream_failed",
            Self::ServerUnhealthy => "upstream_unhealthy",
            Self::ServerRecovered => "upstream_recovered",
            Self::NotDelivered => "notification_not_delivered",
            Self::Parked => "queue_parked",
            Self::Dropped => "queue_dropped",
            Self::ValidationAnswered => "acme_validation_answered",
            Self::OfLibrary => "library",
        }
    }

    /// Returns the event with this name if [`super::record_limit`] limits it.
    #[cfg(feature = "server")]
    pub(super) fn of_record(event: &str) -> Option<Self> {
        let limited = [
            Self::ServerUnhealthy,
            Self::ServerRecovered,
            Self::Parked,
            Self::Dropped,
        ];
        limited.into_iter().find(|known| known.event() == event)
    }

    /// Returns `true` if a line of this event may be written. Otherwise it is counted, and at the
    /// end of the second one line reports the number.
    pub(crate) fn may_be_written(self) -> bool {
        // A line that the level filters is not counted as left out.
        !tracing::enabled!(Level::WARN) || self.has_room()
    }

    /// Returns `true` if a line of this event is within the limit. Otherwise it is counted.
    pub(super) fn has_room(self) -> bool {
        let limit = &LIMITS[self as usize];
        match limit.enter(Instant::now()) {
            LineDecision::Written => true,
            LineDecision::LeftOut {
                is_first,
                until_next,
            } => {
                #[cfg(feature = "server")]
                limit.counter.inc();
                if is_first && let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(self.report_after(until_next));
                }
                false
            }
        }
    }

    /// Reports, after a pause, how many lines were left out.
    async fn report_after(self, pause: Duration) {
        tokio::time::sleep(pause).await;
        let left_out = LIMITS[self as usize].window().settle();
        warn!(
            event = "log_lines_left_out",
            of = self.event(),
            left_out,
            "further log lines of this event were left out"
        );
    }
}

/// The number of lines left out of each event.
#[cfg(feature = "server")]
static LEFT_OUT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Lines that were not written because there were too many of their kind in a second.";
    let opts = Opts::new("log_lines_left_out_total", help).namespace(super::metrics::NAMESPACE);
    IntCounterVec::new(opts, &["event"]).expect("the metric is valid")
});

/// The limits in the order of [`Repeated::ALL`].
static LIMITS: LazyLock<[Limit; Repeated::ALL.len()]> = LazyLock::new(|| {
    Repeated::ALL.map(|_kind| Limit {
        window: Mutex::default(),
        #[cfg(feature = "server")]
        counter: LEFT_OUT.with_label_values(&[_kind.event()]),
    })
});

/// Returns the number of lines left out of each event. Each counter starts at 0.
#[cfg(feature = "server")]
pub(super) fn left_out() -> &'static IntCounterVec {
    LazyLock::force(&LIMITS);
    &LEFT_OUT
}

struct Limit {
    window: Mutex<Window>,
    #[cfg(feature = "server")]
    counter: IntCounter,
}

/// The lines of the current second.
#[derive(Default)]
struct Window {
    began: Option<Instant>,
    written: u32,
    /// The number of lines left out since the last report.
    left_out: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum LineDecision {
    Written,
    LeftOut {
        /// `true` if this is the first line left out since the last report.
        is_first: bool,
        until_next: Duration,
    },
}

impl Limit {
    fn enter(&self, now: Instant) -> LineDecision {
        self.window().enter(now)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn enter(&mut self, now: Instant) -> LineDecision {
        let age = self.age(now);
        if age.is_none() {
            (self.began, self.written) = (Some(now), 0);
        }
        if self.written < PER_SECOND {
            self.written += 1;
            return LineDecision::Written;
        }
        self.left_out += 1;
        LineDecision::LeftOut {
            is_first: self.left_out == 1,
            until_next: SECOND.saturating_sub(age.unwrap_or_default()),
        }
    }

    /// Returns the time since the beginning of this second, unless it has passed.
    fn age(&self, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(self.began?);
        Some(age).filter(|age| *age < SECOND)
    }

    fn settle(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_written_each_second_and_the_rest_is_counted() {
        let (mut window, start) = (Window::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        for _ in 0..PER_SECOND {
            assert_eq!(window.enter(at(0)), LineDecision::Written);
        }
        let left_out = |is_first, millis| LineDecision::LeftOut {
            is_first,
            until_next: Duration::from_millis(millis),
        };
        assert_eq!(window.enter(at(400)), left_out(true, 600));
        assert_eq!(window.enter(at(999)), left_out(false, 1));
        assert_eq!(window.settle(), 2);
        for _ in 0..PER_SECOND {
            assert_eq!(window.enter(at(1000)), LineDecision::Written);
        }
        assert_eq!(window.enter(at(1000)), left_out(true, 1000));
        // A second in which nothing was said about the last one.
        for _ in 0..PER_SECOND {
            assert_eq!(window.enter(at(5000)), LineDecision::Written);
        }
        assert_eq!(window.enter(at(5000)), left_out(false, 1000));
        assert_eq!(window.settle(), 2);
    }
}
