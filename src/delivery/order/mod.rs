//! The order of the notifications that wait: which may be sent now, and which have to wait for
//! another one.
//!
//! Values in, values out: the store, the clock and the application are elsewhere. Within a key, one
//! notification is under way at a time, strictly by its rank; between keys there is no order.
//! A notification that is being stored, or that is tried directly, has its place as well, so that no
//! later one of its key overtakes it.

mod lane;
mod line;
mod pause;

#[cfg(test)]
mod model;
#[cfg(test)]
mod simulation;

use line::Line;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use crate::term::Moment;

/// Names what must stay in order: a hash of it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) [u8; 16]);

/// The place of a notification within its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// What the order within the key goes by: the time of receipt, or the order of the store.
    pub(crate) rank: i64,
    /// Its id in the store; 0 while it is not stored.
    pub(crate) id: i64,
    /// The time of receipt in nanoseconds since 1970.
    pub(crate) received: i64,
}

impl Place {
    /// The place of a notification that is ordered by the time of its receipt.
    pub(crate) fn by_receipt(received: i64, id: i64) -> Self {
        Self {
            rank: received,
            id,
            received,
        }
    }
}

/// A notification with its route and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) route: Arc<str>,
    pub(crate) key: Key,
    pub(crate) place: Place,
}

/// A failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The application as a whole cannot take notifications now.
    Down,
    /// The application did not take this notification.
    Refused,
}

/// What becomes of a notification after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is tried again.
    Retry,
    /// It is set aside: others of its route get through, and it does not.
    Park,
}

/// The reason why a notification must be stored instead of being tried directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The application of the route does not take notifications.
    Down,
    /// An earlier one of the same key waits or is under way.
    Order,
}

/// The outcome of an attempt, with what the application asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) failure: Failure,
    /// The least time until the next attempt.
    pub(crate) retry_after: u64,
    /// The factor of pauses, in thousandths: they are spread so that they do not coincide.
    pub(crate) spread: u64,
}

/// All notifications that wait or are under way.
#[derive(Debug, Default)]
pub(crate) struct Order {
    lines: BTreeMap<Arc<str>, Line>,
}

impl Order {
    /// Takes the stored notifications in `spots` for those that wait. Whatever is under way, or on
    /// its way into the store, stays as it is.
    pub(crate) fn replace(&mut self, spots: impl IntoIterator<Item = Spot>, now: Moment) {
        self.lines.values_mut().for_each(Line::forget_waiting);
        for spot in spots {
            self.stored(&spot, now);
        }
    }

    /// Begins a direct attempt, unless something speaks against it.
    pub(crate) fn begin_direct(&mut self, spot: &Spot) -> Result<(), Obstacle> {
        self.line(&spot.route).begin_direct(spot.key, spot.place)
    }

    /// Reserves the place of a notification that is about to be stored.
    pub(crate) fn reserve(&mut self, spot: &Spot) {
        self.line(&spot.route).reserve(spot.key, spot.place);
    }

    /// Begins a direct attempt of a notification whose place is [reserved](Self::reserve).
    pub(crate) fn begin_unstored(&mut self, spot: &Spot) {
        self.line(&spot.route).begin_unstored(spot.key, spot.place);
    }

    /// Records that a notification is stored. Returns `true` if it was not known.
    pub(crate) fn stored(&mut self, spot: &Spot, now: Moment) -> bool {
        self.line(&spot.route).stored(spot.key, spot.place, now)
    }

    /// Moves a notification that was not stored to the place that the store gave it.
    pub(crate) fn moved(&mut self, spot: &Spot, place: Place, now: Moment) {
        self.line(&spot.route)
            .moved(spot.key, spot.place, place, now);
    }

    /// Records that the application has taken a notification. If it is stored, the next one of its
    /// key follows when it is [gone](Self::gone).
    pub(crate) fn delivered(&mut self, spot: &Spot, now: Moment) -> Option<Recovery> {
        self.line(&spot.route).delivered(spot.key, spot.place, now)
    }

