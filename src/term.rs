//! Who delivers: one process at a time. Values in, values out.
//!
//! Where the kernel sees to it, a process delivers until it ends. Where machines share a store, it
//! delivers for as long as it says so in time, by its own clock: it stops *before* another one
//! starts. A candidate takes over once it has seen the same beat for a while, by its own clock as
//! well. No clock is compared with that of another machine.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds on a clock that never goes back.
pub(crate) type Moment = u64;

/// The right to deliver, which one process has at a time. That of a later holder is higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub(crate) i64);

/// The last thing that the holder of a term has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) term: Term,
    pub(crate) count: i64,
}

/// A step of a process that delivers, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TermStep {
    /// Takes the term if it is free, or if its holder has said nothing since this beat.
    Take { lapsed: Option<Beat> },
    /// Says that this process still delivers.
    Beat(Term),
    /// Gives the term up.
    Resign(Term),
}

/// The process that has the term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// This process.
    Here(Term),
    /// Another one, which has said so last with this beat, or none.
    Elsewhere(Option<Beat>),
}

/// The interval at which a holder says that it still delivers.
const INTERVAL: Moment = 1000;

/// The time for which a holder may deliver, from the moment before it said that it does.
const LEASE: Moment = 4500;

/// The time after which a candidate takes the term of a holder that says nothing.
const LAPSE: Moment = 5000;

/// Returns the moment of now, on a clock that goes on while the machine sleeps.
pub(crate) fn now() -> Moment {
    let now = clock_gettime(ClockId::Boottime);
    let milliseconds = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    milliseconds.cast_unsigned()
}

/// The part of a process in the question who delivers.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    /// The time for which a beat lasts; absent where the kernel sees to the term.
    lease: Option<Moment>,
    held: Option<Held>,
    /// The term that ended because the store could not be told: it may still be this process's.
    former: Option<Term>,
    /// The beat of another process, and the moment at which it was first seen.
    watched: Option<(Beat, Moment)>,
    /// The moment before which this process does not ask for the term.
    not_before: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    term: Term,
    /// The moment before the last beat that arrived.
    beaten: Moment,
    until: Moment,
}

impl Tenure {
    /// The part of a process that does not deliver. `is_leased` says whether machines share the
    /// store.
    pub(crate) fn new(is_leased: bool) -> Self {
        Self {
            lease: is_leased.then_some(LEASE),
            held: None,
            former: None,
            watched: None,
            not_before: 0,
        }
    }

    /// Returns the term of this process, which may be over.
    pub(crate) fn term(&self) -> Option<Term> {
        self.held.map(|held| held.term)
    }

    /// Returns the moment until which this process may deliver in `term`.
    pub(crate) fn deadline(&self, term: Term) -> Moment {
        let held = self.held.filter(|held| held.term == term);
        held.map_or(0, |held| held.until)
    }

