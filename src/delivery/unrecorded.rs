//! The ends of attempts that the store could not record yet.
//!
//! What was delivered and is not recorded is sent again by the next process that delivers, if this one
//! ends before. So no attempt begins while many of them wait.

use super::order::Spot;
use super::store::Settlement;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of ends that may wait before no attempt begins. Those under way come on top.
const MAX: usize = 1000;

/// The ends of attempts that could not be recorded yet.
#[derive(Debug, Default)]
pub(super) struct Unrecorded(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ends: Vec<Settlement>,
    /// The number of those that the store is recording for the first time.
    recording: usize,
}

impl Unrecorded {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the store is to record an end. [`answered`](Self::answered) is to follow.
    pub(super) fn begin(&self) {
        self.state().recording += 1;
    }

    /// Notes that the store has answered, and what it could not record.
    pub(super) fn answered(&self, unrecorded: Option<Settlement>) {
        let mut state = self.state();
        state.recording -= 1;
        state.ends.extend(unrecorded);
    }

    /// Returns those that wait.
    pub(super) fn all(&self) -> Vec<Settlement> {
        self.state().ends.clone()
    }

    /// Forgets those that are recorded.
    pub(super) fn recorded(&self, recorded: &[Settlement]) {
        self.state().ends.retain(|end| !recorded.contains(end));
    }

    /// Returns `true` if no attempt may begin.
    pub(super) fn are_too_many(&self) -> bool {
        let state = self.state();
        state.ends.len() + state.recording >= MAX
    }

    /// Removes notifications that do not wait any longer, although the store does not know it yet.
    pub(super) fn forget_ended(&self, spots: &mut Vec<Spot>) {
        let ends = &self.state().ends;
        spots.retain(|spot| ends.iter().all(|end| end.id != spot.place.id));
    }
}