    /// Records a failed attempt. Returns what becomes of the notification, and `true` if this is the
    /// beginning of an outage. One to be parked stays under way until it is [gone](Self::gone).
    pub(crate) fn failed(&mut self, spot: &Spot, trial: Trial, now: Moment) -> (Verdict, bool) {
        self.line(&spot.route)
            .failed(spot.key, spot.place, trial, now)
    }

    /// Ends an attempt that could not begin: the notification is due again after `pause`.
    pub(crate) fn postponed(&mut self, spot: &Spot, pause: u64, now: Moment) {
        self.line(&spot.route)
            .postponed(spot.key, spot.place, pause, now);
    }

    /// Removes a notification: it is delivered, parked or dropped, or it could not be stored. If it
    /// is under way, that ends.
    pub(crate) fn gone(&mut self, spot: &Spot, now: Moment) {
        self.line(&spot.route).gone(spot.key, spot.place, now);
    }

    /// Returns the next notification to send, which is under way from now on. Of each route,
    /// `deliveries` may be sent at a time.
    pub(crate) fn next(&mut self, deliveries: usize, now: Moment) -> Option<Spot> {
        self.lines.iter_mut().find_map(|(route, line)| {
            let (key, place) = line.next(deliveries, now)?;
            let route = route.clone();
            Some(Spot { route, key, place })
        })
    }

    /// Returns the moment at which [`next`](Self::next) may have something, if nothing happens.
    pub(crate) fn wake_at(&self, deliveries: usize) -> Option<Moment> {
        self.lines
            .values()
            .filter_map(|line| line.wake_at(deliveries))
            .min()
    }

    /// Returns `true` if there is something to send, now or later.
    pub(crate) fn has_ready(&self) -> bool {
        self.lines.values().any(Line::has_ready)
    }

    /// Makes the next probe of a route due at once: there is reason to believe that it works.
    pub(crate) fn hurry(&mut self, route: &str, now: Moment) {
        if let Some(line) = self.lines.get_mut(route) {
            line.hurry(now);
        }
    }

    /// Returns `true` if others of its key come after a notification that is under way.
    pub(crate) fn is_followed(&self, spot: &Spot) -> bool {
        let line = self.lines.get(&spot.route);
        line.is_some_and(|line| line.is_followed(spot.key))
    }

    /// Returns the earliest moment of the next attempt of a notification.
    pub(crate) fn next_try(&self, spot: &Spot) -> Option<Moment> {
        self.lines.get(&spot.route)?.next_try(spot.key)
    }

    /// Returns the number of attempts under way, and of notifications that are about to be stored.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        self.lines.values().map(Line::under_way).sum()
    }

    /// Describes each route.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&Arc<str>, RouteState)> {
        self.lines.iter().map(|(route, line)| (route, line.state()))
    }

    fn line(&mut self, route: &Arc<str>) -> &mut Line {
        // An entry would want the name for itself: all threads count how often that is in use.
        if !self.lines.contains_key(route) {
            self.lines.insert(route.clone(), Line::default());
        }
        self.lines.get_mut(route).expect("there is one by now")
    }
}

/// The end of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// The time for which the application took nothing, in milliseconds.
    pub(crate) lasted: u64,
    /// The number of notifications that wait by now.
    pub(crate) waiting: usize,
}

/// A route in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteState {
    /// The number of stored notifications that wait or are under way.
    pub(crate) waiting: usize,
    /// The number of attempts under way.
    pub(crate) sending: usize,
    /// The time of receipt of the oldest that waits, in nanoseconds since 1970.
    pub(crate) oldest: Option<i64>,
    /// The moment since which the application takes nothing.
    pub(crate) down: Option<Moment>,
    /// The moment of the next attempt. During one that is a probe, it is not known.
    pub(crate) next: Option<Moment>,
}