    /// Returns `true` if this process delivered until its term was over.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        self.held.is_some_and(|held| now >= held.until)
    }

    /// Returns what is to be asked of the store.
    pub(crate) fn step(&self, now: Moment) -> Option<TermStep> {
        match self.held {
            Some(held) => {
                let is_due = self.lease.is_some() && now >= held.beaten + INTERVAL;
                is_due.then_some(TermStep::Beat(held.term))
            }
            None => (now >= self.not_before).then(|| match self.former {
                Some(term) => TermStep::Beat(term),
                None => TermStep::Take {
                    lapsed: self.lapsed(now),
                },
            }),
        }
    }

    fn lapsed(&self, now: Moment) -> Option<Beat> {
        let (beat, since) = self.watched?;
        (now >= since + LAPSE).then_some(beat)
    }

    /// Records the answer of the store to a step that began at `asked`.
    pub(crate) fn answered(&mut self, holder: &Holder, asked: Moment, now: Moment) {
        self.former = None;
        match holder {
            Holder::Here(term) => {
                self.watched = None;
                self.held = Some(Held {
                    term: *term,
                    beaten: asked,
                    until: self.lease.map_or(Moment::MAX, |lease| asked + lease),
                });
            }
            Holder::Elsewhere(beat) => {
                self.held = None;
                let is_known = self.watched.is_some_and(|(known, _)| Some(known) == *beat);
                if !is_known {
                    self.watched = beat.map(|beat| (beat, now));
                }
            }
        }
    }

    /// Records that the term was over before the store could be told.
    pub(crate) fn over(&mut self) {
        self.former = self.held.take().map(|held| held.term);
    }

    /// Records that this process does not deliver any longer, and does not ask for the term for
    /// `pause` milliseconds.
    pub(crate) fn ended(&mut self, now: Moment, pause: Moment) {
        self.held = None;
        self.former = None;
        self.not_before = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROCESSES: usize = 3;

    /// Something happens, so many milliseconds after what happened before.
    #[derive(Clone, Debug)]
    struct Happening {
        after: Moment,
        process: usize,
        /// What was asked and has not been answered is lost.
        is_lost: bool,
    }

    fn happenings() -> impl Strategy<Value = Vec<Happening>> {
        let after = prop_oneof![8 => 0..400_u64, 1 => 0..7000_u64];
        let one = (after, 0..PROCESSES, prop::bool::weighted(0.1)).prop_map(
            |(after, process, is_lost)| Happening {
                after,
                process,
                is_lost,
            },
        );
        prop::collection::vec(one, 1..400)
    }

    /// The row of the holder, and what is on its way to it and back.
    struct World {
        now: Moment,
        row: Option<Beat>,
        tenures: [Tenure; PROCESSES],
        /// What each process has asked and when, and the answer once the store has given it.
        asked: [Option<(TermStep, Moment, Option<Holder>)>; PROCESSES],
    }

    impl World {
        fn new(lease: Moment) -> Self {
            Self {
                now: 1,
                row: None,
                tenures: std::array::from_fn(|_| Tenure {
                    lease: Some(lease),
                    ..Tenure::new(true)
                }),
                asked: Default::default(),
            }
        }

        fn happen(&mut self, happening: &Happening) {
            self.now += happening.after;
            let process = happening.process;
            match self.asked[process].take() {
                None => {
                    let step = self.tenures[process].step(self.now);
                    self.asked[process] = step.map(|step| (step, self.now, None));
                }
                Some((step, since, None)) => {
                    let answer = self.write(&step);
                    self.asked[process] =
                        (!happening.is_lost).then_some((step, since, Some(answer)));
                }
                Some((_, since, Some(answer))) => {
                    self.tenures[process].answered(&answer, since, self.now);
                }
            }
            let tenure = &mut self.tenures[process];
            if tenure.is_over(self.now) {
                tenure.over();
            }
        }

        /// Does what the statements of a store do.
        fn write(&mut self, step: &TermStep) -> Holder {
            match step {
                TermStep::Take { lapsed } if self.row.is_none() || *lapsed == self.row => {
                    let term = Term(self.row.map_or(1, |beat| beat.term.0 + 1));
                    self.row = Some(Beat { term, count: 0 });
                    Holder::Here(term)
                }
                TermStep::Beat(term) if self.row.is_some_and(|beat| beat.term == *term) => {
                    self.row = self.row.map(|beat| Beat {
                        count: beat.count + 1,
                        ..beat
                    });
                    Holder::Here(*term)
                }
                _ => Holder::Elsewhere(self.row),
            }
        }

        fn holders(&self) -> usize {
            let may_deliver = |tenure: &&Tenure| {
                let term = tenure.term();
                term.is_some_and(|term| self.now < tenure.deadline(term))
            };
            self.tenures.iter().filter(may_deliver).count()
        }
    }

    fn most_holders(lease: Moment, happenings: &[Happening]) -> usize {
        let mut world = World::new(lease);
        let counts = happenings.iter().map(|happening| {
            world.happen(happening);
            world.holders()
        });
        counts.max().unwrap_or_default()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
        #[test]
        fn two_never_deliver_at_a_time(happenings in happenings()) {
            prop_assert!(most_holders(LEASE, &happenings) <= 1);
        }
    }

    #[test]
    fn a_lease_that_outlasts_the_lapse_has_two_holders() {
        // The control: without the deadline, the model above finds two.
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let found = runner.run(&happenings(), |happenings| {
            prop_assert!(most_holders(60_000, &happenings) <= 1);
            Ok(())
        });
        assert!(found.is_err());
    }

    #[test]
    fn a_holder_that_is_silent_is_replaced_after_five_seconds() {
        let beat = Beat {
            term: Term(7),
            count: 3,
        };
        let mut tenure = Tenure::new(true);
        tenure.answered(&Holder::Elsewhere(Some(beat)), 0, 100);
        let lapsed = |tenure: &Tenure, now| match tenure.step(now) {
            Some(TermStep::Take { lapsed }) => lapsed,
            other => panic!("{other:?}"),
        };
        assert_eq!(lapsed(&tenure, 5099), None);
        assert_eq!(lapsed(&tenure, 5100), Some(beat));
        let next = Beat { count: 4, ..beat };
        tenure.answered(&Holder::Elsewhere(Some(next)), 5000, 5100);
        assert_eq!(lapsed(&tenure, 10_099), None);
        tenure.answered(&Holder::Here(Term(8)), 6000, 9000);
        assert_eq!(
            (tenure.deadline(Term(8)), tenure.deadline(Term(7))),
            (10_500, 0)
        );
        assert_eq!(tenure.step(6999), None);
        assert_eq!(tenure.step(7000), Some(TermStep::Beat(Term(8))));
        assert!(!tenure.is_over(10_499) && tenure.is_over(10_500));
        tenure.ended(10_500, 10_000);
        assert_eq!(tenure.step(20_499), None);
        assert!(tenure.step(20_500).is_some());
    }

    #[test]
    fn a_term_that_is_over_is_kept_if_no_other_process_has_taken_it() {
        let mut tenure = Tenure::new(true);
        tenure.answered(&Holder::Here(Term(7)), 0, 0);
        tenure.over();
        assert_eq!(tenure.term(), None);
        assert_eq!(tenure.step(9000), Some(TermStep::Beat(Term(7))));
        let beat = Beat {
            term: Term(8),
            count: 0,
        };
        tenure.answered(&Holder::Elsewhere(Some(beat)), 9000, 9001);
        assert_eq!(tenure.step(9100), Some(TermStep::Take { lapsed: None }));
    }

    #[test]
    fn what_the_kernel_sees_to_has_no_end() {
        let mut tenure = Tenure::new(false);
        tenure.answered(&Holder::Here(Term(0)), 5, 6);
        assert_eq!(tenure.step(1 << 40), None);
        assert!(!tenure.is_over(1 << 40));
    }
}
