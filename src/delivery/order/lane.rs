//! One key: its notifications by their ranks, of which one is under way at most.

use super::pause::{MAX_OF_KEY, pause};
use super::{Failure, Moment, Place, Trial, Verdict};
use std::collections::VecDeque;

/// The number of failures, and the time from the first to the last of them, after which a
/// notification is parked while others of its route get through.
const POISON_FAILURES: u32 = 10;
const POISON_TIME: u64 = 600_000;

/// The notifications of one key.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// By their ranks.
    places: VecDeque<Place>,
    /// The notification that is under way.
    pub(super) attempt: Option<Attempt>,
    /// The end of the pause after a failure.
    pub(super) not_before: Moment,
    /// Its entry in the list of lanes whose first notification can be sent: when it is due, and its
    /// turn among those that are due as well.
    pub(super) turn: Option<(Moment, u64)>,
    trouble: Option<Box<Trouble>>,
}

/// A notification that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) rank: i64,
    pub(super) stage: Stage,
}

/// The stage of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is tried with its first request still open.
    Direct,
    /// It is sent from the store.
    Sent,
    /// It is decided, and the store has yet to record it.
    Ending,
}

/// The effect of inserting a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// The place is a new one.
    New,
    /// The place was reserved, and has its id now.
    Named,
    /// The place is known.
    Known,
}

/// A lane whose notifications do not get through.
#[derive(Debug)]
struct Trouble {
    /// The failures before which others of the route got through, and the moment of the first.
    failures: u32,
    since: Moment,
    /// The number of successes of the route at the last failure.
    successes: u64,
    pauses: u32,
    /// A notification of this key has been parked, and none has got through since.
    is_convicted: bool,
}

impl Lane {
    /// Inserts a place, or gives the place that was reserved its id.
    pub(super) fn insert(&mut self, place: Place) -> Inserted {
        let first = self.first_from(place.rank);
        let mut same = self
            .places
            .range_mut(first..)
            .take_while(|other| other.rank == place.rank);
        if let Some(reserved) = same.find(|other| other.id == 0 || other.id == place.id) {
            let is_known = reserved.id == place.id;
            reserved.id = place.id;
            return if is_known {
                Inserted::Known
            } else {
                Inserted::Named
            };
        }
        let at = self.places.partition_point(|other| *other < place);
        if self.places.is_empty() {
            // Most lanes never have another one: of its own accord, the list would take room for four.
            self.places.reserve_exact(1);
        }
        self.places.insert(at, place);
        Inserted::New
    }

    /// Begins a direct attempt in a lane that is not used.
    pub(super) fn begin_directly(&mut self, place: Place) {
        self.insert(place);
        self.attempt = Some(Attempt {
            rank: place.rank,
            stage: Stage::Direct,
        });
    }

    /// Returns `true` if the direct attempt of this place is all there is, and it is not stored.
    pub(super) fn is_direct_alone(&self, place: Place) -> bool {
        let attempt = Attempt {
            rank: place.rank,
            stage: Stage::Direct,
        };
        let is_alone = self.places.len() == 1 && self.places[0] == place;
        is_alone && place.id == 0 && self.attempt == Some(attempt)
    }

    /// Returns `true` if something waits or is under way.
    pub(super) fn is_used(&self) -> bool {
        !self.places.is_empty() || self.attempt.is_some()
    }

    /// Removes a place, and returns it if it was there. The next one is due at once.
    pub(super) fn remove(&mut self, place: Place) -> Option<Place> {
        let first = self.first_from(place.rank);
        let mut same = self
            .places
            .range(first..)
            .take_while(|other| other.rank == place.rank);
        let at = same.position(|other| other.id == place.id || other.id == 0 || place.id == 0)?;
        if first + at == 0 {
            self.not_before = 0;
            self.trouble.take_if(|trouble| !trouble.is_convicted);
        }
        self.places.remove(first + at)
    }

    /// Takes a place away that was not stored, so that it can be inserted elsewhere. Returns `true` if
    /// it was there.
    pub(super) fn take_out(&mut self, place: Place) -> bool {
        let at = self.first_from(place.rank);
        let is_it = |other: &Place| (other.rank, other.id) == (place.rank, 0);
        let is_there = self.places.get(at).is_some_and(is_it);
        if is_there {
            self.places.remove(at);
        }
        is_there
    }

