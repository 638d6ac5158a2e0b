//! The numbers about notifications that wait, for metrics and the status page.

use super::order::RouteState;
use super::receipt::StoreReason;
use super::store::{ParkedCount, Parking};
use super::survey::{Deliverer, Hazard, Survey};
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const NAMESPACE: &str = "netdata_webhook_proxy";

/// Buckets from a fast disk to one that hangs, in seconds.
const BUCKETS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
];

/// The numbers about notifications that wait.
#[derive(Debug)]
pub(crate) struct Figures {
    stored: IntCounterVec,
    deliveries: IntCounterVec,
    parked: IntCounterVec,
    dropped: IntCounterVec,
    messages: IntGaugeVec,
    oldest: IntGaugeVec,
    bytes: IntGauge,
    max_bytes: IntGauge,
    delivering: IntGauge,
    hazards: IntGaugeVec,
    commit_duration: Histogram,
    /// The number of parked notifications of each route and for each reason, when they were last
    /// counted.
    parked_now: Mutex<BTreeMap<(String, String), u64>>,
    /// The routes of which it was last told how many notifications wait.
    waiting: Mutex<Vec<Arc<str>>>,
    /// The last error of each route, and its time.
    errors: Mutex<BTreeMap<String, (SystemTime, String)>>,
    /// The reason why the store cannot be written.
    problem: Mutex<Option<String>>,
    /// The path of a damaged file that was set aside.
    damaged: Mutex<Option<PathBuf>>,
    /// The last look at a store that machines share.
    survey: Mutex<Option<Survey>>,
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(opts(name, help), labels).expect("the metric is valid")
}

fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::with_opts(opts(name, help)).expect("the metric is valid")
}

impl Figures {
    /// Creates figures that are 0.
    pub(super) fn new(max_size: u64) -> Self {
        let duration = HistogramOpts::new(
            "queue_commit_duration_seconds",
            "Commits to the queue, each of which waits for the disk.",
        );
        let duration = duration.namespace(NAMESPACE).buckets(BUCKETS.to_vec());
        let messages = opts(
            "queue_messages",
            "Notifications in the queue, by whether they wait or are parked.",
        );
        let oldest = opts(
            "queue_oldest_timestamp_seconds",
            "When the oldest notification that waits came; 0 if none does.",
        );
        let hazards = opts(
            "queue_hazard",
            "1 if this endangers a queue that machines share.",
        );
        let figures = Self {
            stored: counters(
                "queue_stored_total",
                "Notifications that were stored, by the reason.",
                &["route", "reason"],
            ),
            deliveries: counters(
                "queue_deliveries_total",
                "Attempts of routes with a queue, by how they ended.",
                &["route", "outcome"],
            ),
            parked: counters(
                "queue_parked_total",
                "Notifications that were parked, by the reason.",
                &["route", "reason"],
            ),
            dropped: counters(
                "queue_dropped_total",
                "Notifications that were dropped, by the reason.",
                &["route", "reason"],
            ),
            messages: IntGaugeVec::new(messages, &["route", "state"]).expect("the metric is valid"),
            oldest: IntGaugeVec::new(oldest, &["route"]).expect("the metric is valid"),
            bytes: gauge("queue_bytes", "The size of what is in the queue."),
            max_bytes: gauge("queue_max_bytes", "The limit of the size."),
            delivering: gauge(
                "queue_delivering",
                "1 if this process delivers what is in the queue.",
            ),
            hazards: IntGaugeVec::new(hazards, &["hazard"]).expect("the metric is valid"),
            commit_duration: Histogram::with_opts(duration).expect("the metric is valid"),
            parked_now: Mutex::default(),
            waiting: Mutex::default(),
            errors: Mutex::default(),
            problem: Mutex::default(),
            damaged: Mutex::default(),
            survey: Mutex::default(),
        };
        figures.set_max_size(max_size);
        figures
    }

    /// Creates the series of a route, which start at 0, so that the first increase is visible.
    pub(super) fn serve(&self, route: &str) {
        for reason in StoreReason::ALL {
            self.stored.with_label_values(&[route, reason.as_str()]);
        }
        for outcome in ["delivered", "refused", "down"] {
            self.deliveries.with_label_values(&[route, outcome]);
        }
        for reason in [Parking::Poison, Parking::TooOld, Parking::NoRoute] {
            self.parked.with_label_values(&[route, reason.as_str()]);
        }
        self.dropped.with_label_values(&[route, "full"]);
        for state in ["waiting", "parked"] {
            self.messages.with_label_values(&[route, state]);
        }
        self.oldest.with_label_values(&[route]);
    }

