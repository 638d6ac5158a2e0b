//! The order against a model of everything around it: arrivals, answers, commits, crashes and
//! reloads in any order.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const DELIVERIES: usize = 3;
const ROUTE: &str = "/a";
const KEYS: u8 = 5;
/// The application never takes what is of this key.
const POISON: u8 = 0;

#[derive(Clone, Debug)]
enum Step {
    /// A notification of this key arrives, on a route that may try it directly or not.
    Arrive {
        key: u8,
        may_be_direct: bool,
    },
    /// The store commits what it was given, or fails to.
    Commit {
        which: usize,
        succeeds: bool,
    },
    /// The application answers an attempt.
    Answer {
        which: usize,
        answer: Answer,
    },
    /// The sender of a direct attempt has waited for long enough: the notification is stored.
    Impatience {
        which: usize,
    },
    Pass {
        millis: u64,
    },
    /// The process is killed, and the next one starts.
    Crash,
    /// Everything is read again, as after an operator's command.
    Reload,
    /// An operator drops a waiting notification behind the program's back, and this is noticed.
    Drop {
        which: usize,
    },
    Hurry,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Taken,
    Refused,
    Down,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let answer = prop_oneof![
        4 => Just(Answer::Taken),
        1 => Just(Answer::Refused),
        1 => Just(Answer::Down),
    ];
    let which = 0..64_usize;
    let step = prop_oneof![
        6 => (0..KEYS, any::<bool>()).prop_map(|(key, may_be_direct)| Step::Arrive { key, may_be_direct }),
        6 => (which.clone(), prop::bool::weighted(0.9)).prop_map(|(which, succeeds)| Step::Commit { which, succeeds }),
        8 => (which.clone(), answer).prop_map(|(which, answer)| Step::Answer { which, answer }),
        1 => which.clone().prop_map(|which| Step::Impatience { which }),
        4 => (0..20_000_u64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Crash),
        1 => Just(Step::Reload),
        1 => which.prop_map(|which| Step::Drop { which }),
        1 => Just(Step::Hurry),
    ];
    prop::collection::vec(step, 1..250)
}

/// What the store has been asked to do and has not done yet, in this order.
#[derive(Clone, Debug)]
enum Pending {
    Insert(Spot),
    Remove(Spot, End),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Delivered,
    Parked,
}

#[derive(Default)]
struct World {
    order: Order,
    now: Moment,
    clock: i64,
    ids: i64,
    rows: BTreeMap<i64, Spot>,
    pending: Vec<Pending>,
    /// Attempts under way, with `true` for a direct one.
    attempts: Vec<(Spot, bool)>,
    /// Direct attempts that ended before what they are about was stored.
    failed_early: BTreeSet<i64>,
    acknowledged: BTreeSet<i64>,
    delivered: BTreeSet<i64>,
    parked: BTreeSet<i64>,
    dropped: BTreeSet<i64>,
}

fn key(number: u8) -> Key {
    Key([number; 16])
}

