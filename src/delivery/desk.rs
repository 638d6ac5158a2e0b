//! The order of this process, with its clock: requests and attempts come here in turn.

use super::order::{Failure, Obstacle, Order, Place, Recovery, RouteState, Spot, Trial, Verdict};
use super::order::{Key, Moment};
use super::receipt::{StoreReason, Way};
use super::store::WaitingCount;
use crate::config::DeliveryMode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// The time for which nothing is tried directly after another process has stored something, or is
/// expected to.
const SHARED: u64 = 60_000;

/// The order of this process.
pub(super) struct Desk {
    state: Mutex<State>,
    /// Notified when something may be due.
    changed: Notify,
    started: Instant,
    /// The store decides the order, and is asked before a direct attempt.
    is_shared: bool,
}

/// What is not stored comes after everything that is, where the store decides the order.
const UNSTORED: i64 = 1 << 62;

#[derive(Default)]
struct State {
    /// Present while this process delivers.
    order: Option<Order>,
    /// The latest time of receipt.
    latest: i64,
    /// A successor is about to serve, and stores what this process cannot know.
    is_held: bool,
    /// The end of the time in which another process may store.
    shared_until: Moment,
    have_routes_changed: bool,
    /// Something has been stored that is to be read in its order.
    is_unread: bool,
    /// The notifications that were stored since what waits is being read.
    stored_meanwhile: Option<Vec<Spot>>,
    /// What waits for another process that delivers, when it was last counted.
    elsewhere: Vec<WaitingCount>,
}

impl Desk {
    pub(super) fn new(is_shared: bool) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            started: Instant::now(),
            is_shared,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns the instant of a moment.
    fn instant(&self, moment: Moment) -> Instant {
        self.started + Duration::from_millis(moment)
    }

    /// Returns the time of a moment, by the clock on the wall.
    pub(super) fn time(&self, moment: Moment) -> SystemTime {
        let (now, on_the_wall) = (self.now(), SystemTime::now());
        match moment.checked_sub(now) {
            Some(ahead) => on_the_wall + Duration::from_millis(ahead),
            None => on_the_wall - Duration::from_millis(now - moment),
        }
    }

    /// Waits until something may be due because of what has happened.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Has what is due noticed.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Gives a notification its place, and decides whether it may be tried directly.
    pub(super) fn receive(&self, route: &Arc<str>, key: Key, mode: DeliveryMode) -> (Spot, Way) {
        let mut state = self.state();
        // A clock that is put back does not change the order.
        state.latest = wall_clock().max(state.latest.saturating_add(1));
        let received = state.latest;
        let place = Place {
            rank: if self.is_shared {
                UNSTORED | received
            } else {
                received
            },
            id: 0,
            received,
        };
        let spot = Spot {
            route: route.clone(),
            key,
            place,
        };
        // Most processes never have to read the clock for this.
        let may_others_store = state.shared_until > 0 && state.shared_until > self.now();
        let is_alone = !state.is_held && !may_others_store;
        let way = match &mut state.order {
            None => Way::Store(StoreReason::Order),
            Some(order) => admit(order, &spot, mode, is_alone),
        };
        (spot, way)
    }

    /// Remembers what is stored from now on until [`lead`](Self::lead): it may not be among what is
    /// read meanwhile.
    pub(super) fn begin_load(&self) {
        self.state().stored_meanwhile = Some(Vec::new());
    }

    /// Takes the stored notifications for those that wait: this process delivers them.
    pub(super) fn lead(&self, mut spots: Vec<Spot>, latest: i64) {
        let now = self.now();
        let mut state = self.state();
        state.latest = state.latest.max(latest);
        spots.extend(state.stored_meanwhile.take().unwrap_or_default());
        state.order.get_or_insert_default().replace(spots, now);
        self.changed.notify_one();
    }

    /// Adds notifications that may be those of another process.
    pub(super) fn add(&self, spots: &[Spot]) {
        let now = self.now();
        let mut state = self.state();
        let Some(order) = &mut state.order else {
            return;
        };
        let unknown = spots.iter().filter(|spot| order.stored(spot, now)).count();
        if unknown > 0 && !self.is_shared {
            state.shared_until = now + SHARED;
        }
        self.changed.notify_one();
    }

    /// Expects that another process stores for a while what this one is not told at once.
    pub(super) fn expect_another(&self) {
        if !self.is_shared {
            self.state().shared_until = self.now() + SHARED;
        }
    }

    /// Takes the numbers of what waits for another process that delivers.
    pub(super) fn set_elsewhere(&self, counts: Vec<WaitingCount>) {
        self.state().elsewhere = counts;
    }

