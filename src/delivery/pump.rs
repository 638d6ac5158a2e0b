//! Delivers what is stored, while this process holds the term.

use super::attempt::{FailedAttempt, judge};
use super::desk::wall_clock;
use super::message::again;
use super::order::{Spot, Verdict};
use super::store::{End, Parking, Settlement, StoreError, StoredMessage, Version};
use super::{Delivery, reports};
use crate::upstream::exchange;
use pingora::server::ShutdownWatch;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

/// The interval at which the store is asked for what other processes did, and the term is tried.
const LOOK: Duration = Duration::from_millis(250);

/// The pause after an error of the store.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The interval at which ends of attempts are recorded again that could not be.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// What the pump remembers between two looks.
#[derive(Default)]
pub(super) struct PumpState {
    version: Version,
    /// The highest id that was read.
    last_read: i64,
    recorded_again: Option<Instant>,
}

impl Delivery {
    /// Takes the term if it is free, and reads what waits. To be called before serving.
    pub(crate) async fn begin(self: &Arc<Self>) {
        self.look_around().await;
    }

    /// Delivers until the drain begins. Attempts under way go on.
    pub(crate) async fn run(self: &Arc<Self>, mut draining: ShutdownWatch) {
        tokio::select! {
            () = self.pump() => {}
            _ = draining.wait_for(|has_begun| *has_begun) => {}
        }
    }

