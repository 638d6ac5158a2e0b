//! Notifications that are still not delivered: each until it is, or until it is a day old.
//!
//! They are kept in a file, if there is a directory for it, so that a restart or an upgrade does
//! not make the status page forget them. A thread of its own reads and writes the file: no request
//! waits for it.

mod store;

use super::lost::{self, LostNotification};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};
use store::{Stamp, Store};
use tracing::warn;

/// The time for which a notification is reported, in seconds.
const REMEMBERED: i64 = 24 * 60 * 60;

/// The number of notifications that are kept, the latest ones.
pub(crate) const KEPT: usize = 500;

/// The number of changes that wait for a file that cannot be written.
const UNSAVED: usize = 2 * KEPT;

/// The interval at which the file is read again, in case another process has changed it: during an
/// upgrade, two of them serve.
const INTERVAL: Duration = Duration::from_secs(1);

/// The time for which an exiting process waits for its last changes to be written.
const LAST_CHANGES: Duration = Duration::from_secs(1);

/// A change of what is not delivered.
#[derive(Clone, Debug)]
enum Change {
    Lost(Box<LostNotification>),
    /// The notification with this key was delivered.
    Delivered(String),
    /// The parked notification with this id was deleted.
    Deleted(i64),
    /// What was parked is in a file that is no longer used.
    Unparked,
}

/// The notifications that are not delivered, of all threads.
#[derive(Clone, Default)]
pub(super) struct Undelivered(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when there is a change, and when changes have been written.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The oldest first.
    open: VecDeque<LostNotification>,
    is_kept: bool,
    /// Changes that are not in the file yet.
    unsaved: Vec<Change>,
}

impl State {
    fn save_later(&mut self, change: Change) {
        if self.unsaved.len() == UNSAVED {
            self.unsaved.remove(0);
        }
        self.unsaved.push(change);
    }
}

impl Undelivered {
    /// Keeps them in a file in `directory` from here on, beginning with what is in it.
    pub(super) fn keep_in(&self, directory: &Path) {
        let mut keeper = Keeper::new(self.0.clone(), Store::new(directory));
        keeper.refresh();
        keeper.shared.state().is_kept = true;
        let thread = thread::Builder::new().name("undelivered".into());
        if let Err(error) = thread.spawn(move || keeper.run()) {
            self.0.state().is_kept = false;
            log_failure(&error);
        }
    }

    /// Records a notification that did not reach its application.
    pub(super) fn lost(&self, lost: LostNotification) {
        self.change(Change::Lost(Box::new(lost)));
    }

    /// Records that a notification was delivered, if it was lost before.
    pub(super) fn delivered(&self, key: impl FnOnce() -> String) {
        if self.0.state().open.is_empty() {
            return;
        }
        let key = key();
        let was_lost = self.0.state().open.iter().any(|lost| lost.key == key);
        if was_lost {
            self.change(Change::Delivered(key));
        }
    }

    /// Returns the ids of those that are parked in the queue.
    pub(super) fn parked_ids(&self) -> Vec<i64> {
        let state = self.0.state();
        state
            .open
            .iter()
            .filter_map(|lost| lost.parked_id)
            .collect()
    }

    /// Records that an operator has deleted a parked notification.
    pub(super) fn deleted(&self, parked_id: i64) {
        self.change(Change::Deleted(parked_id));
    }

    /// Forgets which notifications are parked: their ids will be those of others.
    pub(super) fn forget_parked_ids(&self) {
        self.change(Change::Unparked);
    }

    fn change(&self, change: Change) {
        let mut state = self.0.state();
        change.apply(&mut state.open);
        if state.is_kept {
            state.save_later(change);
            self.0.changed.notify_all();
        }
    }

    /// Returns those of the last day, the oldest first.
    pub(super) fn open(&self, now: i64) -> Vec<LostNotification> {
        let mut state = self.0.state();
        prune(&mut state.open, now);
        state.open.iter().cloned().collect()
    }

    /// Waits until all changes are written, for a second at most.
    pub(super) fn flush(&self) {
        let is_waiting = |state: &mut State| !state.unsaved.is_empty();
        // Ignore a timeout: what cannot be written is lost, and a line says why.
        let _ = self
            .0
            .changed
            .wait_timeout_while(self.0.state(), LAST_CHANGES, is_waiting);
    }
}

impl Change {
    fn apply(&self, open: &mut VecDeque<LostNotification>) {
        match self {
            Self::Lost(lost) => add(open, lost),
            Self::Delivered(key) => open.retain(|it| it.key != *key),
            Self::Deleted(id) => open.retain(|it| it.parked_id != Some(*id)),
            Self::Unparked => open.iter_mut().for_each(|it| it.parked_id = None),
        }
    }
}

fn add(open: &mut VecDeque<LostNotification>, lost: &LostNotification) {
    open.retain(|it| it.key != lost.key);
    open.push_back(lost.clone());
    if open.len() > KEPT {
        open.pop_front();
    }
}