    /// Forgets what waits: this process does not deliver it any longer.
    pub(super) fn follow(&self) {
        self.state().order = None;
        self.changed.notify_one();
    }

    pub(super) fn set_held(&self, is_held: bool) {
        self.state().is_held = is_held;
    }

    pub(super) fn routes_changed(&self) {
        self.state().have_routes_changed = true;
        self.changed.notify_one();
    }

    /// Returns `true` once after the routes have changed.
    pub(super) fn take_routes_changed(&self) -> bool {
        std::mem::take(&mut self.state().have_routes_changed)
    }

    /// Makes a direct attempt of a notification that could not be stored.
    pub(super) fn begin_unstored(&self, spot: &Spot) {
        self.with(|order, _| order.begin_unstored(spot));
    }

    /// Moves a notification that was not stored to the place that the store gave it. If it is to be
    /// sent now, [`wake`](Self::wake) is to follow.
    pub(super) fn moved(&self, spot: &Spot, place: Place) {
        if place.id != 0
            && let Some(meanwhile) = &mut self.state().stored_meanwhile
        {
            meanwhile.push(Spot {
                place,
                ..spot.clone()
            });
        }
        let now = self.now();
        let mut state = self.state();
        if let Some(order) = &mut state.order {
            order.moved(spot, place, now);
            // Another process may have stored an earlier one that is not read yet.
            state.is_unread |= place.id != 0 && state.shared_until > now;
        }
    }

    /// Leaves a notification that is stored to the next reading, which gives it its place among those
    /// that others have stored before it. [`wake`](Self::wake) is to follow.
    pub(super) fn left_to_reading(&self, spot: &Spot) {
        {
            let mut state = self.state();
            state.is_unread = state.order.is_some();
        }
        self.gone(spot);
    }

    /// Returns `true` once after something was [left to the next reading](Self::left_to_reading).
    pub(super) fn take_unread(&self) -> bool {
        std::mem::take(&mut self.state().is_unread)
    }

    pub(super) fn delivered(&self, spot: &Spot) -> Option<Recovery> {
        self.with(|order, now| order.delivered(spot, now)).flatten()
    }

    pub(super) fn failed(&self, spot: &Spot, trial: Trial) -> (Verdict, bool) {
        let failed = self.with(|order, now| order.failed(spot, trial, now));
        failed.unwrap_or((Verdict::Retry, false))
    }

    /// Returns `true` if others of its key wait for the end of a notification that is under way.
    pub(super) fn is_followed(&self, spot: &Spot) -> bool {
        let state = self.state();
        let order = state.order.as_ref();
        order.is_some_and(|order| order.is_followed(spot))
    }

    /// Returns the earliest time of the next attempt of a notification, in nanoseconds since 1970.
    pub(super) fn next_try(&self, spot: &Spot) -> Option<i64> {
        let moment = self.state().order.as_ref()?.next_try(spot)?;
        let pause = self
            .instant(moment)
            .saturating_duration_since(Instant::now());
        let pause = i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX);
        Some(wall_clock().saturating_add(pause))
    }

    pub(super) fn postponed(&self, spot: &Spot, pause: Duration) {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.with(|order, now| order.postponed(spot, pause, now));
    }

    pub(super) fn gone(&self, spot: &Spot) {
        self.with(|order, now| order.gone(spot, now));
    }

    pub(super) fn hurry(&self, route: &str) {
        self.with(|order, now| order.hurry(route, now));
    }

    pub(super) fn next(&self, deliveries: usize) -> Option<Spot> {
        let now = self.now();
        let mut state = self.state();
        if state.is_unread {
            return None;
        }
        state.order.as_mut()?.next(deliveries, now)
    }

    /// Returns the instant at which something is due, if nothing happens.
    pub(super) fn wake_at(&self, deliveries: usize) -> Option<Instant> {
        let moment = self.state().order.as_ref()?.wake_at(deliveries);
        moment.map(|moment| self.instant(moment))
    }

    /// Returns the number of attempts under way.
    pub(super) fn sending(&self) -> usize {
        let routes = self.routes();
        routes.iter().map(|(_, state)| state.sending).sum()
    }

    /// Describes each route for which something waits, or has waited.
    pub(super) fn routes(&self) -> Vec<(Arc<str>, RouteState)> {
        let state = self.state();
        let Some(order) = &state.order else {
            return state.elsewhere.iter().map(counted).collect();
        };
        let routes = order.routes();
        routes
            .map(|(route, state)| (route.clone(), state))
            .collect()
    }

    fn with<T>(&self, change: impl FnOnce(&mut Order, Moment) -> T) -> Option<T> {
        let now = self.now();
        let mut state = self.state();
        let order = state.order.as_mut()?;
        let changed = change(order, now);
        // Where nothing waits, a direct attempt wakes nobody: that costs a quarter of a request.
        let has_ready = order.has_ready();
        drop(state);
        if has_ready {
            self.changed.notify_one();
        }
        Some(changed)
    }
}

