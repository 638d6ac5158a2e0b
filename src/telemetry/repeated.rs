//! Rate limits for warnings that a client can cause: a number of each event is logged per second,
//! and the rest is counted.

#[cfg(feature = "server")]
use prometheus::{IntCounter, IntCounterVec, Opts};
use std::sync::{LazyLock, Mutex, PoisonError};
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
    UnshownToken,
    NoAnswer,
    NotDelivered,
}

impl Repeated {
    const ALL: [Self; 7] = [
        Self::HandshakeRefused,
        Self::ConnectionRefused,
        Self::ConnectionNotServed,
        Self::UnrecognisedBody,
        Self::UnshownToken,
        Self::NoAnswer,
        Self::NotDelivered,
    ];

    /// Returns the name of the event, in the log and in the metric.
    fn event(self) -> &'static str {
        match self {
            Self::HandshakeRefused => "handshake_refused",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionNotServed => "connection_failed",
            Self::UnrecognisedBody => "unrecognized_body",
            Self::UnshownToken => "test_token_invalid",
            Self::NoAnswer => "upstream_failed",
            Self::NotDelivered => "notification_not_delivered",
        }
    }

    /// Returns `true` if a line of this event may be written. Otherwise it is counted, and at the
    /// end of the second one line reports the number.
    pub(crate) fn may_be_written(self) -> bool {
        if !tracing::enabled!(Level::WARN) {
            return true; // The level filters the line: it is not counted as left out.
        }
        let limit = &LIMITS[self as usize];
        match limit.enter(Instant::now()) {
            LineDecision::Written => true,
            LineDecision::LeftOut {
                is_first,
                until_next,
            } => {
                #[cfg(feature = "server")]
                limit.counter.inc();
                if let Some(runtime) = Handle::try_current().ok().filter(|_| is_first) {
                    runtime.spawn(async move {
                        tokio::time::sleep(until_next).await;
                        let left_out = limit
                            .window
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .settle();
                        warn!(
                            event = "log_lines_left_out",
                            of = self.event(),
                            left_out,
                            "further log lines of this event were left out"
                        );
                    });
                }
                false
            }
        }
    }
}

/// The number of lines left out of each event.
#[cfg(feature = "server")]
pub(super) static LEFT_OUT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help =
        "Warnings that were not written because there were too many of their kind in a second.";
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

/// Creates the counter of each event, which starts at 0.
#[cfg(feature = "server")]
pub(super) fn start() {
    LazyLock::force(&LIMITS);
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
        self.window
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .enter(now)
    }
}

impl Window {
    fn enter(&mut self, now: Instant) -> LineDecision {
        let age = self
            .began
            .map(|began| now.saturating_duration_since(began))
            .filter(|age| *age < SECOND);
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