    /// Moves what is under way with the place that it is about.
    pub(super) fn move_attempt(&mut self, from: Place, to: Place) {
        if let Some(attempt) = &mut self.attempt
            && attempt.rank == from.rank
        {
            attempt.rank = to.rank;
        }
    }

    fn first_from(&self, rank: i64) -> usize {
        self.places.partition_point(|other| other.rank < rank)
    }

    /// Returns the first place and when it is due, if it can be sent: it is stored, and nothing is
    /// under way.
    pub(super) fn head(&self) -> Option<(Place, Moment)> {
        let head = self.places.front().filter(|head| head.id != 0)?;
        self.attempt.is_none().then_some((*head, self.not_before))
    }

    /// Returns the time of receipt of the first stored place.
    pub(super) fn oldest(&self) -> Option<i64> {
        let mut stored = self.places.iter().filter(|place| place.id != 0);
        stored.next().map(|place| place.received)
    }

    pub(super) fn has_several(&self) -> bool {
        self.places.len() > 1
    }

    /// Returns the numbers of stored places and of reserved ones.
    pub(super) fn count(&self) -> (usize, usize) {
        let stored = self.places.iter().filter(|place| place.id != 0).count();
        (stored, self.places.len() - stored)
    }

    /// Forgets the stored places that are not under way.
    pub(super) fn forget_waiting(&mut self) {
        let under_way = self.attempt.map(|attempt| attempt.rank);
        self.places
            .retain(|place| place.id == 0 || Some(place.rank) == under_way);
    }

    /// Returns `true` if nothing needs to be remembered.
    pub(super) fn is_over(&self) -> bool {
        let is_convicted = |trouble: &Trouble| trouble.is_convicted;
        self.places.is_empty()
            && self.attempt.is_none()
            && !self.trouble.as_deref().is_some_and(is_convicted)
    }

    /// Ends the attempt; the next one is due at `moment`.
    pub(super) fn postpone(&mut self, moment: Moment) {
        self.attempt = None;
        self.not_before = moment;
    }

    /// Records that one got through.
    pub(super) fn succeeded(&mut self) {
        self.trouble = None;
    }

    /// Records a failure, before which the route had `successes`.
    pub(super) fn failed(&mut self, trial: Trial, successes: u64, now: Moment) -> Verdict {
        let is_first = self.trouble.is_none();
        let fresh = || Box::new(Trouble::new(successes, now));
        let trouble = self.trouble.get_or_insert_with(fresh);
        let have_others_succeeded = successes > trouble.successes;
        trouble.successes = successes;
        if is_first || have_others_succeeded {
            trouble.count(now);
        }
        // While the application takes nothing at all, no notification is to blame.
        let is_own = have_others_succeeded || trial.failure == Failure::Refused;
        if is_own || trouble.pauses == 0 {
            trouble.pauses = trouble.pauses.saturating_add(1);
        }
        if have_others_succeeded && trouble.is_poison(trial.failure, now) {
            **trouble = Trouble::new(successes, now);
            trouble.is_convicted = true;
            return Verdict::Park;
        }
        self.not_before = now + pause(trouble.pauses, MAX_OF_KEY, trial);
        Verdict::Retry
    }
}

impl Trouble {
    fn new(successes: u64, now: Moment) -> Self {
        Self {
            failures: 0,
            since: now,
            successes,
            pauses: 0,
            is_convicted: false,
        }
    }

    fn count(&mut self, now: Moment) {
        if self.failures == 0 {
            self.since = now;
        }
        self.failures += 1;
    }

    fn is_poison(&self, failure: Failure, now: Moment) -> bool {
        let (failures, time) = match (self.is_convicted, failure) {
            (false, _) => (POISON_FAILURES, POISON_TIME),
            (true, Failure::Refused) => (1, 0),
            // The first failure may be the beginning of an outage.
            (true, Failure::Down) => (2, 0),
        };
        self.failures >= failures && now - self.since >= time
    }
}
