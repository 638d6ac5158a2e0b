//! The term of this process: taken, kept and given up with the store, and the end of everything that
//! must not outlast it.

use super::order::Moment;
use super::pump::PumpState;
use super::store::{Holder, StoreError, Term, TermStep};
use super::{Delivery, reports};
use crate::term::{self, Tenure};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::time::sleep;

/// The time for which a process that has given the term up leaves it to others, in milliseconds.
const AFTER_RESIGNING: Moment = 10_000;

impl Delivery {
    fn tenure(&self) -> MutexGuard<'_, Tenure> {
        self.tenure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the term of this process. It may be over: the store knows.
    pub(super) fn term(&self) -> Option<Term> {
        self.tenure().term()
    }

    /// Returns the number of a term for the application, where machines share the store.
    pub(super) fn term_line(&self, term: Term) -> Option<i64> {
        self.store.is_shared().then_some(term.0)
    }

    /// Takes the term if it is free, or says that this process still delivers, as far as that is due.
    pub(super) async fn keep_term(&self, state: &mut PumpState) -> Result<(), StoreError> {
        let asked = term::now();
        let (held, step) = {
            let tenure = self.tenure();
            (tenure.term(), tenure.step(asked))
        };
        let Some(step) = step else {
            return Ok(());
        };
        let answer = self.store.term(step).await;
        let now = term::now();
        if let Ok(holder) = &answer {
            self.tenure().answered(holder, asked, now);
        }
        match (held, answer?) {
            (None, Holder::Here(term)) => self.begin_term(term, state).await,
            (Some(_), Holder::Elsewhere(_)) => {
                self.step_down();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn begin_term(&self, term: Term, state: &mut PumpState) -> Result<(), StoreError> {
        let loaded = self.load(term, state).await;
        let waiting = loaded.inspect_err(|_| self.tenure().over())?;
        self.reach.forget();
        self.figures.set_delivering(true);
        reports::delivering(waiting);
        Ok(())
    }

    /// Gives the term up if no application has responded for long: another process may reach them.
    pub(super) async fn mind_reach(&self) {
        let waiting = self.desk.routes();
        let waiting = waiting.iter().filter(|(_, state)| state.waiting > 0);
        let is_lost = self
            .reach
            .is_lost(waiting.map(|(route, _)| route), term::now());
        if is_lost && self.store.is_shared() {
            reports::unreached();
            self.resign(AFTER_RESIGNING).await;
        }
    }

    /// Stops delivering if the term has ended by itself: the store could not be told in time.
    pub(super) fn mind_end(&self) {
        let now = term::now();
        if self.tenure().is_over(now) {
            self.tenure().over();
            self.step_down();
        }
    }

    /// Forgets what waits: another process delivers it.
    fn step_down(&self) {
        self.desk.follow();
        self.figures.set_delivering(false);
        reports::not_delivering();
    }

    /// Gives the term up, and does not ask for it again for `pause` milliseconds. Attempts under way
    /// are dropped.
    pub(super) async fn resign(&self, pause: Moment) {
        let held = self.tenure().term();
        self.tenure().ended(term::now(), pause);
        if let Some(term) = held {
            self.step_down();
            if let Err(error) = self.store.term(TermStep::Resign(term)).await {
                reports::unreadable(&error);
            }
        }
    }

    /// Returns the time that is left of a term, if there is any.
    fn left_of(&self, term: Term) -> Option<Duration> {
        let left = self.tenure().deadline(term).checked_sub(term::now())?;
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Runs `future` for as long as the term lasts, and drops it then. As each step of it, a connect
    /// or a write, is made only after another look at the clock, a process that was stopped sends
    /// nothing when it goes on.
    pub(super) async fn within_term<T>(
        &self,
        term: Term,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        loop {
            let mut end = pin!(sleep(self.left_of(term)?));
            let step = poll_fn(|context| {
                if self.left_of(term).is_none() {
                    return Poll::Ready(None);
                }
                if let Poll::Ready(value) = future.as_mut().poll(context) {
                    return Poll::Ready(Some(Some(value)));
                }
                end.as_mut().poll(context).map(|()| Some(None))
            });
            if let Some(value) = step.await? {
                return Some(value);
            }
        }
    }
}