fn trial(failure: Failure) -> Trial {
    Trial {
        failure,
        retry_after: 0,
        spread: 1000,
    }
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Arrive { key, may_be_direct } => self.arrive(key, may_be_direct),
            Step::Commit { which, succeeds } if !self.pending.is_empty() => {
                // One thread commits: everything is done in its order, here in parts.
                let count = 1 + which % self.pending.len();
                for _ in 0..count {
                    self.commit(succeeds);
                }
            }
            Step::Answer { which, answer } if !self.attempts.is_empty() => {
                let which = which % self.attempts.len();
                self.answer(which, answer);
            }
            Step::Impatience { which } if !self.attempts.is_empty() => {
                let (spot, is_direct) = self.attempts[which % self.attempts.len()].clone();
                if is_direct && spot.place.id == 0 && !self.is_storing(&spot) {
                    self.pending.push(Pending::Insert(spot));
                }
            }
            Step::Pass { millis } => self.now += millis,
            Step::Crash => self.crash(),
            Step::Reload => self.reload(),
            Step::Drop { which } if !self.rows.is_empty() => {
                let id = *self.rows.keys().nth(which % self.rows.len()).unwrap();
                let spot = self.rows.remove(&id).unwrap();
                self.dropped.insert(spot.place.received);
                self.reload();
            }
            Step::Hurry => self.order.hurry(ROUTE, self.now),
            _ => {}
        }
        self.pump();
        self.check();
    }

    fn is_storing(&self, spot: &Spot) -> bool {
        let is_it = |pending: &Pending| matches!(pending, Pending::Insert(other) if other.place.received == spot.place.received);
        self.pending.iter().any(is_it)
    }

    fn arrive(&mut self, number: u8, may_be_direct: bool) {
        self.clock += 1;
        let place = Place::by_receipt(self.clock, 0);
        let spot = Spot {
            route: ROUTE.into(),
            key: key(number),
            place,
        };
        if may_be_direct && self.order.begin_direct(&spot).is_ok() {
            self.sent(&spot);
            self.attempts.push((spot, true));
        } else {
            self.order.reserve(&spot);
            self.pending.push(Pending::Insert(spot));
        }
    }

    fn commit(&mut self, succeeds: bool) {
        if self.pending.is_empty() {
            return;
        }
        match self.pending.remove(0) {
            Pending::Insert(spot) if succeeds => {
                self.ids += 1;
                let mut stored = spot.clone();
                stored.place.id = self.ids;
                self.rows.insert(self.ids, stored.clone());
                self.acknowledged.insert(spot.place.received);
                for (attempt, _) in &mut self.attempts {
                    if attempt.place.received == spot.place.received {
                        attempt.place.id = self.ids;
                    }
                }
                self.order.stored(&stored, self.now);
                self.failed_early.remove(&spot.place.received);
            }
            Pending::Insert(spot) => {
                // The sender gets an error. An attempt that is still under way goes on.
                let is_tried =
                    |(attempt, _): &(Spot, bool)| attempt.place.received == spot.place.received;
                if !self.attempts.iter().any(is_tried) {
                    self.failed_early.remove(&spot.place.received);
                    self.order.gone(&spot, self.now);
                }
            }
            Pending::Remove(spot, end) if succeeds => {
                if self.rows.remove(&spot.place.id).is_some() && end == End::Parked {
                    self.parked.insert(spot.place.received);
                }
                self.order.gone(&spot, self.now);
            }
            // It is tried again, as for a full disk.
            again => self.pending.insert(0, again),
        }
    }

    fn answer(&mut self, which: usize, answer: Answer) {
        let (spot, is_direct) = self.attempts.remove(which);
        let is_poison = spot.key == key(POISON);
        match answer {
            Answer::Taken if !is_poison => {
                self.delivered.insert(spot.place.received);
                if is_direct && spot.place.id == 0 && self.is_storing(&spot) {
                    // The caller waits for the store before it says so.
                    while self.is_storing(&spot) {
                        self.commit(true);
                    }
                    let stored = self
                        .rows
                        .values()
                        .find(|row| row.place.received == spot.place.received)
                        .unwrap()
                        .clone();
                    self.order.delivered(&stored, self.now);
                    self.pending.push(Pending::Remove(stored, End::Delivered));
                    return;
                }
                self.order.delivered(&spot, self.now);
                if spot.place.id != 0 {
                    self.pending.push(Pending::Remove(spot, End::Delivered));
                }
            }
            Answer::Down => self.fail(spot, Failure::Down),
            _ => self.fail(spot, Failure::Refused),
        }
    }

    fn fail(&mut self, spot: Spot, failure: Failure) {
        let (verdict, _) = self.order.failed(&spot, trial(failure), self.now);
        if spot.place.id == 0 && !self.is_storing(&spot) {
            self.failed_early.insert(spot.place.received);
            self.pending.push(Pending::Insert(spot));
        } else if verdict == Verdict::Park && spot.place.id != 0 {
            self.pending.push(Pending::Remove(spot, End::Parked));
        }
    }

    fn crash(&mut self) {
        self.pending.clear();
        self.attempts.clear();
        self.failed_early.clear();
        self.order = Order::default();
        self.reload();
    }

    fn reload(&mut self) {
        // What is delivered and not yet deleted is not read again by the same process.
        let ending: BTreeSet<i64> = self
            .pending
            .iter()
            .filter_map(|pending| match pending {
                Pending::Remove(spot, _) => Some(spot.place.id),
                Pending::Insert(_) => None,
            })
            .collect();
        let rows = self
            .rows
            .values()
            .filter(|row| !ending.contains(&row.place.id))
            .cloned();
        self.order.replace(rows.collect::<Vec<_>>(), self.now);
    }

    fn pump(&mut self) {
        while let Some(spot) = self.order.next(DELIVERIES, self.now) {
            if !self.rows.contains_key(&spot.place.id) {
                self.order.gone(&spot, self.now);
                continue;
            }
            self.sent(&spot);
            self.attempts.push((spot, false));
        }
    }

    /// What is sent is the first of its key.
    fn sent(&self, spot: &Spot) {
        let earlier =
            |other: &&Spot| other.key == spot.key && other.place.received < spot.place.received;
        let waiting = self.rows.values().find(earlier);
        assert!(waiting.is_none(), "{spot:?} overtakes {waiting:?}");
        let under_way = self
            .attempts
            .iter()
            .map(|(other, _)| other)
            .find(|other| other.key == spot.key);
        assert!(under_way.is_none(), "{spot:?} beside {under_way:?}");
    }

    fn check(&self) {
        let from_store = self
            .attempts
            .iter()
            .filter(|(_, is_direct)| !is_direct)
            .count();
        assert!(from_store <= DELIVERIES, "{from_store} at a time");
        let waiting: BTreeSet<i64> = self.rows.values().map(|row| row.place.received).collect();
        for received in &self.acknowledged {
            let is_somewhere = [&waiting, &self.delivered, &self.parked, &self.dropped]
                .iter()
                .any(|place| place.contains(received));
            assert!(is_somewhere, "{received} has vanished");
        }
        let (state, under_way) = match self.order.routes().next() {
            Some((_, state)) => (state, self.order.under_way()),
            None => return,
        };
        assert_eq!(state.sending, self.attempts.len());
        let unstored = self
            .pending
            .iter()
            .filter(|pending| matches!(pending, Pending::Insert(_)))
            .count();
        assert!(under_way >= unstored.max(self.attempts.len()));
    }

    /// From now on, the application takes everything but poison.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            self.pump();
            if !self.pending.is_empty() {
                self.commit(true);
            } else if !self.attempts.is_empty() {
                self.answer(0, Answer::Taken);
            } else {
                match self.order.wake_at(DELIVERIES) {
                    Some(moment) => self.now = self.now.max(moment),
                    None => break,
                }
                // Poison alone goes round for ever.
                if self.rows.values().all(|row| row.key == key(POISON)) {
                    break;
                }
            }
            self.check();
        }
        let left: Vec<_> = self
            .rows
            .values()
            .filter(|row| row.key != key(POISON))
            .collect();
        assert!(left.is_empty(), "{left:?} wait for ever");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_overtaken_or_blocked(steps in steps()) {
        let mut world = World::default();
        for step in steps {
            world.take(step);
        }
        world.settle();
    }
}