/// Describes a route of which only the number of notifications is known.
fn counted(count: &WaitingCount) -> (Arc<str>, RouteState) {
    let state = RouteState {
        waiting: count.count,
        oldest: Some(count.oldest),
        ..RouteState::default()
    };
    (count.route.as_str().into(), state)
}

fn admit(order: &mut Order, spot: &Spot, mode: DeliveryMode, is_alone: bool) -> Way {
    let obstacle = match mode {
        DeliveryMode::Queue => StoreReason::Queue,
        _ if !is_alone => StoreReason::Order,
        _ => match order.begin_direct(spot) {
            Ok(()) => return Way::Direct,
            Err(obstacle) => reason(obstacle),
        },
    };
    order.reserve(spot);
    Way::Store(obstacle)
}

fn reason(obstacle: Obstacle) -> StoreReason {
    match obstacle {
        Obstacle::Order => StoreReason::Order,
        Obstacle::Down => StoreReason::Down,
    }
}

/// Returns the time in nanoseconds since 1970.
pub(super) fn wall_clock() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// Describes a failed attempt to the order.
pub(super) fn trial(failure: Failure, retry_after: Duration) -> Trial {
    Trial {
        failure,
        retry_after: u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX),
        spread: rand::random_range(800..=1200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(id: i64) -> Spot {
        Spot {
            route: "/a".into(),
            key: Key([u8::try_from(id).unwrap(); 16]),
            place: Place::by_receipt(id, id),
        }
    }

    #[test]
    fn a_clock_that_is_put_back_gives_later_times_all_the_same() {
        let desk = Desk::new(false);
        let ahead = wall_clock() + 3_600_000_000_000;
        desk.lead(Vec::new(), ahead);
        let received = |_| {
            let (spot, _) = desk.receive(&"/a".into(), Key([1; 16]), DeliveryMode::Queue);
            spot.place.received
        };
        assert_eq!([1, 2].map(received), [ahead + 1, ahead + 2]);
    }

    #[test]
    fn nothing_is_tried_directly_while_a_predecessor_may_store() {
        let receive = |is_expected: bool| {
            let desk = Desk::new(false);
            if is_expected {
                desk.expect_another();
            }
            desk.lead(Vec::new(), 0);
            let (_, way) = desk.receive(&"/a".into(), Key([1; 16]), DeliveryMode::Fallback);
            way
        };
        assert_eq!(receive(false), Way::Direct);
        assert_eq!(receive(true), Way::Store(StoreReason::Order));
    }

    #[test]
    fn what_another_process_has_stored_is_read_before_anything_is_sent() {
        let desk = Desk::new(false);
        desk.expect_another();
        desk.lead(Vec::new(), 0);
        let stored = spot(2).place;
        let unstored = Place { id: 0, ..stored };
        let spot_of = |place| Spot { place, ..spot(2) };
        desk.moved(&spot_of(unstored), stored);
        assert_eq!(desk.next(8), None);
        assert!(desk.take_unread());
        let mut earlier = spot(1);
        earlier.key = spot(2).key;
        desk.add(&[earlier.clone(), spot(2)]);
        assert_eq!(desk.next(8), Some(earlier));
    }

    #[test]
    fn what_is_stored_while_the_rest_is_read_is_not_forgotten() {
        let desk = Desk::new(false);
        // As the process that begins to deliver, and as one that reads everything again.
        for count in [2, 3] {
            desk.begin_load();
            let place = Place::by_receipt(count, 0);
            let unstored = Spot {
                place,
                ..spot(count)
            };
            desk.moved(&unstored, spot(count).place);
            desk.lead(vec![spot(1)], 1);
            let (_, state) = &desk.routes()[0];
            assert_eq!(state.waiting, 2, "{count}");
        }
    }

    #[test]
    fn others_of_its_key_wait_for_one_that_is_under_way() {
        let desk = Desk::new(false);
        let mut second = spot(2);
        second.key = spot(1).key;
        desk.lead(vec![spot(1), second.clone(), spot(3)], 3);
        let sent: Vec<_> = std::iter::from_fn(|| desk.next(8)).collect();
        assert_eq!(sent, [spot(1), spot(3)]);
        assert!(desk.is_followed(&spot(1)) && !desk.is_followed(&spot(3)));
        desk.delivered(&spot(1));
        desk.gone(&spot(1));
        assert_eq!(desk.next(8), Some(second.clone()));
        assert!(!desk.is_followed(&second));
    }
}
