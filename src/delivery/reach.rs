//! Whether this process reaches the applications at all: one that does not gives the term up, so that
//! another one tries.

use super::order::Moment;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The time for which no application responds until the term is given up.
const LIMIT: Moment = 30_000;

/// The routes whose application does not respond, and since when.
#[derive(Debug, Default)]
pub(super) struct Reach(Mutex<HashMap<Arc<str>, Moment>>);

impl Reach {
    /// Records whether the application of a route has responded, whatever it has said.
    pub(super) fn note(&self, route: &Arc<str>, has_responded: bool, now: Moment) {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match has_responded {
            true => drop(silent.remove(route)),
            false => {
                silent.entry(route.clone()).or_insert(now);
            }
        }
    }

    /// Returns `true` if none of `routes` has had a response for long.
    pub(super) fn is_lost<'r>(
        &self,
        mut routes: impl Iterator<Item = &'r Arc<str>>,
        now: Moment,
    ) -> bool {
        let silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |route: &Arc<str>| {
            let since = silent.get(route);
            since.is_some_and(|since| now >= since + LIMIT)
        };
        let mut any = false;
        routes.all(|route| {
            any = true;
            is_silent(route)
        }) && any
    }

    /// Forgets what was noted: another term begins.
    pub(super) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_term_is_given_up_when_no_application_responds_for_30_seconds() {
        let reach = Reach::default();
        let (a, b) = (Arc::<str>::from("/a"), Arc::<str>::from("/b"));
        let is_lost = |routes: &[&Arc<str>], now| reach.is_lost(routes.iter().copied(), now);
        assert!(!is_lost(&[], 100_000), "nothing waits");
        reach.note(&a, false, 1000);
        reach.note(&a, false, 20_000);
        assert!(!is_lost(&[&a], 30_999));
        assert!(is_lost(&[&a], 31_000));
        assert!(
            !is_lost(&[&a, &b], 31_000),
            "the other one has not been tried"
        );
        reach.note(&b, false, 2000);
        assert!(is_lost(&[&a, &b], 32_000));
        reach.note(&b, true, 32_000);
        assert!(!is_lost(&[&a, &b], 90_000));
        reach.forget();
        assert!(!is_lost(&[&a], 90_000));
    }
}
