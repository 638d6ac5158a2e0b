//! Says in the log what happens to notifications that wait.

use super::Delivery;
use super::attempt::FailedAttempt;
use super::figures::Figures;
use super::order::{Failure, Recovery, Spot};
use super::store::{Listed, Observer, Rerouted, StoreError};
use super::witness::Witness;
use crate::sanitize::sanitize;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tracing::{debug, error, info, warn};

/// The interval at which a line about the same trouble is repeated.
const REPEAT: Duration = Duration::from_secs(60);

/// Allows one line in a while.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= REPEAT);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

/// The reports of the store.
pub(super) struct Reports {
    figures: Arc<Figures>,
    unwritable: Seldom,
    witness: OnceLock<Arc<dyn Witness>>,
}

impl Reports {
    pub(super) fn new(figures: Arc<Figures>) -> Self {
        Self {
            figures,
            unwritable: Seldom::default(),
            witness: OnceLock::new(),
        }
    }

    /// Sets the witness. There is one.
    pub(super) fn set_witness(&self, witness: Arc<dyn Witness>) {
        // Ignore the error: the first one stays.
        let _ = self.witness.set(witness);
    }

    /// The witness, if there is one.
    pub(super) fn witness(&self) -> Option<&dyn Witness> {
        self.witness.get().map(|witness| &**witness)
    }
}

impl Observer for Reports {
    fn committed(&self, duration: Duration, size: u64) {
        self.figures.note_commit(duration, size);
    }

    fn writable(&self, problem: Option<&str>) {
        let had_problem = self.figures.set_problem(problem);
        match problem {
            Some(problem) if self.unwritable.is_due() => error!(
                event = "queue_unwritable",
                error = problem,
                "the queue cannot be written: notifications are refused, or tried directly"
            ),
            None if had_problem => {
                info!(event = "queue_writable", "the queue can be written again")
            }
            _ => {}
        }
    }

    fn dropped(&self, notification: &Listed) {
        let Listed { id, route, .. } = notification;
        let reason = notification.parked.as_deref().unwrap_or_default();
        self.figures.note_dropped(route, reason);
        if let Some(witness) = self.witness() {
            witness.dropped(notification);
        }
        error!(
            event = "queue_dropped",
            id, route, "the queue is full: the oldest parked notification was dropped"
        );
    }
}

/// Reports a file that was set aside.
pub(super) fn damaged(aside: &Path, problem: &str) {
    let aside = aside.display();
    error!(
        event = "queue_damaged",
        error = problem,
        file = %aside,
        "the queue is damaged and was set aside, a new one is in use: recover it from `sqlite3 {aside} .dump`"
    );
}

pub(super) fn unreadable(error: &StoreError) {
    static SELDOM: Seldom = Seldom(Mutex::new(None));
    if SELDOM.is_due() {
        error!(event = "queue_unreadable", %error, "the queue cannot be read");
    }
}

/// Reports that this process delivers what is stored.
pub(super) fn delivering(waiting: usize) {
    info!(
        event = "queue_delivering",
        waiting, "this process delivers what is in the queue"
    );
}

/// Reports that this process reaches no application.
pub(super) fn unreached() {
    warn!(
        event = "queue_unreached",
        "no application responds to this process, which leaves the queue to another one"
    );
}

/// Reports that another process delivers from now on.
pub(super) fn not_delivering() {
    warn!(
        event = "queue_not_delivering",
        "this process does not deliver what is in the queue any longer"
    );
}

/// Reports notifications whose route has gone, or has come back.
pub(super) fn rerouted(rerouted: &Rerouted, figures: &Figures) {
    for (route, count) in &rerouted.parked {
        figures.note_route_gone(route, *count);
        route_gone(route, *count);
    }
    for (route, count) in &rerouted.unparked {
        route_back(route, *count);
    }
}

fn route_gone(route: &str, count: u64) {
    warn!(
        event = "queue_route_gone",
        route, count, "notifications of a route that is not in the configuration were parked"
    );
}

fn route_back(route: &str, count: u64) {
    info!(
        event = "queue_route_back",
        route, count, "notifications whose route is in the configuration again wait for it"
    );
}

fn outage_ended(route: &str, recovery: &Recovery) {
    info!(
        event = "queue_outage_ended",
        route,
        seconds = recovery.lasted / 1000,
        waiting = recovery.waiting,
        "the application takes notifications again"
    );
}

pub(super) fn parked(spot: &Spot, reason: &str) {
    let (id, route) = (spot.place.id, &*spot.route);
    warn!(
        event = "queue_parked",
        id, route, reason, "parked a notification: `queue retry {id}` sends it again"
    );
}

pub(super) fn duplicate(spot: &Spot) {
    debug!(
        event = "queue_duplicate",
        route = &*spot.route,
        "the same notification waits already"
    );
}

impl Delivery {
    pub(super) fn note_delivered(&self, spot: &Spot, recovery: Option<Recovery>) {
        if spot.place.id != 0 {
            self.figures.note_delivery(&spot.route, "delivered");
        }
        if let Some(recovery) = recovery {
            outage_ended(&spot.route, &recovery);
        }
    }

    pub(super) fn note_failed(
        &self,
        spot: &Spot,
        attempts: u32,
        failed: &FailedAttempt,
        has_begun: bool,
    ) {
        let (route, error) = (&*spot.route, sanitize(&failed.error));
        let outcome = match failed.trial.failure {
            Failure::Down => "down",
            Failure::Refused => "refused",
        };
        self.figures.note_delivery(route, outcome);
        self.figures.note_error(route, &error);
        if has_begun {
            warn!(
                event = "queue_outage_began",
                route,
                %error,
                "the application takes no notifications: they are stored, and it is tried again and again"
            );
        } else if failed.trial.failure == Failure::Refused && attempts <= 1 {
            static SELDOM: Seldom = Seldom(Mutex::new(None));
            if SELDOM.is_due() {
                warn!(
                    event = "queue_not_taken",
                    route,
                    %error,
                    "the application did not take a notification, which is tried again"
                );
            }
        }
        debug!(event = "queue_attempt_failed", route, id = spot.place.id, attempts, %error, "an attempt failed");
    }
}