    async fn pump(self: &Arc<Self>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deliveries = self.settings.load().deliveries;
            while let Some(spot) = self.desk.next(deliveries) {
                let delivery = self.clone();
                self.tasks
                    .spawn(async move { delivery.attempt(spot).await });
            }
            let due = self.desk.wake_at(deliveries);
            tokio::select! {
                () = self.desk.changed() => {}
                () = until(due) => {}
                _ = look.tick() => self.look_around().await,
            }
        }
    }

    /// Tries to become the process that delivers; as such, notices what others have done.
    async fn look_around(&self) {
        let mut state = self.pump.lock().await;
        let looked = match self.desk.is_leading() {
            false => self.take_term(&mut state).await,
            true => self.follow(&mut state).await,
        };
        if let Err(error) = looked {
            reports::unreadable(&error);
        }
    }

    async fn take_term(&self, state: &mut PumpState) -> Result<(), StoreError> {
        if !self.store.term().await? {
            return Ok(());
        }
        let waiting = self.load(state).await?;
        self.figures.set_delivering(true);
        reports::delivering(waiting);
        Ok(())
    }

    /// Reads everything anew. Returns the number of notifications that wait.
    async fn load(&self, state: &mut PumpState) -> Result<usize, StoreError> {
        self.desk.take_routes_changed();
        let routes = self.destinations.load();
        // There is a reason to try now: a command, or another configuration.
        routes.keys().for_each(|route| self.desk.hurry(route));
        let routes = routes.keys().map(|route| route.to_string()).collect();
        let (parked, unparked) = self.store.route(routes).await?;
        reports::rerouted(parked, unparked);
        self.desk.begin_load();
        // Asked for before the rest: what changes meanwhile is noticed next time.
        state.version = self.store.version().await?;
        let latest = self.store.latest().await?;
        let mut spots = self.store.read(0).await?;
        state.last_read = spots
            .iter()
            .map(|spot| spot.place.id)
            .max()
            .unwrap_or(0)
            .max(state.last_read);
        self.forget_ended(&mut spots);
        let waiting = spots.len();
        self.desk.lead(spots, latest);
        self.figures.set_parked(&self.store.parked().await?);
        Ok(waiting)
    }

    async fn follow(&self, state: &mut PumpState) -> Result<(), StoreError> {
        self.record_again(state).await;
        let version = self.store.version().await?;
        if version.commands != state.version.commands || self.desk.take_routes_changed() {
            self.load(state).await?;
        } else if version != state.version {
            state.version = version;
            let mut spots = self.store.read(state.last_read).await?;
            state.last_read = spots
                .iter()
                .map(|spot| spot.place.id)
                .max()
                .unwrap_or(state.last_read);
            self.forget_ended(&mut spots);
            self.desk.add(&spots);
        }
        Ok(())
    }

    /// Records the ends of attempts that could not be recorded.
    async fn record_again(&self, state: &mut PumpState) {
        let is_early = |last: Instant| last.elapsed() < RECORD_AGAIN;
        if state.recorded_again.is_some_and(is_early) {
            return;
        }
        state.recorded_again = Some(Instant::now());
        let unrecorded = self.unrecorded();
        // Without a write, it would not show that the store can be written again.
        let is_tried = !unrecorded.is_empty() || self.figures.problem().is_some();
        if is_tried && self.store.settle(unrecorded.clone()).await.is_ok() {
            let mut left = self
                .unrecorded
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            left.retain(|settlement| !unrecorded.contains(settlement));
        }
    }

    /// Removes notifications that do not wait any longer, although the store does not know it yet.
    fn forget_ended(&self, spots: &mut Vec<Spot>) {
        let unrecorded = self.unrecorded();
        spots.retain(|spot| unrecorded.iter().all(|it| it.id != spot.place.id));
    }

    /// Returns the ends of attempts that could not be recorded yet.
    fn unrecorded(&self) -> Vec<Settlement> {
        let unrecorded = self.unrecorded.lock();
        unrecorded.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a notification once.
    async fn attempt(&self, spot: Spot) {
        match self.is_first(&spot).await {
            Ok(true) => {}
            Ok(false) => return self.desk.postponed(&spot, Duration::ZERO),
            Err(error) => {
                reports::unreadable(&error);
                return self.desk.postponed(&spot, STORE_PAUSE);
            }
        }
        let stored = match self.store.message(spot.place.id).await {
            Ok(Some(stored)) => stored,
            // An operator has parked or dropped it.
            Ok(None) => return self.desk.gone(&spot),
            Err(error) => {
                reports::unreadable(&error);
                return self.desk.postponed(&spot, STORE_PAUSE);
            }
        };
        if self.is_too_old(&stored) {
            return self.park(&spot, Parking::TooOld).await;
        }
        let Some(destination) = self.destinations.load().get(&spot.route).cloned() else {
            return self.park(&spot, Parking::NoRoute).await;
        };
        let attempts = stored.attempts.saturating_add(1);
        let message = again(&stored, attempts, destination.signer);
        let response = exchange::send(&destination.upstream, &message, Duration::ZERO).await;
        let judged = judge(&response);
        if let Ok(response) = response {
            response.discard().await;
        }
        if let (Ok(()), Some(witness)) = (&judged, self.reports.witness()) {
            witness.delivered(&spot.route, &stored.idempotency);
        }
        self.conclude(&spot, attempts, judged).await;
    }

    /// Returns `true` if nothing of the same key waits before this one. During an upgrade, another
    /// process may have stored some that this one has not read yet: they are read now.
    async fn is_first(&self, spot: &Spot) -> Result<bool, StoreError> {
        let mut earlier = self.store.earlier(spot.clone()).await?;
        self.forget_ended(&mut earlier);
        self.desk.add(&earlier);
        Ok(earlier.is_empty())
    }

    fn is_too_old(&self, stored: &StoredMessage) -> bool {
        let age = wall_clock().saturating_sub(stored.received);
        let max_age = self.settings.load().max_age;
        u64::try_from(age).is_ok_and(|age| Duration::from_nanos(age) > max_age)
    }

    /// Records the end of an attempt of a stored notification.
    pub(super) async fn conclude(
        &self,
        spot: &Spot,
        attempts: u32,
        result: Result<(), FailedAttempt>,
    ) {
        match result {
            Ok(()) => {
                let recovery = self.desk.delivered(spot);
                self.note_delivered(spot, recovery);
                self.finish(spot, End::Delivered).await;
            }
            Err(failed) => {
                let (verdict, has_begun) = self.desk.failed(spot, failed.trial);
                self.note_failed(spot, attempts, &failed, has_begun);
                let error = failed.error;
                let id = spot.place.id;
                // Ignore the error: the count of attempts is for people.
                let next_try = self.desk.next_try(spot);
                let end = End::Failed {
                    attempts,
                    error,
                    next_try,
                };
                let _ = self.store.settle(vec![Settlement { id, end }]).await;
                if verdict == Verdict::Park {
                    self.park(spot, Parking::Poison).await;
                }
            }
        }
    }

    async fn park(&self, spot: &Spot, reason: Parking) {
        self.finish(spot, End::Parked(reason)).await;
        self.figures.note_parked(&spot.route, reason.as_str());
        reports::parked(spot, reason.as_str());
        if let (Some(witness), Ok(Some(notification))) = (
            self.reports.witness(),
            self.store.describe(spot.place.id).await,
        ) {
            witness.parked(&notification, reason.as_str());
        }
    }

    /// Records that a notification does not wait any longer; the next one of its key follows. If
    /// that cannot be recorded, it is remembered and recorded later.
    async fn finish(&self, spot: &Spot, end: End) {
        let id = spot.place.id;
        let settlement = Settlement { id, end };
        if self.store.settle(vec![settlement.clone()]).await.is_err() {
            self.record_later(settlement);
        }
        self.desk.gone(spot);
    }

    fn record_later(&self, settlement: Settlement) {
        self.unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(settlement);
    }
}

/// Waits until `due`, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
