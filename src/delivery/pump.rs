//! Delivers what is stored, while this process holds the term.

use super::attempt::{FailedAttempt, judge};
use super::desk::wall_clock;
use super::message::again;
use super::order::{Moment, Spot, Verdict};
use super::store::{
    End, Fetched, Listed, Parking, Seen, Settlement, StoreError, StoredMessage, Term,
};
use super::{Delivery, reports};
use crate::term;
use crate::upstream::exchange;
use pingora::server::ShutdownWatch;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

/// The interval at which the store is asked for what other processes did, and the term is tried.
const LOOK: Duration = Duration::from_millis(250);

/// The pause after an error of the store.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The interval, in milliseconds, at which deliveries are recorded that nothing waits for: together, so
/// that few commits are in the way of the next notification. The disk takes one at a time.
const RECORD_TOGETHER: Moment = 20;

/// The interval at which ends of attempts are recorded again that could not be.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// The interval at which a process that does not deliver counts what waits, from a store with little
/// to one with much. All of it is read: that takes a fiftieth of the time.
const COUNT_AGAIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
const COUNT_SHARE: u32 = 50;

/// What the pump remembers between two looks.
#[derive(Default)]
pub(super) struct PumpState {
    seen: Seen,
    recorded_again: Option<Instant>,
    /// The time when the notifications of another process are counted again.
    count_at: Option<Instant>,
    /// The last change of operators of which the witness has been told what it deleted.
    commands_told: Option<i64>,
}

impl Delivery {
    /// Takes the term if it is free, and reads what waits. To be called before serving.
    pub(crate) async fn begin(self: &Arc<Self>) {
        self.look_around().await;
    }

    /// Delivers until the drain begins. Attempts under way go on: the term lasts until the last one
    /// has ended.
    pub(crate) async fn run(self: &Arc<Self>, mut draining: ShutdownWatch) {
        tokio::select! {
            () = self.pump() => {}
            () = self.watch() => {}
            _ = draining.wait_for(|has_begun| *has_begun) => {}
        }
        if self.store.is_shared() {
            self.desk.set_held(true);
            while self.desk.sending() > 0 {
                sleep(LOOK).await;
                self.look_around().await;
            }
            self.resign(Moment::MAX / 2).await;
        }
    }

    async fn pump(self: &Arc<Self>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.desk.take_unread() {
                self.look_around().await;
            }
            let deliveries = self.settings.load().deliveries;
            while !self.unrecorded.are_too_many()
                && let Some(spot) = self.desk.next(deliveries)
            {
                let delivery = self.clone();
                self.tasks
                    .spawn(async move { delivery.attempt(spot).await });
            }
            // With too many of them, the next look records them.
            let due = match self.unrecorded.are_too_many() {
                true => None,
                false => self.desk.wake_at(deliveries),
            };
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
        self.mind_end();
        let looked = self.keep_up(&mut state);
        let looked = match self.term() {
            // The store may not answer before the term is over, which has to be noticed then.
            Some(term) => self.within_term(term, looked).await,
            None => Some(looked.await),
        };
        if let Some(Err(error)) = looked {
            reports::unreadable(&error);
        }
        self.mind_end();
        self.mind_reach().await;
    }

    async fn keep_up(&self, state: &mut PumpState) -> Result<(), StoreError> {
        self.keep_term(state).await?;
        self.follow(state).await
    }

    /// Reads everything anew. Returns the number of notifications that wait.
    pub(super) async fn load(
        &self,
        term: Term,
        state: &mut PumpState,
    ) -> Result<usize, StoreError> {
        self.desk.take_routes_changed();
        let routes = self.destinations.load();
        // There is a reason to try now: a command, or another configuration.
        routes.keys().for_each(|route| self.desk.hurry(route));
        let routes = routes.keys().map(|route| route.to_string()).collect();
        self.desk.begin_load();
        // What cannot be read this time is read next time.
        let loaded = self.store.load(term, routes).await;
        let (reading, totals, rerouted) = loaded.inspect_err(|_| self.desk.routes_changed())?;
        reports::rerouted(&rerouted, &self.figures);
        state.seen = reading.seen;
        let mut spots = reading.spots;
        self.unrecorded.forget_ended(&mut spots);
        let waiting = spots.len();
        self.desk.lead(spots, totals.latest);
        self.figures.set_parked(&totals.parked);
        Ok(waiting)
    }

    async fn follow(&self, state: &mut PumpState) -> Result<(), StoreError> {
        let Some(term) = self.term() else {
            return self.count_waiting(state).await;
        };
        self.record_again(state).await;
        let reading = self.store.read(state.seen).await?;
        if reading.seen.commands != state.seen.commands || self.desk.take_routes_changed() {
            self.load(term, state).await?;
        } else if reading.seen != state.seen {
            state.seen = reading.seen;
            let mut spots = reading.spots;
            self.unrecorded.forget_ended(&mut spots);
            self.desk.add(&spots);
        }
        self.note_deleted(state).await
    }

    /// Counts what waits for the process that delivers, from time to time: here, nothing else knows.
    async fn count_waiting(&self, state: &mut PumpState) -> Result<(), StoreError> {
        let begun = Instant::now();
        if state.count_at.is_none_or(|at| begun >= at) {
            let counts = self.store.counts().await?;
            self.desk.set_elsewhere(counts.waiting);
            self.figures.set_parked(&counts.parked);
            let pause = begun.elapsed() * COUNT_SHARE;
            let pause = pause.clamp(*COUNT_AGAIN.start(), *COUNT_AGAIN.end());
            state.count_at = Some(Instant::now() + pause);
        }
        Ok(())
    }

