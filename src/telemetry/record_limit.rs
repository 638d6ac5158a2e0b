//! Limits records whose place in the program knows nothing of limits: those of upstreams and of the
//! queue, and those of Pingora, rustls and other crates. rustls warns about a ClientHello, which
//! anything can send.

use super::access_log::TARGET as ACCESS_TARGET;
use super::logging::is_ours;
use super::repeated::Repeated;
use std::fmt::Debug;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Leaves records out beyond their number in a second. Those at level debug are written on request,
/// and all of them.
pub(super) struct RecordLimit;

impl<S: Subscriber> Layer<S> for RecordLimit {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        limit(event).is_none_or(Repeated::has_room)
    }
}

fn limit(event: &Event<'_>) -> Option<Repeated> {
    let bridged = event.normalized_metadata();
    let metadata = bridged.as_ref().unwrap_or_else(|| event.metadata());
    match is_ours(metadata.target()) {
        true => limit_of_ours(metadata, event),
        false => (*metadata.level() <= Level::WARN).then_some(Repeated::OfLibrary),
    }
}

fn limit_of_ours(metadata: &Metadata<'_>, event: &Event<'_>) -> Option<Repeated> {
    if metadata.target() == ACCESS_TARGET || *metadata.level() > Level::INFO {
        return None;
    }
    let mut name = EventName(None);
    event.record(&mut name);
    name.0
}

/// Reads the event of a record, if it is one that is limited here.
struct EventName(Option<Repeated>);

impl Visit for EventName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.0 = Repeated::of_record(value);
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tracing::{debug, error, event, info, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    /// Counts the records that get through.
    struct Counter(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Counter {
        fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Checks whether `log` is limited.
    #[track_caller]
    fn check(log: impl Fn(), is_limited: bool) {
        let counter = Arc::new(AtomicUsize::new(0));
        let layers = tracing_subscriber::registry()
            .with(RecordLimit)
            .with(Counter(counter.clone()));
        tracing::subscriber::with_default(layers, || (0..10_000).for_each(|_| log()));
        let written = counter.load(Ordering::Relaxed);
        assert_eq!(written < 10_000, is_limited, "{written}");
    }

    #[test]
    fn what_clients_can_cause_is_limited_and_nothing_else_is() {
        let is_limited = true;
        check(
            || event!(target: "rustls::msgs", Level::WARN, "a ClientHello"),
            is_limited,
        );
        check(
            || event!(target: "pingora_core", Level::ERROR, "an error"),
            is_limited,
        );
        check(|| warn!(event = "upstream_unhealthy", "x"), is_limited);
        check(|| info!(event = "upstream_recovered", "x"), is_limited);
        check(|| warn!(event = "queue_parked", "x"), is_limited);
        check(|| error!(event = "queue_dropped", "x"), is_limited);
        check(
            || event!(target: "rustls::msgs", Level::DEBUG, "x"),
            !is_limited,
        );
        check(
            || event!(target: "rustls::msgs", Level::INFO, "x"),
            !is_limited,
        );
        check(|| warn!(event = "config_warning", "x"), !is_limited);
        check(|| debug!(event = "queue_parked", "x"), !is_limited);
        check(
            || event!(target: ACCESS_TARGET, Level::WARN, event = "request", "x"),
            !is_limited,
        );
    }
}