/// Removes what is older than a day.
fn prune(open: &mut VecDeque<LostNotification>, now: i64) {
    open.retain(|lost| now - lost.at < REMEMBERED);
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the file and the memory equal.
struct Keeper {
    shared: Arc<Shared>,
    store: Store,
    /// The state of the file when it was read or written last.
    stamp: Option<Stamp>,
    has_failed: bool,
}

impl Keeper {
    fn run(&mut self) -> ! {
        loop {
            let changes = self.wait();
            if changes.is_empty() {
                self.refresh();
            } else {
                self.save(&changes);
            }
        }
    }

    /// Waits for changes, or until the file is to be looked at. Returns the changes.
    fn wait(&self) -> Vec<Change> {
        let is_idle = |state: &mut State| state.unsaved.is_empty() || self.has_failed;
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), INTERVAL, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        state.unsaved.clone()
    }

    fn new(shared: Arc<Shared>, store: Store) -> Self {
        Self {
            shared,
            store,
            stamp: None,
            has_failed: false,
        }
    }

    /// Adds `changes` to the file. If that fails, they wait for the next attempt.
    fn save(&mut self, changes: &[Change]) {
        let saved = self.store.update(|open| {
            changes.iter().for_each(|change| change.apply(open));
            prune(open, lost::now());
        });
        match saved {
            Ok((open, stamp)) => {
                self.has_failed = false;
                self.take(open, stamp, changes.len());
                self.shared.changed.notify_all();
            }
            Err(error) => self.note_failure(&error),
        }
    }

    /// Logs the first of several failures.
    fn note_failure(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            log_failure(error);
        }
    }

    /// Reads the file again if it has changed.
    fn refresh(&mut self) {
        if self.store.stamp() == self.stamp {
            return;
        }
        match self.store.read() {
            Ok((open, stamp)) => self.take(open, stamp, 0),
            Err(error) => self.note_failure(&error),
        }
    }

    /// Takes over what the file has, with the changes that came since.
    fn take(&mut self, open: VecDeque<LostNotification>, stamp: Option<Stamp>, saved: usize) {
        self.stamp = stamp;
        let mut state = self.shared.state();
        let saved = saved.min(state.unsaved.len());
        state.unsaved.drain(..saved);
        state.open = open;
        let State { open, unsaved, .. } = &mut *state;
        unsaved.iter().for_each(|change| change.apply(open));
    }
}

fn log_failure(error: &io::Error) {
    warn!(event = "undelivered_not_kept", %error, "cannot keep the list of undelivered notifications in $STATE_DIRECTORY");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    pub(super) fn lost(key: &str, at: i64) -> LostNotification {
        LostNotification {
            key: key.into(),
            at,
            code: "upstream_unreachable".into(),
            reason: "Cannot connect.".into(),
            status: Some(502),
            route: "/a".into(),
            request_id: "1".into(),
            remote_addr: None,
            kind: "alert".into(),
            shape: None,
            severity: Some("critical".into()),
            title: Some("disk_space_usage".into()),
            message: None,
            url: None,
            node: Some("db-1".into()),
            space: None,
            space_id: None,
            parked_id: None,
        }
    }

    fn keys(undelivered: &Undelivered, now: i64) -> Vec<String> {
        let open = undelivered.open(now).into_iter();
        open.map(|lost| lost.key).collect()
    }

    fn eventually(undelivered: &Undelivered, now: i64, expected: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while keys(undelivered, now) != expected {
            assert!(
                Instant::now() < deadline,
                "{expected:?}: {:?}",
                keys(undelivered, now)
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_notification_is_open_until_it_is_delivered_or_a_day_old() {
        let undelivered = Undelivered::default();
        for (key, at) in [("a", 100), ("b", 200), ("a", 300)] {
            undelivered.lost(lost(key, at));
        }
        assert_eq!(
            keys(&undelivered, 300),
            ["b", "a"],
            "the last attempt counts"
        );
        undelivered.delivered(|| "other".into());
        assert_eq!(keys(&undelivered, 200 + REMEMBERED - 1), ["b", "a"]);
        assert_eq!(keys(&undelivered, 200 + REMEMBERED), ["a"]);
        undelivered.delivered(|| "a".into());
        assert!(keys(&undelivered, 300).is_empty());
    }

    #[test]
    fn the_latest_are_kept() {
        let undelivered = Undelivered::default();
        (0..KEPT + 10).for_each(|n| undelivered.lost(lost(&n.to_string(), 1)));
        let keys = keys(&undelivered, 1);
        assert_eq!((keys.len(), &*keys[0]), (KEPT, "10"));
    }

    #[test]
    fn they_outlive_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let now = lost::now();
        let (one, other) = (Undelivered::default(), Undelivered::default());
        one.keep_in(directory.path());
        one.lost(lost("a", now));
        one.lost(lost("old", now - REMEMBERED));
        one.flush();
        other.keep_in(directory.path());
        assert_eq!(keys(&other, now), ["a"]);
        // The predecessor is still there: each sees what the other does.
        one.lost(lost("b", now));
        eventually(&other, now, &["a", "b"]);
        other.delivered(|| "a".into());
        eventually(&one, now, &["b"]);
    }

    #[test]
    fn what_cannot_be_written_waits_and_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let undelivered = Undelivered::default();
        undelivered.keep_in(&path);
        let now = lost::now();
        (0..UNSAVED + 10).for_each(|n| undelivered.lost(lost(&n.to_string(), now)));
        assert!(undelivered.0.state().unsaved.len() <= UNSAVED);
        assert_eq!(undelivered.open(now).len(), KEPT);
        std::fs::create_dir(&path).unwrap();
        let deadline = Instant::now() + Duration::from_secs(15);
        while !undelivered.0.state().unsaved.is_empty() {
            assert!(Instant::now() < deadline, "it is not tried again");
            thread::sleep(Duration::from_millis(10));
        }
        let next = Undelivered::default();
        next.keep_in(&path);
        assert_eq!(next.open(now).len(), KEPT);
    }
}
