//! One route: the lanes of its keys, in turn, and the state of its application.

use super::lane::{Attempt, Inserted, Lane, Stage};
use super::pause::{MAX_OF_ROUTE, pause};
use super::{Failure, Key, Moment, Obstacle, Place, Recovery, RouteState, Trial, Verdict};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher};

/// The notifications of one route.
#[derive(Debug, Default)]
pub(super) struct Line {
    lanes: HashMap<Key, Lane, KeyHashes>,
    /// The lanes whose first notification can be sent: when it is due, and its turn.
    ready: BTreeSet<(Moment, u64, Key)>,
    turns: u64,
    /// The number of stored notifications, and of those that are not stored yet.
    waiting: usize,
    reserved: usize,
    /// The number of attempts under way from the store, and of direct ones.
    sending: usize,
    direct: usize,
    successes: u64,
    outage: Option<Outage>,
}

/// The application of a route takes nothing.
#[derive(Debug)]
struct Outage {
    since: Moment,
    failures: u32,
    probe_at: Moment,
    /// The key whose notification is the probe under way.
    probe: Option<Key>,
}

/// Hashes keys, which are hashes already, but of texts that senders choose: what they collide in here
/// depends on a secret. The standard library's hasher takes 200 instructions more for each look-up.
#[derive(Clone, Copy, Debug)]
struct KeyHashes {
    secret: u64,
}

impl Default for KeyHashes {
    fn default() -> Self {
        Self {
            secret: rand::random(),
        }
    }
}

impl BuildHasher for KeyHashes {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.secret)
    }
}

struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some((first, _)) = bytes.split_first_chunk() {
            // All bits of a product fold into its halves.
            let mixed = u128::from(self.0 ^ u64::from_ne_bytes(*first)) * 0x9e37_79b9_7f4a_7c15;
            self.0 = (mixed >> 64) as u64 ^ mixed as u64;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Line {
    pub(super) fn begin_direct(&mut self, key: Key, place: Place) -> Result<(), Obstacle> {
        let entry = self.lanes.entry(key);
        if let Entry::Occupied(lane) = &entry
            && lane.get().is_used()
        {
            return Err(Obstacle::Order);
        }
        if self.outage.is_some() {
            return Err(Obstacle::Down);
        }
        entry.or_default().begin_directly(place);
        self.direct += 1;
        self.reserved += 1;
        Ok(())
    }

    pub(super) fn reserve(&mut self, key: Key, place: Place) {
        self.insert(key, place);
        self.arrange(key, 0);
    }

    pub(super) fn begin_unstored(&mut self, key: Key, place: Place) {
        self.begin(key, place, Stage::Direct);
    }

    /// Returns `true` if the place was not known.
    pub(super) fn stored(&mut self, key: Key, place: Place, now: Moment) -> bool {
        let inserted = self.insert(key, place);
        self.arrange(key, now);
        inserted == Inserted::New
    }

    pub(super) fn moved(&mut self, key: Key, from: Place, to: Place, now: Moment) {
        let lane = self.lanes.entry(key).or_default();
        if from.rank != to.rank {
            lane.move_attempt(from, to);
            self.reserved -= usize::from(lane.take_out(from));
        }
        self.insert(key, to);
        self.arrange(key, now);
    }

    fn insert(&mut self, key: Key, place: Place) -> Inserted {
        let inserted = self.lanes.entry(key).or_default().insert(place);
        match (inserted, place.id) {
            (Inserted::New, 0) => self.reserved += 1,
            (Inserted::New, _) => self.waiting += 1,
            (Inserted::Named, _) => {
                self.reserved -= 1;
                self.waiting += 1;
            }
            (Inserted::Known, _) => {}
        }
        inserted
    }

    /// Returns the end of an outage, if this is one.
    pub(super) fn delivered(&mut self, key: Key, place: Place, now: Moment) -> Option<Recovery> {
        self.successes += 1;
        if !self.remove_direct(key, place) {
            self.end_attempt(key, place);
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.succeeded();
            }
            if place.id == 0 {
                self.gone(key, place, now);
            }
        }
        let outage = self.outage.take()?;
        Some(Recovery {
            lasted: now - outage.since,
            waiting: self.waiting,
        })
    }

    /// Removes the lane of a direct attempt that nothing has followed meanwhile. Most are such, and
    /// cost a healthy application no more than a look-up before and after. Returns `false` for others.
    fn remove_direct(&mut self, key: Key, place: Place) -> bool {
        let Entry::Occupied(lane) = self.lanes.entry(key) else {
            return false;
        };
        let is_alone = lane.get().is_direct_alone(place);
        if is_alone {
            lane.remove();
            self.direct -= 1;
            self.reserved -= 1;
        }
        is_alone
    }

    /// Returns the verdict, and `true` if this is the beginning of an outage.
    pub(super) fn failed(
        &mut self,
        key: Key,
        place: Place,
        trial: Trial,
        now: Moment,
    ) -> (Verdict, bool) {
        let is_probe = self.end_attempt(key, place);
        let has_begun = self.note_outage(is_probe, trial, now);
        let successes = self.successes;
        let Some(lane) = self.lanes.get_mut(&key) else {
            return (Verdict::Retry, has_begun);
        };
        let verdict = lane.failed(trial, successes, now);
        if verdict == Verdict::Retry {
            lane.attempt = None;
            self.arrange(key, now);
        }
        (verdict, has_begun)
    }

    pub(super) fn postponed(&mut self, key: Key, place: Place, pause: u64, now: Moment) {
        self.end_attempt(key, place);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.postpone(now + pause);
        }
        self.arrange(key, now);
    }

    pub(super) fn gone(&mut self, key: Key, place: Place, now: Moment) {
        self.end_attempt(key, place);
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        match lane.remove(place) {
            Some(removed) if removed.id == 0 => self.reserved -= 1,
            Some(_) => self.waiting -= 1,
            None => {}
        }
        lane.attempt.take_if(|attempt| attempt.rank == place.rank);
        self.arrange(key, now);
    }

    pub(super) fn next(&mut self, deliveries: usize, now: Moment) -> Option<(Key, Place)> {
        if self.wake_at(deliveries)? > now {
            return None;
        }
        let (_, _, key) = self.ready.pop_first()?;
        let lane = self.lanes.get_mut(&key)?;
        lane.turn = None;
        let (head, _) = lane.head()?;
        self.begin(key, head, Stage::Sent);
        if let Some(outage) = &mut self.outage {
            outage.probe = Some(key);
        }
        Some((key, head))
    }

    pub(super) fn wake_at(&self, deliveries: usize) -> Option<Moment> {
        let (due, ..) = self.ready.first().filter(|_| self.sending < deliveries)?;
        match &self.outage {
            Some(outage) if outage.probe.is_some() => None,
            Some(outage) => Some(outage.probe_at.max(*due)),
            None => Some(*due),
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn hurry(&mut self, now: Moment) {
        if let Some(outage) = &mut self.outage {
            outage.probe_at = outage.probe_at.min(now);
        }
    }

    pub(super) fn is_followed(&self, key: Key) -> bool {
        self.lanes.get(&key).is_some_and(Lane::has_several)
    }

    pub(super) fn next_try(&self, key: Key) -> Option<Moment> {
        let not_before = self.lanes.get(&key)?.not_before;
        let probe_at = self.outage.as_ref().map(|outage| outage.probe_at);
        Some(not_before.max(probe_at.unwrap_or_default()))
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.sending + self.direct + self.reserved
    }

    pub(super) fn state(&self) -> RouteState {
        RouteState {
            oldest: self.lanes.values().filter_map(Lane::oldest).min(),
            waiting: self.waiting,
            sending: self.sending + self.direct,
            down: self.outage.as_ref().map(|outage| outage.since),
            next: self.wake_at(usize::MAX),
        }
    }

    pub(super) fn forget_waiting(&mut self) {
        self.ready.clear();
        for lane in self.lanes.values_mut() {
            lane.turn = None;
            lane.forget_waiting();
        }
        self.lanes.retain(|_, lane| !lane.is_over());
        let counts = self.lanes.values().map(Lane::count);
        (self.waiting, self.reserved) =
            counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    }

    fn begin(&mut self, key: Key, place: Place, stage: Stage) {
        self.lanes.entry(key).or_default().attempt = Some(Attempt {
            rank: place.rank,
            stage,
        });
        match stage {
            Stage::Direct => self.direct += 1,
            _ => self.sending += 1,
        }
    }

    /// Ends the attempt of a notification, if it is under way, but keeps its key from being used.
    /// Returns `true` if it was the probe.
    fn end_attempt(&mut self, key: Key, place: Place) -> bool {
        let attempt = self
            .lanes
            .get_mut(&key)
            .and_then(|lane| lane.attempt.as_mut());
        let Some(attempt) = attempt.filter(|attempt| attempt.rank == place.rank) else {
            return false;
        };
        match attempt.stage {
            Stage::Direct => self.direct -= 1,
            Stage::Sent => self.sending -= 1,
            Stage::Ending => return false,
        }
        attempt.stage = Stage::Ending;
        let outage = self.outage.as_mut();
        outage.is_some_and(|outage| outage.probe.take_if(|probe| *probe == key).is_some())
    }

    /// Begins an outage, or prolongs it after a failed probe. Returns `true` if it begins.
    fn note_outage(&mut self, is_probe: bool, trial: Trial, now: Moment) -> bool {
        let begins = self.outage.is_none() && trial.failure == Failure::Down;
        if !begins && !is_probe {
            return false;
        }
        let outage = self.outage.get_or_insert(Outage {
            since: now,
            failures: 0,
            probe_at: now,
            probe: None,
        });
        outage.failures = outage.failures.saturating_add(1);
        outage.probe_at = now + pause(outage.failures, MAX_OF_ROUTE, trial);
        begins
    }

    /// Puts the lane of `key` into the list of those that are ready, or takes it out. One that is
    /// in the list already keeps its turn.
    fn arrange(&mut self, key: Key, now: Moment) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        match (lane.head(), lane.turn) {
            (None, Some((due, turn))) => {
                lane.turn = None;
                self.ready.remove(&(due, turn, key));
            }
            (Some((_, not_before)), None) => {
                self.turns += 1;
                let due = not_before.max(now);
                lane.turn = Some((due, self.turns));
                self.ready.insert((due, self.turns, key));
            }
            _ => {}
        }
        if lane.is_over() {
            self.lanes.remove(&key);
        }
    }
}