    /// Tells the witness which of the parked notifications an operator has deleted.
    async fn note_deleted(&self, state: &mut PumpState) -> Result<(), StoreError> {
        let Some(witness) = self.reports.witness() else {
            return Ok(());
        };
        let commands = Some(state.seen.commands);
        if state.commands_told != commands {
            let known = witness.set_aside();
            let present = self.store.present(known.clone()).await?;
            let deleted = known.iter().filter(|id| !present.contains(id));
            deleted.for_each(|id| witness.deleted(*id));
            state.commands_told = commands;
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
        let unrecorded = self.unrecorded.all();
        // Without a write, it would not show that the store can be written again.
        let is_tried = !unrecorded.is_empty() || self.figures.problem().is_some();
        if is_tried
            && self
                .store
                .settle(self.term(), unrecorded.clone())
                .await
                .is_ok()
        {
            self.unrecorded.recorded(&unrecorded);
        }
    }

    /// Sends a notification once.
    async fn attempt(&self, spot: Spot) {
        let Some(term) = self.term() else {
            return self.desk.postponed(&spot, STORE_PAUSE);
        };
        let stored = match self.fetch(term, &spot).await {
            Ok(Fetched { earlier, .. }) if !earlier.is_empty() => {
                return self.desk.postponed(&spot, Duration::ZERO);
            }
            Ok(Fetched {
                message: Some(stored),
                ..
            }) => stored,
            // An operator has parked or dropped it.
            Ok(Fetched { message: None, .. }) => return self.desk.gone(&spot),
            Err(error) => {
                reports::unreadable(&error);
                return self.desk.postponed(&spot, STORE_PAUSE);
            }
        };
        if self.is_too_old(&stored) {
            return self.park(&spot, stored.receipt, Parking::TooOld).await;
        }
        let Some(destination) = self.destinations.load().get(&spot.route).cloned() else {
            return self.park(&spot, stored.receipt, Parking::NoRoute).await;
        };
        let attempts = stored.attempts.saturating_add(1);
        let message = again(&stored, attempts, self.term_line(term), destination.signer);
        let sent = exchange::send(&destination.upstream, &message, Duration::ZERO);
        let Some(response) = self.within_term(term, sent).await else {
            // It is that of another process by now.
            return self.desk.postponed(&spot, STORE_PAUSE);
        };
        let judged = judge(&response);
        if let Ok(response) = response {
            response.discard().await;
        }
        if let (Ok(()), Some(witness)) = (&judged, self.reports.witness()) {
            witness.delivered(&spot.route, &stored.idempotency);
        }
        self.conclude(&spot, stored.receipt, attempts, judged).await;
    }

    /// Reads a notification, for an attempt. Those of the same key that wait before it are in their
    /// order from then on: during an upgrade, another process may have stored some that this one has
    /// not read yet.
    async fn fetch(&self, term: Term, spot: &Spot) -> Result<Fetched, StoreError> {
        let mut fetched = self.store.fetch(term, spot.clone()).await?;
        self.unrecorded.forget_ended(&mut fetched.earlier);
        self.desk.add(&fetched.earlier);
        Ok(fetched)
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
        receipt: u128,
        attempts: u32,
        result: Result<(), FailedAttempt>,
    ) {
        let has_responded = !result.as_ref().is_err_and(|failed| failed.is_unreached);
        self.reach.note(&spot.route, has_responded, term::now());
        match result {
            Ok(()) => {
                let recovery = self.desk.delivered(spot);
                self.note_delivered(spot, recovery);
                self.await_others(spot).await;
                self.finish(spot, receipt, End::Delivered).await;
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
                let settlement = Settlement { id, receipt, end };
                let _ = self.store.settle(self.term(), vec![settlement]).await;
                if verdict == Verdict::Park {
                    self.park(spot, receipt, Parking::Poison).await;
                }
            }
        }
    }

    /// Waits for others whose delivery is recorded in the same commit. Until then, a crash would have
    /// them sent again, but nothing overtakes them: those of the same key follow when they are gone.
    async fn await_others(&self, spot: &Spot) {
        if !self.is_shared() && !self.desk.is_followed(spot) {
            let pause = RECORD_TOGETHER - term::now() % RECORD_TOGETHER;
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn park(&self, spot: &Spot, receipt: u128, reason: Parking) {
        let parked = self.finish(spot, receipt, End::Parked(reason)).await;
        self.figures.note_parked(&spot.route, reason.as_str());
        reports::parked(spot, reason.as_str());
        if let Some(witness) = self.reports.witness() {
            let parked = parked.iter();
            parked.for_each(|parked| witness.parked(parked, reason.as_str()));
        }
    }

    /// Records that a notification does not wait any longer; the next one of its key follows. If
    /// that cannot be recorded, it is remembered and recorded later. Returns it if it is parked.
    async fn finish(&self, spot: &Spot, receipt: u128, end: End) -> Vec<Listed> {
        let id = spot.place.id;
        let settlement = Settlement { id, receipt, end };
        self.unrecorded.begin();
        let settled = self.store.settle(self.term(), vec![settlement.clone()]);
        let settled = settled.await;
        self.unrecorded
            .answered(settled.is_err().then_some(settlement));
        self.desk.gone(spot);
        settled.unwrap_or_default()
    }
}

/// Waits until `due`, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