    /// Returns the metrics, for a registry.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.stored.clone()),
            Box::new(self.deliveries.clone()),
            Box::new(self.parked.clone()),
            Box::new(self.dropped.clone()),
            Box::new(self.messages.clone()),
            Box::new(self.oldest.clone()),
            Box::new(self.bytes.clone()),
            Box::new(self.max_bytes.clone()),
            Box::new(self.delivering.clone()),
            Box::new(self.hazards.clone()),
            Box::new(self.commit_duration.clone()),
        ]
    }

    /// Returns the reason why the store cannot be written.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the path of a damaged file that was set aside.
    pub(crate) fn damaged(&self) -> Option<PathBuf> {
        self.damaged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Creates the series of a queue that machines share.
    pub(super) fn share(&self) {
        for hazard in Hazard::ALL {
            self.hazards.with_label_values(&[hazard]);
        }
    }

    /// Records what was seen of a store that machines share; nothing, if it could not be asked.
    pub(super) fn set_survey(&self, survey: Option<Survey>) {
        let hazards = survey.as_ref().map_or(&[][..], |survey| &survey.hazards);
        for word in Hazard::ALL {
            let is_there = hazards.iter().any(|hazard| hazard.as_str() == word);
            self.hazards.with_label_values(&[word]).set(is_there.into());
        }
        if let Some(survey) = &survey {
            self.bytes.set(survey.bytes);
        }
        *self.survey.lock().unwrap_or_else(PoisonError::into_inner) = survey;
    }

    /// Returns the process that delivers from a store that machines share, if it is known.
    pub(crate) fn deliverer(&self) -> Option<Deliverer> {
        let survey = self.survey.lock().unwrap_or_else(PoisonError::into_inner);
        survey.as_ref()?.deliverer.clone()
    }

    /// Returns what endangers a store that machines share.
    pub(crate) fn hazards(&self) -> Vec<Hazard> {
        let survey = self.survey.lock().unwrap_or_else(PoisonError::into_inner);
        survey
            .as_ref()
            .map_or_else(Vec::new, |survey| survey.hazards.clone())
    }

    /// Returns `true` if this process delivers what is stored.
    pub(crate) fn is_delivering(&self) -> bool {
        self.delivering.get() != 0
    }

    /// Returns the number of parked notifications of each route and for each reason.
    pub(crate) fn parked(&self) -> Vec<ParkedCount> {
        let parked = self
            .parked_now
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let parked = parked.iter().filter(|(_, count)| **count > 0);
        parked
            .map(|((route, reason), count)| ParkedCount {
                route: route.clone(),
                reason: reason.clone(),
                count: *count,
            })
            .collect()
    }

    /// Returns the last error of each route since the start, and its time.
    pub(crate) fn errors(&self) -> BTreeMap<String, (SystemTime, String)> {
        self.errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change_parked(&self, route: &str, reason: &str, change: i64) {
        let mut parked = self
            .parked_now
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = parked
            .entry((route.to_owned(), reason.to_owned()))
            .or_default();
        *count = count.saturating_add_signed(change);
        self.messages
            .with_label_values(&[route, "parked"])
            .add(change);
    }

    /// Returns the size of what is stored and its limit, in bytes.
    pub(crate) fn size(&self) -> (i64, i64) {
        (self.bytes.get(), self.max_bytes.get())
    }

    /// Sets the number of notifications of each route that wait, and the age of the oldest. Of the
    /// others, none waits.
    pub(super) fn set_waiting(&self, routes: &[(Arc<str>, RouteState)]) {
        let mut known = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = known
            .iter()
            .filter(|route| routes.iter().all(|(it, _)| it != *route));
        gone.for_each(|route| self.set_waiting_of(route, &RouteState::default()));
        for (route, state) in routes {
            self.set_waiting_of(route, state);
        }
        *known = routes.iter().map(|(route, _)| route.clone()).collect();
    }

    fn set_waiting_of(&self, route: &str, state: &RouteState) {
        let count = i64::try_from(state.waiting).unwrap_or(i64::MAX);
        self.messages
            .with_label_values(&[route, "waiting"])
            .set(count);
        let oldest = state.oldest.unwrap_or_default() / 1_000_000_000;
        self.oldest.with_label_values(&[route]).set(oldest);
    }

    pub(super) fn set_parked(&self, counts: &[ParkedCount]) {
        let mut parked_now = self
            .parked_now
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        parked_now.values_mut().for_each(|count| *count = 0);
        for parked in counts {
            let (route, reason) = (parked.route.clone(), parked.reason.clone());
            parked_now.insert((route, reason), parked.count);
        }
        let mut routes = BTreeMap::<&str, u64>::new();
        for ((route, _), count) in &*parked_now {
            *routes.entry(route).or_default() += count;
        }
        for (route, count) in routes {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.messages
                .with_label_values(&[route, "parked"])
                .set(count);
        }
    }

    pub(super) fn set_max_size(&self, max_size: u64) {
        self.max_bytes
            .set(i64::try_from(max_size).unwrap_or(i64::MAX));
    }

    pub(super) fn set_delivering(&self, is_delivering: bool) {
        self.delivering.set(is_delivering.into());
    }

    pub(super) fn note_damaged(&self, aside: &Path) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        *damaged = Some(aside.to_owned());
    }

    /// Sets the reason why the store cannot be written. Returns `true` if there was one.
    pub(super) fn set_problem(&self, problem: Option<&str>) -> bool {
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *known, problem.map(str::to_owned)).is_some()
    }

    pub(super) fn note_commit(&self, duration: Duration, size: u64) {
        self.commit_duration.observe(duration.as_secs_f64());
        self.bytes.set(i64::try_from(size).unwrap_or(i64::MAX));
    }

    pub(super) fn note_stored(&self, route: &str, reason: StoreReason) {
        self.stored
            .with_label_values(&[route, reason.as_str()])
            .inc();
    }

    pub(super) fn note_delivery(&self, route: &str, outcome: &str) {
        self.deliveries.with_label_values(&[route, outcome]).inc();
    }

    pub(super) fn note_parked(&self, route: &str, reason: &str) {
        self.parked.with_label_values(&[route, reason]).inc();
        self.change_parked(route, reason, 1);
    }

    /// Records that so many notifications of a route were parked because it is gone.
    pub(super) fn note_route_gone(&self, route: &str, count: u64) {
        let reason = Parking::NoRoute.as_str();
        self.parked
            .with_label_values(&[route, reason])
            .inc_by(count);
    }

    /// Records that a notification, which was parked for this reason, was deleted to make room.
    pub(super) fn note_dropped(&self, route: &str, reason: &str) {
        self.dropped.with_label_values(&[route, "full"]).inc();
        self.change_parked(route, reason, -1);
    }

    pub(super) fn note_error(&self, route: &str, error: &str) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.insert(route.to_owned(), (SystemTime::now(), error.to_owned()));
    }
}
